"""What a face shows besides its pose: how it is measured in pictures that the generator drew."""

from __future__ import annotations

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.face_model import LEFT_LIDS, RIGHT_LIDS

FOREHEAD = [10, 338, 297, 332, 109, 67, 103, 151, 108, 337, 69, 299, 104, 333]
CHEEKS = [50, 280, 101, 330, 205, 425, 118, 347, 6, 197]
UPPER = [8, 9, 168, 151, 108, 337, 223, 443]  # above the eyes, between and over the brows
BEARD = [164, 167, 393, 165, 391, 199, 200, 175, 194, 418, 211, 431, 138, 367]
BROWS_TO_CHIN = [105, 334, 152, 234, 454]
COLUMNS, ROWS = 25, 7  # places at which an eye is looked at
DARK = 12.0  # how much more a place of an eye counts for being darker: e to the power of that times brightness


def skin(pictures: Tensor, points: Tensor) -> Tensor:
    """Colour of the skin ``(N,)``: the individual typology angle of the cheeks in degrees, from -90 (dark) to 90.

    Chardon, Cretois and Hourseau, "Skin colour typology and suntanning pathways", 1991.
    """
    colour = colours(pictures, points[:, CHEEKS]).median(1).values
    lab = torch.from_numpy(cv2.cvtColor(colour[:, None].contiguous().numpy(), cv2.COLOR_RGB2LAB))[:, 0]
    return torch.atan2(lab[:, 0] - 50, lab[:, 2].clamp(min=1)).rad2deg()


def fringe(pictures: Tensor, points: Tensor) -> Tensor:
    """How much hair hangs over the forehead ``(N,)``; the unit does not matter."""
    usual = colours(pictures, points[:, CHEEKS]).median(1, keepdim=True).values
    return ((colours(pictures, points[:, FOREHEAD]) - usual).norm(dim=2).mean(1) + 0.01).log()


def shade(pictures: Tensor, points: Tensor) -> Tensor:
    """How much darker than the cheeks it is above the eyes, as below the brim of a hat ``(N,)``: a logarithm."""
    cheeks, upper = (
        (colours(pictures, points[:, places]).mean(2) + 0.01).log().median(1).values for places in (CHEEKS, UPPER)
    )
    return cheeks - upper


def beard(pictures: Tensor, points: Tensor) -> Tensor:
    """How much darker than the cheeks it is around the mouth ``(N,)``."""
    usual = colours(pictures, points[:, CHEEKS]).median(1, keepdim=True).values
    return (usual - colours(pictures, points[:, BEARD])).mean((1, 2))


def glasses(pictures: Tensor, points: Tensor) -> Tensor:
    """How sharp an edge crosses the bridge of the nose ``(N,)``: a logarithm."""
    edges = (pictures[:, :, 2:] - pictures[:, :, :-2]).abs().mean(1, keepdim=True)
    top, bottom = points[:, 9], points[:, 195]
    aside = points[:, 362] - points[:, 133]
    down = torch.linspace(0.15, 0.85, 24)[None, :, None]
    bridge = [top[:, None] + (bottom - top)[:, None] * down + aside[:, None] * share for share in (-0.25, 0, 0.25)]
    frame = torch.stack([colours(edges, line - torch.tensor([0.0, 1.0])) for line in bridge])
    return (frame.median(0).values.amax((1, 2)) + 0.01).log()


def gaze(pictures: Tensor, points: Tensor) -> Tensor:
    """Where the dark of the eyes lies between their corners ``(N,)``: 0 in the middle, 0.5 right in the picture."""
    looks = []
    for lids, right in ((LEFT_LIDS, 1), (RIGHT_LIDS, -1)):
        eye = points[:, lids]  # the outer corner, the lower lid, the inner corner, the upper lid
        lower, upper = eye[:, :9], torch.cat([eye[:, :1], eye[:, 9:], eye[:, 8:9]], dim=1)
        lines = F.interpolate(
            torch.stack([lower, upper], 1).flatten(2, 3).reshape(len(eye), 2, 9, 2).permute(0, 3, 1, 2),
            (ROWS, COLUMNS),
            mode="bilinear",
            align_corners=True,
        )
        places = lines.flatten(2).transpose(1, 2)
        dark = torch.softmax(-DARK * colours(pictures, places).mean(2), dim=1)
        across = torch.linspace(-0.5, 0.5, COLUMNS).repeat(ROWS)
        looks.append(right * (dark * across).sum(1))
    return torch.stack(looks).mean(0)


def crops(pictures: Tensor, points: Tensor, size: int) -> Tensor:
    """Squares ``(N, 3, size, size)`` from brows to chin, a tenth larger all around."""
    marks = points[:, BROWS_TO_CHIN]
    low, high = marks.amin(1), marks.amax(1)
    side = 1.2 * (high - low).amax(1)
    to_patch = geometry.square_to_patch((low + high) / 2, side, torch.zeros(len(side)), size)
    where = geometry.apply_affine(geometry.invert_affine(to_patch), geometry.pixel_grid(size, side.device)[None])
    return colours(pictures, where).transpose(1, 2).unflatten(2, (size, size))


def colours(pictures: Tensor, where: Tensor) -> Tensor:
    """Values ``(N, P, C)`` of ``pictures (N, C, H, W)`` at ``where (N, P, 2)``, in pixels."""
    size = torch.tensor([pictures.shape[3], pictures.shape[2]])
    return geometry.sample(pictures, where / size).transpose(1, 2)
