"""Measures the light on faces, as a few numbers, and puts that of one face on another.

Brightness is the albedo times an irradiance that is linear in the surface normal: the first-order spherical harmonics
of Ramamoorthi and Hanrahan ("An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001). Four numbers
for them, two for contrast and four for colour: a colour field copied from the picture would carry the identity along.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.face_model import LOWER_LIDS, UPPER_LIDS

# Points of the face mesh on bare skin: forehead, upper cheeks and nose; lower cheeks, jaw and chin, where beards grow.
SHAVEN = (
    10, 151, 9, 108, 337, 69, 299, 67, 297, 109, 338,
    50, 101, 118, 117, 123, 147, 36, 280, 330, 347, 346, 352, 376, 266,
    6, 197, 195, 5, 4, 45, 275,
)  # fmt: skip
SKIN = (*SHAVEN, 187, 205, 411, 425, 172, 136, 150, 397, 365, 379, 199, 175, 200, 201, 421)
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
EYES = (33, 133, 263, 362, *itertools.chain(*LOWER_LIDS, *UPPER_LIDS))  # corners and lids
NUMBERS = 10  # that tell the light on a face
SIDE = 64  # pixels, largest side of the pictures in which it is measured
TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # ITU-R BT.601
TO_RGB = torch.linalg.inv(TO_YCC)
DARKEST, NOISE = 0.02, 5e-4  # least brightness and least deviation
LEAST = 0.02  # weight of points before which something is
SHADOW, STAIN = 0.2, 0.05  # differences of log brightness and of chroma from which a point counts less
PRIOR = torch.diag(torch.tensor([1e-6, 0.003, 0.003, 0.003]))  # pulls light from aside to none where few points face it
DARKER, BRIGHTER = 0.9, 0.6  # the most by which log brightness may differ from that straight in front
HIGHLIGHT = 1.05  # brightness of the brightest skin, over that of the real face
GREYEST = 0.3  # least share of its chroma that is left to a new face that is evenly lit and replaces a colourful one
EVEN = 0.05  # the most by which the chroma of a new face deviates: more is often a patch
NEAR = 0.25  # distances between the eyes within which skin has one colour
STAINED = 0.12  # the most by which chroma around a vertex is believed to be another
FADED = 0.7  # how much of that goes
EVENLY = 0.002  # variance of log brightness up to which it hardly tells how chroma goes with it
PALEST, RICHEST = 0.3, 1.7  # bounds of chroma in light and in shade, over that straight in front
CONTRAST = (0.5, 1.1)  # bounds of the change of contrast


class Light(NamedTuple):
    """The light on N faces: what ``measure`` packs into one row each, so that rows may be averaged.

    ``field (N, 4)`` are the coefficients of ``harmonics`` for log brightness of most of the skin; all of it deviates
    from that by ``contrast (N,)`` on average, in which what is far from it counts less. ``brightest (N,)`` is the
    brightest skin. Chroma relative to brightness is ``chroma (N, 2)`` on skin that faces the camera, as far as most of
    the skin tells; all of it deviates by ``saturation (N,)`` from what goes with the normals, as it does in light of
    two colours. Where the light is brighter by one in log brightness, there is so much more of it: ``warmth (N,)``, in
    ``chroma``; less than 0 if what is lit is pale, or shade is warm.
    """

    field: Tensor
    contrast: Tensor
    brightest: Tensor
    chroma: Tensor
    saturation: Tensor
    warmth: Tensor

    @property
    def front(self) -> Tensor:
        """Log brightness ``(N,)`` of skin that faces the camera."""
        return _front(self.field)

    @classmethod
    def of(cls, rows: Tensor) -> Light:
        """Unpack rows of ``measure``, ``(N, 10)``."""
        return cls(rows[:, :4], rows[:, 4].exp(), rows[:, 5].exp(), rows[:, 6:8], rows[:, 8].exp(), rows[:, 9])


def luma(pictures: Tensor) -> Tensor:
    """Brightness ``(N, 1, S, S)`` of RGB pictures ``(N, 3, S, S)``."""
    return torch.einsum("c,nchw->nhw", TO_YCC[0].to(pictures.device), pictures)[:, None]


def harmonics(normals: Tensor) -> Tensor:
    """First-order spherical harmonics, unnormalised: ``(..., 3)`` -> ``(..., 4)``."""
    return torch.cat([torch.ones_like(normals[..., :1]), normals], dim=-1)


def reduced(pictures: Tensor) -> Tensor:
    """Pictures ``(N, 3, S, S)`` at the size at which light is measured; smaller ones as they are."""
    return F.adaptive_avg_pool2d(pictures, SIDE) if pictures.shape[-1] > SIDE else pictures


def measure(pictures: Tensor, points: Tensor, normals: Tensor, hidden: Tensor | None = None) -> Tensor:
    """The light on faces ``(N, 10)``; see ``Light``.

    Args:
        pictures: ``(N, 3, S, S)`` RGB in 0..1, of whatever else besides the faces.
        points: ``(N, 468, 2)``, their meshes, in sides of the pictures.
        normals: ``(N, 468, 3)`` of the meshes.
        hidden: ``(N, 468)``, how surely something is before each point; by default nothing is.
    """
    skin, ycc = list(SKIN), _skin(pictures, points)
    weights = facing = (-normals[:, skin, 2]).clamp(min=0)
    bare = weights > 0
    if hidden is not None:
        weights = facing * (1 - hidden[:, skin]).clamp(min=LEAST)
        seen = bare & (hidden[:, skin] < 0.5)
        bare = seen.where(seen.any(1, keepdim=True), bare)
    bright = ycc[:, :1].clamp(min=DARKEST)
    basis, first = harmonics(normals[:, skin]), _shaven_first(weights, facing)
    field, left, lit = _robust_fit(basis, bright.log(), weights, first, SHADOW)
    contrast = _mean(left, (weights * lit).sqrt())[:, 0]
    brightest = (bright[:, 0] * bare).amax(1).clamp(min=DARKEST)
    chroma = ycc[:, 1:] / bright
    _, left, alike = _robust_fit(basis, chroma, weights, first, STAIN)
    saturation = _mean(left, weights.square()).sum(1)
    logs = torch.stack([contrast + NOISE, brightest, saturation + NOISE], dim=1).log()
    in_front, warmth = _in_front(chroma, (basis @ field)[..., 0] - _front(field[..., 0])[:, None], alike)
    return torch.cat([field[..., 0], logs[:, :2], in_front, logs[:, 2:], warmth], dim=1)


def nearness(shape: Tensor) -> Tensor:
    """How near to vertices of a canonical mesh ``(V, 3)`` the points of the ``SKIN`` are: ``(V, P)``.

    None is near to lips and eyes, which have colours of their own.
    """
    near = torch.exp(-(torch.cdist(shape, shape[list(SKIN)]) / NEAR).square() / 2)
    near[list(LIPS + EYES)] = 0
    return near


def stains(new: Light, pictures: Tensor, points: Tensor, normals: Tensor, near: Tensor) -> Tensor:
    """By how much chroma around each vertex, relative to brightness, is not that of the face: ``(N, V, 2)``.

    Args:
        new: what ``measure`` said of these ``pictures``, ``points`` and ``normals``.
        near: see ``nearness``.
    """
    ycc, facing = _skin(pictures, points), (-normals[:, list(SKIN), 2]).clamp(min=0)
    off = ycc[:, 1:] / ycc[:, :1].clamp(min=DARKEST) - new.chroma[..., None]
    weights = near * facing[:, None]
    return (weights @ off.transpose(1, 2) / (weights.sum(2, keepdim=True) + LEAST)).clamp(-STAINED, STAINED)


def exposure(real: Light, new: Light, basis: Tensor) -> Tensor:
    """What to add to the contrasted log brightness at places with the harmonics ``(N, P, 4)``: ``(N, P, 1)``."""
    return _field(real, basis) - _contrast(real, new)[:, None, None] * _field(new, basis)


def gain(real: Light, new: Light, brightness: Tensor, exposed: Tensor) -> Tensor:
    """What to multiply new faces with, at places of that ``brightness (N, 1, S, S)`` with that ``exposure``."""
    logarithm = brightness.clamp(min=DARKEST).log()
    wanted = _contrast(real, new)[:, None, None, None] * logarithm + exposed
    ceiling = (HIGHLIGHT * real.brightest).log()[:, None, None, None]
    return (wanted.minimum(ceiling) - logarithm).exp()


def tint(real: Light, new: Light) -> Tensor:
    """Matrices ``(N, 3, 3)`` that give RGB columns the real face's chroma, brightness unchanged.

    What is grey, as beards are, stays so where skin becomes less colourful: moved like skin, it would turn green.
    Where the colours of a portrait vary much, as in patches, all come nearer to that of the skin, grey ones too.
    """
    share = _share(real, new)
    moved = torch.zeros(len(share), 3, 3, device=share.device)
    moved[:, 0, 0] = 1
    moved[:, 1:, 1:] = torch.diag_embed(share)
    moved[:, 1:, 0] = real.chroma - share * new.chroma
    return TO_RGB.to(share.device) @ moved @ TO_YCC.to(share.device)


def levelled(real: Light, new: Light, stained: Tensor, basis: Tensor) -> Tensor:
    """What to add to tinted RGB, over brightness, at vertices with the harmonics ``(N, V, 4)``: ``(N, V, 3)``.

    ``stains (N, V, 2)`` fade into the skin: light of two colours, patches and the grey of shaven beards, which on
    another head look odd. What the real face has of that, along the hue of its skin, takes their place.
    """
    lighter = _field(real, basis) - real.front[:, None, None]
    more = (real.warmth[:, None, None] * lighter).clamp(PALEST - 1, RICHEST - 1)
    off = real.chroma[:, None] * more - FADED * _share(real, new)[:, None] * stained
    return off @ TO_RGB.to(off.device)[:, 1:].T


def _share(real: Light, new: Light) -> Tensor:
    """How much of its chroma, and of how that deviates, is left to each new face ``(N, 2)``."""
    most = (real.saturation.clamp(max=EVEN) / new.saturation).clamp(max=1)[:, None]
    return (real.chroma / new.chroma).nan_to_num().clamp(GREYEST, 1).minimum(most)


def _skin(pictures: Tensor, points: Tensor) -> Tensor:
    """Brightness and chroma ``(N, 3, P)`` of the ``SKIN``; arguments as for ``measure``."""
    return TO_YCC.to(pictures.device) @ geometry.sample(reduced(pictures), points[:, list(SKIN)])


def _front(field: Tensor) -> Tensor:
    """Log brightness ``(N,)`` of what faces the camera, in light ``(N, 4)``."""
    return field[:, 0] - field[:, 3]


def _in_front(chroma: Tensor, lighter: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The chroma ``(N, 2)`` of skin that faces the camera, and its warmth ``(N, 1)``.

    Args:
        chroma: of points, ``(N, 2, P)``.
        lighter: the log brightness there, over that in front, ``(N, P)``.
        weights: of the points, ``(N, P)``.
    """
    mean, centre = _mean(chroma, weights), _mean(lighter[:, None], weights)
    away = lighter - centre
    more = (mean[..., None] * (chroma - mean[..., None])).sum(1) / mean.square().sum(1, keepdim=True).clamp(min=1e-6)
    slope = _mean((away * more)[:, None], weights) / (_mean(away.square()[:, None], weights) + EVENLY)
    return mean * (1 - slope * centre).clamp(PALEST, RICHEST), slope


