"""Continues pictures over what is hidden."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fill(pictures: Tensor, known: Tensor) -> Tensor:
    """Continue the known pixels smoothly over the others: pull-push (Gortler et al., "The Lumigraph", SIGGRAPH 1996).

    Args:
        pictures: ``(N, C, S, S)``, S a power of two.
        known: ``(N, 1, S, S)`` bool; the other pixels have no effect. Where nothing is known, the result is black.
    """
    levels = [(pictures, known.float())]
    while levels[-1][0].shape[-1] > 1:
        colour, weight = levels[-1]
        share = F.avg_pool2d(weight, 2)
        levels.append((F.avg_pool2d(colour * weight, 2) / share.clamp(min=1e-6), (share > 0).float()))
    result = levels[-1][0]
    for colour, weight in levels[-2::-1]:
        smooth = F.interpolate(result, scale_factor=2, mode="bilinear", align_corners=False)
        result = torch.lerp(smooth, colour, weight)
    return result
