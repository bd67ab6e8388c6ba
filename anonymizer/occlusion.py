"""Sees what stands before a face, as hands, hair, glasses and microphones do: it stays in the picture.

The network was trained on synthetic faces by ``generate/fit_occlusion.py``. It is not trusted with much: where most of
a face is said to be hidden, or most of its features, all of the face is replaced.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import Faces, Frames, Patches
from anonymizer.face_model import LEFT_EYE, LEFT_LIDS, RIGHT_EYE, RIGHT_LIDS, FaceModel, load_face_model
from anonymizer.mesh import crop_of_mesh
from anonymizer.networks.occlusion_net import SIZE, OcclusionNet
from anonymizer.render import PROFILE
from anonymizer.trust import EXPECTED, PRESENCE, Belief

LIKELY, SURE = 0.4, 0.7  # chances that something is before the face: from the one on it shows through, then alone
SOLID, EDGE = 0.6, 2  # how much of a thing shows where it holds together, and pixels around in which less does
MOST = 0.6  # share of a face that may be hidden
HIDDEN = 0.5  # share of an eye, of the nose or of the mouth from which it is,
FEATURES = 2  # and how many of these may be: a mask hides two, and so do dark glasses
RING = SIZE // 6  # pixels of a crop
SMALLEST = 40.0  # pixels, side of a crop in which things can be told apart
WHOLE = 0.99  # share of a mesh that has to lie in the picture
STEEPEST = torch.tensor([40.0, 20.0])  # degrees of yaw and pitch, hardly more than the network was trained on
NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 98, 327, 48, 278)
LIPS = (61, 291, 0, 17, 13, 14, 37, 267, 84, 314, 40, 270, 91, 321)


class OcclusionEstimator:
    """Finds what hides faces, all of a batch in one forward pass.

    Args:
        model: the face model, on the host.
        device: where the network runs.
    """

    def __init__(self, model: FaceModel, device: torch.device) -> None:
        self._model = model
        self._network = load_network(device)

    def estimate(self, frames: Frames, belief: Belief) -> Tensor:
        """See ``Belief.before``; nothing where a face is small, seen from the side, cut by the border, only expected,
        or not known by shape.
        """
        before = belief.before.clone()
        rows = self._clear(frames, belief).nonzero()[:, 0]
        if len(rows):
            to_crop = to_crop_of(belief.meshes.points[rows])
            pictures = geometry.cut_patches(frames.pixels, belief.faces.frame[rows], to_crop, SIZE)
            chances = self._network(pictures).sigmoid().nan_to_num(0).cpu()
            before[rows] = (chances * 255).round().byte()
        return before

    def _clear(self, frames: Frames, belief: Belief) -> Tensor:
        """Which faces are seen so well that there is anything to tell ``(N,)``."""
        clear = belief.usable & ~belief.average
        clear &= (belief.faces.scores > EXPECTED) & (belief.meshes.presence >= PRESENCE)
        points = belief.meshes.points[clear]
        whole = geometry.within(points, frames.size).float().mean(1) >= WHOLE
        facing = (self._model.pose(points).degrees[:, :2].abs() <= STEEPEST).all(1)
        clear[clear.clone()] = whole & facing & (crop_of_mesh(points).side >= SMALLEST)
        return clear


def load_network(device: torch.device) -> engines.Engine:
    """Takes crops of meshes ``(N, 3, SIZE, SIZE)``, see ``to_crop_of``, and gives logits ``(N, 1, SIZE, SIZE)``."""
    network = weights.shipped(OcclusionNet(), "occlusion")
    return engines.compile(network, device, torch.rand(2, 3, SIZE, SIZE))


def uncover(belief: Belief, rows: Tensor, patches: Patches) -> Patches:
    """Let show through patches what stands before faces.

    Nothing does beyond the outline of a mesh and the ring around it, nor in the box of another face.

    Args:
        belief: all faces of the frames.
        rows: ``(N,)`` int64, the faces that the patches are for.
        patches: what hides these faces, one each, not turned.

    Returns:
        The patches, less opaque there.
    """
    before = visible(belief, rows)
    chosen = before.any((1, 2, 3)).nonzero()[:, 0]
    if not len(chosen):
        return patches
    before, rows, opaque = before[chosen], rows[chosen], patches[chosen]
    to_crop = to_crop_of(belief.meshes.points[rows])
    through = _moved(before.to(opaque.alpha.device), to_crop, opaque) * (1 - _others(belief.faces, rows, opaque))
    alpha = patches.alpha.clone()
    alpha[chosen] *= 1 - through
    return replace(patches, alpha=alpha)


def visible(belief: Belief, rows: Tensor) -> Tensor:
    """How much of what is before faces ``rows (N,)`` shows, in crops of meshes: ``(N, 1, SIZE, SIZE)``, 0 to 1."""
    before = ((belief.before[rows] / 255 - LIKELY) / (SURE - LIKELY)).clamp(0, 1)
    some = before.any((1, 2, 3)).nonzero()[:, 0]
    if len(some):
        points = belief.meshes.points[rows[some]]
        flat = geometry.apply_affine(to_crop_of(points), points[..., :2])
        faces = outlines(flat, SIZE)
        turned = load_face_model().pose(points).degrees[:, 0].abs() > PROFILE[0]
        reaching = _from_outside(before[some] * _ringed(faces, flat, turned), faces)
        before[some] = reaching * _believed(reaching, flat, faces)[:, None, None, None]
    return before


def hidden_points(belief: Belief, rows: Tensor) -> Tensor:
    """How surely something is before each point of the meshes of faces ``rows (N,)``: ``(N, 468)``, 0 to 1."""
    points = belief.meshes.points[rows]
    places = geometry.apply_affine(to_crop_of(points), points[..., :2]) / SIZE
    return geometry.sample(belief.before[rows] / 255, places)[:, 0]


def hidden_share(belief: Belief) -> Tensor:
    """The share of the points of each face before which rather something is than not, ``(N,)``."""
    shares, rows = torch.zeros(len(belief.faces)), belief.before.any((1, 2, 3)).nonzero()[:, 0]
    shares[rows] = (hidden_points(belief, rows) > 0.5).float().mean(1)
    return shares


def filled(points: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """The convex hull of ``points (P, 2)``: ``(size, size)`` uint8, 1 inside."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.ascontiguousarray(points)).round().astype(np.int32), 1)
    return mask


