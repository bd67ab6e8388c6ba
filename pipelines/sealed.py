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
    """

    def __init__(self, cipher: bytes) -> None:
        self._cipher = cipher

    def seal(self, data: bytes, about: bytes) -> bytes:
        """See ``Envelope``."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + AESGCM(self._cipher).encrypt(nonce, data, about)

    def unseal(self, data: bytes, about: bytes) -> bytes:
        """See ``Envelope``."""
        try:
            return AESGCM(self._cipher).decrypt(data[:NONCE], data[NONCE:], about)
        except InvalidTag as error:
            raise ValueError("altered, of another key, or about something else") from error
