"""The shape of each face: 468 points in three dimensions.

Network: MediaPipe's face mesh (Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile
GPUs", 2019, https://arxiv.org/abs/1907.06724). Head pose and expression follow from the points: see ``face_model``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import Faces, Frames, Meshes
from anonymizer.face_model import LEFT_EYE, RIGHT_EYE, load_face_model

SIZE = 192  # pixels, what the network takes
MARGIN = 1.5  # side of the crop over the longer side of the face
SMALLEST = 4.0  # pixels, side of a crop
AROUND = 0.03  # sides, by which crops are moved that are averaged
SLACK = 0.3  # by how much a crop may miss the face that is found in it; see ``_apart``


class Crops(NamedTuple):
    """Squares of pictures: ``centre (N, 2)`` and ``side (N,)`` in pixels, ``angle (N,)`` in radians, clockwise."""

    centre: Tensor
    side: Tensor
    angle: Tensor


class MeshEstimator:
    """Finds the mesh of every face of a batch, all faces in one forward pass."""

    def __init__(self, device: torch.device) -> None:
        network = weights.load("face_mesh")
        self._model = load_face_model()
        self._network = engines.compile(network, device, torch.rand(2, 3, SIZE, SIZE))

    def estimate(self, frames: Frames, faces: Faces) -> Meshes:
        """Meshes of ``faces``, row by row.

        The network looks at the upright square where the landmarks say that the face is, and again at those faces
        that it then finds elsewhere in it.
        """
        if not len(faces):
            return Meshes.none()
        crops = crop_of_mesh(self._model.fit_landmarks(faces.landmarks))
        points, presence = self._look(frames, faces.frame, crops)
        better = crop_of_mesh(points)
        rows = (_apart(crops, better) > SLACK).nonzero()[:, 0]
        if len(rows):
            points[rows], presence[rows] = self._look(frames, faces.frame[rows], Crops(*(x[rows] for x in better)))
        return Meshes(points, presence)

    def measure(self, frames: Frames, faces: Faces) -> Meshes:
        """The same, averaged over four crops, as what the network finds depends on the crop. Five times slower."""
        found = self.estimate(frames, faces)
        centre, side, angle = crop_of_mesh(found.points)
        looks = [
            self._look(frames, faces.frame, Crops(centre + side[:, None] * shift, side, angle))[0]
            for shift in torch.cartesian_prod(*[torch.tensor([-AROUND, AROUND])] * 2)
        ]
        return Meshes(torch.stack(looks).mean(0), found.presence)

    def _look(self, frames: Frames, frame: Tensor, crops: Crops) -> tuple[Tensor, Tensor]:
        to_patch = geometry.square_to_patch(crops.centre, crops.side, crops.angle, SIZE)
        pictures = geometry.cut_patches(frames.pixels, frame, to_patch, SIZE)
        points, logits = (output.cpu() for output in self._network(pictures))
        flat = geometry.apply_affine(geometry.invert_affine(to_patch), points[..., :2])
        depth = points[..., 2:] * (crops.side / SIZE)[:, None, None]
        return torch.cat([flat, depth], dim=2), torch.sigmoid(logits)


def crop_of_mesh(points: Tensor) -> Crops:
    """The upright square that holds each mesh ``(N, 468, 3)`` with a margin."""
    flat = points[..., :2]
    low, high = flat.amin(1), flat.amax(1)
    eyes = flat[:, RIGHT_EYE].mean(1) - flat[:, LEFT_EYE].mean(1)
    side = (MARGIN * (high - low).amax(1)).clamp(min=SMALLEST)
    return Crops((low + high) / 2, side, torch.atan2(eyes[:, 1], eyes[:, 0]))


def _apart(a: Crops, b: Crops) -> Tensor:
    """How much squares differ ``(N,)``: shift over side, logarithm of the sides' ratio, and angle, added up."""
    turn = torch.remainder(a.angle - b.angle + math.pi, 2 * math.pi) - math.pi
    return (a.centre - b.centre).norm(dim=1) / a.side + (a.side / b.side).log().abs() + turn.abs()
