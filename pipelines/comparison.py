"""Compares pictures before and after: is every real face gone, and can anybody be recognized? Of any tool's results.

Two detectors that work differently look for the faces of the original. What two of these and the mesh network are sure
of, and has not changed, is a leak. Where only one of them sees a face, as in walls and clouds at times, people have to
look themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import torch
from torch import Tensor

from anonymizer import device as devices
from anonymizer.batches import Faces, Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import DETECTORS
from anonymizer.detect.base import same_places
from anonymizer.identity import Recognizer, clearness
from anonymizer.mesh import MeshEstimator
from anonymizer.trust import PRESENCE

SCORE, HEIGHT = 0.5, 20  # of faces that count
CHANGE, LIKENESS = 6.0, 0.97  # levels of grey, correlation: less change and more likeness than that is no change
SAME = 0.5  # distance below which dlib's recognizer knows a face again; of different people one pair in 5,000 is nearer


class Verdict(StrEnum):
    """What is wrong with a face of the result."""

    UNCHANGED = "unchanged"
    RECOGNIZABLE = "recognizable"
    TO_LOOK_AT = "to look at"  # unchanged, but only one network is sure that it is a face


@dataclass(frozen=True)
class Seen:
    """A face of the original.

    Attributes:
        frame: number of the picture, from 0.
        time: when it is shown, in seconds.
        box: x0, y0, x1, y1 in pixels of the upright picture.
        scores: of the detectors, by name.
        distance: of its embedding from that of what is there in the result; None where one cannot tell.
        verdict: None if nothing is wrong.
    """

    frame: int
    time: Fraction
    box: tuple[float, ...]
    scores: dict[str, float]
    distance: float | None
    verdict: Verdict | None


class Comparison:
    """Loads the networks once, and compares any number of pictures."""

    def __init__(self, device: str = "auto") -> None:
        self._device = devices.pick(device)
        self._detectors = {name: DETECTORS[name](DetectConfig(), self._device) for name in ("centerface", "mtcnn")}
        self._recognizer, self._estimator = Recognizer(self._device), MeshEstimator(self._device)

    def compare(self, before: Frames, after: Frames, first: int = 0, step: int = 1) -> list[Seen]:
        """The faces of ``before``, and whether they are gone in ``after``.

        Args:
            before: pictures, upright.
            after: the same pictures of the result, of the same size.
            first, step: number of the first picture, and how many apart they are.
        """
        before, after = (Frames(frames.pixels.to(self._device), frames.times) for frames in (before, after))
        faces, scores = self._faces(before)
        distances = self._distances(before, after, faces)
        seen = []
        for row, (frame, box) in enumerate(zip(faces.frame.tolist(), faces.boxes.tolist(), strict=True)):
            grey = [frames.pixels[frame] for frames in (before, after)]
            same = is_unchanged(*(_middle(pixels, box) for pixels in grey))
            sure = min(scores[row].values()) >= SCORE or (same and self._has_mesh(before, faces[row : row + 1]))
            distance = distances[row]
            verdict = _verdict(same, sure, distance)
            place = tuple(round(side, 1) for side in box)
            seen.append(Seen(first + step * frame, before.times[frame], place, scores[row], distance, verdict))
        return seen

    def _faces(self, frames: Frames) -> tuple[Faces, list[dict[str, float]]]:
        """The faces that any detector is sure of, each once, and how sure each of the detectors is."""
        found = {name: detector.detect(frames) for name, detector in self._detectors.items()}
        found = {name: faces[faces.sizes[:, 1] >= HEIGHT] for name, faces in found.items()}
        known, scores = Faces.none(), []
        for name, faces in found.items():
            new = faces[(faces.scores >= SCORE) & ~same_places(faces, known).any(1)]
            others = {other: same_places(new, found[other]) * found[other].scores for other in found if other != name}
            for row, score in enumerate(new.scores.tolist()):
                least = {other: max(scored[row].tolist(), default=0.0) for other, scored in others.items()}
                scores.append({name: round(score, 3)} | {other: round(score, 3) for other, score in least.items()})
            known = Faces.cat([known, new])
        return known, scores

    def _has_mesh(self, frames: Frames, face: Faces) -> bool:
        """Whether the mesh network takes one face for one, too."""
        return bool((self._estimator.estimate(frames, face).presence >= PRESENCE).all())

    def _distances(self, before: Frames, after: Frames, faces: Faces) -> list[float | None]:
        """Between embeddings of the same places; only of clear views, as others say little."""
        away = (self._recognizer.embed(before, faces) - self._recognizer.embed(after, faces)).norm(dim=1)
        away[clearness(faces) == 0] = torch.nan
        return [None if value != value else round(value, 3) for value in away.tolist()]


def _verdict(unchanged: bool, sure: bool, distance: float | None) -> Verdict | None:
    if unchanged:
        return Verdict.UNCHANGED if sure else Verdict.TO_LOOK_AT
    return Verdict.RECOGNIZABLE if distance is not None and distance < SAME else None


def _middle(pixels: Tensor, box: Sequence[float]) -> Tensor:
    """The grey values, in 0..255, between eyes and mouth of a face in ``pixels (H, W, 3)``."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    rows = slice(max(0, int(y0 + 0.25 * height)), max(0, int(y1 - 0.2 * height)))
    columns = slice(max(0, int(x0 + 0.25 * width)), max(0, int(x1 - 0.25 * width)))
    peak = torch.iinfo(pixels.dtype).max
    return pixels[rows, columns].float().mean(2).flatten() * (255 / peak)


def is_unchanged(before: Tensor, after: Tensor) -> bool:
    """Whether grey values ``(P,)`` are the same but for what encoders do."""
    if not len(before):
        return False
    likeness = torch.corrcoef(torch.stack([before, after]))[0, 1]
    return bool((before - after).abs().mean() < CHANGE and not likeness <= LIKENESS)
