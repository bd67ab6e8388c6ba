"""Makes one picture as soft as another: trilinear mip-mapping (Williams, "Pyramidal Parametrics", SIGGRAPH 1983)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4  # each halves the detail of the one before
MIDDLE = (5 / 16, 11 / 16)  # the part of the sides in which detail is measured
FLOOR = 1e-4  # detail that is none


def detail(pictures: Tensor) -> Tensor:
    """Mean absolute Laplacian ``(N,)`` of the brightness of pictures ``(N, 3, S, S)`` in 0..1."""
    grey = pictures.mean(1)
    sides = grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] + grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    return (4 * grey[:, 1:-1, 1:-1] - sides).abs().mean((1, 2)) + FLOOR


def middle(pictures: Tensor) -> Tensor:
    """Where detail is measured: ``(N, 3, S, S)``, S a multiple of 64, to ``(N, 3, 3 / 8 S, 3 / 8 S)``."""
    low, high = (int(share * pictures.shape[-1]) for share in MIDDLE)
    return pictures[..., low:high, low:high]


def soften(pictures: Tensor, wanted: Tensor) -> Tensor:
    """Blur pictures until their middle holds no more than the wanted detail; they are never sharpened.

    Args:
        pictures: ``(N, 3, S, S)`` in 0..1, sides a multiple of 64.
        wanted: ``(N,)``, see ``detail``.
    """
    shares = _shares(middle(pictures), wanted)
    needed = LEVELS - 1
    while needed and not (shares[:, needed - 1] > 0).any():
        needed -= 1
    pyramid = [pictures]
    for _ in range(needed):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    result = pyramid[-1]
    for level in range(needed - 1, -1, -1):
        result = torch.lerp(pyramid[level], _enlarge(result, 1), shares[:, level, None, None, None])
    return result


def _shares(pictures: Tensor, wanted: Tensor) -> Tensor:
    """How much of each level of a pyramid is made up of the next ones, ``(N, LEVELS - 1)``: ones, a share, zeros."""
    grey, found = pictures.mean(1, keepdim=True), []
    for times in range(LEVELS):
        found.append(detail(_enlarge(grey, times)).log())
        grey = F.avg_pool2d(grey, 2)
    goal = wanted.log()
    return torch.stack([((a - goal) / (a - b).clamp(min=1e-3)).clamp(0, 1) for a, b in pairwise(found)], dim=1)


def _enlarge(pictures: Tensor, times: int) -> Tensor:
    """Double the sides ``times`` times: the corner cutting of Chaikin, whose limit is the quadratic B-spline."""
    for _ in range(times):
        pictures = F.interpolate(pictures, scale_factor=2, mode="bilinear", align_corners=False)
    return pictures
