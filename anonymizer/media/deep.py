"""Pictures of 16 bits a colour, which Pillow cuts to 8: PNG and TIFF, read through OpenCV."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from anonymizer.errors import MediaError

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of private tags, which are dropped

Deep = NDArray[Any]

PNG_XMP = "XML:com.adobe.xmp"
"""Keyword of the text that is an XMP packet."""

_PNG_HEADER = 33
"""Bytes of the signature and the first chunk."""


def read_deep(data: bytes) -> tuple[Deep, Deep | None]:
    """Decode to ``(H, W, 3)`` RGB and alpha ``(H, W)`` or none; not turned. White is 65535.

    Raises:
        MediaError: OpenCV cannot, or the picture is not of 16 bits.
    """
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise MediaError("is a picture of 16 bits in a form that cannot be decoded")
    if decoded.ndim == 2:
        return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB), None
    if decoded.shape[2] == 3:
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), None
    return cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGB), decoded[..., 3].copy()


def _stacked(pixels: Deep, alpha: Deep | None) -> Deep:
    return pixels if alpha is None else np.dstack([pixels, alpha])


def deep_png(pixels: Deep, alpha: Deep | None, profile: bytes, xmp: bytes = b"") -> bytes:
    """Encode as PNG, with the profile in an ``iCCP`` chunk and the XMP packet in an ``iTXt`` chunk."""
    order = cv2.COLOR_RGB2BGR if alpha is None else cv2.COLOR_RGBA2BGRA
    _, encoded = cv2.imencode(".png", cv2.cvtColor(_stacked(pixels, alpha), order))
    data = encoded.tobytes()
    chunks = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)) if profile else b""
    chunks += _chunk(b"iTXt", PNG_XMP.encode() + bytes(5) + xmp) if xmp else b""
    return data[:_PNG_HEADER] + chunks + data[_PNG_HEADER:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep_tiff(pixels: Deep, alpha: Deep | None, profile: bytes, xmp: bytes = b"") -> bytes:
    """Encode as TIFF: one strip, deflated after horizontal differences."""
    samples = _stacked(pixels, alpha).astype("<u2")
    height, width, depth = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]
    strip = zlib.compress(differences.tobytes())
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[TiffImagePlugin.IMAGEWIDTH] = width
    directory[TiffImagePlugin.IMAGELENGTH] = height
    directory[TiffImagePlugin.BITSPERSAMPLE] = (16,) * depth
    directory[TiffImagePlugin.COMPRESSION] = 8
    directory[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2
    directory[TiffImagePlugin.SAMPLESPERPIXEL] = depth
    directory[TiffImagePlugin.ROWSPERSTRIP] = height
    directory[TiffImagePlugin.STRIPOFFSETS] = 0
    directory[TiffImagePlugin.STRIPBYTECOUNTS] = len(strip)
    directory[TiffImagePlugin.PREDICTOR] = 2
    if alpha is not None:
        directory[TiffImagePlugin.EXTRASAMPLES] = 2
    if profile:
        directory[TiffImagePlugin.ICCPROFILE] = profile
    if xmp:
        directory[TiffImagePlugin.XMP] = xmp
    file = BytesIO()
    directory.save(file)
    return file.getvalue() + strip
