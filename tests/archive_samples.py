"""Makes archives of every format with the same members, and reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zstandard
from fake_anonymizer import BOX, FakeAnonymizer
from PIL import Image

from pipelines.archives import rewrite_archive
from pipelines.inputs import Kind, Source
from pipelines.jobs import anonymize
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig


@dataclass(frozen=True)
class Entry:
    """A member; a folder has no content."""

    name: str
    content: bytes | None = b""
    mode: int = 0o644
    time: str = "1600000000"

    @property
    def folder(self) -> bool:
        return self.content is None


ZIPS = {
    "stored.zip": zipfile.ZIP_STORED,
    "deflated.zip": zipfile.ZIP_DEFLATED,
    "bzip2.zip": zipfile.ZIP_BZIP2,
    "lzma.zip": zipfile.ZIP_LZMA,
}
TARS = ("a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.tar.zst")
NAMES = (*ZIPS, *TARS)
"""A file name for each format."""

DATE = (2020, 9, 13, 12, 26, 40)


def make(path: Path, entries: Sequence[Entry]) -> Path:
    """Write an archive whose format is that of a name in ``NAMES``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".zip", ".docx"):
        _make_zip(path, entries)
    else:
        path.write_bytes(packed(path, tar_bytes(entries)))
    return path


def _make_zip(path: Path, entries: Sequence[Entry]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"taken by Jane Doe"
        for entry in entries:
            info = zipfile.ZipInfo(entry.name + "/" * entry.folder, DATE)
            info.external_attr = (0o040000 if entry.folder else 0o100000) + entry.mode << 16
            info.compress_type = zipfile.ZIP_STORED if entry.folder else ZIPS.get(path.name, zipfile.ZIP_DEFLATED)
            info.comment = b"Jane Doe"
            archive.writestr(info, entry.content or b"")


def with_unicode_path(folder: Path, name: str) -> Path:
    """A zip archive whose one member says that its real name is ``name``."""
    info = zipfile.ZipInfo("a.txt", DATE)
    field = struct.pack("<BI", 1, zlib.crc32(b"a.txt")) + name.encode()
    info.extra = struct.pack("<HH", 0x7075, len(field)) + field
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr(info, "a")
    return folder / "a.zip"


def tar_bytes(entries: Sequence[Entry], change: Callable[[tarfile.TarInfo], object] = lambda info: None) -> bytes:
    """A plain tar archive; ``change`` may spoil headers."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type = tarfile.DIRTYPE if entry.folder else tarfile.REGTYPE
            info.mode, info.size = entry.mode, len(entry.content or b"")
            info.uname, info.uid = "jane", 1234
            info.pax_headers = {"mtime": entry.time, "comment": "Jane Doe"}
            change(info)
            archive.addfile(info, io.BytesIO(entry.content or b""))
    return file.getvalue()


def packed(path: Path, data: bytes) -> bytes:
    """In the compression that the name says."""
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}
    return pack.get(path.suffix, bytes)(data)


def entries_of(path: Path) -> list[Entry]:
    """The members in order."""
    if path.suffix in (".zip", ".docx"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            return [
                Entry(
                    info.filename.removesuffix("/"),
                    None if info.is_dir() else archive.read(info),
                    info.external_attr >> 16 & 0o7777,
                    str(info.date_time),
                )
                for info in archive.infolist()
            ]
    data = path.read_bytes()
    file = io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(data) if path.suffix == ".zst" else data)
    with tarfile.open(fileobj=file) as archive:
        return [
            Entry(
                info.name,
                None if info.isdir() else archive.extractfile(info).read(),  # type: ignore[union-attr]
                info.mode,
                info.pax_headers.get("mtime", str(int(info.mtime))),
            )
            for info in archive
        ]


def rewrite(path: Path, anonymizer: type[FakeAnonymizer] = FakeAnonymizer, **settings: object) -> Result:
    """Into a folder ``out`` beside it."""
    work = partial(anonymize, anonymizer=anonymizer(), output=OutputConfig())  # type: ignore[arg-type]
    return rewrite_archive(Job(Source(path, Kind.ARCHIVE, **settings), path.parent / "out" / path.name), work)  # type: ignore[arg-type]


def is_covered(data: bytes) -> bool:
    """Whether the one face of a picture is."""
    x0, y0, x1, y1 = BOX
    with Image.open(io.BytesIO(data)) as picture:
        box = picture.convert("L").crop((x0 + 2, y0 + 2, x1 - 2, y1 - 2))
        return box.getextrema()[1] < 48  # type: ignore[operator]
