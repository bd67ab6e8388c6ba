"""What lies in archives and tables, as files for a short while, so that it is worked on like all others."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from anonymizer.errors import MediaError
from anonymizer.media.files import Closing, cause_of
from pipelines.inputs import Kind, Source, kind_of
from pipelines.plan import Job, writable
from pipelines.report import Result

Work = Callable[[Iterable[Job]], Generator[Result, None, None]]
"""Does jobs, which it takes a few at a time; results come in their order. Closing it ends all that runs."""

_SUFFIX = re.compile(r"\.[A-Za-z0-9_]{1,16}")
_SUFFIXES = 6  # that are kept of a name


class Scratch(Closing):
    """A private folder for the originals and the results that are in flight. Names from inside never reach the disk.

    Args:
        parent: the archive or table.
    """

    def __init__(self, parent: Source) -> None:
        self._parent = parent
        self._folder = TemporaryDirectory(prefix="anonymizer-", ignore_cleanup_errors=True)
        self._count = 0

    def close(self) -> None:
        """Remove all that is left."""
        self._folder.cleanup()

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
        suffix = "".join(part for part in PurePosixPath(name).suffixes[-_SUFFIXES:] if _SUFFIX.fullmatch(part))
        self._count += 1
        path = Path(self._folder.name, f"{self._count}{suffix}")
        try:
            with path.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except OSError as error:
            raise MediaError(f"cannot be unpacked to {self._folder.name}: {cause_of(error)}") from error
        kind = kind_of(path)
        target = Path(self._folder.name, f"{self._count}-done{'' if kind is Kind.PHOTO else suffix}")
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
