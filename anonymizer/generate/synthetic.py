"""The generator: every face becomes the face of somebody who does not exist, in the same pose, expression and light."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from anonymizer.batches import Frames, Patches
from anonymizer.canvas import Canvases
from anonymizer.config import GenerateConfig
from anonymizer.face_model import FaceModel
from anonymizer.generate.base import FAILURES, Outcome, Persona
from anonymizer.generate.cover import Cover
from anonymizer.generate.personas import Order, Portrait, Studio
from anonymizer.occlusion import uncover
from anonymizer.render import Renderer, Views
from anonymizer.trust import EXPECTED, Belief, averaged, hides

FACES = 8  # that are rendered together
LOWEST, HIGHEST = (-50.0, -30.0, 0.0, 0.7), (50.0, 25.0, 0.45, 1.25)  # conditions that the network follows
PORTRAITS = (64, 128, 256, 512, 1024)  # pixels, sides of portraits
EYES = 0.25  # distance between the eyes in a portrait, over its side
ENLARGED = 1.2  # how far a portrait may be enlarged
HEAD = 3.6  # side of a canvas, in distances between the eyes


class Synthetic:
    """Replaces faces by personas.

    Args:
        config: limits of pose.
        studio: draws the portraits.
        renderer: puts them into the place of the faces.
        model: the face model, on the host.

    Attributes:
        studio: the same.
    """

    def __init__(self, config: GenerateConfig, studio: Studio, renderer: Renderer, model: FaceModel) -> None:
        self.studio = studio
        self._config, self._renderer, self._model = config, renderer, model
        self._solid, self._fill = Cover("solid"), Cover("fill")

    def generate(
        self, frames: Frames, belief: Belief, personas: Sequence[Persona]
    ) -> tuple[list[Patches], list[Outcome]]:
        """See ``Generator``."""
        faces = belief.faces
        without = [Outcome.NO_MESH if score > EXPECTED else Outcome.NOT_SEEN for score in faces.scores.tolist()]
        outcomes = [Outcome.STEEP_POSE if belief.usable[row] else outcome for row, outcome in enumerate(without)]
        patches = self._draw(frames, belief, personas, outcomes)
        again = _which(outcomes, (Outcome.FAILED,)) & ~belief.average
        if again.any():
            patches += self._draw(frames, averaged(belief, again, self._model), personas, outcomes)
        # last and on top is what is surest: who is only expected may well be one of the others
        unseen, failed = (_which(outcomes, which).nonzero()[:, 0] for which in ((Outcome.NOT_SEEN,), FAILURES))
        under = self._fill.cover(frames, belief.vacant) + self._fill.cover(frames, faces[unseen], unseen)
        return under + patches + self._solid.cover(frames, *belief.spots(failed)), outcomes

    def _draw(
        self, frames: Frames, belief: Belief, personas: Sequence[Persona], outcomes: list[Outcome]
    ) -> list[Patches]:
        """Patches for usable faces that they hide; says in ``outcomes`` whose they are."""
        patches, faces = [], belief.faces
        for rows, canvases in self._poses(belief):
            views = self._views(belief, rows, [personas[row] for row in rows.tolist()], int(canvases.size[0]))
            made = self._renderer.render(frames, rows, belief, views, canvases)
            hidden = hides(made, belief.meshes[rows], faces[rows], self._model, frames.size)
            for row, good in zip(rows.tolist(), hidden.tolist(), strict=True):
                new = Outcome.AVERAGE if belief.average[row] else Outcome.GENERATED
                outcomes[row] = new if good else Outcome.FAILED
            patches.append(uncover(belief, rows[hidden], made[hidden]))
        return patches

    def _poses(self, belief: Belief) -> Iterator[tuple[Tensor, Canvases]]:
        """Groups of faces whose pose is not too steep, rows, with canvases of one size."""
        rows = belief.usable.nonzero()[:, 0]
        points = belief.meshes.points[rows]
        limits = torch.tensor([self._config.max_yaw, self._config.max_pitch])
        moderate = (self._model.pose(points).degrees[:, :2].abs() <= limits).all(1)
        canvases = Canvases.around(self._model.outline(points))
        for size in canvases.size[moderate].unique().tolist():
            for chosen in (moderate & (canvases.size == size)).nonzero()[:, 0].split(FACES):
                yield rows[chosen], canvases[chosen]

    def _views(self, belief: Belief, rows: Tensor, personas: Sequence[Persona], size: int) -> Views:
        """Portraits for faces, for canvases of a size."""
        side = next((side for side in PORTRAITS if side * EYES * HEAD * ENLARGED >= size), PORTRAITS[-1])
        face: list[int] = []
        orders: list[Order] = []
        shares: list[float] = []
        for index, row in enumerate(rows.tolist()):
            aspects = belief.aspects[row] if belief.aspects else {tuple(belief.conditions[row].tolist()): 1.0}
            face += [index] * len(aspects)
            orders += [Order(personas[index], _within(condition), side) for condition in aspects]
            shares += aspects.values()
        drawn = self.studio.portraits(orders, keep=bool(belief.aspects))
        pixels = [portrait.pixels for portrait in drawn]
        points = torch.stack([portrait.points for portrait in drawn])
        shape = self._shapes_at_rest(personas) if belief.aspects else self._shapes(drawn)
        return Views(torch.tensor(face), pixels, points, shape, torch.tensor(shares))

    def _shapes_at_rest(self, personas: Sequence[Persona]) -> Tensor:
        """The shapes of people, each measured on one portrait: between those of one person they differ by error."""
        return self._shapes(self.studio.at_rest(personas))

    def _shapes(self, portraits: Sequence[Portrait]) -> Tensor:
        """Canonical, ``(N, 468, 3)``."""
        points = torch.stack([portrait.points for portrait in portraits])
        return self._model.unpose(points, self._model.pose(points))


def _within(condition: tuple[float, ...]) -> tuple[float, ...]:
    """The nearest condition that the network follows."""
    return tuple(min(max(value, low), high) for value, low, high in zip(condition, LOWEST, HIGHEST, strict=True))


def _which(outcomes: Sequence[Outcome], wanted: Sequence[Outcome]) -> Tensor:
    """Which faces, ``(N,)`` bool, have one of the outcomes."""
    return torch.tensor([outcome in wanted for outcome in outcomes], dtype=torch.bool)
