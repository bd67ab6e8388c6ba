"""The way of a face through time: where it was seen, and from that where it must have been."""

import bisect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anonymizer.batches import UNTRACKED

Array = NDArray[np.float32]

LINGER = 3  # frames for which a face is assumed before its first and after its last sighting, up to a cut
LINGER_AT_BORDER = 9  # the same for a face that the border then cuts: much of it may show where no detector sees it
AHEAD = 8  # frames for which constant velocity is believed
CALM = 0.5  # cost up to which the way between two looks is taken to be straight


class Sight(NamedTuple):
    """Where a face is in one frame.

    Attributes:
        frame: index since the start of the video.
        points: ``(7, 2)``, two corners of the box and five landmarks.
        score: of the detection; 0 where the face is only assumed.
        seen: whether this is a detection.
    """

    frame: int
    points: Array
    score: float
    seen: bool


def stack(sights: Sequence[Sight]) -> Array:
    """Their points, ``(N, 7, 2)``."""
    return np.stack([sight.points for sight in sights]) if sights else np.zeros((0, 7, 2), np.float32)


def cost(a: Array, b: Array) -> Array:
    """How unlike places of faces are: ``a (N, 7, 2)``, ``b (M, 7, 2)`` -> ``(N, M)``.

    The distance of the centres in units of the larger face, plus the logarithm of the ratio of the sizes.
    """
    size_a, size_b = (np.sqrt(np.abs(np.prod(x[:, 1] - x[:, 0], axis=1))) + 1e-6 for x in (a, b))
    centre_a, centre_b = (x[:, :2].mean(1) for x in (a, b))
    away = np.linalg.norm(centre_a[:, None] - centre_b, axis=2) / np.maximum(size_a[:, None], size_b)
    return away + np.abs(np.log(size_a[:, None] / size_b))


def assign(costs: Array) -> Iterator[tuple[int, int]]:
    """Pair rows and columns of ``costs (N, M)``, each once, so that the sum is smallest."""
    if min(costs.shape) == 1:
        yield divmod(int(costs.argmin()), costs.shape[1])
    elif costs.size:
        from scipy.optimize import linear_sum_assignment  # takes most of a second, and most videos show one person

        yield from zip(*linear_sum_assignment(costs), strict=True)


def near(before: Sequence[Sight], after: Sequence[Sight]) -> NDArray[np.bool_]:
    """Which faces of two looks may be the same, on a straight way: ``(len(before), len(after))``."""
    return cost(stack(before), stack(after)) < CALM


def is_calm(before: Sequence[Sight], after: Sequence[Sight], high: float) -> bool:
    """Whether each sure face of one look is plainly, and alone, one of the other look."""
    same = near(before, after)
    matches = [same[index].sum() for index, sight in enumerate(before) if sight.score >= high]
    matches += [same[:, index].sum() for index, sight in enumerate(after) if sight.score >= high]
    return all(match == 1 for match in matches)


class Track:
    """The sightings of one face, in order of time, in frames of ``size`` (height, width)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.number = UNTRACKED  # until it is first passed on
        self.ask: float = 0  # frame from which to ask who it is
        self.sights: list[Sight] = []
        self.sure = False
        self._limit = np.array(size[::-1], dtype=np.float32)

    def at(self, frame: int) -> Sight:
        """Between sightings on the straight line, before and after them at constant velocity up to the border."""
        after = bisect.bisect_left(self.sights, frame, key=lambda sight: sight.frame)
        if after == len(self.sights):
            return self._beyond(frame, self.sights[::-1])
        if self.sights[after].frame == frame:
            return self.sights[after]
        if after == 0:
            return self._beyond(frame, self.sights)
        a, b = self.sights[after - 1], self.sights[after]
        share = (frame - a.frame) / (b.frame - a.frame)
        if b.frame - a.frame > AHEAD:  # a gap, not just frames between looks: the face went somewhere and came back
            a, b = self._beyond(frame, self.sights[after - 1 :: -1]), self._beyond(frame, self.sights[after:])
        points = a.points + np.float32(share) * (b.points - a.points)
        return Sight(frame, points, a.score + share * (b.score - a.score), seen=False)

    def _beyond(self, frame: int, sights: Sequence[Sight]) -> Sight:
        """``sights``: from the end that is nearer to ``frame``; the velocity is taken over a few frames."""
        end = sights[0]
        other = next((sight for sight in sights if abs(sight.frame - end.frame) >= LINGER), sights[-1])
        ahead = np.clip(frame - end.frame, -AHEAD, AHEAD)
        points = end.points + np.float32(ahead / ((end.frame - other.frame) or 1)) * (end.points - other.points)
        centre = points[:2].mean(0)
        return Sight(frame, points + np.clip(centre, 0, self._limit) - centre, 0.0, seen=False)

    def span(self) -> tuple[int, int]:
        """First and last frame in which the face may be, though it is not seen there, if no cut forbids it."""
        first, last = self.sights[0].frame, self.sights[-1].frame
        return first - self._linger(first - LINGER), last + self._linger(last + LINGER)

    def _linger(self, frame: int) -> int:
        low, high = self.at(frame).points[:2]
        cut = (low < 0).any() or (high > self._limit).any()
        return LINGER_AT_BORDER if cut else LINGER
