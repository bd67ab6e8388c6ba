"""Portraits without hair over the face: on another head, a persona's own hair gives away that the face is not its own.

Skin is told from what hangs over it by GrabCut (Rother, Kolmogorov and Blake, "GrabCut", SIGGRAPH 2004), portrait by
portrait, from the colours in the middle of the face and those around it. Where that is bare, too, as the head of
somebody who is bald, a part of the forehead is mistaken for hair, but is as smooth and of the same colour as skin.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import MESH_POINTS
from anonymizer.face_model import OVAL, FaceModel
from anonymizer.fill import fill

SIDE = 128  # pixels at which skin is told from hair
ROUNDS = 2
JAW = (136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365)
MIDDLE = (105, 66, 107, 336, 296, 334, 263, 33, 280, 50, *JAW)  # nothing hangs over what is between these
EYES = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 340, 448, 450, 228, 230, 111)
AROUND = 0.3  # of a face, how far beyond it hair is looked at
DISTANCE, ROUGHNESS = 3.6, 0.9  # in deviations of skin and over its roughness, below which hair is skin after all
NOISE = (9.0, 2.0, 2.0)  # least variance of skin, CIELAB
FEWEST = 100  # pixels of sure skin with which hair can be told from it
MARGIN = 7  # pixels around hair and eyes from which no colour is taken
SOFT = 3  # pixels over which skin passes into what is painted


def bare(portraits: Tensor, points: Tensor, model: FaceModel) -> Tensor:
    """Paint what hangs over faces, and all that is around them, as the skin beside it.

    Args:
        portraits: ``(N, 3, S, S)`` float32 in 0..1, RGB, S a power of two and at least ``SIDE``.
        points: meshes ``(N, 468, 3)`` in pixels.
        model: the face model, on the host.
    """
    size = portraits.shape[-1]
    small, pairs = _small(portraits, points, model)
    masks = [_skin(picture, mesh) for picture, mesh in pairs]
    skin, known = (torch.from_numpy(np.stack(parts))[:, None].to(small.device) for parts in zip(*masks, strict=True))
    painted = F.interpolate(fill(small, known), size, mode="bilinear", align_corners=False)
    covered = F.max_pool2d((~skin).float(), SOFT, 1, SOFT // 2)
    share = geometry.enlarge(F.avg_pool2d(covered, SOFT, 1, SOFT // 2, count_include_pad=False), size // SIDE)
    return torch.lerp(portraits, painted, share)


def hidden(portraits: Tensor, points: Tensor, model: FaceModel) -> Tensor:
    """The share ``(N,)`` of each face that something hangs over; arguments as for ``bare``."""
    shares = []
    for picture, mesh in _small(portraits, points, model)[1]:
        face = _inside(mesh[list(OVAL)])
        shares.append((face & ~_skin(picture, mesh)[0]).sum() / max(1, face.sum()))
    return torch.tensor(shares, dtype=torch.float32)


def _small(portraits: Tensor, points: Tensor, model: FaceModel) -> tuple[Tensor, list[tuple[np.ndarray, np.ndarray]]]:
    """Portraits ``(N, 3, SIDE, SIDE)``, and for each what ``_skin`` looks at."""
    size = portraits.shape[-1]
    meshes = torch.cat([points, model.outline(points)[:, MESH_POINTS:]], dim=1)[..., :2] * (SIDE / size)
    small = F.avg_pool2d(portraits, size // SIDE)
    pictures = (small * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return small, list(zip(pictures, meshes.numpy(), strict=True))


def _skin(picture: np.ndarray, mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a face ``(SIDE, SIDE, 3)`` uint8 with ``mesh (504, 2)`` is bare; and where there surely is only skin.

    Both ``(SIDE, SIDE)`` bool.
    """
    # beyond the hairline there is no skin
    middle, face, head = _hull(mesh[list(MIDDLE)]), _inside(mesh[list(OVAL)]), _inside(mesh[MESH_POINTS:])
    labels = np.select([middle, face, head], [cv2.GC_FGD, cv2.GC_PR_FGD, cv2.GC_PR_BGD], cv2.GC_BGD)
    low, high = mesh[:MESH_POINTS].min(0), mesh[:MESH_POINTS].max(0)
    around = AROUND * (high - low)
    left, top = (low - around).clip(0, SIDE).astype(int)
    right, bottom = (high + around).clip(0, SIDE).astype(int)
    part = slice(top, bottom), slice(left, right)
    if not {cv2.GC_FGD, cv2.GC_BGD} <= set(labels[part].flat):
        return np.ones((SIDE, SIDE), bool), middle  # no face in the picture, or nothing else
    cut = labels[part].astype(np.uint8)
    colours, others = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)  # the same portrait is always bared in the same way
    cv2.grabCut(picture[part].copy(), cut, (0, 0, 0, 0), others, colours, ROUNDS, cv2.GC_INIT_WITH_MASK)
    skin = np.zeros((SIDE, SIDE), bool)
    skin[part] = (cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD)
    eyes = cv2.dilate(_hull(mesh[list(EYES)]).astype(np.uint8), np.ones((MARGIN, MARGIN))) > 0
    sure = _shrunk(skin) & ~eyes
    if (sure & middle).sum() < FEWEST:
        return np.ones_like(skin), sure
    skin |= _mistaken(picture, face & ~skin, sure & middle)
    return skin, _shrunk(skin) & ~eyes


def _mistaken(picture: np.ndarray, hair: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The parts of ``hair (SIDE, SIDE)`` bool that look like sure ``skin``."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    rough = np.abs(cv2.Laplacian(lab[..., 0], cv2.CV_32F))
    off = lab - np.median(lab[skin], axis=0)
    precision = np.linalg.inv(np.cov(lab[skin].T) + np.diag(NOISE))
    distance = np.sqrt(np.einsum("yxi,ij,yxj->yx", off, precision, off))
    count, parts = cv2.connectedComponents(hair.astype(np.uint8))
    alike = [
        part
        for part in range(1, count)
        if np.median(distance[parts == part]) < DISTANCE
        and rough[parts == part].mean() < ROUGHNESS * rough[skin].mean()
    ]
    return np.isin(parts, alike)


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((MARGIN, MARGIN))) > 0


def _hull(points: np.ndarray) -> np.ndarray:
    return _inside(cv2.convexHull(points))


def _inside(outline: np.ndarray) -> np.ndarray:
    """``(SIDE, SIDE)`` bool, of a polygon ``(P, 2)``."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], 1)
    return mask.astype(bool)
