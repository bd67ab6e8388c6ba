"""Keeps faces and covers from alternating."""

from __future__ import annotations

from collections.abc import Sequence

from anonymizer.generate.base import Outcome

HOLD = 12  # frames for which a face stays covered after a failure


class Steady:
    """Remembers which faces of a video could not be generated a moment ago."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, Outcome]] = {}  # seed: frames that are left, and why

    def hold(self, seeds: Sequence[int], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes, with the last failure again for faces that follow it too soon.

        Args:
            seeds: which name the faces, in the order of time.
            outcomes: one each.
        """
        return [self._next(seed, outcome) for seed, outcome in zip(seeds, outcomes, strict=True)]

    def _next(self, seed: int, outcome: Outcome) -> Outcome:
        left, cause = self._held.pop(seed, (0, outcome))
        if outcome is not Outcome.GENERATED:
            left, cause = HOLD, outcome
        elif left:
            left -= 1
        if left:
            self._held[seed] = left, cause
        return cause