def _contrast(real: Light, new: Light) -> Tensor:
    return (real.contrast / new.contrast).clamp(*CONTRAST)


def _field(light: Light, basis: Tensor) -> Tensor:
    """Log brightness ``(N, P, 1)``, kept from running away where the face turns out of sight."""
    frontal = light.front[:, None, None]
    return (basis @ light.field[..., None]).clamp(frontal - DARKER, frontal + BRIGHTER)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted means ``(N, C)`` of ``values (N, C, P)``."""
    return (values * weights[:, None]).sum(2) / weights.sum(1, keepdim=True).clamp(min=1e-6)


def _shaven_first(weights: Tensor, facing: Tensor) -> Tensor:
    """The weights ``(N, P)`` with which fits begin: without beards, unless less is seen of the other skin."""
    parts = slice(None, len(SHAVEN)), slice(len(SHAVEN), None)
    seen = [weights[:, part].sum(1) / facing[:, part].sum(1).clamp(min=1e-6) for part in parts]
    first = weights.clone()
    first[:, parts[1]] *= (1 - 2 * seen[0] / seen[1].clamp(min=1e-6)).clamp(min=0)[:, None]
    return first


def _robust_fit(
    basis: Tensor, values: Tensor, weights: Tensor, first: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Iteratively reweighted least squares, Geman-McClure: what agrees with the first fit counts.

    Args:
        values: ``(N, C, P)``.
        weights: of the points, ``(N, P)``.
        first: those with which the first fit is made.
        scale: residual from which a point counts less.

    Returns:
        coefficients ``(N, 4, C)``, what all points deviate from them by, ``(N, C, P)``, and how much each counts in the
        end, ``(N, P)``.
    """
    wanted, steady = values.transpose(1, 2), first
    for _ in range(5):
        coefficients = _fit(basis, wanted, steady)
        residual = wanted - basis @ coefficients
        steady = weights / (1 + residual.square().sum(2) / scale**2).square()
    return coefficients, residual.abs().transpose(1, 2), steady


def _fit(basis: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """Weighted ridge regression: coefficients ``(N, 4, C)`` of ``values (N, P, C)``."""
    share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    weighted = (basis * share[..., None]).transpose(1, 2)
    return torch.linalg.solve(weighted @ basis + PRIOR.to(basis.device), weighted @ values)
