"""Makes one picture as soft as another: trilinear mip-mapping (Williams, "Pyramidal Parametrics", SIGGRAPH 1983)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4  # each halves the detail of the one before
FLOOR = 1e-4  # detail that is none


def match_sharpness(picture: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Blur pictures until they hold as little fine detail as their references; they are never sharpened.

    Args:
        picture, reference: ``(N, 3, S, S)`` in 0..1.
        mask: ``(N, 1, S, S)`` in 0..1, where detail is compared.
    """
    size = picture.shape[-1]
    levels = [picture]
    for level in range(1, LEVELS):
        small = F.avg_pool2d(picture, 2**level)
        coarse = F.interpolate(small, size, mode="bilinear", align_corners=False)
        levels.append(F.avg_pool2d(coarse, 2**level + 1, 1, 2 ** (level - 1), count_include_pad=False))
    wanted = _detail(reference, mask)
    found = torch.stack([_detail(level, mask) for level in levels])
    result = levels[0]
    for level in range(1, LEVELS):
        above, below = found[level - 1].log(), found[level].log()
        share = ((above - wanted.log()) / (above - below).clamp(min=1e-3)).clamp(0, 1)
        result = torch.lerp(result, levels[level], share[:, None, None, None])
    return result


def _detail(pictures: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute Laplacian of the brightness, ``(N,)``."""
    grey = pictures.mean(1, keepdim=True)
    inner = mask[:, :, 1:-1, 1:-1]
    sides = grey[:, :, 1:-1, :-2] + grey[:, :, 1:-1, 2:] + grey[:, :, :-2, 1:-1] + grey[:, :, 2:, 1:-1]
    laplacian = (4 * grey[:, :, 1:-1, 1:-1] - sides).abs()
    return (laplacian * inner).sum((1, 2, 3)) / inner.sum((1, 2, 3)).clamp(min=1) + FLOOR
