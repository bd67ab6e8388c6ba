"""Where the ledger of a run lies, and who holds it."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path
from typing import IO

from platformdirs import user_state_path

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import cause_of
from pipelines.places import Place

SUFFIX = ".ledger"


def ledger_of(root: Place) -> Path:
    """Where the ledger of an output folder lies: beside it; of one in a store, in this user's folder for such files."""
    if isinstance(root, str):
        name = hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16]
        return user_state_path("anonymizer") / f"{Path(root).name}-{name}{SUFFIX}"
    return root.resolve().with_name(root.resolve().name + SUFFIX)


def files_of(root: Place) -> list[Path]:
    """The files of a ledger, while it is open and afterwards."""
    path = ledger_of(root)
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))]


def locked(path: Path) -> IO[bytes]:
    """Make the file if there is none, and hold it until what is returned is closed.

    Raises:
        ConfigError: another run holds it.
        MediaError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)  # it holds the secret
        file = path.open("ab")
    except OSError as error:
        raise MediaError(f"the ledger cannot be written: {cause_of(error)}", path=path) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError("another run is at work with this ledger", path=path) from error
    return file
