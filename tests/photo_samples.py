"""Makes small photographs, and plants pictures in their metadata."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from anonymizer.media.image import read_image, write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SECRET = b"GPS 48.8584 N 2.2945 E, taken by Jane Doe"


def scene(height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours, ``(H, W, 3)``: no two corners alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def deep_scene(height: int = 48, width: int = 64) -> NDArray[np.uint16]:
    """Values that 8 bits do not hold, ``(H, W, 3)``."""
    return np.random.default_rng(1).integers(0, 65536, (height, width, 3), dtype=np.uint16)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def planted_jpeg() -> bytes:
    """The preview that must not be found in any output; its bytes occur nowhere else."""
    return encoded(Image.fromarray(scene(32, 32, seed=7)), "JPEG", quality=95, comment=SECRET)


def exif(thumbnail: bytes, orientation: int = 1) -> bytes:
    """An EXIF block: orientation and a text in IFD0, a thumbnail in IFD1."""
    first = struct.pack("<HHII", 0x0112, 3, 1, orientation) + struct.pack("<HHII", 0x010E, 2, len(SECRET), 100)
    ifd0 = struct.pack("<H", 2) + first + struct.pack("<I", 8 + 2 + 24 + 4)
    preview = 100 + len(SECRET)
    second = b"".join(
        struct.pack("<HHII", *entry)
        for entry in ((0x0103, 3, 1, 6), (0x0201, 4, 1, preview), (0x0202, 4, 1, len(thumbnail)))
    )
    ifd1 = struct.pack("<H", 3) + second + struct.pack("<I", 0)
    block = b"II*\0" + struct.pack("<I", 8) + ifd0 + ifd1
    return b"Exif\0\0" + block.ljust(100, b"\0") + SECRET + thumbnail


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG file."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG file with segments put in after its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 2) of a colour space, to the connection space XYZ or, for CMYK, Lab."""
    kind, connection = (b"prtr", b"Lab ") if space == b"CMYK" else (b"mntr", b"XYZ ")
    table, data = struct.pack(">I", len(tags)), b""
    offset = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, offset + len(data), len(tag))
        data += tag.ljust(-(-len(tag) // 4) * 4, b"\0")
    white = struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", offset + len(data), b"lcms", 0x02400000, kind, space, connection, b"", b"acsp"
    )
    return (header.ljust(68, b"\0") + white).ljust(128, b"\0") + table + data


def xyz(x: int, y: int, z: int) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", x, y, z)


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def grey_profile(value: float) -> bytes:
    return profile(b"GRAY", {b"wtpt": xyz(0xF6D6, 0x10000, 0xD32D), b"kTRC": gamma(value)})


def cmyk_profile() -> bytes:
    """Of a printer whose cyan ink is red: where there is cyan, the paper is (about) red, otherwise white."""
    red, white = (138, 208, 195), (255, 128, 128)
    colours = b"".join(bytes(red if corner & 8 else white) for corner in range(16))
    identity = bytes(range(256))
    matrix = struct.pack(">9i", *(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x10000))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + identity * 4 + colours + identity * 3
    return profile(b"CMYK", {b"wtpt": xyz(0xF6D6, 0x10000, 0xD32D), b"A2B0": table})


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def through(path: Path) -> bytes:
    """The bytes that are written, as ``out``, for a file that is read."""
    target = path.with_name("out" + path.suffix)
    write_image(target, read_image(path))
    return target.read_bytes()
