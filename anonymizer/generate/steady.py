"""Keeps faces and covers from alternating in a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames, Patches
from anonymizer.generate.base import FAILURES, Outcome
from anonymizer.generate.cover import Cover
from anonymizer.trust import Belief

HOLD = 12  # frames for which a face stays covered after a failure
BORDER = 0.05  # distance from the border of the frame, over the size of the face, at which that may cut the face


class _Held(NamedTuple):
    """A failure: the last frame of the video in which it counts, why, and whether the border cut the face."""

    until: int
    cause: Outcome
    cut: bool


class Steady:
    """Covers faces that could not be generated a moment ago. One for each video.

    A face that failed because the border cut it is free as soon as it is whole.
    """

    def __init__(self) -> None:
        self._solid = Cover("solid")
        self._held: dict[int, _Held] = {}  # by track
        self._start = 0  # frames that went by

    def hold(self, frames: Frames, belief: Belief, outcomes: Sequence[Outcome]) -> tuple[list[Patches], list[Outcome]]:
        """Covers for tracked faces, by frame, that follow a failure too soon, and all outcomes with that failure."""
        faces = belief.faces
        cut = _cut(faces, frames.size).tolist()
        numbers = [self._start + frame for frame in faces.frame.tolist()]
        steadied = [self._next(*face) for face in zip(faces.tracks.tolist(), numbers, outcomes, cut, strict=True)]
        self._start += len(frames)
        self._held = {track: held for track, held in self._held.items() if held.until >= self._start}
        held = [row for row, (new, old) in enumerate(zip(steadied, outcomes, strict=True)) if new is not old]
        return self._solid.cover(frames, *belief.spots(torch.tensor(held, dtype=torch.int64))), steadied

    def _next(self, track: int, frame: int, outcome: Outcome, cut: bool) -> Outcome:
        if track == UNTRACKED or outcome is Outcome.NOT_SEEN:
            return outcome
        held = self._held.get(track)
        if outcome in FAILURES:
            self._held[track] = _Held(frame + HOLD, outcome, cut)
        elif held and held.cut and not cut:
            del self._held[track]
        elif held and frame <= held.until:
            return held.cause
        return outcome


def _cut(faces: Faces, size: tuple[int, int]) -> Tensor:
    """Whether the border of frames of ``size`` (height, width) may cut each face, ``(N,)`` bool."""
    margin, (height, width) = BORDER * faces.sizes, size
    low, high = faces.boxes[:, :2] - margin, faces.boxes[:, 2:] + margin
    return (low < 0).any(1) | (high > torch.tensor([width, height])).any(1)
