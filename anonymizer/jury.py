"""Two recognizers that judge together who is who, and whether a new face is like a real one: dlib's and SFace.

They differ in layers, alignment and what they were trained to do. Who has to be unlike to both is less often known by a
third one than who has to be unlike to dlib's alone; how much less, ``anonymizer evaluate`` tells. And together they
know people again better than each of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device as engines
from anonymizer import weights
from anonymizer.batches import Faces, Frames
from anonymizer.identity import PLAIN, Recognizer, cut_chips
from anonymizer.networks.sface import EMBEDDING, SIZE  # dlib's embeddings are as long

# where ArcFace and its kin want the five landmarks (https://arxiv.org/abs/1801.07698), between corners of pixels
ARCFACE = torch.tensor([[38.79, 52.2], [74.03, 52.0], [56.53, 72.24], [42.05, 92.87], [71.23, 92.7]])
# SFace's distance in place of dlib's 0.6, and what there is as much as 1 more here. In place of 0.72 it is then 1.22.
# 0.9 is less than the 1.13 of its makers: to SFace generated people are so much alike that hardly anybody else could
# replace one of them
AT_SAME, STEP = 0.9, 2.67


class Jury:
    """Embeds faces for both.

    Args:
        recognizer: dlib's.
        device: where the other one runs.
        crops: of faces, by which people are known; see ``views``.
    """

    def __init__(
        self, recognizer: Recognizer, device: torch.device, crops: Sequence[tuple[float, int]] = PLAIN
    ) -> None:
        self._dlib, self._crops = recognizer, crops
        self._sface = engines.compile(weights.load("sface"), device, torch.rand(2, 3, SIZE, SIZE))

    def embed(self, frames: Frames, faces: Faces, crops: Sequence[tuple[float, int]] = PLAIN) -> Tensor:
        """Row by row ``(N, 256)`` float32 on the host: 128 numbers of dlib's, 128 of SFace's, of length 1.

        NaN where too little is to be seen: ``seen`` tells.
        """
        first = self._dlib.embed(frames, faces, crops)
        other, rows = torch.full((len(faces), EMBEDDING), torch.nan), first.isfinite().all(1).nonzero()[:, 0]
        if len(rows):
            chips = (cut_chips(frames, faces[rows], ARCFACE, SIZE, crop) for crop in crops)
            found = torch.stack([F.normalize(self._sface(some).cpu(), dim=1) for some in chips])
            other[rows] = F.normalize(found.mean(0), dim=1)
        return torch.cat([first, other], dim=1)

    def views(self, frames: Frames, faces: Faces) -> Tensor:
        """What people are known by, row by row ``(N, 256)``: embeddings of length 1, in which both count alike.

        Of their squared distances, that of two views is the mean. NaN where too little is to be seen.
        """
        return normalized(self.embed(frames, faces, self._crops)) / math.sqrt(2)


def seen(embeddings: Tensor) -> Tensor:
    """Of which faces ``(N, 256)`` enough was to be seen: ``(N,)`` bool."""
    return embeddings[:, :EMBEDDING].isfinite().all(1)


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Of embeddings ``(..., 256)`` to each recognizer: ``(..., 2)``."""
    return (one - other).unflatten(-1, (2, EMBEDDING)).norm(dim=-1)


def apart(new: Tensor, real: Tensor) -> Tensor:
    """How far faces ``(..., 256)`` are from each other, ``(...)``, to whoever of the two finds them more alike.

    On the scale of dlib's recognizer, which takes faces nearer than 0.6 for one person. 0 where that cannot be told.
    """
    dlib, sface = distances(new, real).unbind(-1)
    return torch.minimum(dlib, 0.6 + (sface - AT_SAME) / STEP).nan_to_num(0.0)


def normalized(embeddings: Tensor) -> Tensor:
    """Embeddings ``(N, 256)``, those of each recognizer brought to length 1."""
    return F.normalize(embeddings.unflatten(1, (2, EMBEDDING)), dim=2).flatten(1)
