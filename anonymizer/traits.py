"""Reads how old, of which gender and of what skin colour a face seems, so that the new face suits the head.

Only steps of a coarse scale are kept, and nothing of what is in doubt: who sees the new face learns no more of the old
one than these. The network was trained on synthetic faces by ``generate/fit_traits.py``; what it says is how a face
looks to it in one picture, and no fact about a person.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import Faces, Frames
from anonymizer.config import Trait
from anonymizer.generate.looks import Gender, Look
from anonymizer.identity import SIZE as CHIP
from anonymizer.identity import to_chip
from anonymizer.networks.trait_net import SIZE, TRAITS, TraitNet

SMALLEST = 24  # pixels, the shorter side of a face that is read
AGES = {13.0: 9.0, 30.0: 25.0, 45.0: 37.0, 60.0: 52.0, 200.0: 66.0}  # years below which these stand for an age
# typology angle in degrees below which these stand for a skin colour: dark, brown, tan, intermediate, light
SKINS = {-30.0: -40.0, 10.0: -10.0, 28.0: 19.0, 41.0: 35.0, 181.0: 55.0}
DOUBT = {"age": 14.0, "skin": 25.0}  # standard deviations, in their units, from which they are left to chance
COLOURLESS = 0.02  # of 1, how much the colours of a picture without any differ at most, on average
CERTAIN = 0.3  # standard deviations by which a face must seem to be a man's, or a woman's
UNKNOWN = Look()


class TraitReader:
    """Reads ``Look``s off faces, all of a batch in one forward pass.

    Args:
        match: what is read; the rest is left to chance.
        device: where the network runs.
    """

    def __init__(self, match: Collection[Trait], device: torch.device) -> None:
        self._match = match
        self._network = engines.compile(weights.shipped(TraitNet(), "traits"), device, torch.rand(2, 3, SIZE, SIZE))

    def read(self, frames: Frames, faces: Faces) -> list[Look]:
        """What faces look like, row by row; ``UNKNOWN`` where they are too small, or were not seen."""
        looks = [UNKNOWN] * len(faces)
        if not self._match:
            return looks
        for row, (means, doubts) in enumerate(self.measure(frames, faces).tolist()):
            if not math.isnan(means[0]):
                looks[row] = self._look(dict(zip(TRAITS, zip(means, doubts, strict=True), strict=True)))
        return looks

    def measure(self, frames: Frames, faces: Faces) -> Tensor:
        """What the network says of each face ``(N, 2, 5)``: means and standard deviations of ``TRAITS``.

        NaN where faces are too small, or were not seen; without colours, the doubt about that of the skin is infinite.
        """
        answers = torch.full((len(faces), 2, len(TRAITS)), torch.nan)
        rows = ((faces.sizes.amin(1) >= SMALLEST) & faces.seen).nonzero()[:, 0]
        if not len(rows):
            return answers
        to_patch = to_chip(faces.landmarks[rows]) * (SIZE / CHIP)
        chips = geometry.cut_patches(frames.pixels, faces.frame[rows], to_patch, SIZE)
        answers[rows] = self._network(chips).cpu()
        colourless = (chips.amax(1) - chips.amin(1)).mean((1, 2)).cpu() < COLOURLESS
        answers[rows[colourless], 1, TRAITS.index("skin")] = torch.inf  # nothing but doubt
        return answers

    def _look(self, read: dict[str, tuple[float, float]]) -> Look:
        """Of means and standard deviations."""
        man, doubt = read["man"]
        gender: Gender | None = None if abs(man) < CERTAIN * doubt else "man" if man > 0 else "woman"
        return Look(
            age=_step("age", *read["age"], AGES) if "age" in self._match else None,
            gender=gender if "gender" in self._match else None,
            skin=_step("skin", *read["skin"], SKINS) if "skin" in self._match else None,
        )


def _step(name: str, value: float, doubt: float, scale: dict[float, float]) -> float | None:
    """The step of a scale that a value lies on, or None if that is in doubt."""
    return next(step for limit, step in scale.items() if value < limit) if doubt < DOUBT[name] else None
