"""Takes the tremble out of what was observed of faces, without lag: each frame is averaged with those around it.

Frames are taken in pairs, equally far before and after, so that steady motion stays (zero phase). A pair counts
the less, the further its mean lies from the frame between, so that what is quick stays quick: a bilateral filter
(Tomasi and Manduchi, ICCV 1998) over time, for each point and each number on its own. How a head is held is found from
all points, and hardly trembles; it is taken out before the shape is averaged over longer. Lids and lips, which move
some points by a multiple of ``SHAPE``, are not held back.

Boxes stay as they are; but where a detector's jumps for a frame or two, a cover must hide what lies beside it, too.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anonymizer.aspects import CELL
from anonymizer.batches import UNTRACKED, Frames
from anonymizer.face_model import load_face_model
from anonymizer.geometry import box_iou
from anonymizer.trust import EXPECTED, Belief

REACH = 6  # frames before and after
QUICK = 0.7  # of the Gaussian over time, in frames, for how heads are held: what is quick must not lose its reach
STEADY = 3.0  # the same for shapes
SLOW = 4.0  # the same for light and sharpness, and for what portraits are chosen by, which dissolve into each other
POINT = 0.012  # distance over the size of the face from which a pair of points counts little
SHAPE = torch.tensor([[0.02]])  # the same for canonical points, in distances between the eyes
LOOK = torch.tensor([0.1] * 4 + [0.2, 0.1, 0.01, 0.01] + [0.2] * 5)  # the same for the numbers of ``Belief.look``
CONDITIONS = torch.tensor(CELL)[:, None] / 2  # the same for what portraits are chosen by: cuts stay cuts

AGREEING = 2  # frames before and after that have to agree on what is before a face
WIDE = 2  # frames before and after that tell where a face is, halfway between them
NEAR = 0.1  # intersection over union with its own box from which that is the same face on its way
BEYOND = 0.05  # of the longer side of its own box, by which that has to reach beyond it to matter

Key = tuple[int, int]  # track and frame of the video


@dataclass(frozen=True)
class _Part:
    """A batch, the number of its first frame in the video, and the canonical shapes ``(N, 468, 3)`` of its faces."""

    start: int
    frames: Frames
    belief: Belief
    shapes: Tensor

    @classmethod
    def of(cls, start: int, frames: Frames, belief: Belief) -> _Part:
        model, shapes = load_face_model(), belief.meshes.points.clone()
        usable = shapes[belief.usable]
        shapes[belief.usable] = model.unpose(usable, model.pose(usable))
        return cls(start, frames, belief, shapes)

    @property
    def end(self) -> int:
        return self.start + len(self.frames)

    @property
    def keys(self) -> list[Key | None]:
        """Of the faces, row by row; ``None`` where there is nothing to average."""
        return self._keys(self.belief.usable)

    @property
    def places(self) -> list[Key | None]:
        """The same, ``None`` where it is not known where the face is."""
        return self._keys(self.belief.faces.scores > EXPECTED)

    def _keys(self, which: Tensor) -> list[Key | None]:
        faces = self.belief.faces
        numbers = zip(faces.tracks.tolist(), faces.frame.tolist(), which.tolist(), strict=True)
        return [
            (track, self.start + frame) if known and track != UNTRACKED else None for track, frame, known in numbers
        ]


def smooth(observed: Iterable[tuple[Frames, Belief]]) -> Iterator[tuple[Frames, Belief]]:
    """Smooth the shape, the light and the sharpness of the faces of a video over time, and see what is beside them.

    Args:
        observed: its frames in order, in batches, with tracked faces.

    Yields:
        the same batches, at least ``REACH`` frames later; how the video is cut into batches changes nothing.
    """
    held: deque[_Part] = deque()  # those that are still to come out, and before them what they need
    count, done = 0, 0  # frames that came in, and that went out
    for frames, belief in observed:
        if not len(frames):
            continue
        held.append(_Part.of(count, frames, belief))
        count += len(frames)
        for part in [part for part in held if done <= part.start and part.end + REACH <= count]:
            yield part.frames, _smoothed(part, held)
            done = part.end
        while held[0].end <= done - REACH:
            held.popleft()
    for part in held:
        if done <= part.start:
            yield part.frames, _smoothed(part, held)


def _smoothed(part: _Part, held: Sequence[_Part]) -> Belief:
    """The faces of one of the parts that are held."""
    belief = replace(part.belief, beside=_beside(part, held))
    rows, pairs = _pairs(part.keys, [key for other in held for key in other.keys])
    if not len(rows):
        return belief
    points, look, conditions = (value.clone() for value in (belief.meshes.points, belief.look, belief.conditions))
    every_points = torch.cat([other.belief.meshes.points for other in held])
    every_look = torch.cat([other.belief.look for other in held])
    every_shapes = torch.cat([other.shapes for other in held])
    every_conditions = torch.cat([other.belief.conditions for other in held])
    tolerance = POINT * belief.faces.sizes[rows].amax(1)[:, None, None]
    model, shapes = load_face_model(), _average(part.shapes[rows], every_shapes, pairs, STEADY, SHAPE)
    points[rows] = model.place(shapes, model.pose(_average(points[rows], every_points, pairs, QUICK, tolerance)))
    look[rows] = _average(look[rows, :, None], every_look[..., None], pairs, SLOW, LOOK[:, None])[..., 0]
    conditions[rows] = _average(conditions[rows, :, None], every_conditions[..., None], pairs, SLOW, CONDITIONS)[..., 0]
    before = _agreed(belief.before, rows, pairs, held)
    meshes = replace(belief.meshes, points=points)
    return replace(belief, meshes=meshes, look=look, conditions=conditions, before=before)


def _beside(part: _Part, held: Sequence[_Part]) -> Tensor:
    """Boxes ``(N, WIDE, 4)`` halfway between those of the same face before and after; see ``Belief.beside``."""
    faces, every = part.belief.faces, torch.cat([other.belief.faces.boxes for other in held])
    beside = torch.full((len(faces), WIDE, 4), math.nan)
    rows, pairs = _pairs(part.places, [key for other in held for key in other.places])
    own, sizes = faces.boxes[rows], faces.sizes[rows].amax(1)
    for distance, (before, after) in enumerate(pairs[:WIDE]):
        mean = (every[before] + every[after]) / 2
        reach = torch.cat([own[:, :2] - mean[:, :2], mean[:, 2:] - own[:, 2:]], dim=1).amax(1)
        matters = (before >= 0) & (box_iou(own, mean).diagonal() >= NEAR) & (reach > BEYOND * sizes)
        beside[rows[matters], distance] = mean[matters]
    return beside


def _agreed(before: Tensor, rows: Tensor, pairs: Sequence[tuple[Tensor, Tensor]], held: Sequence[_Part]) -> Tensor:
    """What ``before`` says at ``rows``, but no more than the frames around it say with it."""
    there = (before[rows] > 0).flatten(1).any(1)
    if not there.any():
        return before
    every, agreed, rows = torch.cat([other.belief.before for other in held]), before.clone(), rows[there]
    total, weights = before[rows].float(), torch.ones(len(rows), 1, 1, 1)
    for distance, (earlier, later) in enumerate(pairs[:AGREEING], start=1):
        near = (earlier[there] >= 0)[:, None, None, None] * math.exp(-0.5 * (distance / AGREEING) ** 2)
        total = total + near * (every[earlier[there]].float() + every[later[there]].float())
        weights = weights + 2 * near
    agreed[rows] = torch.minimum(before[rows], (total / weights).round().byte())
    return agreed


def _pairs(keys: Sequence[Key | None], every: Sequence[Key | None]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Which rows have keys, and for each distance in time from 1 the rows of ``every`` before and after them, both -1
    where one of these is not there.
    """
    known = {key: row for row, key in enumerate(every) if key}
    pairs = []
    for distance in range(1, REACH + 1):
        before, after = (
            torch.tensor([known.get((key[0], key[1] + way * distance), -1) for key in keys if key], dtype=torch.int64)
            for way in (-1, 1)
        )
        alone = (before < 0) | (after < 0)
        pairs.append((before.masked_fill(alone, -1), after.masked_fill(alone, -1)))
    return torch.tensor([row for row, key in enumerate(keys) if key], dtype=torch.int64), pairs


def _average(
    values: Tensor,
    every: Tensor,
    pairs: Sequence[tuple[Tensor, Tensor]],
    spread: float,
    tolerance: Tensor,
) -> Tensor:
    """Means ``(N, P, D)`` of values and of their pairs, rows of ``every (M, P, D)``.

    Args:
        spread: of the Gaussian over time, in frames.
        tolerance: distance from which the mean of a pair counts little, ``(N, 1, 1)``, ``(P, 1)`` or ``(1, 1)``.
    """
    total, weights = values, torch.ones(*values.shape[:2], 1)
    for distance, (before, after) in enumerate(pairs, start=1):
        mean = (every[before] + every[after]) / 2
        away = (mean - values).norm(dim=2, keepdim=True) / tolerance
        near = 2 * math.exp(-0.5 * (distance / spread) ** 2) * torch.exp(-0.5 * away.square())
        weight = torch.where((before >= 0)[:, None, None], near, 0.0)
        total = total + torch.where(weight > 0, weight * mean, 0.0)
        weights = weights + weight.nan_to_num(0.0)
    return total / weights
