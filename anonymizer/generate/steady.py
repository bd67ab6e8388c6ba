"""Keeps faces and covers from alternating in a video."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from anonymizer.batches import Faces, Frames, Patches
from anonymizer.generate.base import FAILURES, Outcome
from anonymizer.generate.cover import Cover

HOLD = 12  # frames for which a face stays covered after a failure


class Steady:
    """Covers faces that could not be generated a moment ago. One for each video."""

    def __init__(self) -> None:
        self._solid = Cover("solid")
        self._held: dict[int, tuple[int, Outcome]] = {}  # track: frames that are left, and why

    def hold(self, frames: Frames, faces: Faces, outcomes: Sequence[Outcome]) -> tuple[list[Patches], list[Outcome]]:
        """Covers for tracked faces, by frame, that follow a failure too soon, and all outcomes with that failure."""
        steadied = [self._next(*pair) for pair in zip(faces.tracks.tolist(), outcomes, strict=True)]
        held = faces[
            torch.tensor([new is not old for new, old in zip(steadied, outcomes, strict=True)], dtype=torch.bool)
        ]
        return self._solid.cover(frames, held), steadied

    def _next(self, track: int, outcome: Outcome) -> Outcome:
        if outcome is Outcome.NOT_SEEN:
            return outcome
        left, cause = self._held.pop(track, (0, outcome))
        if outcome in FAILURES:
            left, cause = HOLD, outcome
        elif left:
            left -= 1
        if left:
            self._held[track] = left, cause
        return cause
