"""The key file of a user: random bytes, from which all keys of the program are derived. Light to import."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from anonymizer.errors import ConfigError
from anonymizer.media.files import cause_of, read_private

BYTES = 32
"""Of a key, at least."""

MOST = 1 << 16
"""Bytes of a key, at most: a file that is larger is named by mistake."""


@dataclass(frozen=True)
class Key:
    """What is derived from the content of a key file, by HKDF-SHA256 with a label each.

    Attributes:
        seeds: 32 bytes, from which personas are drawn.
        cipher: 32 bytes, with which the registry is encrypted.
        work: 32 bytes, with which what is kept of people on the way is encrypted.
        name: 16 digits that tell the key from others, and nothing else about it.
    """

    seeds: bytes = field(repr=False)
    cipher: bytes = field(repr=False)
    work: bytes = field(repr=False)
    name: str

    @classmethod
    def read(cls, path: Path) -> Key:
        """The key in a file.

        Raises:
            ConfigError: it cannot be read, is too short or too long, or others may read it.
        """
        try:
            content = read_private(path, MOST + 1)
        except OSError as error:
            cause = f"the key file cannot be read: {cause_of(error)}; `anonymizer subjects new-key FILE` makes one"
            raise ConfigError(cause, path=path) from error
        if not BYTES <= len(content) <= MOST:
            cause = f"a key has {BYTES} random bytes or more; `anonymizer subjects new-key FILE` makes one"
            raise ConfigError(cause, path=path)
        seeds, cipher, work, name = (_derived(content, label) for label in ("personas", "registry", "work", "name"))
        return cls(seeds, cipher, work, name[:8].hex())


def new_key(path: Path) -> None:
    """Make a key file that only its owner may read.

    Raises:
        ConfigError: it exists, or cannot be written.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(BYTES))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise ConfigError("exists, and a key is never replaced", path=path) from error
    except OSError as error:
        raise ConfigError(f"the key file cannot be written: {cause_of(error)}", path=path) from error


def path_of(key_file: Path) -> Path:
    """Where the registry of the subjects of a key file lies."""
    return key_file.with_name(f"{key_file.name}.subjects")


def _derived(content: bytes, label: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), BYTES, salt=None, info=f"anonymizer subjects {label}".encode()).derive(content)
