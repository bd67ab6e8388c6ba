"""Where the ledger of a run lies, and who holds it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import IO

from platformdirs import user_state_path

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import cause_of, read_private
from pipelines.places import Place

SUFFIX = ".ledger"
BYTES = 8  # of a secret


def ledger_of(root: Place) -> Path:
    """Where the ledger of an output folder lies: beside it; of one in a store, in this user's folder for such files."""
    if isinstance(root, str):
        name = hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16]
        return user_state_path("anonymizer") / f"{Path(root).name}-{name}{SUFFIX}"
    return root.resolve().with_name(root.resolve().name + SUFFIX)


def files_of(root: Place) -> list[Path]:
    """The files of a ledger, while it is open and afterwards, and of those that were set aside."""
    path = ledger_of(root)
    beside = [file for file in path.parent.glob(f"*{SUFFIX}.*") if file.name.startswith(f"{path.name}.")]
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")), *beside]


def secret_of(path: Path) -> Path:
    """Where the secret of a run lies until all is done: not in the ledger, which others are given."""
    return path.with_name(f"{path.name}.secret")


def kept_secret(path: Path) -> int:
    """The number of 63 bits in a file that only its owner may read; a new one if there is none.

    Raises:
        ConfigError: others may read the file.
        MediaError: it cannot be read or written.
    """
    try:
        content = read_private(path, BYTES + 1) if path.exists() else b""
        if len(content) != BYTES:  # the program was killed as it wrote it, before anything was drawn from it
            content = secrets.token_bytes(BYTES)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise MediaError(f"the secret of the run cannot be kept: {cause_of(error)}", path=path) from error
    return int.from_bytes(content) >> 1


def set_aside(path: Path) -> bool:
    """Name a ledger ``path.1``, or the next number that is free, if there is one, and forget its secret.

    So whatever it tells, and whoever signed it, nothing is added to it.

    Raises:
        ConfigError: another run holds it.
        MediaError: it cannot be named so.
        sqlite3.DatabaseError: it is no ledger, or somebody reads it.
    """
    if not path.exists():
        return False
    with locked(path):
        with closing(sqlite3.connect(path)) as base:
            (mode,) = base.execute("PRAGMA journal_mode = DELETE").fetchone()  # all of it in one file
            if mode != "delete":
                raise sqlite3.OperationalError("somebody reads it")
        names = (path.with_name(f"{path.name}.{number}") for number in count(1))
        try:
            path.rename(next(name for name in names if not name.exists()))
            secret_of(path).unlink(missing_ok=True)
        except OSError as error:
            raise MediaError(f"the ledger cannot be set aside: {cause_of(error)}", path=path) from error
    return True


def locked(path: Path) -> IO[bytes]:
    """Make the file if there is none, and hold it until what is returned is closed.

    Raises:
        ConfigError: another run holds it.
        MediaError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)  # it holds the names of all files
        file = path.open("ab")
    except OSError as error:
        raise MediaError(f"the ledger cannot be written: {cause_of(error)}", path=path) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise BlockingIOError("it was set aside meanwhile")
    except OSError as error:
        file.close()
        raise ConfigError("another run is at work with this ledger", path=path) from error
    return file
