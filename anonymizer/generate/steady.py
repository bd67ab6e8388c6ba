"""Keeps faces and covers from alternating in a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from anonymizer.batches import Faces, Frames, Patches
from anonymizer.generate.base import FAILURES, Outcome
from anonymizer.generate.cover import Cover

HOLD = 12  # frames for which a face stays covered after a failure
BORDER = 0.05  # distance from the border of the frame, over the size of the face, at which that may cut the face


class _Held(NamedTuple):
    """A failure: frames for which it still counts, why, and whether the border cut the face."""

    left: int
    cause: Outcome
    cut: bool


class Steady:
    """Covers faces that could not be generated a moment ago. One for each video.

    A face that failed because the border cut it is free as soon as it is whole.
    """

    def __init__(self) -> None:
        self._solid = Cover("solid")
        self._held: dict[int, _Held] = {}  # by track

    def hold(self, frames: Frames, faces: Faces, outcomes: Sequence[Outcome]) -> tuple[list[Patches], list[Outcome]]:
        """Covers for tracked faces, by frame, that follow a failure too soon, and all outcomes with that failure."""
        cut = _cut(faces, frames.size).tolist()
        steadied = [self._next(*face) for face in zip(faces.tracks.tolist(), outcomes, cut, strict=True)]
        held = faces[
            torch.tensor([new is not old for new, old in zip(steadied, outcomes, strict=True)], dtype=torch.bool)
        ]
        return self._solid.cover(frames, held), steadied

    def _next(self, track: int, outcome: Outcome, cut: bool) -> Outcome:
        if outcome is Outcome.NOT_SEEN:
            return outcome
        held = self._held.pop(track, None)
        if outcome in FAILURES:
            self._held[track] = _Held(HOLD, outcome, cut)
        elif held and (cut or not held.cut):
            if held.left > 1:
                self._held[track] = held._replace(left=held.left - 1)
            return held.cause
        return outcome


def _cut(faces: Faces, size: tuple[int, int]) -> Tensor:
    """Whether the border of frames of ``size`` (height, width) may cut each face, ``(N,)`` bool."""
    margin, (height, width) = BORDER * faces.sizes, size
    low, high = faces.boxes[:, :2] - margin, faces.boxes[:, 2:] + margin
    return (low < 0).any(1) | (high > torch.tensor([width, height])).any(1)
