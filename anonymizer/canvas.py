"""Where new faces are painted: squares of whole pixels, so that nothing is resampled when they are put into frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anonymizer.batches import INDEX, Batch

MULTIPLE, LARGEST = 32, 512  # pixels: sides of canvases are multiples of the one up to the other
MARGIN = 1.1  # side of a canvas over the longer side of the outline


@dataclass(frozen=True, eq=False)
class Canvases(Batch):
    """One row a face.

    Attributes:
        corner: ``(N, 2)`` int64, the upper left one, in the frame.
        step: ``(N,)`` int64, frame pixels to a pixel; more than 1 only for huge faces.
        size: ``(N,)`` int64, pixels a side.
    """

    corner: Tensor
    step: Tensor
    size: Tensor

    SHAPES = {"corner": ("N", 2), "step": ("N",), "size": ("N",)}  # noqa: RUF012
    TYPES = {"corner": INDEX, "step": INDEX, "size": INDEX}  # noqa: RUF012

    @classmethod
    def around(cls, outline: Tensor) -> Canvases:
        """Canvases for faces with these outlines, ``(N, P, 2 or more)`` in pixels of the frame."""
        low, high = outline[..., :2].amin(1), outline[..., :2].amax(1)
        side = MARGIN * (high - low).amax(1)
        step = (side / LARGEST).ceil().clamp(min=1)
        size = MULTIPLE * (side / (MULTIPLE * step)).ceil().clamp(1, LARGEST // MULTIPLE)
        corner = ((low + high) / 2 - (size * step / 2)[:, None]).round()
        return cls(corner.long(), step.long(), size.long())

    @property
    def to_patch(self) -> Tensor:
        """``(N, 2, 3)`` float32, takes frame pixels to canvas pixels."""
        linear = torch.eye(2) / self.step[:, None, None]
        return torch.cat([linear, -(self.corner / self.step[:, None])[..., None]], dim=2)
