"""Puts patches into frames: ``Patches`` -> ``Frames``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import Frames, Patches

WHOLE = 0.01  # pixels by which patches may miss those of the frame without being resampled


def compose(frames: Frames, layers: Sequence[Patches]) -> Frames:
    """Copy the frames and lay patches over them, later ones on top; nothing outside a patch changes.

    Args:
        frames: on any device.
        layers: patches on the same device, not turned against the frames. Those whose pixels are whole ones of the
            frames are only enlarged.
    """
    pixels = frames.pixels.clone()
    for patches in layers:
        _lay_all(pixels, patches, frames.peak)
    return Frames(pixels, frames.times)


def _lay_all(pixels: Tensor, patches: Patches, peak: int) -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]]) * patches.colour.shape[-1]
    from_patch = geometry.invert_affine(patches.to_patch)
    reach = geometry.apply_affine(from_patch, corners[None].expand(len(patches), -1, -1))
    for row, (low, high) in enumerate(reach.unbind(0)):
        height, width = pixels.shape[1:3]
        x0, y0 = (max(0, math.floor(value + WHOLE)) for value in low.tolist())
        x1, y1 = (
            min(most, math.ceil(value - WHOLE)) for most, value in zip((width, height), high.tolist(), strict=True)
        )
        if x0 < x1 and y0 < y1:
            region = pixels[int(patches.frame[row]), y0:y1, x0:x1]
            _lay(region, patches[row : row + 1], (x0, y0), peak)


def _lay(region: Tensor, patch: Patches, origin: tuple[int, int], peak: int) -> None:
    """Lay one patch over ``region (h, w, 3)``, a view whose upper left corner lies at ``origin``, in place."""
    size = patch.colour.shape[-1]
    scale, shift = patch.to_patch[0].diagonal(dim1=0, dim2=1).tolist(), patch.to_patch[0, :, 2].tolist()
    times = max(1, round(1 / scale[0]))
    corner = [start + times * by for start, by in zip(origin, shift, strict=True)]
    off = [size * (times * factor - 1) for factor in scale] + [at - round(at) for at in corner]
    if max(map(abs, off)) < WHOLE:
        left, top = map(round, corner)
        rows, columns = slice(top, top + region.shape[0]), slice(left, left + region.shape[1])
        colour, alpha = (geometry.enlarge(part, times)[0, :, rows, columns] for part in (patch.colour, patch.alpha))
    else:
        layers = torch.cat([patch.colour, patch.alpha], dim=1)
        colour, alpha = _resampled(layers, scale, shift, origin, region.shape[:2]).split([3, 1])
    for plane, new in zip(region.unbind(2), colour, strict=True):  # colours together take three times as long
        plane.copy_(torch.lerp(plane.float(), new * peak, alpha[0]).round_().clamp_(0, peak))


def _resampled(
    layers: Tensor, scale: Sequence[float], shift: Sequence[float], origin: tuple[int, int], size: Sequence[int]
) -> Tensor:
    """``layers (1, C, S, S)`` at the pixels of a region: ``(C, h, w)``, 0 beyond their border."""
    (height, width), side = size, layers.shape[-1]
    x, y = (
        (torch.arange(length, device=layers.device) + start + 0.5) * factor + by
        for length, start, factor, by in zip((width, height), origin, scale, shift, strict=True)
    )
    grid = torch.stack([x[None].expand(height, -1), y[:, None].expand(-1, width)], dim=-1) * (2 / side) - 1
    inside = ((x >= 0) & (x <= side))[None] & ((y >= 0) & (y <= side))[:, None]
    return F.grid_sample(layers, grid[None], padding_mode="border", align_corners=False)[0] * inside
