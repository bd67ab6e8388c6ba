"""Steers the synthesis network: the same person, looking elsewhere; or somebody else, as old as was asked for.

Head pose, mouth and what else a face shows are close to linear in the style vector w of StyleGAN (cf. Shen et al.,
"InterFaceGAN", 2020). Ridge regressions on whitened principal components of w predict them; the shortest step in that
space moves them. Fitted by ``python -m anonymizer.generate.fit_condition``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import safetensors.torch
import torch
from torch import Tensor

CONDITIONS = ("yaw", "pitch", "mouth open", "mouth width")  # degrees, degrees, distances between the eyes
MOUTH = slice(2, 4)  # places among them
ATTRIBUTES = (
    "age",
    "man",
    "skin",
    "beard",
    "glasses",
    "smile",
    "eyes open",
    "gaze",
    "light from aside",
)  # see ``attributes``, and ``light.measure`` for the last
# what would look odd on somebody else's head, or beside it, or in another light
FLAWS = (
    "hair over the forehead",
    "childlike",
    "another face",
    "hidden",
    "shadow above the eyes",
    "uneven light",
    "coloured light",
)
# what stays when a head turns or speaks: places among conditions, attributes and flaws
LASTING = tuple(
    len(CONDITIONS) + (*ATTRIBUTES, *FLAWS).index(name)
    for name in ("age", "man", "skin", "glasses", "light from aside", *FLAWS)
)

Wanted = tuple[float | None, ...]
"""Values of which those that are None are left to chance."""


@dataclass(frozen=True, eq=False)
class Condition:
    """The fitted arrays, for K components, the 4 ``CONDITIONS``, the F ``FLAWS`` and the A ``ATTRIBUTES``.

    Attributes:
        mean: ``(512,)``, the average style.
        components: ``(K, 512)``, principal components, scaled to unit variance of their coordinates.
        slopes: ``(K, 4)``, change of each condition with each coordinate.
        neutral: ``(4,)``, the conditions of the average style.
        flaw_slopes: ``(K, F)``, change of each flaw with each coordinate, in units of their spread.
        flaw_limits: ``(F,)``, what a persona may have of each, relative to the average.
        attribute_slopes: ``(K, A)``, change of each attribute with each coordinate.
        usual: ``(A,)``, the attributes of the average style.
        spread: ``(A,)``, their standard deviations.
    """

    mean: Tensor
    components: Tensor
    slopes: Tensor
    neutral: Tensor
    flaw_slopes: Tensor
    flaw_limits: Tensor
    attribute_slopes: Tensor
    usual: Tensor
    spread: Tensor

    def truncate(self, w: Tensor, share: float) -> Tensor:
        """Pull styles ``(N, 512)`` towards the average face; 1 leaves them, 0 gives the average."""
        return self.mean + share * (w - self.mean)

    def coordinates(self, w: Tensor) -> Tensor:
        """Whitened principal coordinates ``(N, K)`` of styles ``(N, 512)``."""
        scaled = self.components / self.components.square().sum(1, keepdim=True)
        return (w - self.mean) @ scaled.T

    def read(self, w: Tensor) -> Tensor:
        """Predicted conditions ``(N, 4)`` of styles ``(N, 512)``."""
        return self.coordinates(w) @ self.slopes + self.neutral

    def flaws(self, w: Tensor) -> Tensor:
        """Predicted ``FLAWS`` ``(N, F)`` of styles ``(N, 512)``, relative to the average."""
        return self.coordinates(w) @ self.flaw_slopes

    def attributes(self, w: Tensor) -> Tensor:
        """Predicted ``ATTRIBUTES`` ``(N, A)`` of styles ``(N, 512)``."""
        return self.coordinates(w) @ self.attribute_slopes + self.usual

    def steer(self, w: Tensor, wanted: Tensor) -> Tensor:
        """Move styles ``(N, 512)`` by the shortest step that makes ``read`` say ``wanted (N, 4)``; NaN is left open.

        What is ``LASTING`` stays as it is.
        """
        change = torch.full((len(w), len(CONDITIONS) + len(ATTRIBUTES) + len(FLAWS)), torch.nan)
        change[:, : len(CONDITIONS)] = wanted - self.read(w)
        change[:, LASTING] = 0
        return self._moved(w, change)

    def become(self, w: Tensor, wanted: Tensor, limits: Tensor | None = None) -> Tensor:
        """Move styles by the shortest step that gives them ``wanted (N, A)`` attributes, and no more than ``limits
        (F,)`` of each flaw.

        What is NaN stays as it is, and so do the pose of the head and, if there are limits, lesser flaws.
        """
        head = torch.zeros(len(w), len(CONDITIONS))
        head[:, MOUTH] = torch.nan
        most = torch.full((len(FLAWS),), torch.nan) if limits is None else limits
        flaws = (most - self.flaws(w)).clamp(max=0)
        return self._moved(w, torch.cat([head, (wanted - self.attributes(w)).nan_to_num(0), flaws], dim=1))

    def _moved(self, w: Tensor, change: Tensor) -> Tensor:
        """Styles after the shortest step that changes conditions, attributes, flaws by ``change (N, 4 + A + F)``."""
        left_open = change.isnan()
        slopes = torch.cat([self.slopes, self.attribute_slopes, self.flaw_slopes], dim=1)
        slopes = slopes.masked_fill(left_open[:, None], 0)
        gram = slopes.transpose(1, 2) @ slopes + torch.diag_embed(left_open.float())
        steps = slopes @ torch.linalg.solve(gram, change.nan_to_num(0)[..., None])
        return w + steps[..., 0] @ self.components


@cache
def load_condition() -> Condition:
    """The fitted condition that is part of the package."""
    data = (files("anonymizer.generate") / "condition.safetensors").read_bytes()
    return Condition(**safetensors.torch.load(data))
