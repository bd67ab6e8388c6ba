"""Two recognizers that judge together whether a new face is like a real one: dlib's and SFace.

They share neither layers, nor what they were trained to do, nor pictures. Whoever is unlike to both is unlike to a
third one more often than who is unlike to one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import Faces, Frames
from anonymizer.identity import PLAIN, Recognizer
from anonymizer.networks.sface import EMBEDDING, SIZE

# where ArcFace and its kin want the five landmarks (https://arxiv.org/abs/1801.07698)
ARCFACE = torch.tensor([[38.29, 51.7], [73.53, 51.5], [56.03, 71.74], [41.55, 92.37], [70.73, 92.2]])


class Jury:
    """Embeds faces for both.

    Args:
        recognizer: dlib's.
        device: where the other one runs.
    """

    def __init__(self, recognizer: Recognizer, device: torch.device) -> None:
        self._dlib = recognizer
        self._sface = engines.compile(weights.load("sface"), device, torch.rand(2, 3, SIZE, SIZE))

    def embed(self, frames: Frames, faces: Faces) -> Tensor:
        """Row by row ``(N, 256)`` float32 on the host: 128 numbers of dlib's, 128 of SFace's, of length 1.

        NaN where too little is to be seen.
        """
        first = self._dlib.embed(frames, faces, PLAIN)
        other, rows = torch.full((len(faces), EMBEDDING), torch.nan), first.isfinite().all(1).nonzero()[:, 0]
        if len(rows):
            rotation, scale, shift = geometry.fit_similarity(
                faces.landmarks[rows], ARCFACE.expand(len(rows), -1, -1), torch.ones(5)
            )
            upright = torch.cat([scale[:, None, None] * rotation, shift[:, :, None]], dim=2)
            chips = geometry.cut_patches(frames.pixels, faces.frame[rows], upright, SIZE)
            other[rows] = F.normalize(self._sface(chips).cpu(), dim=1)
        return torch.cat([first, other], dim=1)


def apart(new: Tensor, real: Tensor) -> Tensor:
    """How far faces are from each other to each of the two: ``(..., 2)``.

    Args:
        new, real: embeddings ``(..., 256)``; or ``(..., 128)`` if only dlib's are known: then it is ``(..., 1)``.
    """
    size = min(new.shape[-1], real.shape[-1])
    return (new[..., :size] - real[..., :size]).unflatten(-1, (-1, EMBEDDING)).norm(dim=-1)


def beyond(far: Tensor, limits: Tensor) -> Tensor:
    """By how much faces that are ``far (..., 2)`` from each other are beyond ``limits (2,)`` to whoever finds them most
    alike, ``(...)``: less than 0 where one of the two finds them too much alike.
    """
    return (far - limits[: far.shape[-1]]).amin(-1)
