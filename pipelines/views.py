"""Faces in pictures, and which of them are which."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import Faces, Frames, Meshes
from anonymizer.detect.base import OVERLAP


class View(NamedTuple):
    """Faces in frames, and their meshes, row by row."""

    frames: Frames
    faces: Faces
    meshes: Meshes

    def rows(self, index: Tensor) -> View:
        """Only these faces."""
        return View(self.frames, self.faces[index], self.meshes[index])


def nearest(faces: Faces, frames: Frames) -> Tensor:
    """The row of the face that is nearest to the middle of each of ``frames``, -1 without one: ``(F,)``."""
    middle = torch.tensor(frames.size[::-1]) / 2
    away = ((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - middle).norm(dim=1) - faces.sizes.amax(1) / 2
    rows = torch.full((len(frames),), -1)
    for row in away.argsort(descending=True).tolist():
        rows[faces.frame[row]] = row
    return rows


def same(faces: Faces, found: Faces) -> Tensor:
    """Which of ``found (M,)`` is in the place of each of ``faces (N,)``, of the same frame: its row, or -1."""
    if not len(found):
        return torch.full((len(faces),), -1)
    overlaps, rows = (geometry.box_iou(faces.boxes, found.boxes) * (faces.frame[:, None] == found.frame)).max(1)
    return rows.where(overlaps > OVERLAP, -1)
