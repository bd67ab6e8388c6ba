"""Files as a whole: whether one can be read, and outputs that appear only when they are complete."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from anonymizer.errors import ConfigError, MediaError

MARK = 32  # bytes at the beginning of a marked file: the BLAKE2 of all that follows
TOKEN = 8  # random bytes in the names of files that are not whole yet
PARTIAL = re.compile(rf"\.[0-9a-f]{{{2 * TOKEN}}}\.part(\.|$)")


class Closing:
    """A context manager that closes itself at the end."""

    def close(self) -> None:
        """Give back what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_readable(path: Path) -> None:
    """Raise ``MediaError`` unless ``path`` is a file with content that this process may read."""
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError("the file is empty", path=path)
    except OSError as error:
        raise MediaError(cause_of(error), path=path) from error


def read_private(path: Path, most: int) -> bytes:
    """The content of a file that nobody but its owner may read or change; of a larger one, ``most`` bytes.

    Raises:
        ConfigError: others may.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ConfigError("others may read or change this file: chmod 600 it first", path=path)
        return file.read(most)


def cause_of(error: Exception) -> str:
    """One line for an error of the operating system or of a library, without the path that it names."""
    known = {
        errno.ENOSPC: "no space left on the disk",
        errno.EISDIR: "is a folder, not a file",
        errno.ENOENT: "no such file or folder",
        errno.EACCES: "permission denied",
    }
    number: int = getattr(error, "errno", None) or 0
    text = known.get(number) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def state_of(path: Path) -> tuple[int, int]:
    """Size and time of change of a file, in bytes and nanoseconds.

    Raises:
        MediaError: it is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise MediaError(cause_of(error), path=path) from error
    return status.st_size, status.st_mtime_ns


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, with its suffix, that takes its place when the block succeeds.

    Whatever ends the block otherwise, ``KeyboardInterrupt`` too, removes the temporary file, and ``path`` is
    left as it was.

    Raises:
        MediaError: the folder cannot be written to, or an ``OSError`` (a full disk) ended the block.
    """
    partial = path.with_name(f".{secrets.token_hex(TOKEN)}.part{path.suffix}")
    try:
        partial.touch(exist_ok=False)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise MediaError(f"cannot be written: {cause_of(error)}", path=path) from error
    finally:
        partial.unlink(missing_ok=True)


def write_marked(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, and that shows if it is altered.

    Raises:
        MediaError: it cannot be written.
    """
    with replacing(path) as partial:
        partial.chmod(0o600)
        partial.write_bytes(_mark(content) + content)


def read_marked(path: Path) -> bytes:
    """What ``write_marked`` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it was altered.
    """
    mark, content = (data := path.read_bytes())[:MARK], data[MARK:]
    if mark != _mark(content):
        raise ValueError("altered")
    return content


def mark_of(path: Path) -> str:
    """What tells a marked file from all others; empty if there is none that is whole."""
    try:
        return _mark(read_marked(path)).hex()
    except (OSError, ValueError):
        return ""


def _mark(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=MARK).digest()


def remove_partials(folder: Path) -> None:
    """Remove what ``replacing`` left under ``folder`` in a process that was killed."""
    for path in folder.rglob(".*"):
        if PARTIAL.match(path.name):
            path.unlink(missing_ok=True)


def ffmpeg_name(path: Path) -> str:
    """The name under which FFmpeg opens exactly this file: a colon in a path would name a protocol."""
    return f"file:{os.fspath(path)}"
