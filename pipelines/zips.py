"""Zip archives, by their central directory: bytes that it does not name are not read, and so not written."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from anonymizer.errors import MediaError
from pipelines.members import CHUNK, OVERHEAD, Add, Budget, Member, Metered, spoken

MARKS = (b"PK\x03\x04", b"PK\x05\x06")

DIRECTORY = 1 << 28
"""Most bytes of a central directory: it is held in memory, at ten times its size."""

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_UNICODE_PATH = 0x7075  # the name in UTF-8, beside one in an old code page; APPNOTE 4.6.9


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive."""
    with path.open("rb") as file:
        return file.read(4) in MARKS


def is_late(path: Path) -> bool:
    """Whether a file that is named as a zip archive is one behind other bytes, such as a program that unpacks it."""
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    with path.open("rb") as file:  # a tar archive may end with a zip archive
        start = file.read(512)
    return not start.startswith(MARKS) and start[257:262] != b"ustar"


def read(path: Path, budget: Budget) -> Generator[Member, None, None]:
    """The members in the order of the directory, each open until the next is asked for.

    Raises:
        MediaError: a member is a link, a device or encrypted. Others of ``zipfile`` if the archive is damaged.
    """
    with path.open("rb") as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                budget.spend(OVERHEAD)
                _check(info)
                name = _name(info)
                if info.is_dir():
                    yield Member(name, info, None, 0)
                    continue
                with archive.open(info) as data:
                    yield Member(name, info, Metered(data, budget), info.file_size)


@contextmanager
def write(path: Path, like: Path) -> Iterator[Add]:
    """Write an archive. Comments and extra fields are left behind; ``like`` has nothing to say here."""
    with zipfile.ZipFile(path, "w") as archive:

        def add(member: Member, name: str, content: Path | None) -> None:
            entry = _Entry(member.header, name)
            if content is None:
                archive.open(entry, "w").close()
            else:
                entry.file_size = content.stat().st_size
                with content.open("rb") as source, archive.open(entry, "w") as target:
                    shutil.copyfileobj(source, target, CHUNK)
            entry.external_attr = member.header.external_attr  # zipfile puts a mode where there was none

        yield add


def _check_directory(file: IO[bytes]) -> None:
    """Before zipfile holds all of it in memory."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is None:
        raise MediaError("has no directory: is damaged or cut off")
    if end[zipfile._ECD_SIZE] > DIRECTORY:  # type: ignore[attr-defined]
        raise MediaError("is refused: holds too many members")


def _check(info: zipfile.ZipInfo) -> None:
    name, kind = spoken(info.filename), stat.S_IFMT(info.external_attr >> 16)
    if "\0" in info.orig_filename:
        raise MediaError(f"is refused: {name} hides a part of its name")
    if info.flag_bits & _ENCRYPTED:
        raise MediaError(f"is refused: {name} is encrypted")
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        raise MediaError(f"is refused: {name} is a link, or no file")
    if info.is_dir() and info.file_size:
        raise MediaError(f"is refused: {name} is a folder with content")


def _raw(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def _name(info: zipfile.ZipInfo) -> str:
    """The name that good programs unpack to."""
    extra, start = info.extra, 0
    while start + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, start)
        field = extra[start + 4 : start + 4 + size]
        if kind == _UNICODE_PATH and field[:5] == struct.pack("<BI", 1, zlib.crc32(_raw(info))):
            return field[5:].decode("utf-8")
        start += 4 + size
    return info.filename


class _Entry(zipfile.ZipInfo):
    """A member to be written as ``like`` was.

    zipfile would write names in UTF-8 that were in an old code page, which it takes for that of DOS: those that it did
    not understand keep their bytes.
    """

    def __init__(self, like: zipfile.ZipInfo, name: str) -> None:
        super().__init__(name, like.date_time)
        self.compress_type = like.compress_type
        self.create_system = like.create_system
        self.external_attr = like.external_attr
        self._old = not like.flag_bits & _UTF8 and name == like.orig_filename

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        if self._old:
            return self.filename.encode("cp437"), self.flag_bits
        return super()._encodeFilenameFlags()  # type: ignore[misc]
