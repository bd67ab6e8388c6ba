"""EXIF's orientation: by which of eight turns and mirrorings stored pixels become an upright picture.

The numbers are those of EXIF 2.32, tag 0x0112: 1 is upright, 5 to 8 exchange width and height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

UPRIGHT = 1

_TAG = 0x0112
_BACK = {6: 8, 8: 6}  # the others undo themselves

Box = tuple[float, float, float, float]


def orientation_of(picture: PIL.Image.Image) -> int:
    """Of an open picture that is not loaded yet; 1 where it says nothing, or nothing that EXIF knows."""
    number = picture.getexif().get(_TAG, UPRIGHT)
    return int(number) if number in range(1, 9) else UPRIGHT


def exif_of(orientation: int) -> bytes:
    """An EXIF block that says this and nothing else."""
    exif = PIL.Image.Exif()
    exif[_TAG] = orientation
    return exif.tobytes()


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Stored ``pixels (H, W, ...)``, upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def turned_back(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Upright ``pixels (H, W, ...)`` as they are stored."""
    return turned(pixels, _BACK.get(orientation, orientation))


def stored_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height as they are stored, of a picture whose upright ones are ``size``; and the other way round."""
    return size[::-1] if orientation in (5, 6, 7, 8) else size


def turned_box(box: Box, orientation: int, size: tuple[int, int]) -> Box:
    """A box ``x0, y0, x1, y1`` of the stored picture in the upright one, whose width and height are ``size``."""
    x0, y0, x1, y1 = box
    if orientation in (5, 6, 7, 8):
        x0, y0, x1, y1 = y0, x0, y1, x1
    if orientation in (3, 4, 7, 8):
        y0, y1 = size[1] - y1, size[1] - y0
    if orientation in (2, 3, 6, 7):
        x0, x1 = size[0] - x1, size[0] - x0
    return x0, y0, x1, y1
