"""Describes faces as dlib's recognizer does, by 128 numbers each, and says how clear a view of somebody is.

Embeddings are personal data: they are kept no longer than the work on the video that they come from, but for those of
``subjects``, which a user has asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

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


# by how much chips are enlarged about their middle, and whether they are mirrored: a little nearer and further, as by
# ``num_jitters`` of dlib; the first leaves them as they are
CROPS = tuple((scale, side) for scale in (1.0, 0.9, 1.1) for side in (1, -1))
PLAIN = CROPS[:1]


class Recognizer:
    """Embeds faces: those of one person lie close together. All faces of a batch in one forward pass.

    Args:
        device: where the network runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._network = engines.compile(weights.load("identity"), device, torch.rand(2, 3, SIZE, SIZE))

    def embed(self, frames: Frames, faces: Faces, crops: Sequence[tuple[float, int]] = PLAIN) -> Tensor:
        """Embeddings of ``faces``, row by row: ``(N, 128)`` float32 on the host, NaN where too little is to be seen.

        Args:
            frames: the pictures.
            faces: where to look.
            crops: of which the embeddings are averaged, the plain one first.
        """
        found = torch.full((len(faces), EMBEDDING), torch.nan)
        chips = cut_chips(frames, faces, TEMPLATE, SIZE)
        detailed = (_detail(chips) >= DETAIL).nonzero()[:, 0]
        if len(detailed):
            rows = detailed.cpu()
            others = (cut_chips(frames, faces[rows], TEMPLATE, SIZE, crop) for crop in crops[1:])
            found[rows] = torch.stack([self._network(some).cpu() for some in (chips[detailed], *others)]).mean(0)
        return found


def cut_chips(frames: Frames, faces: Faces, template: Tensor, size: int, crop: tuple[float, int] = PLAIN[0]) -> Tensor:
    """Chips ``(N, 3, size, size)`` float32 in 0..1, on the frames' device, their landmarks as in ``template``."""
    scale, side = crop
    linear, middle = torch.tensor([[side * scale, 0.0], [0.0, scale]]), torch.full((2,), size / 2)
    upright = to_chip(faces.landmarks, template)
    shift = (upright[:, :, 2] - middle) @ linear.T + middle
    to_patch = torch.cat([linear @ upright[:, :, :2], shift[:, :, None]], dim=2)
    return geometry.cut_patches(frames.pixels, faces.frame, to_patch, size)


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


def _detail(chips: Tensor) -> Tensor:
    """Contrast of details of 3 to 9 pixels in the middle of grey ``chips (N, 3, S, S)``: ``(N,)``."""
    grey = F.avg_pool2d(chips.mean(1, keepdim=True)[..., SIZE // 5 : -SIZE // 5, SIZE // 5 : -SIZE // 5], 3)
    return (grey - F.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)).square().mean((1, 2, 3)).sqrt()
