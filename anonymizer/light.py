"""Puts the light of one face on another, as a few numbers.

Brightness is the albedo times an irradiance that is linear in the surface normal: the first-order spherical harmonics
of Ramamoorthi and Hanrahan ("An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001). Four numbers
for them, one for contrast and three for colour: a colour field copied from the picture would carry the identity along.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Points of the face mesh on bare skin: forehead, cheeks, nose, jaw, chin.
SKIN = (
    10, 151, 9, 108, 337, 69, 299, 67, 297, 109, 338,
    50, 101, 118, 117, 123, 147, 187, 205, 36, 280, 330, 347, 346, 352, 376, 411, 425, 266,
    6, 197, 195, 5, 4, 45, 275,
    172, 136, 150, 397, 365, 379, 199, 175, 200, 201, 421,
)  # fmt: skip
TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # ITU-R BT.601
DARKEST = 0.02
ROBUST = 0.2  # residual from which a point counts less
PRIOR = 0.05  # pulls directional light towards none
DARKER, BRIGHTER = 0.6, 0.2  # the most by which log brightness may differ from that straight in front
TINT = 0.12  # the most by which chroma may differ from its mean
HIGHLIGHT = 1.05  # brightness of the brightest skin, over that of the real face
CONTRAST = (0.5, 1.1)  # bounds of the change of contrast


class Light(NamedTuple):
    """What ``fit_light`` found, for N faces.

    ``before (N, 4)`` and ``after (N, 4)`` are the coefficients of ``harmonics`` for the log brightness of the new face
    and of the real one; what they leave is scaled by ``contrast (N,)``. Nothing gets brighter than ``ceiling (N,)``.
    Chroma, relative to brightness, is scaled by ``saturation (N,)`` around its mean ``chroma_before (N, 2)`` and moved
    to the mean ``chroma_after (N, 2)``.
    """

    before: Tensor
    after: Tensor
    contrast: Tensor
    ceiling: Tensor
    saturation: Tensor
    chroma_before: Tensor
    chroma_after: Tensor


def harmonics(normals: Tensor) -> Tensor:
    """First-order spherical harmonics, unnormalised: ``(..., 3)`` -> ``(..., 4)``."""
    return torch.cat([torch.ones_like(normals[..., :1]), normals], dim=-1)


def to_ycc(colour: Tensor) -> Tensor:
    """RGB ``(N, 3, P)`` in 0..1 to luma in 0..1 and two chroma channels around 0."""
    return TO_YCC.to(colour.device) @ colour


def to_rgb(ycc: Tensor) -> Tensor:
    """The inverse of ``to_ycc``."""
    return torch.linalg.inv(TO_YCC).to(ycc.device) @ ycc


def fit_light(target: Tensor, source: Tensor, basis: Tensor, weights: Tensor) -> Light:
    """How the light on ``target`` differs from the one on ``source``.

    Args:
        target, source: ``(N, 3, P)`` RGB in 0..1, the two faces' colours at the same P places.
        basis: ``(N, P, 4)``, harmonics of the normals there.
        weights: ``(N, P)``, 0 where a place is not seen.
    """
    luma, chroma = _split(target)
    own_luma, own_chroma = _split(source)
    after, rest = _robust_fit(basis, luma.log().transpose(1, 2), weights)
    before, own_rest = _robust_fit(basis, own_luma.log().transpose(1, 2), weights)
    mean, spread = _spread(chroma, weights)
    own_mean, own_spread = _spread(own_chroma, weights)
    contrast = (rest / own_rest).clamp(*CONTRAST)
    ceiling = HIGHLIGHT * (luma[:, 0] * (weights > 0)).amax(1)
    return Light(before, after, contrast, ceiling, (spread / own_spread).clamp(0, 1), own_mean, mean)


def exposure(light: Light, basis: Tensor) -> Tensor:
    """What to add to the contrasted log brightness at places with the harmonics ``(N, P, 4)``: ``(N, P, 1)``."""
    return _field(light.after, basis) - light.contrast[:, None, None] * _field(light.before, basis)


def apply_light(light: Light, colour: Tensor, exposed: Tensor) -> Tensor:
    """Relight pictures ``(N, 3, S, S)`` in 0..1, given the ``exposure`` ``(N, 1, S, S)`` of every pixel."""
    luma, chroma = _split(colour.flatten(2))
    lit = (light.contrast[:, None, None] * luma.log() + exposed.flatten(2)).exp()
    lit = lit.minimum(light.ceiling[:, None, None])
    moved = (chroma - light.chroma_before[..., None]).clamp(-TINT, TINT) * light.saturation[:, None, None]
    ycc = torch.cat([lit, lit * (moved + light.chroma_after[..., None])], dim=1)
    return to_rgb(ycc).clamp(0, 1).view_as(colour)


def _field(coefficients: Tensor, basis: Tensor) -> Tensor:
    """Log brightness ``(N, P, 1)``, kept from running away where the face turns out of sight."""
    frontal = (coefficients[:, 0] - coefficients[:, 3])[:, None, None]
    return (basis @ coefficients[..., None]).clamp(frontal - DARKER, frontal + BRIGHTER)


def _spread(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean ``(N, C)`` and mean deviation ``(N,)`` of ``values (N, C, P)``, never quite 0."""
    mean = _mean(values, weights)
    return mean, _mean((values - mean[..., None]).abs(), weights).sum(1) + 1e-3


def _split(colour: Tensor) -> tuple[Tensor, Tensor]:
    """Luma ``(N, 1, P)``, never black, and chroma ``(N, 2, P)`` relative to it."""
    ycc = to_ycc(colour)
    luma = ycc[:, :1].clamp(min=DARKEST)
    return luma, ycc[:, 1:] / luma


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted means ``(N, C)`` of ``values (N, C, P)``."""
    return (values * weights[:, None]).sum(2) / weights.sum(1, keepdim=True).clamp(min=1e-6)


def _robust_fit(basis: Tensor, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Iteratively reweighted least squares with Cauchy weights.

    Returns:
        coefficients ``(N, 4)`` of ``values (N, P, 1)``, and the mean deviation ``(N,)`` that they leave.
    """
    prior = torch.diag(torch.tensor([1e-6, PRIOR, PRIOR, PRIOR], device=basis.device))
    steady = weights
    for _ in range(5):
        share = steady / steady.sum(1, keepdim=True).clamp(min=1e-6)
        weighted = (basis * share[..., None]).transpose(1, 2)
        coefficients = torch.linalg.solve(weighted @ basis + prior, weighted @ values)
        residual = (values - basis @ coefficients).abs()
        steady = weights / (1 + (residual[..., 0] / ROBUST).square())
    return coefficients[..., 0], _mean(residual.transpose(1, 2), steady)[:, 0] + 1e-3
