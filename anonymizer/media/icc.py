"""Colour profiles of pictures (ICC.1): which may be kept, and what to do with those that are not of RGB."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

HEADER = 128


def sound_profile(profile: bytes, space: bytes) -> bytes:
    """The profile, without anything that follows it, if it is one of colour space ``space``; else nothing."""
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
