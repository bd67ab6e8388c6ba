"""The file formats of photographs, and how a picture was encoded in one."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import JpegImagePlugin


@dataclass(frozen=True)
class Format:
    """What a file format holds: its suffixes, and whether 16 bits a colour and transparency."""

    suffixes: tuple[str, ...]
    deep: bool
    alpha: bool


FORMATS = {
    "JPEG": Format((".jpg", ".jpeg", ".jpe", ".jfif"), deep=False, alpha=False),
    "PNG": Format((".png",), deep=True, alpha=True),
    "TIFF": Format((".tif", ".tiff"), deep=True, alpha=True),
    "WEBP": Format((".webp",), deep=False, alpha=True),
    "BMP": Format((".bmp",), deep=False, alpha=False),
    "GIF": Format((".gif",), deep=False, alpha=True),
    "AVIF": Format((".avif",), deep=False, alpha=True),
    "HEIF": Format((".heic", ".heif", ".hif"), deep=False, alpha=True),
}
"""By Pillow's names."""


def format_of(path: Path, otherwise: str) -> str:
    """The key of ``FORMATS`` that the suffix of a name stands for, or ``otherwise``."""
    return next((name for name, form in FORMATS.items() if path.suffix.lower() in form.suffixes), otherwise)


def installed() -> list[str]:
    """The keys of ``FORMATS`` for which there is a library."""
    PIL.Image.init()
    return [name for name in FORMATS if name in PIL.Image.OPEN]


def is_heif(head: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of HEIC or AVIF (ISO/IEC 23008-12)."""
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")


def is_photograph(path: Path) -> bool:
    """Whether the content of a file is a photograph, also of a kind for which a library is missing."""
    try:
        with path.open("rb") as file:
            if is_heif(file.read(12)):
                return True
        PIL.Image.open(path, formats=installed()).close()
    except PIL.Image.DecompressionBombError:
        return True
    except Exception:  # plugins raise all kinds
        return False
    return True


_MARKER = re.compile(rb"\xff+([\x02-\xcf\xd9-\xfe])")
"""That of a part of a JPEG which states its length, or of the end: what stands between is compressed."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # parts that tell the size of the picture
_END = 0xD9
_NEXT = re.compile(rb"[\0\xff]*\xff\xd8(?=\xff)")


def jpegs_in(data: bytes) -> int:
    """How many JPEG pictures of one size a file holds, one behind the other: of Motion JPEG more than one.

    What else is behind the end of a photograph, cameras have put there: previews, films, maps of depth, zeros.
    """
    size, end = _jpeg(data, 0)
    count = 1
    while again := _NEXT.match(data, end):
        other, end = _jpeg(data, again.end())
        if other != size:
            break
        count += 1
    return count


def _jpeg(data: bytes, at: int) -> tuple[bytes, int]:
    """The size of the JPEG whose parts begin at ``at``, as they state it, and where it ends."""
    size = b""
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _END:
            return size, at
        if marker in _FRAMES:
            size = data[at + 3 : at + 7]
        at += int.from_bytes(data[at : at + 2], "big")
    return size, len(data)


@dataclass(frozen=True)
class Encoding:
    """How a picture was encoded, so that it is written with as much loss, and no more.

    Attributes:
        quality: 1..100 on the scale of libjpeg; of a JPEG, the one whose tables are nearest.
        tables: quantisation tables of a JPEG, 64 values each, luma first; empty for other formats.
        subsampling: of chroma in a JPEG, by Pillow's numbers: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
        lossless: of a WebP.
    """

    quality: int = 92
    tables: tuple[tuple[int, ...], ...] = ()
    subsampling: int = 0
    lossless: bool = False


DEFAULT = Encoding()


def encoding_of(picture: PIL.Image.Image, data: bytes) -> Encoding:
    """Of an open picture and the bytes of its file."""
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        tables = tuple(tuple(table) for _, table in sorted(picture.quantization.items()))
        sampling = JpegImagePlugin.get_sampling(picture)
        if picture.mode == "L":
            sampling = 2
        return Encoding(jpeg_quality(tables[0]), tables[:3], max(sampling, 0))
    return Encoding(lossless=picture.format == "WEBP" and b"VP8L" in data[12:])


@functools.cache
def _standard_luma() -> NDArray[np.float64]:
    """The table of quality 50, from which libjpeg scales all others."""
    file = BytesIO()
    PIL.Image.new("L", (8, 8)).save(file, "JPEG", quality=50)
    with PIL.Image.open(file) as picture:
        assert isinstance(picture, JpegImagePlugin.JpegImageFile)
        return np.array(picture.quantization[0], np.float64)


def jpeg_quality(luma: tuple[int, ...]) -> int:
    """The quality 1..100 of libjpeg whose table is nearest to that of a file's luma."""
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)[:, None]
    tables = np.clip((_standard_luma() * scales + 50) // 100, 1, 255)
    return int(qualities[np.abs(tables - np.array(luma)).sum(1).argmin()])
