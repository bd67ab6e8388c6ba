"""Elements of Matroska and WebM (RFC 8794, RFC 9559): how long a file is meant to be, and tags that come late.

What is to be said of a video is only known when its last frame is done, but FFmpeg writes tags first, where all
programs look for them. So room is left there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from anonymizer.errors import MediaError

ROOM = {"RESERVED": "-" * 500}
"""The only metadata of a file that FFmpeg begins, from which it makes one tag."""

_SEGMENT, _TAGS, _TAG, _CRC = 0x18538067, 0x1254C367, 0x7373, 0xBF
_TARGETS, _SIMPLE_TAG, _NAME, _STRING, _VOID = 0x63C0, 0x67C8, 0x45A3, 0x4487, 0xEC


class _Element(NamedTuple):
    """Where an element begins, where its content begins, and where that ends; the end is None if it is not known."""

    kind: int
    start: int
    content: int
    end: int | None


def announced_size(path: Path) -> int:
    """Bytes up to the end of the segment; 0 if the file does not say."""
    with path.open("rb") as file:
        return next((element.end or 0 for element in _elements(file, 0, None) if element.kind == _SEGMENT), 0)


def write_tags(path: Path, tags: Mapping[str, str]) -> None:
    """Write tags for the whole file into the ``ROOM`` that was left in it; without any, nothing is said.

    Raises:
        MediaError: there is no such room.
    """
    with path.open("r+b") as file:
        outer = _child(file, _SEGMENT, 0, None)
        whole = _child(file, _TAGS, outer.content, outer.end)
        assert whole.end is not None
        for tag in _elements(file, whole.content, whole.end):
            assert tag.end is not None
            file.seek(tag.start)
            if tag.kind == _TAG and next(iter(ROOM)).encode() in file.read(tag.end - tag.start):
                file.seek(tag.start)
                file.write(_filled(_tag(tags) if tags else b"", tag.end - tag.start))
                _sum_up(file, whole.content, whole.end)
                return
    raise MediaError("there is no room for what is to be said", path=path)


def _filled(element: bytes, size: int) -> bytes:
    """An element and, up to ``size`` bytes, one that says nothing."""
    return element + _made(_VOID, bytes(size - len(element) - len(_made(_VOID, b""))))


def _tag(tags: Mapping[str, str]) -> bytes:
    simple = (_made(_NAME, name.encode()) + _made(_STRING, value.encode()) for name, value in tags.items())
    return _made(_TAG, _made(_TARGETS, b"") + b"".join(_made(_SIMPLE_TAG, content) for content in simple))


def _made(kind: int, content: bytes) -> bytes:
    """An element with a size of eight bytes."""
    return kind.to_bytes((kind.bit_length() + 7) // 8) + (1 << 56 | len(content)).to_bytes(8) + content


def _sum_up(file: BinaryIO, start: int, end: int) -> None:
    """Correct the checksum, if there is one, of an element with this content."""
    first = next(_elements(file, start, end))
    if first.kind == _CRC and first.end is not None:
        file.seek(first.end)
        value = zlib.crc32(file.read(end - first.end))
        file.seek(first.content)
        file.write(value.to_bytes(4, "little"))


def _child(file: BinaryIO, kind: int, start: int, end: int | None) -> _Element:
    for element in _elements(file, start, end):
        if element.kind == kind:
            return element
    raise MediaError("is not written as Matroska is")


def _elements(file: BinaryIO, start: int, end: int | None) -> Iterator[_Element]:
    """The elements that follow each other from ``start`` to ``end``, or the end of the file."""
    while end is None or start < end:
        file.seek(start)
        kind, _ = _number(file)
        size, unknown = _number(file, value=True)
        if not kind:
            return
        content = file.tell()
        yield _Element(kind, start, content, None if unknown else content + size)
        if unknown:
            return
        start = content + size


def _number(file: BinaryIO, *, value: bool = False) -> tuple[int, bool]:
    """A number of one to eight bytes, and whether it stands for "unknown"; 0 at the end of the file.

    Args:
        value: whether to take away the bit that tells the length, which identifiers keep.
    """
    first = file.read(1)
    if not first or not first[0]:
        return 0, False
    length = 9 - first[0].bit_length()
    number = int.from_bytes(first + file.read(length - 1))
    most = (1 << 7 * length) - 1
    return (number & most if value else number), number & most == most
