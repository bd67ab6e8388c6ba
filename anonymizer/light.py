"""Puts the light of one face on another, as a few numbers.

Brightness is the albedo times an irradiance that is linear in the surface normal: the first-order spherical harmonics
of Ramamoorthi and Hanrahan ("An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001). Four numbers
for them and three for the colour: a colour field copied from the picture would carry the identity along.
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
PRIOR = 0.02  # pulls directional light towards none
CHANGE = 1.2  # the most that log brightness may change away from the average of the face


class Light(NamedTuple):
    """What ``fit_light`` found, for N faces.

    ``gain (N, 4)`` are the coefficients of ``harmonics`` for log brightness. Chroma, relative to brightness, is
    scaled by ``saturation (N,)`` around the mean ``before (N, 2)`` and moved to the mean ``after (N, 2)``.
    """

    gain: Tensor
    saturation: Tensor
    before: Tensor
    after: Tensor


def harmonics(normals: Tensor) -> Tensor:
    """First-order spherical harmonics, unnormalised: ``(..., 3)`` -> ``(..., 4)``."""
    return torch.cat([torch.ones_like(normals[..., :1]), normals], dim=-1)


def to_ycc(colour: Tensor) -> Tensor:
    """RGB ``(..., 3)`` in 0..1 to luma in 0..1 and two chroma channels around 0."""
    return colour @ TO_YCC.T.to(colour.device)


def to_rgb(ycc: Tensor) -> Tensor:
    """The inverse of ``to_ycc``."""
    return ycc @ torch.linalg.inv(TO_YCC).T.to(ycc.device)


def fit_light(target: Tensor, source: Tensor, basis: Tensor, weights: Tensor) -> Light:
    """How the light on ``target`` differs from the one on ``source``.

    Args:
        target, source: ``(N, P, 3)`` RGB in 0..1, the two faces' colours at the same P places.
        basis: ``(N, P, 4)``, harmonics of the normals there.
        weights: ``(N, P)``, 0 where a place is not seen.
    """
    luma, chroma = _split(target)
    own_luma, own_chroma = _split(source)
    gain = _robust_fit(basis, luma.log() - own_luma.log(), weights)
    after, before = _mean(chroma, weights), _mean(own_chroma, weights)
    spread = _mean((chroma - after[:, None]).abs(), weights).sum(1)
    own_spread = _mean((own_chroma - before[:, None]).abs(), weights).sum(1)
    return Light(gain[..., 0], (spread / own_spread.clamp(min=1e-3)).clamp(0, 1), before, after)


def apply_light(light: Light, colour: Tensor, basis: Tensor) -> Tensor:
    """Relight pictures ``(N, 3, S, S)`` in 0..1, given the harmonics ``(N, 4, S, S)`` of every pixel."""
    luma, chroma = _split(colour.permute(0, 2, 3, 1))
    frontal = light.gain[:, 0] - light.gain[:, 3]
    field = torch.einsum("ncyx,nc->nyx", basis, light.gain) - frontal[:, None, None]
    lit = luma * (field.clamp(-CHANGE, CHANGE) + frontal[:, None, None]).exp()[..., None]
    moved = (chroma - light.before[:, None, None]) * light.saturation[:, None, None, None]
    ycc = torch.cat([lit, lit * (moved + light.after[:, None, None])], dim=-1)
    return to_rgb(ycc).clamp(0, 1).permute(0, 3, 1, 2)


def _split(colour: Tensor) -> tuple[Tensor, Tensor]:
    """Luma ``(..., 1)``, never black, and chroma ``(..., 2)`` relative to it."""
    ycc = to_ycc(colour)
    luma = ycc[..., :1].clamp(min=DARKEST)
    return luma, ycc[..., 1:] / luma


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted means ``(N, C)`` of ``values (N, P, C)``."""
    return (values * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1e-6)


def _robust_fit(basis: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """Coefficients ``(N, 4, 1)`` of ``values (N, P, 1)``: iteratively reweighted least squares, Cauchy weights."""
    prior = torch.diag(torch.tensor([1e-6, PRIOR, PRIOR, PRIOR], device=basis.device))
    steady = weights
    for _ in range(5):
        share = steady / steady.sum(1, keepdim=True).clamp(min=1e-6)
        weighted = (basis * share[..., None]).transpose(1, 2)
        coefficients = torch.linalg.solve(weighted @ basis + prior, weighted @ values)
        residual = (values - basis @ coefficients).norm(dim=-1)
        steady = weights / (1 + (residual / ROBUST).square())
    return coefficients
