"""Leaves faces that stay visible where the patches of their neighbours would lie over them."""

from __future__ import annotations

import torch
from torch import Tensor

from anonymizer.batches import NO_FACE, Faces, Frames, Patches
from anonymizer.trust import Belief

AROUND = 1.3  # side of what stays of a face over that of its box: hairline, ears and chin, as covers have them
BESIDE = 1.1  # side over that of the box of a replaced face, in which nothing real shows up again
SOFT = 0.15  # over the size, in which the one passes into the other


def spare(frames: Frames, kept: Faces, belief: Belief) -> list[Patches]:
    """The pixels of faces that stay, to be laid over ``frames`` in which others were replaced.

    Args:
        frames: as they came in.
        kept: the faces that stay.
        belief: what was replaced: there and close around nothing is laid.
    """
    others = torch.cat([_places(belief), belief.vacant.boxes])
    frame = torch.cat([belief.faces.frame, belief.vacant.frame])
    return [
        _patch(frames, index, box, others[frame == index])
        for index, box in zip(kept.frame.tolist(), kept.boxes, strict=True)
        if (frame == index).any()
    ]


def _places(belief: Belief) -> Tensor:
    """Where faces were replaced ``(N, 4)``: their boxes, and what of a mesh reaches beyond."""
    flat, boxes = belief.meshes.points[..., :2], belief.faces.boxes
    reach = torch.cat([torch.minimum(flat.amin(1), boxes[:, :2]), torch.maximum(flat.amax(1), boxes[:, 2:])], dim=1)
    return reach.where(belief.usable[:, None], boxes)


def _patch(frames: Frames, index: int, box: Tensor, others: Tensor) -> Patches:
    """One face of a frame, pixel on pixel."""
    height, width = frames.size
    centre, half = (box[:2] + box[2:]) / 2, AROUND * (box[2:] - box[:2]) / 2
    x0, y0 = (int(value) for value in (centre - (1 + SOFT) * half).floor())
    side = int((2 * (1 + SOFT) * half).max().ceil()) + 2
    left, top, right, bottom = max(0, x0), max(0, y0), min(width, x0 + side), min(height, y0 + side)
    colour = torch.zeros(1, 3, side, side, device=frames.pixels.device)
    if left < right and top < bottom:
        shown = frames.pixels[index, top:bottom, left:right].permute(2, 0, 1).float() / frames.peak
        colour[0, :, top - y0 : bottom - y0, left - x0 : right - x0] = shown
    y, x = torch.meshgrid(torch.arange(side) + y0 + 0.5, torch.arange(side) + x0 + 0.5, indexing="ij")
    points = torch.stack([x, y], dim=-1)
    alpha = ((1 + SOFT - ((points - centre) / half).norm(dim=-1)) / SOFT).clamp(0, 1)
    for other in others:
        middle, reach = (other[:2] + other[2:]) / 2, BESIDE * (other[2:] - other[:2]).clamp(min=1) / 2
        away = ((points - middle) / reach).abs().amax(-1)
        alpha = torch.minimum(alpha, ((away - 1) / SOFT).clamp(0, 1))
    to_patch = torch.tensor([[[1.0, 0.0, -x0], [0.0, 1.0, -y0]]])
    return Patches(
        torch.tensor([index]), colour, alpha[None, None].to(colour.device), to_patch, torch.tensor([NO_FACE])
    )
