"""CenterFace over a small pyramid of each picture: the default detector."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device as devices
from anonymizer import weights
from anonymizer.batches import Faces, Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import base
from anonymizer.networks.centerface import MULTIPLE, STRIDE, FaceMaps

OVERVIEWS = (768, 192, 96)  # longest sides in pixels of the smaller searches
SIDES = {"cpu": MULTIPLE, "cuda": 8 * MULTIPLE}  # of what are multiples: CUDA plans each size anew, see ``device``
ENLARGE = 4.0  # pictures smaller than the last of them are enlarged at most so much
LARGEST = 256  # height in search pixels from which a face is left to the next smaller search
SHARED = 0.6  # part of that from which the next smaller search sees it too; below, it would see faces in anything
OVERLAP = LARGEST  # frame pixels that neighbouring tiles share, so that each face is whole in one
EDGE = 8  # frame pixels: a face that comes so near to the edge of a tile may be cut by it


@dataclass(frozen=True)
class Window:
    """A part of the frame, in frame pixels; faces that reach beyond ``limits`` (x0, y0, x1, y1) do not count."""

    rows: slice
    columns: slice
    limits: tuple[float, float, float, float] = (-math.inf, -math.inf, math.inf, math.inf)


@dataclass(frozen=True)
class Search:
    """One way to look at a picture.

    Attributes:
        scale: search pixels per frame pixel.
        windows: what to look at, all of one size.
        heights: range in search pixels of the faces that count.
    """

    scale: float
    windows: list[Window]
    heights: tuple[float, float]


class CenterFaceDetector:
    """Batched on any device. A ``base.Detector``.

    The network finds faces of 18 to 700 search pixels, and mistakes parts of larger ones for faces. So each picture
    is searched at its own size, or reduced to ``max_side``, and then smaller and smaller: at 96 pixels faces are
    found that are larger than the picture. ``thorough`` searches large pictures at their own size, tile by tile.
    """

    def __init__(self, config: DetectConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        example = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
        self._network = devices.compile(weights.load("centerface"), device, example, exact=False)

    def detect(self, frames: Frames) -> Faces:
        parts = []
        for start, pixels in base.chunks(frames, self._device):
            for search in searches(*frames.size, self._config.max_side, self._config.thorough):
                for window in search.windows:
                    found = self._look(pixels[:, window.rows, window.columns], search, window)
                    parts.append(replace(found, frame=found.frame + start))
        return base.merge(parts)

    def _look(self, pixels: Tensor, search: Search, window: Window) -> Faces:
        """Faces of one window of several frames, in frame pixels."""
        pictures = base.resize(pixels, search.scale)
        height, width = pictures.shape[1:3]
        multiple = SIDES[self._device.type]
        padded = F.pad(pictures, (0, 0, 0, -width % multiple, 0, -height % multiple))
        frame, boxes, landmarks, scores = _decode(FaceMaps(*self._network(padded)), self._config.low)
        to_frame = torch.tensor([pixels.shape[2] / width, pixels.shape[1] / height], device=boxes.device)
        corner = torch.tensor([window.columns.start, window.rows.start], device=boxes.device)
        points = torch.cat([boxes.reshape(-1, 2, 2), landmarks], dim=1) * to_frame + corner
        limits = torch.tensor(window.limits, device=boxes.device)
        tall = boxes[:, 3] - boxes[:, 1]
        counts = (tall >= search.heights[0]) & (tall < search.heights[1])
        counts &= (points[:, 0] > limits[:2]).all(1) & (points[:, 1] < limits[2:]).all(1)
        points = points[counts]
        return base.faces(frame[counts], points[:, :2].flatten(1), points[:, 2:], scores[counts])


def searches(height: int, width: int, max_side: int, thorough: bool) -> list[Search]:
    """How to look at pictures of this size, so that no face is too small or too large for the network."""
    longest = max(height, width)
    whole = [Window(slice(0, height), slice(0, width))]
    if longest <= OVERVIEWS[-1]:
        return [Search(min(ENLARGE, OVERVIEWS[-1] / longest), whole, (0, math.inf))]
    first = longest if thorough else min(longest, max_side)
    sides = [first, *(side for side in OVERVIEWS if 2 * side <= first)]
    return [
        Search(
            scale=side / longest,
            windows=_tiles(height, width, max_side) if max_side < side == first else whole,
            heights=(
                SHARED * LARGEST * side / larger if larger else 0,
                LARGEST if side > sides[-1] else math.inf,
            ),
        )
        for larger, side in pairwise([0, *sides])
    ]


def _tiles(height: int, width: int, side: int) -> list[Window]:
    """Windows of at most ``side`` squared that cover the picture and overlap."""
    return [
        Window(rows, columns, (left, top, right, bottom))
        for rows, top, bottom in _spans(height, side)
        for columns, left, right in _spans(width, side)
    ]


def _spans(length: int, side: int) -> list[tuple[slice, float, float]]:
    """Overlapping parts of an axis, each with the limits that faces in it must keep."""
    side = min(side, length)
    count = 1 + math.ceil((length - side) / max(1, side - OVERLAP))
    starts = [round(index * (length - side) / max(1, count - 1)) for index in range(count)]
    return [
        (
            slice(start, start + side),
            start + EDGE if start > 0 else -math.inf,
            start + side - EDGE if start + side < length else math.inf,
        )
        for start in starts
    ]


def _decode(maps: FaceMaps, threshold: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Frame ``(N,)``, boxes ``(N, 4)``, landmarks ``(N, 5, 2)``, scores ``(N,)``, in search pixels.

    The maps give every pair as down, right.
    """
    frame, row, column = torch.nonzero(maps.heatmap[:, 0] >= threshold, as_tuple=True)
    size = maps.scale[frame, :, row, column].exp().flip(1) * STRIDE
    cell = torch.stack([column, row], dim=1) + maps.offset[frame, :, row, column].flip(1) + 0.5
    low = cell * STRIDE - size / 2
    points = maps.landmarks[frame, :, row, column].reshape(-1, 5, 2).flip(2) * size[:, None] + low[:, None]
    return frame, torch.cat([low, low + size], dim=1), points, maps.heatmap[frame, 0, row, column]
