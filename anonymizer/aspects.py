"""Chooses the portraits that a face in a video is made of: on a grid of conditions, one dissolving into the next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from anonymizer.batches import UNTRACKED
from anonymizer.trust import Aspects, Belief

CELL = (15.0, 12.0, 0.15, 0.15)  # steps between the conditions of neighbouring portraits
SLACK = 0.45  # steps past the middle between two portraits from which the other one is taken
DISSOLVE = 12  # frames in which one portrait takes the place of another; fewer where a head turns quickly
SETTLED = 16  # frames after a fresh choice in which what was shown before is gone
LEAST = 0.02  # share below which a portrait is left out

Condition = tuple[float, ...]


class Chooser:
    """Remembers what every face of a video is made of. One for each video.

    Args:
        fresh: numbers of frames in which the nearest portrait is taken, whatever came before; where the head rests,
            what is shown ``SETTLED`` frames later does not depend on that.
    """

    def __init__(self, fresh: Collection[int] = ()) -> None:
        self._fresh = fresh
        self._start = 0  # frames that went by
        self._known: dict[int, tuple[int, Condition, Aspects]] = {}  # track: last frame, aim, portraits

    def choose(self, belief: Belief, count: int) -> Belief:
        """Portraits for the faces of the next ``count`` frames."""
        faces = belief.faces
        rows = zip(
            faces.tracks.tolist(),
            faces.frame.tolist(),
            belief.conditions.tolist(),
            belief.usable.tolist(),
            strict=True,
        )
        aspects = tuple(
            self._next(track, self._start + frame, tuple(wanted)) if usable else self._wait(track, self._start + frame)
            for track, frame, wanted, usable in rows
        )
        self._start += count
        self._known = {track: known for track, known in self._known.items() if known[0] == self._start - 1}
        return replace(belief, aspects=aspects)

    def _next(self, track: int, frame: int, wanted: Condition) -> Aspects:
        known = self._known.get(track)
        if known and known[0] == frame - 1 and track != UNTRACKED:
            _, aim, aspects = known
        else:
            aim = nearest(wanted)
            aspects = {aim: 1.0}
        if steps(wanted, aim) > 0.5 + (0 if frame in self._fresh else SLACK):
            aim = nearest(wanted)
        if aim not in aspects or len(aspects) > 1:
            aspects = dissolve(aspects, aim, wanted)
        self._known[track] = frame, aim, aspects
        return aspects

    def _wait(self, track: int, frame: int) -> Aspects:
        """Nothing is drawn in this frame, and what was drawn goes on afterwards."""
        known = self._known.get(track)
        if known and known[0] == frame - 1:
            self._known[track] = frame, *known[1:]
        return {}


def nearest(wanted: Condition) -> Condition:
    """The condition of the grid that is nearest."""
    return tuple(round(value / step) * step for value, step in zip(wanted, CELL, strict=True))


def steps(a: Sequence[float], b: Sequence[float]) -> float:
    """The most by which two conditions differ, in steps of the grid."""
    return max(abs(x - y) / step for x, y, step in zip(a, b, CELL, strict=True))


def dissolve(aspects: Aspects, aim: Condition, wanted: Condition) -> Aspects:
    """One frame nearer to ``aim``; the faster, the further the portraits are from what is wanted."""
    mean = [sum(share * condition[axis] for condition, share in aspects.items()) for axis in range(len(CELL))]
    rate = max(1.0, steps(wanted, mean)) ** 2 / DISSOLVE
    others = {condition: share for condition, share in aspects.items() if condition != aim}
    total = sum(others.values())
    kept = {condition: share * max(0.0, total - rate) / total for condition, share in others.items()}
    kept = {condition: share for condition, share in kept.items() if share > LEAST}
    return {**kept, aim: 1 - sum(kept.values())}
