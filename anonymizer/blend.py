"""Puts patches into frames: ``Patches`` -> ``Frames``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import Frames, Patches


def compose(frames: Frames, layers: Sequence[Patches]) -> Frames:
    """Copy the frames and lay patches over them, later ones on top; nothing outside a patch changes.

    Args:
        frames: on any device.
        layers: patches on the same device, not turned against the frames. Those whose pixels are the frames' own,
            moved by whole pixels, are not resampled.
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
        x0, y0 = (max(0, int(value)) for value in low.floor().tolist())
        x1, y1 = min(width, int(high[0].ceil())), min(height, int(high[1].ceil()))
        if x0 < x1 and y0 < y1:
            region = pixels[int(patches.frame[row]), y0:y1, x0:x1]
            _lay(region, patches[row : row + 1], (x0, y0), peak)


def _lay(region: Tensor, patch: Patches, origin: tuple[int, int], peak: int) -> None:
    """Lay one patch over ``region (h, w, 3)``, a view whose upper left corner lies at ``origin``, in place."""
    height, width = region.shape[:2]
    device, size = region.device, patch.colour.shape[-1]
    scale, shift = patch.to_patch[0].diagonal(dim1=0, dim2=1).tolist(), patch.to_patch[0, :, 2].tolist()
    x, y = (
        (torch.arange(length, device=device) + start + 0.5) * factor + by
        for length, start, factor, by in zip((width, height), origin, scale, shift, strict=True)
    )
    if scale == [1.0, 1.0] and all(by.is_integer() for by in shift):  # pixel on pixel
        left, top = int(origin[0] + shift[0]), int(origin[1] + shift[1])
        rows, columns = slice(top, top + height), slice(left, left + width)
        colour, alpha = patch.colour[0, :, rows, columns], patch.alpha[0, :, rows, columns]
    else:
        grid = torch.stack([x[None].expand(height, -1), y[:, None].expand(-1, width)], dim=-1) * (2 / size) - 1
        layers = torch.cat([patch.colour, patch.alpha], dim=1)
        sampled = F.grid_sample(layers, grid[None], padding_mode="border", align_corners=False)[0]
        inside = ((x >= 0) & (x <= size))[None] & ((y >= 0) & (y <= size))[:, None]
        colour, alpha = sampled[:3], sampled[3:] * inside
    for plane, new in zip(region.unbind(2), colour, strict=True):  # colours together take three times as long
        plane.copy_(torch.lerp(plane.float(), new * peak, alpha[0]).round_().clamp_(0, peak))
