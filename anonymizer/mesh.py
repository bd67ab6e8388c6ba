"""The shape of each face: 468 points in three dimensions.

Network: MediaPipe's face mesh (Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile
GPUs", 2019, https://arxiv.org/abs/1907.06724). Head pose and expression follow from the points: see ``face_model``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import Faces, Frames, Meshes
from anonymizer.face_model import LEFT_EYE, RIGHT_EYE

SIZE = 192  # pixels, what the network takes
MARGIN = 1.5  # side of the crop over the longer side of the face


class MeshEstimator:
    """Finds the mesh of every face of a batch, all faces in one forward pass."""

    def __init__(self, device: torch.device) -> None:
        network = weights.load("face_mesh")
        self._network = engines.compile(network, device, torch.rand(2, 3, SIZE, SIZE))

    def estimate(self, frames: Frames, faces: Faces) -> Meshes:
        """Meshes of ``faces``, row by row.

        The network looks twice: at the crop that the detector suggests, then at the one that the first mesh
        suggests, which is turned upright and centred better.
        """
        if not len(faces):
            return Meshes.none()
        eyes = faces.landmarks[:, 1] - faces.landmarks[:, 0]
        centre = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
        side = MARGIN * faces.sizes.amax(1)
        first, _ = self._look(frames, faces.frame, centre, side, torch.atan2(eyes[:, 1], eyes[:, 0]))
        points, presence = self._look(frames, faces.frame, *crop_of_mesh(first))
        return Meshes(points, presence)

    def _look(
        self, frames: Frames, frame: Tensor, centre: Tensor, side: Tensor, angle: Tensor
    ) -> tuple[Tensor, Tensor]:
        to_patch = geometry.square_to_patch(centre, side.clamp(min=4), angle, SIZE)
        crops = geometry.cut_patches(frames.pixels, frame, to_patch, SIZE)
        points, logits = (output.cpu() for output in self._network(crops))
        flat = geometry.apply_affine(geometry.invert_affine(to_patch), points[..., :2])
        depth = points[..., 2:] * (side / SIZE)[:, None, None]
        return torch.cat([flat, depth], dim=2), torch.sigmoid(logits)


def crop_of_mesh(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre ``(N, 2)``, side ``(N,)`` and angle ``(N,)`` of the upright square that holds each mesh with a margin."""
    flat = points[..., :2]
    low, high = flat.amin(1), flat.amax(1)
    eyes = flat[:, RIGHT_EYE].mean(1) - flat[:, LEFT_EYE].mean(1)
    return (low + high) / 2, MARGIN * (high - low).amax(1), torch.atan2(eyes[:, 1], eyes[:, 0])
