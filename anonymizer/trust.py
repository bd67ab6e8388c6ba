"""Decides what is believed: which mesh shows a face, and whether a patch hides it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import MESH_POINTS, Faces, Meshes, Patches
from anonymizer.face_model import FaceModel, features
from anonymizer.light import NUMBERS
from anonymizer.motion import is_whole
from anonymizer.networks.occlusion_net import SIZE
from anonymizer.sharpness import SCALES

PRESENCE = 0.5  # from which the mesh network is sure that it looks at a face
AGREEMENT = 0.1  # distance of the mesh's eyes, nose and mouth from the detector's, over the larger height
WITHIN = 0.55  # share of the detected box that lies in that of the mesh, below which the mesh shows something else
OVERLAP = 0.55  # intersection over union of the two that does where the mesh network is not sure, unless
SPAN = 0.9  # the mesh is as wide as this share of the box
PARTLY = 0.17  # the agreement that is enough for a face of which the detector sees a part
BEYOND = 0.3  # share of a mesh by which it reaches beyond the box of a part at some side
SAME = 0.7  # intersection over union of two places where one mesh was found for two faces
NEAR = 0.5  # intersection over union of the boxes, where the detected one is not of this frame: less is somebody else
OPAQUE = 0.7  # opacity from which a patch hides what is behind it
COVERED = 0.5  # the same at landmarks, which lie less exactly, near the edge of a patch some of them
HIDDEN = 0.85  # share of the inner mesh that a patch has to cover
FILLED = 0.65  # share of the middle of the detected box that it has to cover
MIDDLE = torch.cartesian_prod(torch.linspace(0.18, 0.82, 6), torch.linspace(0.2, 0.9, 6))  # of a detected box
NEARER = torch.tensor([0.8, 0.8, 1.0, 0.8, 0.8])  # detectors see far eyes and corners of mouths outside the head
LOOK = NUMBERS + len(SCALES)  # numbers that tell the light on a face and its sharpness
EXPECTED = 0.0  # score above which a face was seen before and after this frame, or in it


Aspects = dict[tuple[float, ...], float]


@dataclass(frozen=True)
class Belief:
    """What is believed of the faces of a batch, one row a face.

    Attributes:
        faces: those that no detector saw in this frame are moved to where the mesh network saw them, and left out if
            another one is there.
        meshes: where the network's does not do, the average face, its features where the detector saw them.
        usable: ``(N,)`` bool, whether the mesh shows the face.
        average: ``(N,)`` bool, whether it is the average face.
        look: ``(N, LOOK)``, light and sharpness of the usable ones: a row of ``light.measure``, and the logarithm of
            ``sharpness.detail``.
        conditions: ``(N, 4)``, yaw and pitch in degrees, how far the mouth is open and how wide it is in distances
            between the eyes, of the usable ones: what portraits are chosen by. They are turned less than the face.
        before: ``(N, 1, S, S)`` uint8, the chance, 0 to 255, that something is before the face, in the square around
            its mesh that ``mesh.crop_of_mesh`` tells.
        beside: ``(N, W, 4)``, boxes where the frames around say that the face is, if that reaches beyond its own, else
            NaN; see ``smooth``. None for stills.
        aspects: for each face of a video, the conditions of the portraits that it is made of, with their shares, which
            sum to 1; empty for stills, which are made of one portrait each, under their conditions.
        vacant: where faces were expected that the mesh network saw further away, or that were left out; perhaps there
            are others.
    """

    faces: Faces
    meshes: Meshes
    usable: Tensor
    average: Tensor
    look: Tensor
    conditions: Tensor
    before: Tensor
    beside: Tensor
    vacant: Faces
    aspects: tuple[Aspects, ...] = ()

    @classmethod
    def blind(cls, faces: Faces) -> Belief:
        """Nobody looked at the shape of the faces."""
        nothing = Meshes(torch.full((len(faces), MESH_POINTS, 3), math.nan), torch.zeros(len(faces)))
        no = torch.zeros(len(faces), dtype=torch.bool)
        look, conditions = torch.zeros(len(faces), LOOK), torch.zeros(len(faces), 4)
        before = torch.zeros(len(faces), 1, SIZE, SIZE, dtype=torch.uint8)
        beside = torch.zeros(len(faces), 0, 4)
        return cls(faces, nothing, no, no, look, conditions, before, beside, Faces.none())

    def of(self, rows: Tensor) -> Belief:
        """Of some faces, rows, and of nobody who was expected elsewhere."""
        return Belief(
            self.faces[rows],
            self.meshes[rows],
            self.usable[rows],
            self.average[rows],
            self.look[rows],
            self.conditions[rows],
            self.before[rows],
            self.beside[rows],
            Faces.none(),
            tuple(self.aspects[row] for row in rows.tolist()) if self.aspects else (),
        )

    def spots(self, rows: Tensor) -> tuple[Faces, Tensor]:
        """What covers of faces ``rows (M,)`` have to hide, these and again ``beside`` them; and whose each is, rows."""
        beside = self.beside[rows]
        place, which = beside.isfinite().all(2).nonzero().unbind(1)
        every = torch.cat([rows, rows[place]])
        boxes = torch.cat([self.faces.boxes[rows], beside[place, which]])
        return replace(self.faces[every], boxes=boxes), every


def believe(meshes: Meshes, faces: Faces, model: FaceModel) -> Belief:
    """Weigh what the mesh network found against what the detector saw.

    Where the detector saw the face, a mesh must agree with it, and if none does, as on dark and blurred faces, the
    average face is better than none. Where other frames only tell about where the face is, the network knows better,
    unless what it found there is the face of a neighbour. Where there is a part of a face and it finds nothing, the
    rest may lie anywhere near: such a face counts as expected only, in every frame alike.
    """
    found = meshes.presence >= PRESENCE
    faces = replace(faces, scores=faces.scores.where(found | is_whole(faces.sizes), EXPECTED))
    expected = faces.scores > EXPECTED
    met = overlap(meshes, faces) >= NEAR
    near = met.diagonal() | agrees(meshes, faces)
    moved = ~faces.seen & found & (near | ~met.any(1)) & meshes.points.isfinite().all(2).all(1)
    expected_at = faces
    faces = replace(
        faces,
        boxes=torch.where(moved[:, None], _boxes(meshes), faces.boxes),
        landmarks=torch.where(moved[:, None, None], features(meshes.points), faces.landmarks),
    )
    usable = agrees(meshes, faces) & (found | expected)
    # where the detector sees a part of what the network sees, the average face may leave the rest bare
    others = (met & ~torch.eye(len(faces), dtype=torch.bool)).any(1)
    average = ~usable & expected & ~(_reaches_beyond(meshes, faces) & ~others)
    if average.any():
        meshes = _with_average(meshes, faces, average, model)
        average &= agrees(meshes, faces)
    usable |= average
    alone = ~(moved & _twice(faces, meshes, usable))
    belief, vacant = Belief.blind(faces[alone]), expected_at[moved & ~near | ~alone]
    return replace(belief, meshes=meshes[alone], usable=usable[alone], average=average[alone], vacant=vacant)


def averaged(belief: Belief, rows: Tensor, model: FaceModel) -> Belief:
    """Only ``rows``, ``(N,)`` bool, and these with the average face, if it agrees with what the detector saw."""
    meshes = _with_average(belief.meshes, belief.faces, rows, model)
    usable = rows & agrees(meshes, belief.faces)
    return replace(belief, meshes=meshes, usable=usable, average=usable)


def _with_average(meshes: Meshes, faces: Faces, rows: Tensor, model: FaceModel) -> Meshes:
    """The meshes, of which ``rows`` are the average face, its features where the detector saw them."""
    points = meshes.points.clone()
    points[rows] = model.fit_landmarks(faces.landmarks[rows])
    return Meshes(points, meshes.presence * ~rows)


def _twice(faces: Faces, meshes: Meshes, usable: Tensor) -> Tensor:
    """Whether in the place of each face there is another that is usable and better known, ``(N,)``."""
    places = _boxes(meshes).where(usable[:, None], faces.boxes)  # detectors box what is left of a face
    same = (geometry.box_iou(places, places) >= SAME) & (faces.frame[:, None] == faces.frame)
    known = faces.seen + faces.scores
    better = (known[:, None] < known) | (known[:, None] == known).triu(1)
    return (same & better & usable).any(1)


def agrees(meshes: Meshes, faces: Faces) -> Tensor:
    """Whether meshes show the same faces ``(N,)``; not so where they hold NaN.

    Of a face that is cut by the border or by what is before it, detectors box what is left, and place eyes, nose and
    mouth in that; the mesh is whole, and reaches beyond.
    """
    boxes = _boxes(meshes)
    height = torch.maximum(boxes[:, 3] - boxes[:, 1], faces.sizes[:, 1])
    apart = (features(meshes.points) - faces.landmarks).norm(dim=2).mean(1) / height
    within = geometry.box_share(faces.boxes, boxes).diagonal() >= WITHIN
    spans = boxes[:, 2] - boxes[:, 0] >= SPAN * faces.sizes[:, 0]
    sure = meshes.presence >= PRESENCE
    same = within & (sure | spans) | (overlap(meshes, faces).diagonal() >= OVERLAP)
    return ((apart <= AGREEMENT) & same) | ((apart <= PARTLY) & _reaches_beyond(meshes, faces))


def _reaches_beyond(meshes: Meshes, faces: Faces) -> Tensor:
    """Whether the network surely sees a face of which the detected box is a part, ``(N,)``."""
    boxes = _boxes(meshes)
    sizes = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    beyond = torch.cat([faces.boxes[:, :2] - boxes[:, :2], boxes[:, 2:] - faces.boxes[:, 2:]], dim=1)
    within = geometry.box_share(faces.boxes, boxes).diagonal() >= WITHIN
    return (meshes.presence >= PRESENCE) & within & (beyond >= BEYOND * sizes).any(1)


def overlap(meshes: Meshes, faces: Faces) -> Tensor:
    """Intersection over union ``(N, N)`` of the bounding box of each mesh and the box of each face of its frame."""
    return geometry.box_iou(_boxes(meshes), faces.boxes) * (faces.frame[:, None] == faces.frame)


def hides(patches: Patches, meshes: Meshes, faces: Faces, model: FaceModel, size: tuple[int, int]) -> Tensor:
    """Whether each patch is made of numbers and covers the face in frames of ``size``, ``(N,)`` on the host.

    It has to cover the eyes, the nose, the mouth and the middle of the box of the face, and of the mesh what faces the
    camera. Of box and mesh, what lies in the frame counts, or all if nothing does.
    """
    middle = faces.boxes[:, None, :2] + MIDDLE * faces.sizes[:, None]
    shown = _in_frame(torch.ones(MIDDLE.shape[:1], dtype=torch.bool), middle, size)
    inner = _in_frame((model.own > 0.5) & (model.facing(meshes.points) > 0.3), meshes.points, size)
    on_mesh = _opacity(patches, meshes.points[..., :2]) > OPAQUE
    landmarks = torch.lerp(faces.landmarks.mean(1, keepdim=True), faces.landmarks, NEARER[:, None])
    on_features = _opacity(patches, landmarks) > COVERED
    in_box = _opacity(patches, middle) > OPAQUE
    covered = (on_mesh & inner).sum(1) >= HIDDEN * inner.sum(1)
    covered &= on_features.all(1) & ((in_box & shown).sum(1) >= FILLED * shown.sum(1))
    return covered & patches.colour.sum((1, 2, 3)).isfinite().cpu()


def _in_frame(wanted: Tensor, points: Tensor, size: tuple[int, int]) -> Tensor:
    """Those of the ``wanted`` points that lie in frames of ``size``, or all where none does, ``(N, P)``."""
    shown = geometry.within(points, size) & wanted
    return shown | (wanted & ~shown.any(1, keepdim=True))


def _opacity(patches: Patches, points: Tensor) -> Tensor:
    """Opacity ``(N, P)`` of patches at points of the frame ``(N, P, 2)``, on the host."""
    where = geometry.apply_affine(patches.to_patch, points) / patches.alpha.shape[-1]
    inside = ((where >= 0) & (where <= 1)).all(2)
    return geometry.sample(patches.alpha, where.to(patches.alpha.device))[:, 0].cpu() * inside


def _boxes(meshes: Meshes) -> Tensor:
    flat = meshes.points[..., :2]
    return torch.cat([flat.amin(1), flat.amax(1)], dim=1)
