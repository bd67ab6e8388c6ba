"""What a new face keeps of the one that it replaces: place, pose, expression, gaze. Measured by the same networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from anonymizer import geometry
from anonymizer.face_model import LEFT_LIDS, RIGHT_LIDS, FaceModel, features, measure_expression
from anonymizer.generate import attributes
from anonymizer.mesh import crop_of_mesh
from anonymizer.trust import PRESENCE, agrees
from pipelines.views import View

POSE = ("yaw", "pitch", "roll")
EXPRESSION = ("mouth opening", "mouth width", "smile", "eye opening")  # smile: how high the corners of the mouth are
GAZE_SIZE = 256  # pixels, side of the crops in which eyes are looked at
EYE_SMALLEST = 12.0  # pixels, width of an eye from which it is told where it looks


class Change(NamedTuple):
    """Faces before and after, one row a face.

    Attributes:
        mesh: ``(N,)``, mean way of the 468 points in the picture, in distances between the eyes in the picture.
        landmarks: ``(N,)``, the same of the detector's five.
        pose: ``(N, 3)``, degrees by which yaw, pitch and roll differ.
        expression: ``(N, 2, 4)``, before and after, the lengths of ``EXPRESSION`` in distances between the eyes.
        gaze: ``(N, 2)``, before and after, where between its corners the dark of an eye lies; NaN if it is too small.
    """

    mesh: Tensor
    landmarks: Tensor
    pose: Tensor
    expression: Tensor
    gaze: Tensor

    @classmethod
    def cat(cls, parts: Sequence[Change]) -> Change:
        """All rows."""
        return cls(*(torch.cat(values) for values in zip(*parts, strict=True)))


def comparable(view: View) -> Tensor:
    """Whether the mesh of each face is believed ``(N,)``: of others, nothing is known before."""
    return agrees(view.meshes, view.faces) & (view.meshes.presence >= PRESENCE)


def compare(before: View, after: View, model: FaceModel) -> Change:
    """The same faces in two pictures, row by row."""
    one, two = before.meshes.points, after.meshes.points
    eyes = features(one)[:, :2]
    apart = (eyes[:, 1] - eyes[:, 0]).norm(dim=1).clamp(min=1)
    poses = [model.pose(points) for points in (one, two)]
    turn = poses[1].degrees - poses[0].degrees
    shapes = [model.unpose(points, pose) for points, pose in zip((one, two), poses, strict=True)]
    return Change(
        mesh=(two - one)[..., :2].norm(dim=2).mean(1) / apart,
        landmarks=(after.faces.landmarks - before.faces.landmarks).norm(dim=2).mean(1) / apart,
        pose=(torch.remainder(turn + 180, 360) - 180).abs(),
        expression=torch.stack([_expression(shape) for shape in shapes], dim=1),
        gaze=torch.stack([_gaze(before, one), _gaze(after, two)], dim=1),
    )


def summary(change: Change) -> dict[str, Any]:
    """All faces in a few figures."""
    if not len(change.mesh):
        return {"faces": 0}
    seen = ~change.gaze.isnan().any(1)
    return {
        "faces": len(change.mesh),
        "displacement": {name: _spread(getattr(change, name)) for name in ("mesh", "landmarks")},
        "pose": {
            **dict(zip(POSE, change.pose.mean(0).tolist(), strict=True)),
            "mean": float(change.pose.mean()),
        },
        "expression": {name: _kept(change.expression[:, :, row]) for row, name in enumerate(EXPRESSION)},
        "gaze": _kept(change.gaze[seen]) | {"faces": int(seen.sum())},
    }


def _expression(shapes: Tensor) -> Tensor:
    lengths = measure_expression(shapes)
    return torch.cat([lengths[:, :3], lengths[:, 6:].mean(1, keepdim=True)], dim=1)


def _gaze(view: View, points: Tensor) -> Tensor:
    crops = crop_of_mesh(points)
    to_patch = geometry.square_to_patch(crops.centre, crops.side, crops.angle, GAZE_SIZE)
    pictures = geometry.cut_patches(view.frames.pixels, view.faces.frame, to_patch, GAZE_SIZE).cpu()
    looks = attributes.gaze(pictures, geometry.apply_affine(to_patch, points[..., :2]))
    corners = [points[:, [lids[0], lids[8]], :2] for lids in (LEFT_LIDS, RIGHT_LIDS)]
    width = torch.stack([(eye[:, 1] - eye[:, 0]).norm(dim=1) for eye in corners]).amin(0)
    return looks.where(width >= EYE_SMALLEST, torch.nan)


def _spread(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "95th": float(values.quantile(0.95))}


def _kept(values: Tensor) -> dict[str, float | None]:
    """Mean difference of ``values (N, 2)``, before and after, and their correlation, None where there is none."""
    if not len(values):
        return {"error": None, "correlation": None}
    varied = len(values) > 2 and bool((values.std(0) > 0).all())
    correlation = float(np.corrcoef(values.T.numpy())[0, 1]) if varied else None
    return {"error": float((values[:, 1] - values[:, 0]).abs().mean()), "correlation": correlation}
