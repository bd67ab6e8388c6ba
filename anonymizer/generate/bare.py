"""Portraits without hair over the face: on another head, a persona's own hair gives away that the face is not its own.

The network that tells what stands before real faces, see ``occlusion``, tells it of portraits, too: it was trained on
some. Here it need not be sure.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import MESH_POINTS
from anonymizer.device import Engine
from anonymizer.fill import fill
from anonymizer.networks.occlusion_net import SIZE
from anonymizer.occlusion import outlines, to_crop_of

DOUBT, SURE = 0.3, 0.6  # chance of something before a face from which it is painted over; and before its features
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)  # their upper edge
EYES = (*BROWS, 340, 448, 450, 228, 230, 111)
FEATURES = (*BROWS, 33, 263, 61, 291, 17)  # outline of brows, eyes and mouth, and all between them
EVERYWHERE = tuple(range(MESH_POINTS))
FEWEST = 100  # pixels of sure skin, without which nothing is painted
EDGE = 3  # pixels around skin that are no skin yet
MARGIN = 7  # pixels, window: around hair and eyes no colour is taken, around features all is still theirs
SOFT = 3  # pixels over which skin passes into what is painted


def bare(portraits: Tensor, points: Tensor, network: Engine) -> Tensor:
    """Paint what hangs over faces, and all that is around them, as the skin beside it.

    Args:
        portraits: ``(N, 3, S, S)`` float32 in 0..1, RGB, S a power of two and at least ``SIZE``.
        points: meshes ``(N, 468, 3)`` in pixels.
        network: see ``occlusion.load_network``.
    """
    size = portraits.shape[-1]
    small, meshes, hidden = _look(portraits, points, network)
    parts = (meshes[..., :2], meshes[:, FEATURES, :2], meshes[:, EYES, :2])
    face, features, eyes = (outlines(part, SIZE).to(small.device) for part in parts)
    skin = -_grown(-face * (hidden < torch.where(_grown(features, MARGIN) > 0, SURE, DOUBT)), EDGE)
    known = (-_grown(-skin, MARGIN) > 0) & (_grown(eyes, MARGIN) == 0)
    enough = known.sum((1, 2, 3), keepdim=True) >= FEWEST
    painted = F.interpolate(fill(small, known), size, mode="bilinear", align_corners=False)
    covered = F.avg_pool2d(_grown(1 - skin, SOFT), SOFT, 1, SOFT // 2, count_include_pad=False) * enough
    return torch.lerp(portraits, painted, geometry.enlarge(covered, size // SIZE))


def hidden(portraits: Tensor, points: Tensor, network: Engine) -> Tensor:
    """The share ``(N,)`` of each face that something hangs over; arguments as for ``bare``."""
    return hidden_parts(portraits, points, network, [EVERYWHERE])[:, 0]


def hidden_parts(portraits: Tensor, points: Tensor, network: Engine, parts: Sequence[Sequence[int]]) -> Tensor:
    """The same of what lies between some points of each mesh, ``(N, K)`` for K ``parts``."""
    _, meshes, chances = _look(portraits, points, network)
    shares = []
    for part in parts:
        area = outlines(meshes[:, part, :2], SIZE).to(chances.device)
        shares.append((area * chances).sum((1, 2, 3)) / area.sum((1, 2, 3)).clamp(min=1))
    return torch.stack(shares, dim=1)


def _look(portraits: Tensor, points: Tensor, network: Engine) -> tuple[Tensor, Tensor, Tensor]:
    """Portraits ``(N, 3, SIZE, SIZE)``, meshes in their pixels, and the chances that something is before them
    ``(N, 1, SIZE, SIZE)``.
    """
    small, meshes = F.avg_pool2d(portraits, portraits.shape[-1] // SIZE), points * (SIZE / portraits.shape[-1])
    to_crop = to_crop_of(meshes)
    crops = geometry.moved(small, geometry.invert_affine(to_crop), SIZE)
    return small, meshes, geometry.moved(network(crops).sigmoid(), to_crop, SIZE)


def _grown(masks: Tensor, size: int) -> Tensor:
    return F.max_pool2d(masks, size, 1, size // 2)
