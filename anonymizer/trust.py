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

PRESENCE = 0.5  # from which the mesh network is sure that it looks at a face
AGREEMENT = 0.1  # distance of the mesh's eyes, nose and mouth from the detector's, over the height of the face
OVERLAP = 0.55  # intersection over union of mesh and detected box, below which the mesh shows something else
NEAR = 0.5  # the same, where the box is not of this frame: less is the face of somebody else, or one that is lost
OPAQUE = 0.7  # opacity from which a patch hides what is behind it
COVERED = 0.5  # the same at landmarks, which lie less exactly, near the edge of a patch some of them
HIDDEN = 0.85  # share of the inner mesh that a patch has to cover
FILLED = 0.6  # share of the middle of the detected box that it has to cover
MIDDLE = torch.cartesian_prod(torch.linspace(0.18, 0.82, 6), torch.linspace(0.2, 0.9, 6))  # of a detected box
NEARER = torch.tensor([0.8, 0.8, 1.0, 0.8, 0.8])  # detectors see far eyes and corners of mouths outside the head
LOOK = NUMBERS + 1  # numbers that tell the light on a face and its sharpness
EXPECTED = 0.0  # score above which a face was seen before and after this frame, or in it


Aspects = dict[tuple[float, ...], float]


@dataclass(frozen=True)
class Belief:
    """What is believed of the faces of a batch, one row a face.

    Attributes:
        faces: those that no detector saw in this frame are moved to where the mesh network saw them.
        meshes: where the network's does not do, the average face, its features where the detector saw them.
        usable: ``(N,)`` bool, whether the mesh shows the face.
        average: ``(N,)`` bool, whether it is the average face.
        look: ``(N, LOOK)``, light and sharpness of the usable ones: a row of ``light.measure``, and the logarithm of
            ``sharpness.detail``.
        conditions: ``(N, 4)``, yaw and pitch in degrees, how far the mouth is open and how wide it is in distances
            between the eyes, of the usable ones: what portraits are chosen by.
        aspects: for each face of a video, the conditions of the portraits that it is made of, with their shares, which
            sum to 1; empty for stills, which are made of one portrait each under just the right conditions.
        strays: more faces, which only the mesh network saw, not where one was expected; perhaps those that were.
    """

    faces: Faces
    meshes: Meshes
    usable: Tensor
    average: Tensor
    look: Tensor
    conditions: Tensor
    strays: Faces
    aspects: tuple[Aspects, ...] = ()

    @classmethod
    def blind(cls, faces: Faces) -> Belief:
        """Nobody looked at the shape of the faces."""
        nothing = Meshes(torch.full((len(faces), MESH_POINTS, 3), math.nan), torch.zeros(len(faces)))
        no = torch.zeros(len(faces), dtype=torch.bool)
        return cls(faces, nothing, no, no, torch.zeros(len(faces), LOOK), torch.zeros(len(faces), 4), Faces.none())


def believe(meshes: Meshes, faces: Faces, model: FaceModel) -> Belief:
    """Weigh what the mesh network found against what the detector saw.

    Where the detector saw the face, a mesh must agree with it, and if none does, as on dark and blurred faces, the
    average face is better than none. Where other frames only tell about where the face is, the network knows better,
    if it found one there; one that it found further away may be that of a neighbour.
    """
    found, expected = meshes.presence >= PRESENCE, faces.scores > EXPECTED
    met = overlap(meshes, faces)
    moved = ~faces.seen & found & (met.diagonal() >= NEAR)
    on_mesh = replace(faces, boxes=_boxes(meshes), landmarks=features(meshes.points))
    strays = on_mesh[~faces.seen & found & ~(met >= NEAR).any(1)]
    faces = replace(
        faces,
        boxes=torch.where(moved[:, None], on_mesh.boxes, faces.boxes),
        landmarks=torch.where(moved[:, None, None], on_mesh.landmarks, faces.landmarks),
    )
    usable = agrees(meshes, faces) & (found | expected)
    missing = ~usable & expected & (faces.seen | ~found)
    if missing.any():
        points = meshes.points.clone()
        points[missing] = model.fit_landmarks(faces.landmarks[missing])
        meshes = Meshes(points, meshes.presence)
    average = missing & agrees(meshes, faces)
    blind = Belief.blind(faces)
    return replace(blind, meshes=meshes, usable=usable | average, average=average, strays=strays)


def agrees(meshes: Meshes, faces: Faces) -> Tensor:
    """Whether meshes show the same faces ``(N,)``; not so where they hold NaN."""
    apart = (features(meshes.points) - faces.landmarks).norm(dim=2).mean(1) / faces.sizes[:, 1]
    return (apart <= AGREEMENT) & (overlap(meshes, faces).diagonal() >= OVERLAP)


def overlap(meshes: Meshes, faces: Faces) -> Tensor:
    """Intersection over union ``(N, N)`` of the bounding box of each mesh and the box of each face of its frame."""
    return geometry.box_iou(_boxes(meshes), faces.boxes) * (faces.frame[:, None] == faces.frame)


def hides(patches: Patches, meshes: Meshes, faces: Faces, model: FaceModel) -> Tensor:
    """Whether each patch is made of numbers and covers the face, ``(N,)`` on the host.

    It has to cover the eyes, the nose, the mouth and the middle of the box of the face, and of the mesh what faces the
    camera.
    """
    inner = (model.own > 0.5) & (model.facing(meshes.points) > 0.3)
    on_mesh = _opacity(patches, meshes.points[..., :2]) > OPAQUE
    landmarks = torch.lerp(faces.landmarks.mean(1, keepdim=True), faces.landmarks, NEARER[:, None])
    on_features = _opacity(patches, landmarks) > COVERED
    in_box = _opacity(patches, faces.boxes[:, None, :2] + MIDDLE * faces.sizes[:, None]) > OPAQUE
    covered = (on_mesh & inner).sum(1) >= HIDDEN * inner.sum(1).clamp(min=1)
    covered &= on_features.all(1) & (in_box.float().mean(1) >= FILLED)
    return covered & patches.colour.isfinite().flatten(1).all(1).cpu()


def _opacity(patches: Patches, points: Tensor) -> Tensor:
    """Opacity ``(N, P)`` of patches at points of the frame ``(N, P, 2)``, on the host."""
    where = geometry.apply_affine(patches.to_patch, points) / patches.alpha.shape[-1]
    inside = ((where >= 0) & (where <= 1)).all(2)
    return geometry.sample(patches.alpha, where.to(patches.alpha.device))[:, 0].cpu() * inside


def _boxes(meshes: Meshes) -> Tensor:
    flat = meshes.points[..., :2]
    return torch.cat([flat.amin(1), flat.amax(1)], dim=1)
