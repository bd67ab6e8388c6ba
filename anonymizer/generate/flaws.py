"""Tells portraits that would give themselves away on any head.

What ``condition`` predicts from styles keeps most of them out. Few are much worse than predicted: hands and microphones
before the mouth, sunglasses, brims, shadows of leaves. These have to be looked at.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import light
from anonymizer.device import Engine
from anonymizer.errors import WeightsError
from anonymizer.generate import attributes
from anonymizer.generate.bare import BROWS, hidden_parts

UPPER = (*BROWS, 33, 263, 2)  # outline of brows, eyes and nose, and all between them
LOWER = (2, 61, 291, 152)  # and of mouth and chin
SIZE = 256  # pixels, side of the pictures in which colours are measured
# the share of the ``UPPER`` part that is hidden, ``attributes.shade`` and ``fringe``, the share of the ``LOWER`` part,
# and the logarithms of ``Light.contrast`` and ``Light.saturation``: what portraits may have of each, and how much more
# is bad
MOST = torch.tensor([0.006, 0.15, -1.6, 0.006, -2.6, -2.75])
WORSE = torch.tensor([0.01, 0.05, 0.3, 0.01, 0.2, 0.2])
GLASSES = slice(3)  # places of what glasses do, too


def flaws(portraits: Tensor, points: Tensor, normals: Tensor, network: Engine, glasses: Tensor) -> Tensor:
    """By how much faces have more of anything than portraits may have, ``(N,)``; 0 for none.

    Args:
        portraits: ``(N, 3, S, S)`` float32 in 0..1, RGB, S a power of two of 128 or more.
        points: meshes ``(N, 468, 3)`` in pixels.
        normals: ``(N, 468, 3)`` of the meshes.
        network: see ``occlusion.load_network``.
        glasses: who is to wear some, ``(N,)`` bool; they may hide and shade what is around the eyes.

    Raises:
        WeightsError: the networks give no numbers.
    """
    side = portraits.shape[-1]
    pictures = portraits.cpu()
    shades = light.Light.of(light.measure(pictures, points[..., :2] / side, normals))
    even = F.avg_pool2d(F.interpolate(pictures, SIZE, mode="bilinear", align_corners=False), 3, 1, 1)
    flat = points[..., :2] * (SIZE / side)
    upper, lower = hidden_parts(portraits, points, network, [UPPER, LOWER]).cpu().unbind(1)
    found = torch.stack(
        [
            upper,
            attributes.shade(even, flat),
            attributes.fringe(even, flat),
            lower,
            shades.contrast.log(),
            shades.saturation.log(),
        ],
        dim=1,
    )
    if not found.isfinite().all():
        raise WeightsError("nothing can be told of a portrait: does the device compute rightly?")
    more = ((found - MOST) / WORSE).clamp(min=0)
    more[glasses, GLASSES] = 0
    return more.sum(1)
