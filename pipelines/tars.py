"""Tar archives, plain or compressed, as streams: written in the same compression, by what the file is, not its name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import zstandard

from anonymizer.errors import MediaError
from pipelines.members import CHUNK, Add, Budget, Member, Metered, spoken

_EXTENDED = 1 << 20  # most bytes of a header that extends another; they are held in memory
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_MTIME = re.compile(r"-?\d{1,20}(\.\d{0,20})?")


def _zstd(file: IO[bytes]) -> IO[bytes]:
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)


_READERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""By the first bytes of a file; each is a context manager that reads."""

_WRITERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6),
    b"BZh": partial(bz2.BZ2File, mode="wb"),
    b"\xfd7zXZ\0": partial(lzma.LZMAFile, mode="wb"),
    b"\x28\xb5\x2f\xfd": lambda file: zstandard.ZstdCompressor().stream_writer(file, closefd=False),
}


def read(path: Path, budget: Budget) -> Generator[Member, None, None]:
    """The members in order, each open until the next is asked for.

    Raises:
        MediaError: a member is a link, a device or sparse, or the archive is damaged, cut off or has data after its
            end. Others of ``tarfile`` and of the compression if that is damaged.
    """
    with path.open("rb") as file, _packed(_READERS, path, file) as stream:
        metered: Any = Metered(stream, budget)
        with tarfile.open(fileobj=metered, mode="r|", bufsize=CHUNK, tarinfo=_Strict) as archive:
            while info := archive.next():
                archive.members = []  # type: ignore[attr-defined]  # which would grow with the archive
                _check(info)
                yield Member(info.name, info, None if info.isdir() else archive.extractfile(info), info.size)
            rest: Any = archive.fileobj
            while chunk := rest.read(CHUNK):
                if any(chunk):
                    raise MediaError("is refused: has data after its end")


@contextmanager
def write(path: Path, like: Path) -> Iterator[Add]:
    """Write an archive in the compression of ``like``. Owners and all that extends headers, but what is said in
    ``_header``, are left behind."""
    with (
        path.open("wb") as file,
        _packed(_WRITERS, like, file) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive,
    ):

        def add(member: Member, name: str, content: Path | None) -> None:
            info = _header(member.header, name)
            with ExitStack() as stack:
                source = None if content is None else stack.enter_context(content.open("rb"))
                info.size = 0 if content is None else content.stat().st_size
                archive.addfile(info, source)
            archive.members = []  # type: ignore[attr-defined]

        yield add


@contextmanager
def _packed(wrappers: dict[bytes, Callable[[IO[bytes]], Any]], like: Path, file: IO[bytes]) -> Iterator[Any]:
    with like.open("rb") as other:
        start = other.read(6)
    wrapper = next((wrapper for mark, wrapper in wrappers.items() if start.startswith(mark)), None)
    if wrapper is None:
        yield file
    else:
        with wrapper(file) as stream:
            yield stream


class _Strict(tarfile.TarInfo):
    """A header that must be whole: tarfile takes damage between members for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """
        Raises:
            MediaError: it is damaged, missing, or says that a header of great size follows.
            tarfile.HeaderError: it is the mark of the end.
        """
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise
            raise MediaError(f"is damaged or cut off: {error}") from error
        if info.type in _EXTENSIONS and info.size > _EXTENDED:
            raise MediaError("is refused: has a header of great size")
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise MediaError(f"is refused: {spoken(info.name)} is sparse")
        return info


def _check(info: tarfile.TarInfo) -> None:
    if info.issparse():
        raise MediaError(f"is refused: {spoken(info.name)} is sparse")
    if info.type not in _FILES and not info.isdir():
        raise MediaError(f"is refused: {spoken(info.name)} is a link, or no file")
    if info.isdir() and info.size:
        raise MediaError(f"is refused: {spoken(info.name)} is a folder with content")


def _header(like: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    """Name, kind, mode and time of a member; where the time has a fraction, exactly that."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = (tarfile.DIRTYPE if like.isdir() else tarfile.REGTYPE), like.mode, like.mtime
    exact = like.pax_headers.get("mtime", "")
    if _MTIME.fullmatch(exact):
        info.pax_headers = {"mtime": exact}
    return info
