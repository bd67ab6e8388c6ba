"""Reads how old, of which gender and of what skin colour a face seems, so that the new face suits the head.

A linear regression on what dlib's recognizer sees, which was trained on real faces, and on their colour; fitted to
synthetic faces by ``generate/fit_traits.py``. Only steps of a coarse scale are kept, and no gender that is in doubt:
who sees the new face learns no more of the old one than these. What it says is how a face looks to it in one picture,
and no fact about a person.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import inf, isnan

import cv2
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import Faces, Frames
from anonymizer.config import Trait
from anonymizer.generate.looks import Gender, Look
from anonymizer.identity import PLAIN, Recognizer, to_chip
from anonymizer.identity import SIZE as CHIP
from anonymizer.networks.dlib_resnet import EMBEDDING

TRAITS = ("age", "man", "skin", "glasses")  # years; -1 to 1; typology angle in degrees; -1 to 1
MIDDLE = slice(CHIP // 3, -CHIP // 3)  # of chips, where there is mostly skin
SMALLEST = 24  # pixels, the shorter side of a face that is read
# years, as read, below which these stand for an age: real faces are read older than drawn ones, see ``tests/bench``
AGES = {16.0: 9.0, 43.0: 25.0, 63.0: 37.0, 80.0: 52.0, inf: 66.0}
# typology angle in degrees below which these stand for a skin colour: dark, brown, tan, intermediate, light
SKINS = {-30.0: -40.0, 10.0: -10.0, 28.0: 19.0, 41.0: 35.0, inf: 55.0}
CHROMA = slice(EMBEDDING + 1, EMBEDDING + 3)  # of what there is to ``see``
COLOURLESS = 3.0  # chroma, of CIELAB, of a face in a picture without colours
CERTAIN = 0.2  # of 1, how much a face must seem to be a man's, or a woman's
UNKNOWN = Look()


@dataclass(frozen=True, eq=False)
class Reading:
    """The fitted arrays.

    Attributes:
        mean: ``(132,)``, what there is to ``see`` of a face, on average.
        slopes: ``(132, 4)``, change of ``TRAITS`` with that.
        usual: ``(4,)``, the average traits.
    """

    mean: Tensor
    slopes: Tensor
    usual: Tensor

    def read(self, seen: Tensor) -> Tensor:
        """``TRAITS`` ``(N, 4)`` of what there is to ``see`` of faces ``(N, 132)``."""
        return (seen - self.mean) @ self.slopes + self.usual


def see(recognizer: Recognizer, frames: Frames, faces: Faces) -> Tensor:
    """Embeddings of length 1, and the mean colour: CIELAB, and the individual typology angle in degrees.

    ``(N, 132)``; NaN where there is little to be seen.
    """
    looks = F.normalize(recognizer.embed(frames, faces, PLAIN), dim=1)
    chips = geometry.cut_patches(frames.pixels, faces.frame, to_chip(faces.landmarks), CHIP)[:, :, MIDDLE, MIDDLE]
    colours = chips.mean((2, 3)).float().cpu().clamp(0, 1)[:, None].contiguous().numpy()
    lab = torch.from_numpy(cv2.cvtColor(colours, cv2.COLOR_RGB2LAB))[:, 0]
    angle = torch.atan2(lab[:, 0] - 50, lab[:, 2].clamp(min=1)).rad2deg()
    return torch.cat([looks, lab, angle[:, None]], dim=1)


@cache
def load_reading() -> Reading:
    """The fitted reading that is part of the package."""
    return Reading(**safetensors.torch.load((files("anonymizer") / "traits.safetensors").read_bytes()))


class TraitReader:
    """Reads ``Look``s off faces, all of a batch in one forward pass.

    Args:
        match: what is read; the rest is left to chance.
        recognizer: embeds the faces.
    """

    def __init__(self, match: Collection[Trait], recognizer: Recognizer) -> None:
        self._match, self._recognizer, self._reading = match, recognizer, load_reading()

    def read(self, frames: Frames, faces: Faces) -> list[Look]:
        """What faces look like, row by row; ``UNKNOWN`` where they are too small or blurred, or were not seen."""
        looks = [UNKNOWN] * len(faces)
        if not self._match:
            return looks
        for row, answer in enumerate(self.measure(frames, faces).tolist()):
            read = dict(zip(TRAITS, answer, strict=True))
            if not isnan(read["age"]):
                looks[row] = self._look(read)
        return looks

    def measure(self, frames: Frames, faces: Faces) -> Tensor:
        """``TRAITS`` of each face ``(N, 4)``; NaN where faces are too small or blurred, or were not seen.

        Without colours, the skin is NaN.
        """
        answers = torch.full((len(faces), len(TRAITS)), torch.nan)
        rows = ((faces.sizes.amin(1) >= SMALLEST) & faces.seen).nonzero()[:, 0]
        if len(rows):
            seen = see(self._recognizer, frames, faces[rows])
            answers[rows] = self._reading.read(seen)
            chroma = seen[:, CHROMA].norm(dim=1)
            answers[rows[chroma < COLOURLESS], TRAITS.index("skin")] = torch.nan
        return answers

    def _look(self, read: dict[str, float]) -> Look:
        man = read["man"]
        gender: Gender | None = None if abs(man) < CERTAIN else "man" if man > 0 else "woman"
        return Look(
            age=_step(read["age"], AGES) if "age" in self._match else None,
            gender=gender if "gender" in self._match else None,
            skin=_step(read["skin"], SKINS) if "skin" in self._match and not isnan(read["skin"]) else None,
        )


def _step(value: float, scale: dict[float, float]) -> float:
    """The step of a scale that a value lies on."""
    return next(step for limit, step in scale.items() if value < limit)