def outlines(points: Tensor, size: int) -> Tensor:
    """The convex hulls of ``points (N, P, 2)``: ``(N, 1, size, size)`` float32, 1 inside."""
    return torch.from_numpy(np.stack([filled(corners, size) for corners in points.numpy()])).float()[:, None]


def to_crop_of(points: Tensor) -> Tensor:
    """From the picture into the crops that the network sees of meshes ``(N, 468, 3)``: ``(N, 2, 3)``."""
    crops = crop_of_mesh(points)
    return geometry.square_to_patch(crops.centre, crops.side, crops.angle, SIZE)


def _ringed(faces: Tensor, points: Tensor, turned: Tensor) -> Tensor:
    """The outlines with the rings around them in which patches fade; of heads that are ``turned (N,)`` only above the
    eyes, as further down it hides the real nose.
    """
    ringed = faces.clone()
    for mask, corners, away in zip(ringed[:, 0].numpy(), points.numpy(), turned.tolist(), strict=True):
        eyes = int(corners[[LEFT_EYE[0], RIGHT_EYE[1]], 1].mean().clip(0, SIZE)) if away else SIZE
        mask[:eyes] = cv2.dilate(mask, np.ones((2 * RING + 1, 2 * RING + 1)))[:eyes]
    return ringed


def _from_outside(before: Tensor, faces: Tensor) -> Tensor:
    """Only what reaches into faces from their outlines, as things do; islands are rather skin.

    Things hold together where they are sure, as else the edge of one would be a bridge to others.
    """
    kept = np.zeros(before.shape, np.float32)
    for target, parts, face in zip(kept[:, 0], (before > SOLID)[:, 0].numpy(), faces[:, 0].numpy(), strict=True):
        _, labels = cv2.connectedComponents(parts.astype(np.uint8))
        rim = cv2.erode(face, np.ones((5, 5)), borderValue=0) == 0
        reaching = np.isin(labels, np.unique(labels[rim & parts])) & parts
        target[...] = cv2.dilate(reaching.astype(np.uint8), np.ones((2 * EDGE + 1, 2 * EDGE + 1)))
    return before * torch.from_numpy(kept)


def _believed(before: Tensor, points: Tensor, faces: Tensor) -> Tensor:
    """Whether so much of each face may be hidden ``(N,)``."""
    at_points = geometry.sample(before, points / SIZE)[:, 0]
    features = torch.stack([at_points[:, part].mean(1) for part in (LEFT_LIDS, RIGHT_LIDS, NOSE, LIPS)], dim=1)
    area = (before * faces).sum((1, 2, 3)) / faces.sum((1, 2, 3)).clamp(min=1)
    return (area <= MOST) & (at_points.mean(1) <= MOST) & ((features > HIDDEN).sum(1) <= FEATURES)


def _moved(before: Tensor, to_crop: Tensor, patches: Patches) -> Tensor:
    """``before (N, 1, SIZE, SIZE)`` as it lies in the patches ``(N, 1, S, S)``; nothing beyond its border."""
    side = patches.alpha.shape[-1]
    from_patch = geometry.invert_affine(patches.to_patch)
    linear = to_crop[:, :, :2] @ from_patch[:, :, :2]
    shift = geometry.apply_affine(to_crop, from_patch[:, None, :, 2])[:, 0]
    # affine_grid counts in halves of a side from the middle
    middle = (linear @ torch.full((2, 1), side / 2))[..., 0] + shift
    theta = torch.cat([linear * (side / SIZE), (middle * (2 / SIZE) - 1)[..., None]], dim=2)
    grid = F.affine_grid(theta.to(before.device), [len(before), 1, side, side], align_corners=False)
    return F.grid_sample(before, grid, align_corners=False)


def _others(faces: Faces, rows: Tensor, patches: Patches) -> Tensor:
    """Where in the patches ``(N, 1, S, S)`` other faces lie: 1 there, else 0."""
    side = patches.alpha.shape[-1]
    where = torch.zeros(len(rows), 1, side, side)
    for place, row in enumerate(rows.tolist()):
        near = (faces.frame == faces.frame[row]) & (torch.arange(len(faces)) != row)
        corners = geometry.apply_affine(patches.to_patch[place][None], faces.boxes[near].reshape(1, -1, 2))
        for x0, y0, x1, y1 in corners.reshape(-1, 4).clamp(0, side).round().int().tolist():
            where[place, 0, y0:y1, x0:x1] = 1
    return where.to(patches.alpha.device)
