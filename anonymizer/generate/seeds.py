"""Seeds that depend on a secret and on a face's place, and tell nothing about either."""

import hashlib

from torch import Tensor


def derive_seed(secret: int | bytes, source: bytes, number: int) -> int:
    """The seed of the persona for the face ``number`` of the picture or video ``source``: keyed BLAKE2, 63 bits.

    Instead, ``source`` may be what names a registry, and ``number`` that of a subject in it; see ``subjects``.
    Or the secret is the seed of a persona, of whom another one is wanted; see ``Persona.another``.
    """
    key = secret if isinstance(secret, bytes) else secret.to_bytes(8, "big", signed=True)
    digest = hashlib.blake2b(source + number.to_bytes(8, "big", signed=True), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def digest(picture: Tensor) -> bytes:
    """Names a picture by its content."""
    return hashlib.blake2b(picture.cpu().contiguous().numpy().data, digest_size=16).digest()
