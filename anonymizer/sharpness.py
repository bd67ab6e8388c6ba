"""Makes one picture as soft as another: trilinear mip-mapping (Williams, "Pyramidal Parametrics", SIGGRAPH 1983)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4  # each halves the detail of the one before
FLOOR = 1e-4  # detail that is none


def match_sharpness(picture: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Blur pictures until they hold as little fine detail as their references; they are never sharpened.

    Detail is compared in the middle of the pictures, half as wide and high.

    Args:
        picture, reference: ``(N, 3, S, S)`` in 0..1, sides a multiple of 64.
        mask: ``(N, 1, S, S)`` in 0..1, where detail is compared.
    """
    pyramid = [picture]
    for _ in range(1, LEVELS):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    inner = _middle(mask)
    wanted = _detail(_middle(reference).mean(1, keepdim=True), inner).log()
    found = [
        _detail(_enlarge(_middle(level).mean(1, keepdim=True), times), inner).log()
        for times, level in enumerate(pyramid)
    ]
    shares = [((a - wanted) / (a - b).clamp(min=1e-3)).clamp(0, 1)[:, None, None, None] for a, b in pairwise(found)]
    result = pyramid[-1]
    for finer, share in zip(pyramid[-2::-1], shares[::-1], strict=True):
        result = torch.lerp(finer, _enlarge(result, 1), share)
    return result


def _middle(pictures: Tensor) -> Tensor:
    edge = pictures.shape[-1] // 4
    return pictures[..., edge:-edge, edge:-edge]


def _enlarge(pictures: Tensor, times: int) -> Tensor:
    """Double the sides ``times`` times: the corner cutting of Chaikin, whose limit is the quadratic B-spline."""
    for _ in range(times):
        pictures = F.interpolate(pictures, scale_factor=2, mode="bilinear", align_corners=False)
    return pictures


def _detail(grey: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute Laplacian of pictures ``(N, 1, S, S)``: ``(N,)``."""
    inner = mask[:, :, 1:-1, 1:-1]
    sides = grey[:, :, 1:-1, :-2] + grey[:, :, 1:-1, 2:] + grey[:, :, :-2, 1:-1] + grey[:, :, 2:, 1:-1]
    laplacian = (4 * grey[:, :, 1:-1, 1:-1] - sides).abs()
    return (laplacian * inner).sum((1, 2, 3)) / inner.sum((1, 2, 3)).clamp(min=1) + FLOOR
