"""Tells hair that hangs over the rim of a face from its skin, for a network to learn it from. For training only.

The colours of the middle of a face, beards included, and those of what is above and beside it are learnt as two
mixtures of Gaussians; the border between them follows edges: GrabCut (Carsten Rother et al., 2004,
https://doi.org/10.1145/1015706.1015720). A guided filter (Kaiming He et al., 2010,
https://doi.org/10.1007/978-3-642-15549-9_1) makes it as soft as they are. Only a band along the outline may be hair,
never brows, eyes, nose or mouth; and where much of the face would be, nothing is.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer.occlusion import filled

INSIDE, AROUND = 0.08, 0.06  # width of the band within the outline of a mesh, and of that beyond it, in sides of a crop
MOST = 0.3  # share of a face that may be hair
FEW = 200  # pixels, too few to learn colours from
OTHER, SPREAD = 2.3, 3.0  # deviations from the skin's colour from which one is another, and what is added to them
SOFT, EDGE = 3, 1e-3  # radius of the guided filter in pixels, and the variance from which on a step is an edge
BROWS, EYES, MOUTH = (46, 53, 52, 65, 55, 285, 295, 282, 283, 276), (33, 263), (61, 291, 17)
NOSE, CHIN = 4, 152
NOWHERE = (0, 0, 0, 0)  # rectangle, of which OpenCV takes no notice

Picture = NDArray[Any]  # (S, S, 3) uint8 RGB
Mask = NDArray[Any]  # (S, S)
Points = NDArray[Any]  # (468, 2)
Colours = tuple[NDArray[Any], NDArray[Any]]  # of what is not the face, and of the face, as OpenCV has it


def hair_before(pictures: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """How surely hair is before faces, 0 to 1, and where that is told, 0 or 1: two ``(N, 1, S, S)`` float32.

    What is further away from a face, and not of the colour of skin, is called hair, too. Nothing is told where a
    feature reaches the rim of a face, as in heads that are turned.

    Args:
        pictures: upright crops ``(N, 3, S, S)`` float32 RGB in 0..1, on the host.
        points: meshes ``(N, 468, 2)`` in pixels of these.
    """
    pixels = (pictures.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    found = [_hair(picture, mesh) for picture, mesh in zip(pixels, points.numpy(), strict=True)]
    hair, told = (torch.from_numpy(np.stack(masks))[:, None] for masks in zip(*found, strict=True))
    return hair, told


def _hair(picture: Picture, points: Points) -> tuple[Mask, Mask]:
    size = len(picture)
    face, features = filled(points, size), filled(points[[*BROWS, *EYES, *MOUTH]], size)
    inner = cv2.erode(face, _disc(INSIDE * size), borderValue=0)
    middle = np.maximum(inner, features)
    around = cv2.dilate(face, _disc(AROUND * size))
    nothing = np.zeros((2, size, size), np.float32)
    if middle.sum() < FEW:
        return nothing[0], nothing[1]
    beyond = _other(picture, middle) & (face == 0) & (np.arange(size)[:, None] < points[NOSE, 1])
    if beyond.sum() < FEW:
        return nothing[0], nothing[1]
    labels = np.where(beyond & (around == 0), cv2.GC_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    labels[middle > 0] = cv2.GC_FGD
    shown = labels[: int(np.clip(points[CHIN, 1], 1, size))]
    colours = _learn(picture[beyond], picture[middle > 0])
    cv2.grabCut(picture[: len(shown)], shown, NOWHERE, *colours, 1, cv2.GC_EVAL_FREEZE_MODEL)
    hair = np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)) & (around > 0)
    if (hair & (face > 0)).sum() > MOST * face.sum():
        return nothing[0], nothing[1]
    told = beyond | (around > 0) & ((features == 0) | (inner > 0))
    return _softened((hair | beyond).astype(np.float32), picture) * (middle == 0), told.astype(np.float32)


def _learn(others: NDArray[Any], skin: NDArray[Any]) -> Colours:
    """The colours of pixels ``(P, 3)`` and ``(Q, 3)``."""
    row = np.concatenate([others, skin])[None]
    labels = np.array([cv2.GC_BGD] * len(others) + [cv2.GC_FGD] * len(skin), np.uint8)[None]
    colours = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the mixtures begin with random middles: so they are the same each time
    cv2.grabCut(row, labels, NOWHERE, *colours, 1, cv2.GC_INIT_WITH_MASK)
    return colours


def _disc(radius: float) -> Mask:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2)


def _other(picture: Picture, middle: Mask) -> Mask:
    """What is not of the colour of the ``middle``, as bald heads and ears are."""
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    away = np.abs(colours - np.median(colours[middle > 0], axis=0))
    return np.any(away > OTHER * (np.median(away[middle > 0], axis=0) + SPREAD), axis=2)


def _softened(mask: Mask, picture: Picture) -> Mask:
    """The mask, its edges those of the picture."""
    guide = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255

    def mean(values: Mask) -> Mask:
        return cv2.blur(values, (2 * SOFT + 1,) * 2)

    slope = (mean(guide * mask) - mean(guide) * mean(mask)) / (mean(guide * guide) - mean(guide) ** 2 + EDGE)
    return np.clip(mean(slope) * guide + mean(mean(mask) - slope * mean(guide)), 0, 1)
