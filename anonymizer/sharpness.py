"""Makes one picture as soft as another.

A picture is blurred again and again, each time twice as far (the "algorithme a trous", Holschneider et al., 1989), and
what is wanted is between two of these.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (1, 2, 4)  # pixels that are taken together where detail is measured: noise of cameras and codecs is finer
SLACK = torch.tensor([1.0, 1.25, 1.5])  # how much more detail of each scale a new face may hold: people differ
DISTANCES = (1, 2, 4, 8)  # pixels
MIDDLE = (5 / 16, 11 / 16)  # the part of the sides in which detail is measured
FLOOR = 1e-4  # detail that is none


def detail(pictures: Tensor) -> Tensor:
    """Mean absolute Laplacian of the brightness of pictures ``(N, C, H, W)``, at each of ``SCALES``: ``(N, 3)``.

    Sides are at least ``3 * SCALES[-1]``.
    """
    grey = pictures.mean(1, keepdim=True)
    return torch.stack([_laplacian(F.avg_pool2d(grey, scale)[:, 0]) for scale in SCALES], dim=1)


def _laplacian(grey: Tensor) -> Tensor:
    sides = grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] + grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    return (4 * grey[:, 1:-1, 1:-1] - sides).abs().mean((1, 2)) + FLOOR


def middle(pictures: Tensor) -> Tensor:
    """Where detail is measured: ``(N, C, S, S)``, S a multiple of 32, to ``(N, C, 3 / 8 S, 3 / 8 S)``."""
    low, high = (int(share * pictures.shape[-1]) for share in MIDDLE)
    return pictures[..., low:high, low:high]


def soften(pictures: Tensor, wanted: Tensor) -> Tensor:
    """Blur the brightness of pictures until their middle holds no more than the wanted detail; never sharpen it.

    Args:
        pictures: ``(N, C, S, S)`` in 0..1, sides a multiple of 32.
        wanted: ``(N, 3)``, see ``detail``.
    """
    grey = pictures.mean(1, keepdim=True)
    result = finer = grey
    for distance, share in zip(DISTANCES, _shares(middle(grey), wanted), strict=True):
        if not (share > 0).any():
            break
        coarser = blur(finer, distance)
        result = torch.lerp(result, coarser, share)  # where the share is 1, the next one goes on from here
        finer = coarser
    return pictures if result is grey else (pictures + (result - grey)).clamp_(0, 1)


def _shares(grey: Tensor, wanted: Tensor) -> list[Tensor]:
    """How much of each blur, ``(N, 1, 1, 1)`` each, is mixed with what the blurs before it made: as any scale asks."""
    most, found = wanted * SLACK.to(wanted.device), [detail(grey)]
    for distance in DISTANCES:
        grey = blur(grey, distance)
        found.append(detail(grey))
    shares = [((a - most) / (a - b).clamp(min=FLOOR)).clamp(0, 1) for a, b in pairwise(found)]
    return [share.amax(1)[:, None, None, None] for share in shares]


def blur(pictures: Tensor, distance: int) -> Tensor:
    """Weigh each pixel of ``pictures (N, C, S, S)`` with those so far away, 1 2 1, along both axes."""
    far = 2 * distance
    x = F.pad(pictures, (distance,) * 4, mode="replicate")  # slices: pooling is several times slower
    x = x[..., distance:-distance].mul(2).add_(x[..., :-far]).add_(x[..., far:])
    return x[..., distance:-distance, :].mul(2).add_(x[..., :-far, :]).add_(x[..., far:, :]).mul_(1 / 16)
