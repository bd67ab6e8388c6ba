"""MediaPipe's BlazeFace: cheap, and independent of the other detectors. It looks for what they missed.

It does not do by itself: faces that are less than a thirtieth of the picture high are too small for it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device as devices
from anonymizer import weights
from anonymizer.batches import Faces, Frames
from anonymizer.detect import base
from anonymizer.networks.blazeface import GRID, SIZE

STEP = 144  # pixels between windows, at most
LONGEST = (SIZE // 2, SIZE, SIZE + STEP)  # sides of the pictures that are searched, the largest in up to four windows
EDGE = 4  # pixels: a face that comes so near to the edge of a window may be cut by it
SURE = 0.6  # probability from which there is a face: below are backgrounds, too
MOUTH = 0.4  # half the width of the mouth, in distances between the eyes


class _View(NamedTuple):
    """Reduced pictures of ``size (2,)`` (x, y), of which windows are cut.

    ``windows (K * frames, 192, 192, 3)`` uint8, ``frames`` at each of the ``corners (K, 2)``; ``to_frame (2,)``: pixels
    of the frame over those here.
    """

    windows: Tensor
    frames: int
    corners: Tensor
    size: Tensor
    to_frame: Tensor

    @classmethod
    def of(cls, pixels: Tensor, scale: float) -> _View:
        """Of ``pixels (N, H, W, 3)``."""
        pictures = base.resize(pixels, scale)
        height, width = pictures.shape[1:3]
        corners = [(x, y) for y in _starts(height) for x in _starts(width)]
        padded = F.pad(pictures, (0, 0, 0, max(0, SIZE - width), 0, max(0, SIZE - height)))
        windows = torch.cat([padded[:, y : y + SIZE, x : x + SIZE] for x, y in corners])
        size = torch.tensor([width, height])
        return cls(windows, len(pixels), torch.tensor(corners), size, torch.tensor(pixels.shape[2:0:-1]) / size)


class BlazeFaceDetector:
    """Batched on any device. A ``base.Detector``, but for small faces."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._network = devices.compile(weights.load("blazeface"), device, torch.zeros(2, 3, SIZE, SIZE), exact=False)
        places = (torch.arange(GRID, device=device) + 0.5) * (SIZE / GRID)
        self._places = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=2)

    def detect(self, frames: Frames) -> Faces:
        """See ``base.Detector``; faces of a thirtieth of the picture and larger."""
        parts = []
        for start, pixels in base.chunks(frames, self._device):
            views = [_View.of(pixels, longest / max(frames.size)) for longest in LONGEST]
            pictures = torch.cat([view.windows for view in views]).permute(0, 3, 1, 2) / 127.5 - 1
            counts = [len(view.windows) for view in views]
            outputs = zip(*(output.split(counts) for output in self._network(pictures)), strict=True)
            parts += [self._faces(view, start, *output) for view, output in zip(views, outputs, strict=True)]
        return base.merge(parts)

    def _faces(self, view: _View, start: int, logits: Tensor, numbers: Tensor) -> Faces:
        """What the network says of a view of the frames from ``start`` on."""
        scores = logits.sigmoid()
        window, row, column = (scores >= SURE).nonzero(as_tuple=True)
        points = numbers[window, row, column].reshape(-1, 8, 2)
        here, half = self._places[row, column], points[:, 1] / 2
        middle = points[:, 0] + here
        places = torch.stack([middle - half, middle + half, *_five(points[:, 2:] + here[:, None])], dim=1).cpu()
        frame, corner = (window % view.frames).cpu(), view.corners[(window // view.frames).cpu()]
        whole = _is_whole(places[:, :2], corner, view.size)
        places = (places + corner[:, None])[whole] * view.to_frame
        scores = scores[window, row, column].cpu()[whole]
        return base.faces(frame[whole] + start, places[:, :2].flatten(1), places[:, 2:], scores)


def _starts(length: int) -> list[int]:
    """Where windows begin that cover so many pixels."""
    beyond = max(0, length - SIZE)
    count = 1 + math.ceil(beyond / STEP)
    return torch.linspace(0, beyond, count).round().int().tolist()


def _five(points: Tensor) -> tuple[Tensor, ...]:
    """Eyes, nose and corners of the mouth, ``(N, 2)`` each, of points ``(N, 6, 2)``: eyes, nose, mouth, ears."""
    left, right, nose, mouth = points[:, :4].unbind(1)
    half = MOUTH * (right - left)
    return left, right, nose, mouth - half, mouth + half


def _is_whole(boxes: Tensor, corner: Tensor, size: Tensor) -> Tensor:
    """Whether nothing but the picture cuts ``boxes (N, 2, 2)`` of windows with the upper left ``corner (N, 2)``."""
    low = (boxes[:, 0] >= EDGE) | (corner == 0)
    high = (boxes[:, 1] <= SIZE - EDGE) | (corner + SIZE >= size)
    return (low & high).all(1)
