"""The way of a face through time: where it was seen, and from that where it must have been."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces
from anonymizer.geometry import box_share
from anonymizer.scenes import Part

Array = NDArray[np.float32]

Moved = Callable[[int, int], Array]
"""How far the whole picture moved between two frames, in pixels; nothing if the second is not the later one."""

LINGER = 3  # frames for which a face is assumed before its first and after its last sighting, up to a cut
LINGER_CUT = 9  # the same for a face that the border or something before it cuts: it may show where no detector sees it
WHOLE = (0.6, 1.1)  # width over height of a box that shows a whole face
AHEAD = 8  # frames for which constant velocity is believed
OUTSIDE = 0.25  # distance from the border, over the size of the box, from which nothing of the face is in the frame
FAR = 1.5  # sizes of the box within which a face is that is not seen
CALM = 0.5  # cost up to which the way between two looks is taken to be straight
CLOSE = 0.3  # cost up to which a face is where it was expected
EDGE = 0.02  # of the sides of a part of a frame: a face that comes so near to its border may be cut by that
MOSTLY = 0.5  # share of a piece of a face that lies in the box of that face


class Sight(NamedTuple):
    """Where a face is in one frame.

    Attributes:
        frame: index since the start of the video.
        points: ``(7, 2)``, two corners of the box and five landmarks.
        score: of the detection; 0 where the face is only assumed.
        seen: whether this is a detection; else the place of the face is told by others of its places.
    """

    frame: int
    points: Array
    score: float
    seen: bool


def stack(sights: Sequence[Sight]) -> Array:
    """Their points, ``(N, 7, 2)``."""
    return np.stack([sight.points for sight in sights]) if sights else np.zeros((0, 7, 2), np.float32)


def boxes_of(sights: Sequence[Sight]) -> Tensor:
    """Their boxes, ``(N, 4)``."""
    return torch.from_numpy(stack(sights)[:, :2].reshape(-1, 4))


def as_faces(frames: Sequence[Sequence[tuple[Sight, int]]], high: float) -> Faces:
    """The faces of a batch: for each of its frames sights with the numbers of their tracks, seen if ``high``."""
    rows = [(index, sight, number) for index, faces in enumerate(frames) for sight, number in faces]
    points = torch.from_numpy(stack([sight for _, sight, _ in rows]))
    return Faces(
        frame=torch.tensor([index for index, _, _ in rows], dtype=torch.int64),
        boxes=points[:, :2].flatten(1),
        landmarks=points[:, 2:],
        scores=torch.tensor([sight.score for _, sight, _ in rows], dtype=torch.float32),
        tracks=torch.tensor([number for _, _, number in rows], dtype=torch.int64),
        seen=torch.tensor([sight.seen and sight.score >= high for _, sight, _ in rows], dtype=torch.bool),
    )


def is_whole(sizes: Tensor) -> Tensor:
    """Whether boxes of these widths and heights ``(..., 2)`` have the shape of faces that nothing cuts, ``(...)``."""
    width, height = sizes.unbind(-1)
    return (WHOLE[0] * height <= width) & (width <= WHOLE[1] * height)


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


def expected(before: Sequence[Sight], after: Sequence[Sight], frame: int) -> list[Sight]:
    """The faces that two looks both know, where they must be in a frame between, with the higher of the scores."""
    found = []
    for row, column in zip(*np.nonzero(near(before, after)), strict=True):
        a, b = before[row], after[column]
        share = (frame - a.frame) / (b.frame - a.frame)
        found.append(_between(a, b, frame, share)._replace(score=max(a.score, b.score)))
    return found


def _between(a: Sight, b: Sight, frame: int, share: float) -> Sight:
    """On the straight line from one sight to another, ``share`` of the way."""
    points = a.points + np.float32(share) * (b.points - a.points)
    score = a.score + share * (b.score - a.score) if a.seen and b.seen else 0.0
    return Sight(frame, points, score, seen=False)


def is_known(glance: Sequence[Sight], faces: Sequence[Sight], part: Part, size: tuple[int, int], high: float) -> bool:
    """Whether each face of a glance is plainly, and alone, one that is expected; a sure one, if it is sure.

    Args:
        glance: at a part of a frame; of a face that sticks out of that a piece is found.
        faces: those that are ``expected`` in the frame.
        part: what was seen in the glance.
        size: of the frame, height and width.
        high: score from which a face is sure.
    """
    same = (cost(stack(glance), stack(faces)) < CLOSE) | _pieces(glance, faces, part, size)
    sure, known = (np.array([sight.score >= high for sight in sights], bool) for sights in (glance, faces))
    same &= ~sure[:, None] | known
    return bool((same.sum(1) == 1).all() and (same.sum(0) <= 1).all())


def _pieces(glance: Sequence[Sight], faces: Sequence[Sight], part: Part, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of a glance's faces are cut by the part, not by the frame, and lie mostly in which of ``faces``."""
    low, high = np.array(part[:2]), np.array(part[:2]) + part[2:]
    inner = np.stack([low > 0, high < size[::-1]])
    places = stack(glance)
    beyond = np.stack([low - places[:, 0], places[:, 1] - high], axis=1)
    cut = ((beyond > -EDGE * min(part[2:])) & inner).any((1, 2))
    return cut[:, None] & (box_share(boxes_of(glance), boxes_of(faces)) > MOSTLY).numpy()


