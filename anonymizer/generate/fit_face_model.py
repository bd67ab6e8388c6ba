"""Fits the face model, ``anonymizer/face_model.safetensors``.

``python -m anonymizer.generate.fit_face_model FACES.safetensors``; FACES come from ``sample_faces``.
"""

from __future__ import annotations

from pathlib import Path

import click
import safetensors.torch
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay
from torch import Tensor

from anonymizer import face_model, geometry
from anonymizer.batches import MESH_POINTS
from anonymizer.face_model import LEFT_EYE, OVAL, RIGHT_EYE, FaceModel

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def mirror_order(mean: Tensor) -> Tensor:
    """Which point of ``mean (468, 3)`` is the mirror image of which."""
    for _ in range(3):
        _, order = linear_sum_assignment(torch.cdist(mean * MIRROR, mean).numpy())
        order = torch.from_numpy(order)
        mean = (mean + mean[order] * MIRROR) / 2
    return order


def mean_face(points: Tensor) -> tuple[Tensor, Tensor]:
    """Generalised Procrustes analysis of meshes and their mirror images: mean ``(468, 3)``, shapes ``(2N, 468, 3)``."""
    even = torch.ones(MESH_POINTS)
    mean = points.mean(0) - points.mean((0, 1))
    order = mirror_order(mean / 250)
    both = torch.cat([points, (points * MIRROR)[:, order]])
    for _ in range(12):
        rotation, scale, shift = geometry.fit_similarity(mean, both, even)
        shapes = ((both - shift[:, None]) @ rotation) / scale[:, None, None]
        mean = shapes.mean(0)
        mean = (mean + mean[order] * MIRROR) / 2
        left, right = mean[list(LEFT_EYE)].mean(0), mean[list(RIGHT_EYE)].mean(0)
        mean = (mean - (left + right) / 2) / (left - right).norm()
    rotation, scale, shift = geometry.fit_similarity(mean, both, even)
    return mean, ((both - shift[:, None]) @ rotation) / scale[:, None, None]


def fit_face_model(points: Tensor) -> FaceModel:
    """Mean, expressions, triangles and outline from meshes ``(N, 468, 3)``."""
    mean, shapes = mean_face(points)
    lengths = face_model.measure_expression(shapes)[:, : face_model.LINEAR]
    centred = lengths - lengths.mean(0)
    moves = (shapes - mean).flatten(1)
    gram = centred.T @ centred
    gram += torch.diag(gram.diagonal() / len(lengths))
    expressions = torch.linalg.solve(gram, centred.T @ moves).reshape(-1, MESH_POINTS, 3)
    wide_open = face_model.extend_outline((mean + 0.25 * expressions[0])[None], 1)[0]
    triangles = torch.from_numpy(Delaunay(wide_open[:, :2].numpy()).simplices).long()
    a, b, c = wide_open[triangles][..., :2].unbind(1)
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] > 0
    triangles = torch.where(clockwise[:, None], triangles, triangles.flip(1))
    inward = torch.cdist(mean[:, :2], mean[list(OVAL), :2]).amin(1)
    own = torch.nn.functional.hardtanh(inward / 0.35, 0, 1)
    return FaceModel(mean, expressions, triangles, own)


@click.command()
@click.argument("faces", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(faces: Path) -> None:
    """Fit to FACES, and write the arrays into the package."""
    model = fit_face_model(safetensors.torch.load_file(faces)["points"])
    arrays = {name: value.contiguous() for name, value in vars(model).items()}
    safetensors.torch.save_file(arrays, Path(face_model.__file__).parent / "face_model.safetensors")


if __name__ == "__main__":
    main()
