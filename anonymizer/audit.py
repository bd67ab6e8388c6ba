"""Holds what is about to leave against what came in: no real face is left, and nobody is shown who is really there.

It looks at the two pictures only, whatever made the second one:

- Every face that is said to be generated must look different: the brightness of the two, on a coarse grid, must not
  follow the same pattern.
- To dlib's recognizer the new face must be neither the real one nor anybody else of the same picture or video. In
  videos faces are sampled, as that takes time: each person when first seen well enough, and then every few seconds.

Who does not pass gets another persona, and after a few of them is covered. That is a safety net: privacy comes from
what new faces do not take from the real ones, and other recognizers see other things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import Faces, Frames
from anonymizer.generate.base import Outcome, Persona
from anonymizer.generate.seeds import derive_seed
from anonymizer.identity import PLAIN, SMALLEST, Recognizer, clearness

SAME = 0.6  # distance of embeddings below which dlib's recognizer takes two faces for one person
ANOTHER = 0.5  # the same for everybody else: among many people somebody always is a little alike
ALIKE = 0.96  # correlation from which a face was not replaced; of 170 new faces with the real ones it was 0.89 at most
GRID = 24  # cells along the side of the box of a face that are compared
TRIES = 3  # personas after the first one
EVERY, SOON = Fraction(4), Fraction(1, 2)  # seconds after which a face is looked at again; where it could not be seen

MADE = (Outcome.GENERATED, Outcome.AVERAGE)
REFUSED = (Outcome.UNCHANGED, Outcome.SIMILAR)


class Audit:
    """Remembers who did not pass, and what the real people look like. One for each video or batch of pictures.

    Args:
        recognizer: tells people apart.
        moving: whether the pictures are a video; otherwise people of different pictures are not compared.
        lasting: whether people have the same personas in other files: then these stay unless they are as near as
            nobody else may be, and who fails is covered.
    """

    def __init__(self, recognizer: Recognizer, *, moving: bool, lasting: bool = False) -> None:
        self._recognizer, self.moving = recognizer, moving
        self._most, self._same = (0, ANOTHER) if lasting else (TRIES, SAME)
        self._tries: Counter[int] = Counter()  # by person
        self._covered: dict[int, Outcome] = {}  # those who failed too often
        self._due: dict[int, Fraction] = {}  # when a person is looked at again
        self._real: dict[int, tuple[int, Tensor]] = {}  # the picture, 0 in videos, and the embedding of the real face

    def cast(self, faces: Faces, personas: Sequence[Persona]) -> list[Persona]:
        """The personas that are to be drawn for faces, whose ``tracks`` tell people apart: others for who failed."""
        return [
            persona._replace(seed=derive_seed(persona.seed, b"another", tries)) if tries else persona
            for tries, persona in zip((self._tries[who] for who in faces.tracks.tolist()), personas, strict=True)
        ]

    def judge(
        self, frames: Frames, done: Frames, faces: Faces, outcomes: Sequence[Outcome]
    ) -> tuple[list[Outcome], Tensor]:
        """Look at faces that were replaced.

        Args:
            frames: as they came in.
            done: the same with new faces.
            faces: where these are; their ``tracks`` tell people apart.
            outcomes: what became of each.

        Returns:
            the outcomes, with one of ``REFUSED`` for all generated faces of those who fail in this batch, or failed too
            often; and which of these, ``(N,)`` bool, may be tried again with what ``cast`` says then. The others have
            to be covered.
        """
        people = faces.tracks.tolist()
        made = torch.tensor([outcome in MADE for outcome in outcomes], dtype=torch.bool)
        same = (made & unchanged(frames, done, faces)).nonzero()[:, 0].tolist()
        failed = {people[row]: Outcome.UNCHANGED for row in same}
        rows = self._sample(frames, faces, made, {*failed, *self._covered})
        failed |= self._likenesses(frames, done, faces[rows])
        again = {who for who in failed if self._tries[who] < self._most and who not in self._covered}
        self._tries.update(again)
        self._covered |= {who: why for who, why in failed.items() if who not in again}
        refused = {**failed, **self._covered}
        judged = [
            refused.get(who, outcome) if outcome in MADE else outcome
            for who, outcome in zip(people, outcomes, strict=True)
        ]
        return judged, made & torch.tensor([who in again for who in people], dtype=torch.bool)

    def _sample(self, frames: Frames, faces: Faces, made: Tensor, without: set[int]) -> Tensor:
        """The clearest face of everybody whose turn it is, rows."""
        large = faces.sizes.amin(1) >= SMALLEST
        chosen: dict[int, int] = {}
        clear, people = clearness(faces), faces.tracks.tolist()
        for row in (made & large).nonzero()[:, 0].tolist():
            who = people[row]
            due = frames.times[int(faces.frame[row])] >= self._due.get(who, Fraction(-(10**9)))
            if due and who not in without and (who not in chosen or clear[row] > clear[chosen[who]]):
                chosen[who] = row
        return torch.tensor(list(chosen.values()), dtype=torch.int64)

    def _likenesses(self, frames: Frames, done: Frames, faces: Faces) -> dict[int, Outcome]:
        """Whose new faces look like them, or like somebody else who is there."""
        if not len(faces):
            return {}
        people = faces.tracks.tolist()
        real, new = (self._recognizer.embed(pictures, faces, PLAIN) for pictures in (frames, done))
        scenes = [0] * len(faces) if self.moving else faces.frame.tolist()
        seen = (real + new).isfinite().all(1)
        for row in seen.nonzero()[:, 0].tolist():
            self._real[people[row]] = scenes[row], real[row]
        alike = [bool(seen[row]) and self._is_alike(who, scenes[row], new[row]) for row, who in enumerate(people)]
        for row, who in enumerate(people):
            if not alike[row]:
                self._due[who] = frames.times[int(faces.frame[row])] + (EVERY if seen[row] else SOON)
        return {who: Outcome.SIMILAR for who, is_alike in zip(people, alike, strict=True) if is_alike}

    def _is_alike(self, who: int, scene: int, new: Tensor) -> bool:
        """Whether a new face ``(128,)`` is too near to the real one, or to another one of the same scene."""
        return any(
            bool((new - real).norm() < (self._same if other == who else ANOTHER))
            for other, (place, real) in self._real.items()
            if place == scene
        )


def unchanged(frames: Frames, done: Frames, faces: Faces) -> Tensor:
    """Which faces ``(N,)`` look in ``done`` as they did in ``frames``, but for brightness and contrast."""
    centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    to_patch = geometry.square_to_patch(centre, faces.sizes.amin(1).clamp(min=1), torch.zeros(len(faces)), GRID)
    before, after = (
        geometry.cut_patches(pictures.pixels, faces.frame, to_patch, GRID).mean(1).flatten(1).cpu()
        for pictures in (frames, done)
    )
    before, after = before - before.mean(1, keepdim=True), after - after.mean(1, keepdim=True)
    return (before * after).sum(1) >= ALIKE * before.norm(dim=1) * after.norm(dim=1)
