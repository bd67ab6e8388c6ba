"""Describes faces so that people can be told apart: how clear a view is, and 128 numbers for it.

These embeddings are personal data: they are kept no longer than the work on the video that they come from, but for
those of ``subjects``, which a user has asked for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import Faces, Frames
from anonymizer.networks.dlib_resnet import EMBEDDING, SIZE

SMALLEST = 40  # pixels, the shorter side of a face that is recognized
SURE = 0.6  # score of the detection
TURNED = 0.15  # distances of the eyes, how far the landmarks may lie on average from those of a frontal face
DETAIL = 0.015  # contrast, from 0 to 1, of what is a tenth of a face large: blurred and dark faces all look alike
# where the five landmarks of CenterFace lie in dlib's own chips: median over the 800 faces of 400 people of LFW
TEMPLATE = torch.tensor([[47.40, 49.42], [102.29, 48.56], [74.04, 79.91], [53.23, 101.41], [97.20, 101.37]])


def _crop(scale: float, side: float) -> Tensor:
    """The map ``(2, 3)`` that enlarges chips about their middle, and mirrors them if ``side`` is -1."""
    linear = torch.tensor([[side * scale, 0.0], [0.0, scale]])
    middle = torch.full((2,), SIZE / 2)
    return torch.cat([linear, (middle - linear @ middle)[:, None]], dim=1)


# a little nearer and further, and mirrored, as by ``num_jitters`` of dlib; the first leaves the chip as it is
CROPS = torch.stack([_crop(scale, side) for scale in (1.0, 0.9, 1.1) for side in (1.0, -1.0)])


PLAIN = CROPS[:1]


class Recognizer:
    """Embeds faces: those of one person lie close together. All faces of a batch in one forward pass.

    Args:
        device: where the network runs.
        crops: ``(C, 2, 3)``, maps of chips; the embeddings of all that they make of a face are averaged.
    """

    def __init__(self, device: torch.device, crops: Tensor = PLAIN) -> None:
        self._network = engines.compile(weights.load("identity"), device, torch.rand(2, 3, SIZE, SIZE))
        self._crops = crops

    def embed(self, frames: Frames, faces: Faces, crops: Tensor | None = None) -> Tensor:
        """Embeddings of ``faces``, row by row: ``(N, 128)`` float32 on the host, NaN where too little is to be seen.

        Args:
            frames: the pictures.
            faces: where to look.
            crops: maps of chips in place of the usual ones.
        """
        found = torch.full((len(faces), EMBEDDING), torch.nan)
        upright = to_chip(faces.landmarks)
        chips = geometry.cut_patches(frames.pixels, faces.frame, upright, SIZE)
        detailed = (_detail(chips) >= DETAIL).nonzero()[:, 0]
        if len(detailed):
            rows = detailed.cpu()
            others = [
                geometry.cut_patches(frames.pixels, faces.frame[rows], _chained(upright[rows], crop), SIZE)
                for crop in (self._crops if crops is None else crops)[1:]
            ]
            found[rows] = torch.stack([self._network(some).cpu() for some in (chips[detailed], *others)]).mean(0)
        return found


def clearness(faces: Faces) -> Tensor:
    """How well people can be told by these views of them: ``(N,)``, 0 where not, larger is better.

    A face must be large and sure, and its landmarks must lie as in a face that looks at the camera: the view is
    worse the further they are from that, in units of the distance of the eyes.
    """
    away = (geometry.apply_affine(to_chip(faces.landmarks), faces.landmarks) - TEMPLATE).square().sum(2).mean(1).sqrt()
    clear = (faces.sizes.amin(1) >= SMALLEST) & (faces.scores >= SURE)
    return (TURNED - away / (TEMPLATE[1] - TEMPLATE[0]).norm()).clamp(min=0) * clear


def to_chip(landmarks: Tensor, template: Tensor = TEMPLATE) -> Tensor:
    """Maps ``(N, 2, 3)`` that take frames with ``landmarks (N, 5, 2)`` to chips in which these lie as in ``template (5,
    2)``: by default to those of ``SIZE``, upright from brows to chin.
    """
    rotation, scale, shift = geometry.fit_similarity(landmarks, template.expand(len(landmarks), -1, -1), torch.ones(5))
    return torch.cat([scale[:, None, None] * rotation, shift[:, :, None]], dim=2)


def _chained(first: Tensor, then: Tensor) -> Tensor:
    """Maps ``(N, 2, 3)`` that do what each of ``first (N, 2, 3)`` does, and after it ``then (2, 3)``."""
    linear, shift = then[:, :2] @ first[:, :, :2], first[:, :, 2] @ then[:, :2].T + then[:, 2]
    return torch.cat([linear, shift[:, :, None]], dim=2)


def _detail(chips: Tensor) -> Tensor:
    """Contrast of details of 3 to 9 pixels in the middle of grey ``chips (N, 3, S, S)``: ``(N,)``."""
    grey = F.avg_pool2d(chips.mean(1, keepdim=True)[..., SIZE // 5 : -SIZE // 5, SIZE // 5 : -SIZE // 5], 3)
    return (grey - F.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)).square().mean((1, 2, 3)).sqrt()
