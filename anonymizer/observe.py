"""Looks at the real faces: what the new ones take over from them, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry, light, sharpness
from anonymizer.batches import UNTRACKED, Faces, Frames, Meshes
from anonymizer.canvas import Canvases
from anonymizer.face_model import FaceModel
from anonymizer.mesh import MeshEstimator, crop_of_mesh
from anonymizer.occlusion import OcclusionEstimator, hidden_points, hidden_share
from anonymizer.trust import Belief, believe

FADES = 60  # frames after which a light that was measured earlier is forgotten; until then, doubt about it doubles
LIKELY, UNLIKELY = 1.25, 1.75  # doubt over that about an earlier light, from which that one begins to count, and alone
LEAST = 0.01  # square of the share of a face that is taken to be seen

GUESS = 0.35  # how much larger a mesh is made, times the share of it that lies beyond the border
FRONTAL = 10.0  # degrees by which portraits are turned less than the face
SHARP = 1.0  # detail of a face of which too little lies in the frame to tell


def keep_light(observed: Iterable[tuple[Frames, Belief]]) -> Iterator[tuple[Frames, Belief]]:
    """Give faces of a video that something hides in part the light, and the sharpness, that they had shortly before.

    What stands before a face has another colour: where it is not told from skin, that seems to vary more than it did.
    Where a cut shows the same person in harder light, that of the other scene is kept too long.

    Args:
        observed: its frames in order, in batches, with tracked faces.
    """
    known: dict[int, tuple[int, float, Tensor]] = {}  # by track: frame of the video, doubt, look
    start = 0  # frames that went by
    for frames, belief in observed:
        look, doubts = belief.look.clone(), _doubt(belief).tolist()
        for row in belief.usable.nonzero()[:, 0].tolist():
            track, number = int(belief.faces.tracks[row]), start + int(belief.faces.frame[row])
            since, least, before = known.get(track, (number, doubts[row], look[row]))
            ratio = doubts[row] / (least * (1 + (number - since) / FADES))
            if ratio <= 1 or number - since > FADES or track == UNTRACKED:
                known[track] = number, doubts[row], belief.look[row]
                continue
            look[row] = look[row].lerp(before, min(max((ratio - LIKELY) / (UNLIKELY - LIKELY), 0), 1))
        start += len(frames)
        known = {track: light for track, light in known.items() if start - light[0] <= FADES}
        yield frames, replace(belief, look=look)


def _doubt(belief: Belief) -> Tensor:
    """How far it is from sure that the light was measured on skin alone, and on enough of it, ``(N,)``, more than 0."""
    measured, shown = light.Light.of(belief.look[:, : light.NUMBERS]), 1 - hidden_share(belief)
    return (measured.contrast + measured.saturation + 1 - belief.meshes.presence) / shown.square().clamp(min=LEAST)


class Observer:
    """Measures shape, light and sharpness of faces.

    Args:
        estimator: finds the meshes.
        model: the face model, on the host.
        occlusion: finds what is before faces; without it, nothing is.
    """

    def __init__(self, estimator: MeshEstimator, model: FaceModel, occlusion: OcclusionEstimator | None = None) -> None:
        self._estimator, self._model, self._occlusion = estimator, model, occlusion

    def observe(self, frames: Frames, faces: Faces) -> Belief:
        """See ``Belief``; all faces of a batch together."""
        belief = believe(self._estimator.estimate(frames, faces), faces, self._model)
        rows = belief.usable.nonzero()[:, 0]
        if not len(rows):
            return belief
        if self._occlusion:
            belief = replace(belief, before=self._occlusion.estimate(frames, belief))
        meshes, look, conditions = belief.meshes[rows], belief.look.clone(), belief.conditions.clone()
        look[rows] = self._look(frames, belief.faces.frame[rows], meshes, hidden_points(belief, rows))
        points = belief.meshes.points.clone()
        points[rows] = _generous(meshes.points, frames.size)
        conditions[rows] = _turned_less(self._model.conditions(meshes.points))
        return replace(belief, meshes=replace(belief.meshes, points=points), look=look, conditions=conditions)

    def _look(self, frames: Frames, frame: Tensor, meshes: Meshes, hidden: Tensor) -> Tensor:
        crops = crop_of_mesh(meshes.points)
        to_patch = geometry.square_to_patch(crops.centre, crops.side, torch.zeros(len(frame)), light.SIDE)
        pictures = geometry.cut_patches(frames.pixels, frame, to_patch, light.SIDE).cpu()
        points = geometry.apply_affine(to_patch, meshes.points[..., :2]) / light.SIDE
        shades = light.measure(pictures, points, self._model.normals(meshes.points), hidden)
        canvases = Canvases.around(self._model.outline(meshes.points))
        details = [_detail(frames.pixels[index], canvases, row) for row, index in enumerate(frame.tolist())]
        return torch.cat([shades, (torch.stack(details) / frames.peak).log()], dim=1)


def _generous(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Meshes ``(N, 468, 3)``, larger around what frames of ``size`` show of them: how large the rest is, is a guess."""
    shown = geometry.within(points, size)[..., None].float()
    centre = (points * shown).sum(1, keepdim=True) / shown.sum(1, keepdim=True).clamp(min=1)
    share = shown.mean(1, keepdim=True)
    return torch.where(share > 0, centre + (points - centre) * (1 + GUESS * (1 - share)), points)


def _turned_less(conditions: Tensor) -> Tensor:
    """Conditions ``(N, 4)``, the yaw nearer to 0: where a portrait is turned further than the face, the little that it
    shows of the far side gets stretched.
    """
    yaw = conditions[:, :1]
    return torch.cat([yaw - yaw.clamp(-FRONTAL, FRONTAL), conditions[:, 1:]], dim=1)


def _detail(picture: Tensor, canvases: Canvases, row: int) -> Tensor:
    """The detail ``(3,)`` of ``picture (H, W, 3)`` in the middle of a canvas, in units of a colour."""
    step, size = int(canvases.step[row]), int(canvases.size[row])
    low, high = (int(share * size) * step for share in sharpness.MIDDLE)
    (x0, y0), (x1, y1) = ((canvases.corner[row] + at).clamp(min=0).tolist() for at in (low, high))
    region = picture[y0:y1, x0:x1].permute(2, 0, 1)[None].float()
    if min(region.shape[2:]) < 3 * step * sharpness.SCALES[-1]:
        return torch.full((len(sharpness.SCALES),), SHARP * torch.iinfo(picture.dtype).max)
    return sharpness.detail(F.avg_pool2d(region, step) if step > 1 else region)[0].cpu()
