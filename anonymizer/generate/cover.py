"""Covers faces without drawing new ones: generators that need neither weights nor meshes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import NO_FACE, Faces, Frames, Patches
from anonymizer.fill import fill
from anonymizer.generate.base import Outcome, Persona
from anonymizer.trust import EXPECTED, Belief

SIZE = 128  # pixels, side of a patch
CELLS = 8  # blocks, or as much detail as a blurred face keeps, along the longer side of a face
ROUND, SQUARE = 2.0, 6.0  # powers of the outline: of a face, and of a box in which one may be anywhere
MARGIN = 1.4  # side of a cover over the longer side of the detected box: hairline, ears and chin included


class Cover:
    """Hides faces behind an ellipse.

    Args:
        method: ``solid`` in the average colour, ``pixelate`` into a few blocks, ``blur`` as strongly as that, or
            ``fill`` with the colours around it, of which nothing lies inside.
    """

    def __init__(self, method: str = "solid") -> None:
        self._method = method

    def generate(
        self, frames: Frames, belief: Belief, personas: Sequence[Persona]
    ) -> tuple[list[Patches], list[Outcome]]:
        """See ``Generator``; ``personas`` are not used."""
        spots = belief.spots(torch.arange(len(belief.faces)))
        return self.cover(frames, *spots), [Outcome.COVERED] * len(belief.faces)

    def cover(self, frames: Frames, faces: Faces, rows: Tensor | None = None) -> list[Patches]:
        """Patches that hide ``faces``, which are these ``rows (N,)`` of those that are replaced."""
        if not len(faces):
            return []
        centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
        side = (MARGIN * faces.sizes.amax(1)).clamp(min=2)
        to_patch = geometry.square_to_patch(centre, side, torch.zeros(len(faces)), SIZE)
        pictures = geometry.cut_patches(frames.pixels, faces.frame, to_patch, SIZE)
        power = torch.where(faces.scores > EXPECTED, ROUND, SQUARE)
        alpha = _ellipses(faces.sizes / faces.sizes.amax(1, keepdim=True), power).to(pictures.device)
        colour = fill(pictures, alpha == 0) if self._method == "fill" else self._coarse(pictures)
        known = torch.full((len(faces),), NO_FACE) if rows is None else rows
        return [Patches(faces.frame, colour, alpha, to_patch, known)]

    def _coarse(self, pictures: Tensor) -> Tensor:
        few = F.avg_pool2d(pictures, SIZE // (1 if self._method == "solid" else CELLS))
        if self._method != "blur":
            return F.interpolate(few, SIZE, mode="nearest")
        return F.interpolate(few, SIZE, mode="bicubic").clamp(0, 1)


def _ellipses(shares: Tensor, power: Tensor) -> Tensor:
    """Masks ``(N, 1, SIZE, SIZE)`` of superellipses of some ``power (N,)``; a soft edge outside.

    Their axes are ``shares (N, 2)`` of the patch.
    """
    axes = shares.clamp(min=0.7) * 0.46 * SIZE
    place = (geometry.pixel_grid(SIZE, shares.device) - SIZE / 2)[None] / axes[:, None]
    power = power[:, None]
    radius = place.abs().pow(power[..., None]).sum(-1).pow(1 / power)
    return ((1.08 - radius) / 0.08).clamp(0, 1).reshape(-1, 1, SIZE, SIZE)