class Track:
    """The way of one face.

    Args:
        size: of the frames, height and width.
        looks: frames in which the detector looked, in order; grows.

    Attributes:
        places: where it was seen, and where it was carried to by optical flow, in order of time.
        number: of the person.
    """

    def __init__(self, size: tuple[int, int], looks: Sequence[int]) -> None:
        self.number = UNTRACKED  # until it is first passed on
        self.ask: float = 0  # frame from which to ask who it is
        self.places: list[Sight] = []
        self.sure = False
        self.assumed = False  # it may have been sure before the first frame
        self.seen = (math.inf, -math.inf)  # first and last frame in which it was
        self.likeness = np.zeros((0, 0), np.float32)  # of when it was seen before it was carried; see ``flow``
        self._limit, self._looks = np.array(size[::-1], dtype=np.float32), looks

    @property
    def sights(self) -> list[Sight]:
        """Where it was seen."""
        return [place for place in self.places if place.seen]

    def add(self, sight: Sight) -> None:
        """The face was seen again."""
        self.places.append(sight)
        self.seen = min(self.seen[0], sight.frame), sight.frame

    def at(self, frame: int) -> Sight:
        """Between places on the straight line, before and after them at constant velocity up to the border."""
        places = self.places
        after = bisect.bisect_left(places, frame, key=lambda sight: sight.frame)
        if after == len(places):
            return self._beyond(frame, places[::-1])
        if places[after].frame == frame:
            return places[after]
        if after == 0:
            return self._beyond(frame, places)
        a, b = places[after - 1], places[after]
        share = (frame - a.frame) / (b.frame - a.frame)
        if b.frame - a.frame > AHEAD and self._looked_between(a, b):  # the face went somewhere and came back
            a, b = self._beyond(frame, places[after - 1 :: -1]), self._beyond(frame, places[after:])
        return _between(a, b, frame, share)

    def _looked_between(self, a: Sight, b: Sight) -> bool:
        after = bisect.bisect_right(self._looks, a.frame)
        return after < len(self._looks) and self._looks[after] < b.frame

    def _beyond(self, frame: int, sights: Sequence[Sight]) -> Sight:
        """``sights``: from the end that is nearer to ``frame``; the velocity is taken over a few frames."""
        return Sight(frame, self._shifted(sights[0].points, self._way(frame, sights)), 0.0, seen=False)

    def _shifted(self, points: Array, by: Array) -> Array:
        """A face moved by so much, up to the border."""
        centre = points[:2].mean(0)
        return points + np.clip(centre + by, 0, self._limit) - centre

    def _way(self, frame: int, sights: Sequence[Sight]) -> Array:
        """How far a face goes until ``frame`` from the first of ``sights``, at the velocity over a few frames."""
        end = sights[0]
        other = next((sight for sight in sights if abs(sight.frame - end.frame) >= LINGER), sights[-1])
        ahead = np.clip(frame - end.frame, -AHEAD, AHEAD)
        before, centre = (sight.points[:2].mean(0) for sight in (other, end))
        return np.float32(ahead / ((end.frame - other.frame) or 1)) * (centre - before)

    def away(self, frame: int) -> float:
        """How many frames there are to its sightings; 0 between them."""
        first, last = self.seen
        return max(first - frame, frame - last, 0)

    def is_over_before(self, other: Track) -> bool:
        """Whether it was last seen before another one was first seen."""
        return self.seen[1] < other.seen[0]

    def span(self) -> tuple[int, int]:
        """First and last frame in which the face may be, though it is not seen there, if no cut forbids it."""
        first, last = self.places[0].frame, self.places[-1].frame
        return first - self._linger(first - LINGER), last + self._linger(last + LINGER)

    def _linger(self, frame: int) -> int:
        points = self.at(frame).points
        whole = not self._is_cut(points) and bool(is_whole(torch.from_numpy(points[1] - points[0])))
        return LINGER if whole else LINGER_CUT

    def may_have_left(self, frame: int) -> bool:
        """Whether the border cuts the face, or would if it went on as before, or came as it did afterwards."""
        ways = [self._beyond(frame, way) for way in self._ways(frame)]
        return any(self._is_cut(sight.points) for sight in (self.at(frame), *ways))

    def is_at_border(self, frame: int) -> bool:
        """Whether the face is so near to the border that this may cut it, whatever the box says."""
        return self._is_at_border(self.at(frame).points)

    def has_left(self, frame: int, moved: Moved) -> bool:
        """Whether a face that was not seen is gone: both its own way and that of the picture lead out of the frame."""
        ways = self._ways(frame)
        return all(way[0].frame != frame for way in ways) and all(
            self._is_outside(way[0].points + by) for way in ways for by in self._leads(frame, way, moved)
        )

    def anywhere(self, frame: int, moved: Moved) -> Sight:
        """A face that is not seen and may have left the frame: its box holds all places where it may be.

        From where it was seen before or will be seen after, it went its own way or that of the picture. Not to the
        middle of the picture, where it would be seen, nor far from where it is most likely to be.
        """
        sight = self.at(frame)
        here = sight.points[:2]
        far = FAR * np.ptp(here, axis=0).max()
        ways = (
            self._shifted(way[0].points[:2], by) for way in self._ways(frame) for by in self._leads(frame, way, moved)
        )
        near = [way for way in ways if self._is_at_border(way) and np.abs(way - here).max() <= far]
        box = np.stack([np.min([here, *near], axis=0)[0], np.max([here, *near], axis=0)[1]])
        return sight._replace(points=np.concatenate([box, sight.points[2:]]), score=0.0)

    def _leads(self, frame: int, way: Sequence[Sight], moved: Moved) -> tuple[Array, Array]:
        """How far a face goes until ``frame`` from the first of its sightings: by itself, and with the picture."""
        return self._way(frame, way), moved(way[0].frame, frame) - moved(frame, way[0].frame)

    def _ways(self, frame: int) -> list[list[Sight]]:
        """The places before ``frame``, and those from it on, the nearest first; only where there are some."""
        after = bisect.bisect_left(self.places, frame, key=lambda sight: sight.frame)
        return [way for way in (self.places[:after][::-1], self.places[after:]) if way]

    def _is_outside(self, points: Array) -> bool:
        """Whether nothing of a face is in the frame, however little of it the last box held."""
        margin = OUTSIDE * np.max([sight.points[1] - sight.points[0] for sight in self.places], axis=0)
        return bool((points[1] + margin < 0).any() or (points[0] - margin > self._limit).any())

    def _is_at_border(self, points: Array) -> bool:
        margin = OUTSIDE * (points[1] - points[0])
        return self._is_cut(np.stack([points[0] - margin, points[1] + margin]))

    def _is_cut(self, points: Array) -> bool:
        return bool((points[0] < 0).any() or (points[1] > self._limit).any())
