"""Notices where a video changes: small pictures, compared with each other."""

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.batches import Frames
from anonymizer.geometry import resize

CHANGE, CUT = 0.1, 0.5  # unlikeness of successive pictures: something happened; another scene
LOCAL = 0.08  # change of a colour in one place, where white is 1: something came or went there
FLASH = 2  # frames after which the old scene is back if it was only a flash
THUMBNAIL = (36, 64)  # height and width; one pixel is 30 of 1080p
COARSE = (18, 32)  # the same for whole pictures
SAME, NOISE = 0.65, 1e-5  # correlation from which two parts show the same; power of noise
SHOWN = 0.3  # part of a picture that must still be there if it moved
PART = 1 / 3  # of the longer side of a picture, sides of the parts of it that are looked at alone
FILLED = 0.6  # of the sides of a part, the most that may have changed

Part = tuple[int, int, int, int]
"""Of a picture: left, top, width and height in pixels."""


def unlikeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """0 for the same picture, about 1 for two unrelated ones; brightness does not matter, contrast little."""
    a, b = _coarse(a), _coarse(b)
    noise = 1e-4 * a.size
    return float(np.square(a - b).sum() / (np.square(a).sum() + np.square(b).sum() + noise))


def _coarse(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey, as colour adds noise, and half as fine: ``(3, 36 * 64)`` to ``(18, 32)``."""
    grey: NDArray[np.float32] = small.reshape(3, COARSE[0], 2, COARSE[1], 2).mean((0, 2, 4))
    return grey


def differs(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether something changed between two pictures, all over or in one place as small as a face.

    What only moves a little, by a pixel of the small pictures, is no change.
    """
    return unlikeness(a, b) > CHANGE or bool(_changed(a, b).any())


def _changed(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a colour leaves the range of what is around the same place in the first picture: ``(36, 64)``."""
    before, after = (x.reshape(-1, *THUMBNAIL).transpose(1, 2, 0) for x in (a, b))
    around = np.ones((3, 3), np.uint8)
    beyond = np.maximum(after - cv2.dilate(before, around), cv2.erode(before, around) - after)
    return np.asarray(beyond.max(2) > LOCAL)


def changed_part(a: NDArray[np.float32], b: NDArray[np.float32], size: tuple[int, int]) -> Part | None:
    """Where to look, if something changed between two pictures of ``size`` (height, width) in one place only.

    Returns:
        a square ``PART`` as long as the picture, or as much of that as there is, around what changed; None if the
        picture changed all over, or too large a part of it.
    """
    places = np.argwhere(_changed(a, b))
    if unlikeness(a, b) > CHANGE or not len(places):
        return None
    pixels, side = np.array(size) / THUMBNAIL, PART * max(size)
    low, high = places.min(0) * pixels, (places.max(0) + 1) * pixels
    if (high - low).max() > FILLED * side:
        return None
    part = np.minimum(int(side), size)
    top, left = np.clip((low + high - part) / 2, 0, size - part).astype(int).tolist()
    return left, top, int(part[1]), int(part[0])


def movement(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """How far all that ``a`` shows has moved in ``b``, ``(x, y)`` in widths and heights; ``None`` if it is not there.

    Phase correlation; believed where the parts that both show then correlate, however faint one is in a flash.
    """
    before, after = _coarse(a), _coarse(b)
    size = COARSE[::-1]
    (x, y), _ = cv2.phaseCorrelate(before, after, cv2.createHanningWindow(size, cv2.CV_32F))
    moved = cv2.warpAffine(before, np.array([[1, 0, x], [0, 1, y]]), size, borderValue=np.nan)
    shown = np.isfinite(moved)
    if shown.mean() < SHOWN:
        return None
    moved, after = (part[shown] - part[shown].mean() for part in (moved, after))
    power = [np.square(part).mean() + NOISE for part in (moved, after)]
    same = (moved * after).mean() / np.sqrt(power[0] * power[1]) > SAME
    return np.array([x / size[0], y / size[1]], np.float32) if same else None


def thumbnails(frames: Frames) -> NDArray[np.float32]:
    """Small pictures in 0..1, less their mean: ``(N, 3, 36 * 64)``. In colour: many faces are as bright as a wall."""
    small = resize(frames.pixels.permute(0, 3, 1, 2), THUMBNAIL).float().flatten(2)
    return ((small - small.mean((1, 2), keepdim=True)) / frames.peak).cpu().numpy()
