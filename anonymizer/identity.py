"""Tells whether a face is that of a person who was seen before in the same video.

Embeddings are personal data: they live in memory only, as long as the video that they come from.

How strict ``LINK`` and ``MARGIN`` are, measured by ``tests/bench/linking.py`` on 400 people of Labeled Faces in the
Wild, with the photographs as they are and, in brackets, reduced to faces of 41 pixels: 0.0013% (0.0011%) of the pairs
of different people are nearer than ``LINK``; among 20 others, 0.013% (0.033%) of the strangers are taken for one of
them, among some 400 0.5% (0 of 306). The price: of two photographs of a person, mostly years apart, 62% (67%) are not
linked. Within a video more are: of pairs of clear views from seven clips of one person each 94% to 100%, and 51% where
that person pulls faces.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.batches import Faces, Frames
from anonymizer.networks.dlib_resnet import EMBEDDING, SIZE

LINK = 0.42  # distance of two embeddings below which they may be of one person
MARGIN = 0.1  # by which everybody else must be further away
OTHER = 0.5  # distance above which two faces of successive frames are of two people
KEPT = 4  # embeddings a person: the first ones, so that one mistake does not lead to the next
PEOPLE = 400  # who are remembered; then those are forgotten who were not seen for longest
SMALLEST = 40  # pixels, the shorter side of a face that is recognized
SURE = 0.6  # score of the detection
TURNED = 0.15  # distances of the eyes, how far the landmarks may lie on average from those of a frontal face
DETAIL = 0.015  # contrast, from 0 to 1, of what is a tenth of a face large: blurred and dark faces all look alike
# where the five landmarks of CenterFace lie in dlib's own chips: median over the 800 faces of 400 people of LFW
TEMPLATE = torch.tensor([[47.40, 49.42], [102.29, 48.56], [74.04, 79.91], [53.23, 101.41], [97.20, 101.37]])


class Recognizer:
    """Embeds faces: those of one person lie close together. All faces of a batch in one forward pass."""

    def __init__(self, device: torch.device) -> None:
        self._network = engines.compile(weights.load("identity"), device, torch.rand(2, 3, SIZE, SIZE))

    def embed(self, frames: Frames, faces: Faces) -> Tensor:
        """Embeddings of ``faces``, row by row: ``(N, 128)`` float32 on the host, NaN where too little is to be seen."""
        found = torch.full((len(faces), EMBEDDING), torch.nan)
        chips = geometry.cut_patches(frames.pixels, faces.frame, _to_chip(faces), SIZE)
        detailed = _detail(chips) >= DETAIL
        if detailed.any():
            found[detailed.cpu()] = self._network(chips[detailed]).cpu()
        return found


def clearness(faces: Faces) -> Tensor:
    """How well people can be told by these views of them: ``(N,)``, 0 where not, larger is better.

    A face must be large and sure, and its landmarks must lie as in a face that looks at the camera: the view is
    worse the further they are from that, in units of the distance of the eyes.
    """
    away = (geometry.apply_affine(_to_chip(faces), faces.landmarks) - TEMPLATE).square().sum(2).mean(1).sqrt()
    clear = (faces.sizes.amin(1) >= SMALLEST) & (faces.scores >= SURE)
    return (TURNED - away / (TEMPLATE[1] - TEMPLATE[0]).norm()).clamp(min=0) * clear


def _to_chip(faces: Faces) -> Tensor:
    """Maps ``(N, 2, 3)`` that take the frame to what the network was trained on."""
    rotation, scale, shift = geometry.fit_similarity(
        faces.landmarks, TEMPLATE.expand(len(faces), -1, -1), torch.ones(5)
    )
    return torch.cat([scale[:, None, None] * rotation, shift[:, :, None]], dim=2)


def _detail(chips: Tensor) -> Tensor:
    """Contrast of details of 3 to 9 pixels in the middle of grey ``chips (N, 3, S, S)``: ``(N,)``."""
    grey = F.avg_pool2d(chips.mean(1, keepdim=True)[..., SIZE // 5 : -SIZE // 5, SIZE // 5 : -SIZE // 5], 3)
    return (grey - F.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)).square().mean((1, 2, 3)).sqrt()


class People:
    """Who was seen in a video. Two people are never taken for one knowingly: who is in doubt is somebody new."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, list[Tensor]] = OrderedDict()  # person: embeddings; who was seen last is last
        self._count = 0

    def stranger(self) -> int:
        """The number of somebody new."""
        self._count += 1
        return self._count - 1

    def recognize(self, embeddings: Tensor, present: Collection[int]) -> list[int | None]:
        """Whose faces ``embeddings (N, 128)`` are, which are seen at the same time: a number, or None if in doubt.

        A face is that of a person if it is nearer than ``LINK``, and by ``MARGIN`` nearer than to everybody else and
        than all other faces, and if the person is not ``present`` elsewhere in the picture.
        """
        numbers = list(self._known)
        away = torch.full((len(embeddings), len(numbers)), torch.inf)
        for column, known in enumerate(self._known.values()):
            away[:, column] = torch.cdist(embeddings, torch.stack(known)).amin(1)
        found: list[int | None] = [None] * len(embeddings)
        for row, column in (away < LINK).nonzero().tolist():
            rivals = torch.cat([away[row], away[:, column]]) <= away[row, column] + MARGIN
            if rivals.sum() == 2 and numbers[column] not in present:  # itself, twice
                found[row] = numbers[column]
        return found

    def remember(self, number: int, embedding: Tensor) -> None:
        """Learn what the person ``number`` looks like."""
        known = self._known.setdefault(number, [])
        self._known.move_to_end(number)
        if len(known) < KEPT:
            known.append(embedding)
        if len(self._known) > PEOPLE:
            self._known.popitem(last=False)
