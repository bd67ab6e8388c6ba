"""Guesses from a persona's style what the recognizers of ``jury`` would say of a portrait, without drawing one.

A linear regression: what a face looks like to a recognizer is nearly as close to linear in the style vector of StyleGAN
as pose and age are, see ``condition``. Fitted by ``python -m anonymizer.generate.fit_likeness``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import safetensors.torch
from torch import Tensor

from anonymizer.jury import normalized


@dataclass(frozen=True, eq=False)
class Likeness:
    """The fitted arrays.

    Attributes:
        mean: ``(512,)``, the average style.
        slopes: ``(512, 256)``, change of the embeddings with the style.
        usual: ``(256,)``, the embeddings of the average style.
    """

    mean: Tensor
    slopes: Tensor
    usual: Tensor

    def guess(self, styles: Tensor) -> Tensor:
        """Embeddings ``(N, 256)``, each half of length 1, of portraits at rest in ``styles (N, 512)``."""
        return normalized((styles - self.mean) @ self.slopes + self.usual)


@cache
def load_likeness() -> Likeness:
    """The fitted likeness that is part of the package."""
    data = (files("anonymizer.generate") / "likeness.safetensors").read_bytes()
    return Likeness(**safetensors.torch.load(data))
