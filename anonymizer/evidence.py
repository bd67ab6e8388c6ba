"""What is known of pictures before anybody looks: where labels say that people and faces are.

It can only add faces. Where somebody is labelled and no face is found surely, weak detections are believed, and an
enlarged picture is looked at, too; a labelled face in which even then nothing is found is handed on, to be covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import FLOAT, INDEX, UNTRACKED, Batch, Faces, Frames
from anonymizer.detect import Detector
from anonymizer.detect.base import merge
from anonymizer.identity import SIZE, TEMPLATE
from anonymizer.motion import assign

INSIDE = 0.6  # share of a face that lies in the box of its person, or of its head
ALIKE = 0.3  # intersection over union from which a face is the labelled one
SMALLEST = 0.1  # area of a face over that of the head that shows it; smaller ones are of somebody behind
PATCH = 256  # pixels, side of the pictures of the second look
ENLARGE = 6.0  # times that it enlarges at most; then there is no detail left that could tell
UPPER = 0.5  # share of a person's height in which the head is, standing
AROUND = 1.2  # side of what is looked at over that of the upper part of a person
AROUND_FACE = 2.5  # the same over that of a labelled face
TOGETHER = 32  # pictures of the second look that are in memory at a time


@dataclass(frozen=True, eq=False)
class Evidence(Batch):
    """Labelled boxes in a batch of pictures, flat over the pictures.

    Attributes:
        frame: ``(N,)`` int64, index of the picture within its batch.
        boxes: ``(N, 4)`` float32, in pixels of the picture as it is given to ``Anonymizer.stills``: upright.
        face: ``(N,)`` bool, whether a face or a head is labelled; otherwise a whole person, or what shows of one.
    """

    frame: Tensor
    boxes: Tensor
    face: Tensor

    SHAPES = {"frame": ("N",), "boxes": ("N", 4), "face": ("N",)}  # noqa: RUF012
    TYPES = {"frame": INDEX, "boxes": FLOAT, "face": (torch.bool,)}  # noqa: RUF012

    @classmethod
    def none(cls) -> Evidence:
        """Nothing is known: length 0."""
        return cls(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))

    @classmethod
    def of_picture(cls, boxes: Sequence[Sequence[float]], faces: Sequence[bool]) -> Evidence:
        """Of one picture: boxes ``x0, y0, x1, y1``, and which of them are of faces."""
        return cls(
            torch.zeros(len(boxes), dtype=torch.int64),
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(faces, dtype=torch.bool),
        )

    def within(self, start: int, stop: int) -> Evidence:
        """What concerns the pictures from ``start`` to before ``stop``, which are counted from 0."""
        chosen = self[(self.frame >= start) & (self.frame < stop)]
        return replace(chosen, frame=chosen.frame - start)


def find(detector: Detector, frames: Frames, evidence: Evidence, threshold: float) -> tuple[Faces, Faces]:
    """Look for faces, with what is known.

    Args:
        detector: finds faces, also those that score less than ``threshold``.
        frames: independent pictures.
        evidence: labels of them.
        threshold: score from which a detection is believed where nothing is labelled.

    Returns:
        the faces that were found, and the labelled ones that were not, ``seen`` by nobody, with a score of 0.
    """
    found = detector.detect(frames)
    sure = found[found.scores >= threshold]
    if not len(evidence):
        return sure, Faces.none()
    alone = evidence[~_is_met(sure, evidence)]
    weak = found[(found.scores < threshold) & _is_likely(found, alone)]
    believed = merge([sure, weak, _look_closer(detector, frames, alone)])
    believed = believed[~_is_part(believed, threshold)]
    return believed, _as_faces(evidence[evidence.face & ~_is_met(believed, evidence)])


def _is_likely(found: Faces, evidence: Evidence) -> Tensor:
    """Which faces ``(N,)`` lie where somebody is labelled."""
    same = found.frame[:, None] == evidence.frame
    fits = (geometry.box_share(found.boxes, evidence.boxes) >= INSIDE) | (_overlap(found, evidence) >= ALIKE)
    return (same & fits).any(1)


def _is_part(found: Faces, threshold: float) -> Tensor:
    """Which weak finds ``(N,)`` lie in a sure one."""
    within = geometry.box_share(found.boxes, found.boxes) >= INSIDE
    within &= (found.frame[:, None] == found.frame) & (found.scores >= threshold)
    return (found.scores < threshold) & within.any(1)


def _is_met(found: Faces, evidence: Evidence) -> Tensor:
    """Which labels ``(M,)`` a face was found for: of faces or heads, and of people."""
    same = found.frame[:, None] == evidence.frame
    within = same & (geometry.box_share(found.boxes, evidence.boxes) >= INSIDE)
    shares = _areas(found.boxes)[:, None] / _areas(evidence.boxes).clamp(min=1e-9)
    met = evidence.face & ((same & (_overlap(found, evidence) >= ALIKE)) | (within & (shares >= SMALLEST))).any(0)
    for frame in evidence.frame.unique():
        people = (~evidence.face & (evidence.frame == frame)).nonzero()[:, 0]
        faces = (found.frame == frame).nonzero()[:, 0]
        met[people] = _have_faces(found.boxes[faces], evidence.boxes[people], within[faces][:, people])
    return met


def _have_faces(faces: Tensor, people: Tensor, within: Tensor) -> Tensor:
    """Which of ``people (M, 4)`` have one of ``faces (N, 4)`` each, surely: one that may be that of nobody else who
    has none. Faces lie ``within (N, M)`` the boxes of neighbours, too.
    """
    have = torch.zeros(len(people), dtype=torch.bool)
    if not within.any():
        return have
    head = torch.stack([(people[:, 0] + people[:, 2]) / 2, people[:, 1] + _upper(people) / 4], dim=1)
    away = torch.cdist((faces[:, :2] + faces[:, 2:]) / 2, head) / _upper(people)
    pairs = [pair for pair in assign(away.where(within, 1e3).numpy()) if within[pair]]
    face, person = torch.tensor(pairs).reshape(-1, 2).unbind(1)
    have[person] = True
    while (doubtful := (within[face] & ~have).any(1) & have[person]).any():
        have[person[doubtful]] = False
    return have


def _look_closer(detector: Detector, frames: Frames, evidence: Evidence) -> Faces:
    """Faces in enlarged pictures of where somebody is labelled."""
    parts = [Faces.none()]
    for some in (evidence[start : start + TOGETHER] for start in range(0, len(evidence), TOGETHER)):
        centre, side = _squares(some)
        to_patch = geometry.square_to_patch(centre, side, torch.zeros(len(some)), PATCH)
        pictures = geometry.cut_patches(frames.pixels, some.frame, to_patch, PATCH)
        pixels = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        found = detector.detect(Frames(pixels, (Fraction(0),) * len(some)))
        from_patch = geometry.invert_affine(to_patch)[found.frame]
        points = torch.cat([found.boxes.reshape(-1, 2, 2), found.landmarks], dim=1)
        points = geometry.apply_affine(from_patch, points)
        moved = replace(found, frame=some.frame[found.frame], boxes=points[:, :2].flatten(1), landmarks=points[:, 2:])
        parts.append(moved[_is_likely(moved, some)])
    return merge(parts)


def _squares(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Where the heads of people are: centres ``(N, 2)`` and sides ``(N,)``."""
    boxes, face = evidence.boxes, evidence.face
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    upper = _upper(boxes)
    head = torch.stack([middle[:, 0], boxes[:, 1] + upper / 2], dim=1)
    side = torch.where(face, AROUND_FACE * (boxes[:, 2:] - boxes[:, :2]).amax(1), AROUND * upper)
    return torch.where(face[:, None], middle, head), side.clamp(min=PATCH / ENLARGE)


def _upper(people: Tensor) -> Tensor:
    """The side ``(N,)`` of the square at the upper end of a person's box that holds the head; of all who lie, all."""
    sizes = people[:, 2:] - people[:, :2]
    return torch.maximum(sizes[:, 0], UPPER * sizes[:, 1]).clamp(min=1)


def _as_faces(evidence: Evidence) -> Faces:
    """Faces that nobody saw, which look straight ahead."""
    corner, sizes = evidence.boxes[:, None, :2], (evidence.boxes[:, 2:] - evidence.boxes[:, :2])[:, None]
    return Faces(
        evidence.frame,
        evidence.boxes,
        corner + TEMPLATE / SIZE * sizes,
        torch.zeros(len(evidence)),
        torch.full((len(evidence),), UNTRACKED),
        torch.zeros(len(evidence), dtype=torch.bool),
    )


def _overlap(found: Faces, evidence: Evidence) -> Tensor:
    return geometry.box_iou(found.boxes, evidence.boxes)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
