"""Colour profiles of pictures (ICC.1): which may be kept, and what to do with those that are not of RGB."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

HEADER = 128

COLOURS = frozenset(
    (
        *(b"wtpt", b"bkpt", b"chad", b"cicp", b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"),
        *(b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"B2A1", b"B2A2", b"D2B0", b"D2B1", b"D2B2", b"B2D0", b"B2D1", b"B2D2"),
    )
)
"""Tags that tell what the numbers of a picture look like; all others name programs, screens, owners and days."""

_NAME = "RGB"


def sound_profile(profile: bytes, space: bytes) -> bytes:
    """The profile, if it is one of colour space ``space``, without anything that follows it; else nothing."""
    size = int.from_bytes(profile[:4])
    if len(profile) < HEADER or not HEADER < size <= len(profile):
        return b""
    if profile[36:40] != b"acsp" or profile[16:20] != space:
        return b""
    try:
        ImageCms.ImageCmsProfile(BytesIO(profile[:size]))
    except (OSError, ImageCms.PyCMSError):
        return b""
    return profile[:size]


def cmyk_to_rgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """A CMYK picture in sRGB, through its profile if it has a sound one."""
    sound = sound_profile(profile, b"CMYK")
    if not sound:
        return picture.convert("RGB")
    source = ImageCms.ImageCmsProfile(BytesIO(sound))
    converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return converted


def grey_curve(profile: bytes) -> NDArray[np.uint8] | None:
    """What a profile of grey does to each of the 256 levels, in sRGB; ``None`` if it is not a sound one."""
    sound = sound_profile(profile, b"GRAY")
    if not sound:
        return None
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    source = ImageCms.ImageCmsProfile(BytesIO(sound))
    curve = ImageCms.profileToProfile(ramp, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(curve)[0, :, 1]


def plain_profile(profile: bytes) -> bytes:
    """A profile of RGB with the same colours, that names nobody and nothing; nothing if it is not a sound one."""
    sound = sound_profile(profile, b"RGB ")
    if not sound:
        return b""
    modern = sound[8] >= 4
    tags = {b"desc": _description(modern), b"cprt": _text(modern)}
    for at in range(HEADER + 4, HEADER + 4 + 12 * int.from_bytes(sound[HEADER : HEADER + 4]), 12):
        start, size = struct.unpack(">II", sound[at + 4 : at + 12])
        if sound[at : at + 4] in COLOURS:
            tags[sound[at : at + 4]] = sound[start : start + size]
    made = _assembled(sound, tags)
    return sound_profile(made, b"RGB ")


def _assembled(like: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile with the version, class, spaces and intent of another, and these tags; those that are equal, once."""
    table, data, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    front = HEADER + 4 + 12 * len(tags)
    for name, tag in tags.items():
        if tag not in places:
            places[tag] = front + len(data)
            data += tag + bytes(-len(tag) % 4)
        table += struct.pack(">4sII", name, places[tag], len(tag))
    header = struct.pack(">I4x16s12x4s", front + len(data), like[8:24], b"acsp").ljust(64, b"\0")
    header += like[64:80]  # rendering intent, white of the connection space
    return header.ljust(HEADER, b"\0") + table + data


def _text(modern: bool) -> bytes:
    """``_NAME`` as version 4 or 2 has texts."""
    if not modern:
        return b"text" + bytes(4) + _NAME.encode() + b"\0"
    words = _NAME.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(words), 28) + words


def _description(modern: bool) -> bytes:
    if modern:
        return _text(modern)
    name = _NAME.encode() + b"\0"
    return b"desc" + struct.pack(">4xI", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
