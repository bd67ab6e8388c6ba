"""A linear model of face shape: who it is, what it expresses, and how the head is held, kept apart.

A face is ``pose(shape + expression)``. ``shape`` belongs to the person; ``expression`` is a few lengths (how far the
mouth is open, how wide it is ...) that move the shape linearly, and the opening of the eyes, which moves the upper lids
towards the lower ones; ``pose`` is a rotation, a scale and a shift. Pose and expression are taken from a real face, and
towards its silhouette the outline. Fitted by ``python -m anonymizer.generate.fit_face_model`` on faces of the own
generator.

The canonical frame looks straight at the camera: the origin lies between the eyes, the distance between the eyes is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import MESH_POINTS

# Points of MediaPipe's face mesh, left and right as seen in the picture.
LEFT_EYE, RIGHT_EYE = (33, 133), (362, 263)
LOWER_LIDS = (7, 163, 144, 145, 153, 154, 155), (249, 390, 373, 374, 380, 381, 382)  # from the outer corner inwards
UPPER_LIDS = (246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398)  # above these
LEFT_LIDS, RIGHT_LIDS = (  # in the order of ``networks.eye``
    (outer, *lower, inner, *upper)
    for outer, lower, inner, upper in zip((33, 263), LOWER_LIDS, (133, 362), UPPER_LIDS, strict=True)
)
SHUT = 0.04  # distance of the lids in distances between the eyes, as found in eyes that are shut
OPENING = (0.1, 1.5)  # range of the opening of an eye over the person's own: where nothing is left, skin shows streaks
FEATURES = (LEFT_EYE, RIGHT_EYE, (1,), (61,), (291,))  # in the order of ``Faces.landmarks``
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIFTS = 20  # rounds in which the depth of landmarks is found
EXPRESSIONS = (
    "mouth open",
    "mouth width",
    "mouth corners up",
    "mouth to the side",
    "left brow up",
    "right brow up",
    "left eye open",
    "right eye open",
)
LINEAR = 6  # of these move the shape linearly; the others move the eyelids


class Pose(NamedTuple):
    """How heads are held: canonical points go to ``scale * rotation @ point + shift``, in pixels.

    ``rotation (N, 3, 3)``, ``scale (N,)``, which is the distance between the eyes, and ``shift (N, 3)``.
    """

    rotation: Tensor
    scale: Tensor
    shift: Tensor

    @property
    def degrees(self) -> Tensor:
        """Yaw, pitch, roll ``(N, 3)``; see ``geometry.euler_degrees``."""
        return geometry.euler_degrees(self.rotation)


def features(points: Tensor) -> Tensor:
    """Eyes, nose and corners of the mouth ``(N, 5, 2)`` of meshes ``(N, 468, 3)``, as in ``Faces.landmarks``."""
    return torch.stack([points[:, rows, :2].mean(1) for rows in map(list, FEATURES)], dim=1)


def measure_expression(shapes: Tensor) -> Tensor:
    """The lengths named in ``EXPRESSIONS``, in distances between the eyes: ``(N, 468, 3)`` -> ``(N, 8)``."""
    lips = (shapes[:, 13] + shapes[:, 14]) / 2
    corners = (shapes[:, 61] + shapes[:, 291]) / 2

    def apart(a: int, b: int) -> Tensor:
        return (shapes[:, a] - shapes[:, b]).norm(dim=1)

    return torch.stack(
        [
            apart(13, 14),
            apart(61, 291),
            lips[:, 1] - corners[:, 1],
            corners[:, 0],
            shapes[:, 33, 1] - shapes[:, 105, 1],
            shapes[:, 263, 1] - shapes[:, 334, 1],
            shapes[:, 145, 1] - shapes[:, 159, 1],
            shapes[:, 374, 1] - shapes[:, 386, 1],
        ],
        dim=1,
    )


def extend_outline(shapes: Tensor, reach: float) -> Tensor:
    """Add a ring of points around the mesh, which ends at jaw, cheeks and mid forehead.

    At a reach of 1 the ring lies at the hairline, and a little beyond jaw and ears, where the head curves away; at 0 on
    the rim of the mesh.

    Args:
        shapes: ``(N, 468, 3)``, canonical.
        reach: how far out.

    Returns:
        ``(N, 504, 3)``: the mesh, then one point for each of ``OVAL``.
    """
    oval = shapes[:, OVAL]
    centre = shapes[:, [6]] + torch.tensor([0.0, 0.15, 0.0], device=shapes.device)
    outward = torch.nn.functional.normalize((oval - centre)[..., :2], dim=-1)
    upward = (-outward[..., 1]).clamp(min=0).square()
    away = torch.cat([outward * (0.10 + 0.28 * upward)[..., None], (0.12 + 0.05 * upward)[..., None]], dim=-1)
    ring = oval + reach * away
    return torch.cat([shapes, ring], dim=1)


@dataclass(frozen=True, eq=False)
class FaceModel:
    """The fitted arrays.

    Attributes:
        mean: ``(468, 3)``, the average face.
        expressions: ``(6, 468, 3)``, how the shape moves with each length of ``measure_expression`` but the eyes'.
        triangles: ``(T, 3)`` int64 over the 504 points of ``extend_outline``.
        own: ``(468,)``, share of each point that a new face takes from its own person's shape: 1 inside,
            0 at the outline, which has to meet the head it is put on.
    """

    mean: Tensor
    expressions: Tensor
    triangles: Tensor
    own: Tensor

    def pose(self, points: Tensor) -> Pose:
        """The pose of meshes ``(N, 468, 3)``."""
        return Pose(*geometry.fit_similarity(self.mean, points, torch.ones(MESH_POINTS, device=points.device)))

    def fit_landmarks(self, landmarks: Tensor) -> Tensor:
        """The average face ``(N, 468, 3)``, held so that its features lie at ``landmarks (N, 5, 2)``.

        The depth of the features is that of the last fit (POSIT: DeMenthon and Davis, IJCV 1995).
        """
        own = torch.stack([self.mean[rows, :].mean(0) for rows in map(list, FEATURES)])
        shapes = own.expand(len(landmarks), -1, -1)
        size = landmarks.std(1).norm(dim=1) / own[:, :2].std(0).norm()
        depth = shapes[..., 2:] * size[:, None, None]
        for _ in range(LIFTS):
            lifted = torch.cat([landmarks, depth], dim=2)
            pose = Pose(*geometry.fit_similarity(own, lifted, torch.ones(len(own))))
            depth = self.place(shapes, pose)[..., 2:]
        return self.place(self.mean.expand(len(landmarks), -1, -1), pose)

    def conditions(self, points: Tensor) -> Tensor:
        """Yaw, pitch, mouth open, mouth width ``(N, 4)`` of meshes ``(N, 468, 3)``; see ``generate.condition``."""
        pose = self.pose(points)
        return torch.cat([pose.degrees[:, :2], measure_expression(self.unpose(points, pose))[:, :2]], dim=1)

    def unpose(self, points: Tensor, pose: Pose) -> Tensor:
        """Canonical shapes of meshes ``(N, P, 3)``, expression included."""
        centred = points - pose.shift[:, None]
        return centred @ pose.rotation / pose.scale[:, None, None]

    def place(self, shapes: Tensor, pose: Pose) -> Tensor:
        """Canonical shapes ``(N, P, 3)`` held in a pose."""
        turned = shapes @ pose.rotation.transpose(1, 2)
        return turned * pose.scale[:, None, None] + pose.shift[:, None]

    def outline(self, points: Tensor) -> Tensor:
        """Meshes ``(N, 468, 3)`` with a ring around them, up to the hairline: ``(N, 504, 3)``."""
        pose = self.pose(points)
        return self.place(extend_outline(self.unpose(points, pose), 1), pose)

    def normals(self, points: Tensor) -> Tensor:
        """Unit normals at the points of meshes ``(N, 468, 3)``, canonical or in pixels."""
        return geometry.vertex_normals(extend_outline(points, 1), self.triangles)[:, :MESH_POINTS]

    def facing(self, points: Tensor) -> Tensor:
        """How far each point of meshes ``(N, 468, 3)`` faces the camera: 1 straight on, -1 at its back."""
        return -self.normals(points)[..., 2]

    def express(self, shapes: Tensor, expression: Tensor) -> Tensor:
        """Give canonical shapes ``(N, 468, 3)`` the expression ``(N, 8)`` instead of their own."""
        change = (expression - measure_expression(shapes))[:, :LINEAR]
        shapes = shapes + torch.einsum("ne,epc->npc", change, self.expressions)
        wanted, own = (lengths[:, LINEAR:] - SHUT for lengths in (expression, measure_expression(shapes)))
        opening = (wanted / own.clamp(min=SHUT)).clamp(*OPENING)
        for side, (lower, upper) in enumerate(zip(LOWER_LIDS, UPPER_LIDS, strict=True)):
            shapes[:, upper] = torch.lerp(shapes[:, lower], shapes[:, upper], opening[:, side, None, None])
        return shapes


@cache
def load_face_model() -> FaceModel:
    """The fitted model that is part of the package, on the host."""
    data = (files("anonymizer") / "face_model.safetensors").read_bytes()
    return FaceModel(**safetensors.torch.load(data))
