"""Encryption of what is kept of people: AES-256-GCM, a random nonce first."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12
"""Bytes."""


class Sealed:
    """An ``Envelope`` that only its key opens.

    Args:
        cipher: 32 bytes.
        about: what is sealed, which is written elsewhere; data that was sealed about something else is refused.
    """

    def __init__(self, cipher: bytes, about: bytes = b"") -> None:
        self._cipher, self._about = cipher, about

    def seal(self, data: bytes) -> bytes:
        """See ``Envelope``."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + AESGCM(self._cipher).encrypt(nonce, data, self._about)

    def unseal(self, data: bytes) -> bytes:
        """See ``Envelope``."""
        try:
            return AESGCM(self._cipher).decrypt(data[:NONCE], data[NONCE:], self._about)
        except InvalidTag as error:
            raise ValueError("altered, or of another key") from error
