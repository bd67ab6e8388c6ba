"""Steers the synthesis network: the same person, looking elsewhere.

Head pose and mouth are close to linear in the style vector w of StyleGAN (cf. Shen et al., "InterFaceGAN", 2020).
A ridge regression on whitened principal components of w predicts them; the shortest step in that space moves them.
Fitted by ``python -m anonymizer.generate.fit``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import safetensors.torch
import torch
from torch import Tensor

CONDITIONS = ("yaw", "pitch", "mouth open", "mouth width")  # degrees, degrees, distances between the eyes
FLAWS = ("hair over the forehead", "glasses", "beard", "childlike")  # what would look odd on somebody else's head


@dataclass(frozen=True, eq=False)
class Condition:
    """The fitted arrays, for K components and the 4 ``CONDITIONS``.

    Attributes:
        mean: ``(512,)``, the average style.
        components: ``(K, 512)``, principal components, scaled to unit variance of their coordinates.
        slopes: ``(K, 4)``, change of each condition with each coordinate.
        neutral: ``(4,)``, the conditions of the average style.
        flaw_slopes: ``(K, 4)``, change of each of the ``FLAWS`` with each coordinate, in units of their spread.
        flaw_limits: ``(4,)``, what a persona may have of each, relative to the average.
    """

    mean: Tensor
    components: Tensor
    slopes: Tensor
    neutral: Tensor
    flaw_slopes: Tensor
    flaw_limits: Tensor

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
        """Predicted ``FLAWS`` ``(N, 4)`` of styles ``(N, 512)``, relative to the average."""
        return self.coordinates(w) @ self.flaw_slopes

    def steer(self, w: Tensor, wanted: Tensor) -> Tensor:
        """Move styles ``(N, 512)`` by the shortest step that makes ``read`` say ``wanted (N, 4)``."""
        gram = self.slopes.T @ self.slopes
        step = torch.linalg.solve(gram, (wanted - self.read(w)).T).T @ self.slopes.T
        return w + step @ self.components


@cache
def load_condition() -> Condition:
    """The fitted condition that is part of the package."""
    data = (files("anonymizer.generate") / "condition.safetensors").read_bytes()
    return Condition(**safetensors.torch.load(data))
