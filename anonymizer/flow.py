"""Carries a face along where no detector sees it any more, or yet: most of it is beyond the border of the picture.

By the median of the optical flow, as far as that finds its way back (Kalal, Mikolajczyk and Matas, "Forward-Backward
Error: Automatic Detection of Tracking Failures", ICPR 2010), and as long as the face looks as it did when it was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from anonymizer.scenes import Part

Array = NDArray[np.float32]
Grey = NDArray[np.uint8]

GRID = 10  # points along each side of a box whose flow is asked for
REACH = 2.0  # sides of its box that a face goes at most while it is carried from one look to the next
BACK = 0.02  # of the height of a box: how near a point has to come back to where it was
FOUND = 0.4  # share of the points in the picture that have to
SIDE = 24  # pixels, side of the picture of a face that is kept
ALIKE = 0.5  # correlation with that picture from which it is the same face
SHOWN = 0.04  # share of a face that has to be in the picture


def part_around(box: Array, size: tuple[int, int]) -> Part:
    """The part of a frame of ``size`` in which a face is carried that is in ``box (2, 2)``; not empty."""
    reach, limit = REACH * (box[1] - box[0]), np.array(size[::-1])
    low = np.clip(np.floor(box[0] - reach), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(box[1] + reach), low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def grey(picture: Tensor) -> Grey:
    """``(H, W, 3)`` uint8 or uint16, on any device, as ``(H, W)`` on the host."""
    pixels = picture.cpu().numpy()
    if pixels.dtype != np.uint8:
        pixels = (pixels >> 8).astype(np.uint8)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), np.uint8)


def likeness(picture: Grey, box: Array) -> Array:
    """What is in ``box (2, 2)``, small, ``(SIDE, SIDE)``; NaN beyond the border of the picture."""
    scale = SIDE / np.maximum(box[1] - box[0], 1)
    move = np.array([[scale[0], 0, -scale[0] * box[0, 0]], [0, scale[1], -scale[1] * box[0, 1]]])
    soft = cv2.blur(picture, [max(1, round(1 / value)) for value in scale]).astype(np.float32)
    small = cv2.warpAffine(soft, move, (SIDE, SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
    return np.asarray(small, np.float32)


def carry(pictures: Sequence[Grey], box: Array, seen: Array) -> list[Array | None]:
    """How far a face goes from the first picture to each of the others, ``(2,)`` in pixels.

    Args:
        pictures: in order of time, or against it.
        box: ``(2, 2)``, where it is in the first.
        seen: its ``likeness`` in the picture in which it was seen.

    Returns:
        None where it is not found: the flow is not clear, or leads to something else, or nothing of the face is left.
    """
    ways: list[Array | None] = []
    before, *others = (_even(picture) for picture in pictures)
    way = np.zeros(2, np.float32)
    for after in others:
        step = _median_flow(before, after, box + way)
        if step is None or not _alike(likeness(after, box + way + step), seen):
            ways.append(None)
            continue
        before, way = after, way + step
        ways.append(way)
    return ways


def _median_flow(before: Grey, after: Grey, box: Array) -> Array | None:
    """How far most of what is in ``box`` moves, ``(2,)``; None if that is not clear."""
    line = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    points = box[0] + np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2) * (box[1] - box[0])
    points = points[((points >= 0) & (points < before.shape[::-1])).all(1)].astype(np.float32)
    if not len(points):
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, points.copy())
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, points.copy())
    good = (found[:, 0] > 0) & (returned[:, 0] > 0)
    good &= np.linalg.norm(back - points, axis=1) <= max(1.0, BACK * float(box[1, 1] - box[0, 1]))
    return np.median(there[good] - points[good], axis=0) if good.mean() >= FOUND else None


def _even(picture: Grey) -> Grey:
    """With the contrast of others: flow takes brightness for constant."""
    return np.asarray(cv2.normalize(picture, picture.copy(), 0, 255, cv2.NORM_MINMAX), np.uint8)


def _alike(now: Array, then: Array) -> bool:
    """Whether what both show is much the same, but for light and contrast."""
    shown = np.isfinite(now) & np.isfinite(then)
    if shown.mean() < SHOWN:
        return False
    a, b = now[shown] - now[shown].mean(), then[shown] - then[shown].mean()
    return bool(a @ b > ALIKE * np.linalg.norm(a) * np.linalg.norm(b))
