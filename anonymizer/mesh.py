"""The shape of each face: 468 points in three dimensions.

Network: MediaPipe's face mesh (Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile
GPUs", 2019, https://arxiv.org/abs/1907.06724), which hardly sees blinks; a second one sees the eyelids (Ablavatski et
al., 2020, https://arxiv.org/abs/2006.11341). Head pose and expression follow from the points: see ``face_model``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import MESH_POINTS, Faces, Frames, Meshes
from anonymizer.face_model import LEFT_EYE, LEFT_LIDS, RIGHT_EYE, RIGHT_LIDS, load_face_model
from anonymizer.networks import eye

SIZE = 192  # pixels, what the network takes
MARGIN = 1.5  # side of the crop over the longer side of the face
SMALLEST = 4.0  # pixels, side of a crop
WIDE = SIZE + 12  # pixels, what its crops are cut out of, at some corners; what it finds in them is averaged
CORNERS = torch.cartesian_prod(*[torch.tensor([0, WIDE - SIZE])] * 2)
TWO = CORNERS[::3]
HERE = torch.zeros(1, 2)
SLACK = 0.3  # by how much a crop may miss the face that is found in it; see ``_apart``
EYE_MARGIN = 2.3  # side of the crop over the width of an eye
EYE_SMALLEST = 6.0  # pixels, width of an eye from which its lids can be told
ASTRAY = 0.3  # widths of an eye by which lids may lie away from where the mesh has them
ENDS = (0, 8)  # places of the outer and the inner corner among the points of an eye's lids
MIRROR = torch.diag(torch.tensor([-1.0, 1.0]))


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
        eyes = torch.rand(2, 3, eye.SIZE, eye.SIZE)
        # in bfloat16 it is off by 0.1 of 64 pixels
        self._eye_network = engines.compile(weights.load("eye"), device, eyes, exact=False)

    def estimate(self, frames: Frames, faces: Faces) -> Meshes:
        """Meshes of ``faces``, row by row.

        The network looks at the upright square where the landmarks say that the face is, and again at those faces
        that it then finds elsewhere in it; at two crops each time, as what it finds depends on the crop. Then the
        eyelids are found again, in the eyes that are large enough.
        """
        points, presence = self._find(frames, faces)
        self._find_lids(frames, faces.frame, points)
        return Meshes(points, presence)

    def measure(self, frames: Frames, faces: Faces, moves: Tensor = HERE) -> Meshes:
        """The same, averaged over more crops around where the mesh is first found.

        Args:
            frames: the pictures.
            faces: what to look at.
            moves: ``(C, 2)``, where the squares lie, in sides away from where the mesh is.
        """
        points, presence = self._find(frames, faces)
        centre, side, angle = crop_of_mesh(points)
        squares = [Crops(centre + side[:, None] * move, side, angle) for move in moves]
        looks = [self._look(frames, faces.frame, square, CORNERS) for square in squares]
        points = torch.stack([points for points, _ in looks]).mean(0)
        self._find_lids(frames, faces.frame, points)
        return Meshes(points, presence)

    def _find(self, frames: Frames, faces: Faces) -> tuple[Tensor, Tensor]:
        """Points ``(N, 468, 3)``, whose lids are not found yet, and presence ``(N,)``."""
        if not len(faces):
            return torch.zeros(0, MESH_POINTS, 3), torch.zeros(0)
        crops = crop_of_mesh(self._model.fit_landmarks(faces.landmarks))
        points, presence = self._look(frames, faces.frame, crops)
        better = crop_of_mesh(points)
        rows = (_apart(crops, better) > SLACK).nonzero()[:, 0]
        if len(rows):
            points[rows], presence[rows] = self._look(frames, faces.frame[rows], Crops(*(x[rows] for x in better)))
        return points, presence

    def _find_lids(self, frames: Frames, frame: Tensor, points: Tensor) -> None:
        """Put the lids, in ``points (N, 468, 3)``, where they are in the picture; depths stay."""
        for lids, mirrored in ((LEFT_LIDS, False), (RIGHT_LIDS, True)):
            eyes = points[:, lids, :2]
            left, right = (eyes[:, ENDS[side]] for side in (mirrored, not mirrored))
            x, y = (right - left).unbind(1)
            width, angle, centre = torch.hypot(x, y), torch.atan2(y, x), (left + right) / 2
            rows = (width >= EYE_SMALLEST).nonzero()[:, 0]
            if not len(rows):
                continue
            to_patch = geometry.square_to_patch(centre[rows], EYE_MARGIN * width[rows], angle[rows], eye.SIZE)
            if mirrored:
                to_patch = MIRROR @ to_patch + torch.tensor([[0.0, 0.0, eye.SIZE], [0.0, 0.0, 0.0]])
            pictures = geometry.cut_patches(frames.pixels, frame[rows], to_patch, eye.SIZE)
            found = self._eye_network(pictures).cpu()[:, : len(lids), :2]
            found = geometry.apply_affine(geometry.invert_affine(to_patch), found)
            sure = (found - eyes[rows]).norm(dim=2).mean(1) <= ASTRAY * width[rows]
            points[rows[sure, None], torch.tensor(lids), :2] = found[sure]

    def _look(self, frames: Frames, frame: Tensor, crops: Crops, corners: Tensor = TWO) -> tuple[Tensor, Tensor]:
        to_patch = geometry.square_to_patch(crops.centre, crops.side * WIDE / SIZE, crops.angle, WIDE)
        pictures = geometry.cut_patches(frames.pixels, frame, to_patch, WIDE)
        views = torch.cat([pictures[..., y : y + SIZE, x : x + SIZE] for x, y in corners.tolist()])
        found, logits = (output.cpu().unflatten(0, (len(corners), -1)) for output in self._network(views))
        flat = (found[..., :2] + corners[:, None, None]).mean(0)
        depth = found[..., 2:].mean(0) * (crops.side / SIZE)[:, None, None]
        flat = geometry.apply_affine(geometry.invert_affine(to_patch), flat)
        return torch.cat([flat, depth], dim=2), torch.sigmoid(logits.mean(0))


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
