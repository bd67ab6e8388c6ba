"""The generator: every face becomes the face of somebody who does not exist, in the same pose, expression and light."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames, Meshes, Patches
from anonymizer.config import GenerateConfig
from anonymizer.face_model import FEATURES, FaceModel, load_face_model, measure_expression
from anonymizer.generate.base import Outcome
from anonymizer.generate.cover import Cover
from anonymizer.generate.personas import Order, Studio
from anonymizer.generate.steady import Steady
from anonymizer.geometry import apply_affine, box_iou
from anonymizer.render import Renderer, Views, at, patch_size

AGREEMENT = 0.1  # distance of the mesh's eyes, nose and mouth from the detector's, over the height of the face
PRESENCE = 0.5  # of a face that the detector did not see, in the eyes of the mesh network
OVERLAP = 0.5  # intersection over union of mesh and detected box, below which the mesh shows something else
HIDDEN = 0.85  # share of the inner mesh that a patch has to cover
NEARER = 0.8  # the detector sees far eyes and corners of mouths a little outside the head: so much of the way counts
FILLED = 0.6  # share of the middle of the detected box that it has to cover
MIDDLE = torch.cartesian_prod(torch.linspace(0.18, 0.82, 6), torch.linspace(0.2, 0.9, 6))  # of a detected box
FACES = 8  # that are rendered together
CELL = (15.0, 12.0, 0.15, 0.15)  # steps between the conditions of neighbouring portraits in a video
DISSOLVE = 0.3  # share of a step over which one portrait dissolves into the next
LOWEST, HIGHEST = (-50.0, -30.0, 0.0, 0.7), (50.0, 25.0, 0.45, 1.25)  # conditions that the network follows
PORTRAITS = (64, 128, 256, 512, 1024)  # pixels, sides of portraits
EYES = 0.25  # distance between the eyes in a portrait, over its side
ENLARGED = 1.2  # how far a portrait may be enlarged
HEAD = 3.6  # side of a patch, in distances between the eyes


class Synthetic:
    """Replaces faces by personas.

    Where the network finds no mesh, as on dark and blurred faces, or one that does not do, the average face takes its
    place, held so that its features lie where the detector saw them.

    Args:
        config: limits of pose.
        studio: draws the portraits.
        renderer: puts them into the place of the faces.
        model: the face model, on the host.
    """

    def __init__(self, config: GenerateConfig, studio: Studio, renderer: Renderer, model: FaceModel) -> None:
        self._config, self._studio, self._renderer, self._model = config, studio, renderer, model
        self._steadied = Steady()
        self._solid, self._fill = Cover("solid"), Cover("fill")

    def generate(
        self, frames: Frames, faces: Faces, meshes: Meshes, seeds: Sequence[int]
    ) -> tuple[list[Patches], list[Outcome]]:
        """See ``Generator``."""
        if not len(faces):
            return [], []
        outcomes = [Outcome.NO_MESH] * len(faces)
        patches: list[Patches] = []
        average = Meshes(self._model.fit_landmarks(faces.landmarks), meshes.presence)
        for candidate in (meshes, average):
            missing = torch.tensor([outcome is not Outcome.GENERATED for outcome in outcomes])
            patches += self._draw(frames, faces, candidate, seeds, missing & agrees(candidate, faces), outcomes)
        outcomes = self._steady(faces, seeds, outcomes)
        failed = torch.tensor([outcome is not Outcome.GENERATED for outcome in outcomes])
        assumed = faces.scores == 0  # nobody saw it: most often there is only what is behind it
        for cover, rows in ((self._solid, failed & ~assumed), (self._fill, failed & assumed)):
            patches += cover.generate(frames, faces[rows], meshes[rows], [])[0]
        return patches, outcomes

    def _steady(self, faces: Faces, seeds: Sequence[int], outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes, after those of earlier frames; what is only assumed or belongs to no video is left out."""
        rows = ((faces.tracks != UNTRACKED) & (faces.scores > 0)).nonzero()[:, 0].tolist()
        held = self._steadied.hold([seeds[row] for row in rows], [outcomes[row] for row in rows])
        steadied = dict(zip(rows, held, strict=True))
        return [steadied.get(row, outcome) for row, outcome in enumerate(outcomes)]

    def _draw(
        self,
        frames: Frames,
        faces: Faces,
        meshes: Meshes,
        seeds: Sequence[int],
        chosen: Tensor,
        outcomes: list[Outcome],
    ) -> Iterator[Patches]:
        """Generate the ``chosen (N,)`` faces with these meshes, as far as that hides them, and note the outcomes."""
        for size, rows, conditions in self._poses(meshes, chosen.nonzero()[:, 0], outcomes):
            views = self._views(conditions, [seeds[row] for row in rows.tolist()], faces.tracks[rows], size)
            made = self._renderer.render(frames, faces.frame[rows], meshes[rows], views, size)
            hidden = hides(made, meshes[rows], faces[rows])
            for row, good in zip(rows.tolist(), hidden.tolist(), strict=True):
                outcomes[row] = Outcome.GENERATED if good else Outcome.FAILED
            yield made[hidden]

    def _poses(self, meshes: Meshes, rows: Tensor, outcomes: list[Outcome]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Groups of faces that can be generated: size of their patches, rows, conditions ``(M, 4)``."""
        pose = self._model.pose(meshes.points[rows])
        lengths = measure_expression(self._model.unpose(meshes.points[rows], pose))
        conditions = torch.cat([pose.degrees[:, :2], lengths[:, :2]], dim=1)
        moderate = (pose.degrees[:, 0].abs() <= self._config.max_yaw) & (
            pose.degrees[:, 1].abs() <= self._config.max_pitch
        )
        for row in rows[~moderate].tolist():
            outcomes[row] = Outcome.STEEP_POSE
        sizes = torch.tensor([patch_size(HEAD * scale) for scale in pose.scale.tolist()])
        for size in sizes[moderate].unique().tolist():
            for chosen in (moderate & (sizes == size)).nonzero()[:, 0].split(FACES):
                yield size, rows[chosen], conditions[chosen]

    def _views(self, conditions: Tensor, seeds: Sequence[int], tracks: Tensor, size: int) -> Views:
        """Portraits for faces: exact ones for stills, dissolving neighbours on a grid for videos."""
        low, high = torch.tensor(LOWEST), torch.tensor(HIGHEST)
        side = next((side for side in PORTRAITS if side * EYES * HEAD * ENLARGED >= size), PORTRAITS[-1])
        face: list[int] = []
        orders: list[Order] = []
        shares: list[float] = []
        for row, wanted in enumerate(conditions.clamp(low, high).tolist()):
            cells = neighbours(wanted) if tracks[row] >= 0 else iter([(tuple(wanted), 1.0)])
            for condition, share in cells:
                face.append(row)
                orders.append(Order(seeds[row], condition, side))
                shares.append(share)
        drawn = self._studio.portraits(orders, keep=bool((tracks >= 0).any()))
        pixels = [portrait.pixels for portrait in drawn]
        points = torch.stack([portrait.points for portrait in drawn])
        return Views(torch.tensor(face), pixels, points, torch.tensor(shares))


def agrees(meshes: Meshes, faces: Faces) -> Tensor:
    """Whether meshes show what the detector saw ``(N,)``, or where it only assumes a face, whether they show one."""
    same = torch.where(faces.scores > 0, disagreement(meshes, faces) <= AGREEMENT, meshes.presence >= PRESENCE)
    return same & (overlap(meshes, faces) >= OVERLAP)


def overlap(meshes: Meshes, faces: Faces) -> Tensor:
    """Intersection over union ``(N,)`` of each mesh's bounding box and its face's; NaN, hence false, for no mesh."""
    flat = meshes.points[..., :2]
    boxes = torch.cat([flat.amin(1), flat.amax(1)], dim=1)
    return box_iou(boxes, faces.boxes).diagonal()


def disagreement(meshes: Meshes, faces: Faces) -> Tensor:
    """Mean distance ``(N,)`` between the features of the mesh and those that the detector saw, over the face height."""
    seen = torch.stack([meshes.points[:, rows, :2].mean(1) for rows in FEATURES], dim=1)
    return (seen - faces.landmarks).norm(dim=2).mean(1) / faces.sizes[:, 1]


def hides(patches: Patches, meshes: Meshes, faces: Faces) -> Tensor:
    """Whether each patch is made of numbers and covers the face, ``(N,)`` on the host.

    Of the face that the detector saw it has to cover the eyes, the nose, the mouth and the middle of the box; of the
    mesh, what faces the camera. A mesh that has slipped off its face fails the former.
    """
    model = load_face_model()
    inner = (model.own > 0.5) & (model.facing(meshes.points) > 0.3)
    on_mesh = _opacity(patches, meshes.points[..., :2]) > 0.5
    features = torch.lerp(faces.landmarks.mean(1, keepdim=True), faces.landmarks, NEARER)
    on_landmarks = _opacity(patches, features) >= 0.5
    in_box = _opacity(patches, faces.boxes[:, None, :2] + MIDDLE * faces.sizes[:, None]) > 0.5
    covered = (on_mesh & inner).sum(1) >= HIDDEN * inner.sum(1).clamp(min=1)
    covered &= on_landmarks.all(1) & (in_box.float().mean(1) >= FILLED)
    return covered & patches.colour.isfinite().flatten(1).all(1).cpu()


def _opacity(patches: Patches, points: Tensor) -> Tensor:
    """Opacity ``(N, P)`` of patches at points of the frame ``(N, P, 2)``, on the host."""
    where = apply_affine(patches.to_patch, points) / patches.alpha.shape[-1]
    return at(patches.alpha, where.to(patches.alpha.device))[:, 0].cpu()


def neighbours(wanted: Sequence[float]) -> Iterator[tuple[tuple[float, ...], float]]:
    """The corners of the grid cell around ``wanted``, with shares that sum to 1 and change without a jump.

    Near a corner of the grid it alone counts; half-way between two, within ``DISSOLVE`` of a step, both do.
    """
    axes = []
    for value, step in zip(wanted, CELL, strict=True):
        low = math.floor(value / step)
        part = min(1.0, max(0.0, (value / step - low - 0.5) / DISSOLVE + 0.5))
        smooth = part * part * (3 - 2 * part)
        axes.append([(low * step, 1 - smooth), ((low + 1) * step, smooth)])
    for corner in product(*axes):
        share = math.prod(weight for _, weight in corner)
        if share > 0:
            yield tuple(value for value, _ in corner), share
