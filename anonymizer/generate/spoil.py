"""Makes clean pictures as bad as those of real cameras: light, blur, noise, compression. For training only."""

from __future__ import annotations

import math

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor


def uniform(low: float, high: float, generator: torch.Generator, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def chance(share: float, generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator) < share)


def relight(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures ``(N, 3, S, S)`` in 0..1 with another exposure, often dark, and a slight cast."""
    count = len(pictures)
    gamma = uniform(math.log(0.7), math.log(1.6), generator, count, 1, 1, 1).exp()
    gain = uniform(0.75, 1.15, generator, count, 1, 1, 1)
    dark = (torch.rand(count, 1, 1, 1, generator=generator) < 0.1) * uniform(0.3, 0.7, generator, count, 1, 1, 1)
    cast = uniform(0.93, 1.07, generator, count, 3, 1, 1)
    grey = pictures.mean(1, keepdim=True)
    colourless = uniform(0, 0.3, generator, count, 1, 1, 1)
    return (torch.lerp(pictures, grey, colourless).pow(gamma) * gain * (1 - dark) * cast).clamp(0, 1)


def degrade(picture: Tensor, generator: torch.Generator) -> Tensor:
    """A picture ``(3, S, S)`` in 0..1, reduced, blurred, noisy, compressed."""
    side = picture.shape[-1]
    small = int(uniform(0.22 * side, 1.4 * side, generator))
    if small < side:
        reduced = F.interpolate(picture[None], (small, small), mode="area")
        picture = F.interpolate(reduced, (side, side), mode="bilinear", align_corners=False)[0]
    if chance(0.4, generator):
        noise = torch.randn(picture.shape, generator=generator)
        picture = picture + noise * float(uniform(0, 0.08, generator))
    if chance(0.5, generator):
        coded = (picture.clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous().numpy()
        quality = int(uniform(20, 90, generator))
        _, packed = cv2.imencode(".jpg", coded, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = torch.from_numpy(cv2.imdecode(packed, cv2.IMREAD_COLOR)).permute(2, 0, 1).float() / 255
    return picture.clamp(0, 1)
