"""Private folders for files in flight, and what lies in archives and tables, as files in one for a short while."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from pathlib import Path, PurePath

from anonymizer.errors import MediaError
from anonymizer.media.files import Closing, cause_of
from pipelines.inputs import Kind, Source, kind_of
from pipelines.plan import Job, writable
from pipelines.report import Result

Work = Callable[[Iterable[Job]], Generator[Result, None, None]]
"""Does jobs, which it takes a few at a time; results come in their order. Closing it ends all that runs."""

PREFIX = "anonymizer-private-"
"""Nothing else may be called so: what bears the name and no process holds is removed."""

_SUFFIX = re.compile(r"\.[A-Za-z0-9_-]{1,16}")
_SUFFIXES = 6  # that are kept of a name


class PrivateFolder(Closing):
    """Files under numbers, removed at the end: nothing on this machine is named by a store or an archive.

    The folder is made when it is needed, and locked as long as its process lives: originals lie in it, and where a
    process was killed, the next one that needs such a folder, or only may, removes what was left.
    """

    def __init__(self) -> None:
        _sweep()
        self._folder: Path | None = None
        self._lock = -1
        self._numbers = itertools.count(1)

    def name(self, like: PurePath) -> Path:
        """A new name in the folder, with the suffixes of ``like``, which tell what a file is."""
        if self._folder is None:
            self._folder, self._lock = _held_folder()
        suffixes = "".join(suffix for suffix in like.suffixes[-_SUFFIXES:] if _SUFFIX.fullmatch(suffix))
        return self._folder / f"{next(self._numbers)}{suffixes}"

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None


def _held_folder() -> tuple[Path, int]:
    """A new private folder, and the lock that says that somebody needs it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # where there are no locks, nothing is swept either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)  # another run was quicker, and took it for one that was left


def _sweep() -> None:
    """Remove folders of this user that nobody holds."""
    folders: list[Path] = []
    with suppress(OSError):  # where there is no folder for temporary files, not everybody needs one
        folders += Path(tempfile.gettempdir()).glob(f"{PREFIX}*")
    for folder in folders:
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        except OSError:  # of another user, or gone
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is held
            pass
        finally:
            os.close(lock)


class Scratch(Closing):
    """A private folder for the originals and the results that are in flight. Names from inside never reach the disk.

    Args:
        parent: the archive or table.
    """

    def __init__(self, parent: Source) -> None:
        self._parent = parent
        self._files = PrivateFolder()

    def close(self) -> None:
        """Remove all that is left."""
        self._files.close()

    def job(self, name: str, label: str, chunks: Iterable[bytes], room: int | None = None) -> Job:
        """Write a file, and say what is to be done with it.

        Photographs keep the format they have, whatever the name says.

        Args:
            name: only its suffixes are used.
            label: what people are told in place of the path.
            chunks: the content.
            room: see ``Source``.

        Raises:
            MediaError: the content cannot be read, or the disk is full.
        """
        try:
            path = self._files.name(PurePath(name))
            with path.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except OSError as error:
            raise MediaError(f"cannot be unpacked to the folder for temporary files: {cause_of(error)}") from error
        kind = kind_of(path)
        target = self._files.name(PurePath() if kind is Kind.PHOTO else path)
        source = Source(path, kind, depth=self._parent.depth + 1, label=label, room=room)
        return Job(source, writable(target, kind))

    @staticmethod
    def labelled(result: Result) -> Result:
        """The result, whose lines name what people know in place of files in this folder."""

        def line(text: str) -> str:
            for path in (result.job.source.path, result.job.target):
                text = text.replace(str(path), result.job.source.label)
            return text

        result.error = line(result.error) if result.error else None
        result.missing = [line(text) for text in result.missing]
        return result

    @staticmethod
    def discard(job: Job) -> None:
        """Remove the original and the result."""
        job.source.path.unlink(missing_ok=True)
        job.target.unlink(missing_ok=True)
