"""Early exits of the synthesis network: smaller portraits at a fraction of the cost.

A head, three small convolutions, reads a picture off features on the way through the network. Trained on the full
picture with ``python -m anonymizer.generate.fit_heads``, which prints how close it comes.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import cast

import safetensors.torch
import torch.nn.functional as F
from torch import Tensor, nn

from anonymizer.networks.mobile_stylegan import CHANNELS, SynthesisNetwork

FULL = 1024  # pixels, side of the network's own pictures
SIZES = (128, 256, 512, FULL)  # pixels, sides of the pictures that can be had
WIDTH = {128: 64, 256: 48, 512: 32}  # channels inside of the heads


class Head(nn.Module):
    """Features ``(N, C, R, R)`` -> RGB ``(N, 3, 2 R, 2 R)``, about -1..1.

    Args:
        size: 2 R, one of ``SIZES`` but the full one.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        width = WIDTH[size]
        self.reduce = nn.Conv2d(CHANNELS[size // 2], width, 1)
        self.mix = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
        self.colour = nn.Conv2d(width, 12, 3, padding=1, padding_mode="replicate")

    def forward(self, features: Tensor) -> Tensor:
        x = F.leaky_relu(self.reduce(features), 0.2)
        x = x + F.leaky_relu(self.mix(x), 0.2)
        return F.pixel_shuffle(self.colour(x), 2)


class EarlyExit(nn.Module):
    """Styles ``(N, 512)`` -> RGB ``(N, 3, size, size)``, about -1..1.

    Args:
        synthesis: the whole network.
        size: one of ``SIZES``.
    """

    def __init__(self, synthesis: SynthesisNetwork, size: int) -> None:
        super().__init__()
        self.synthesis, self.size = synthesis, size
        if size != FULL:
            self.head = Head(size)
            weights = {name.split(".", 1)[1]: value for name, value in _heads().items() if name.startswith(f"{size}.")}
            self.head.load_state_dict(weights)
        self.eval().requires_grad_(False)

    def forward(self, w: Tensor) -> Tensor:
        if self.size == FULL:
            return cast(Tensor, self.synthesis(w))
        return cast(Tensor, self.head(self.synthesis.features(w, self.size // 2)))

    def extra_repr(self) -> str:
        return f"size={self.size}"


@cache
def _heads() -> dict[str, Tensor]:
    """The heads that are part of the package: ``256.reduce.weight`` ..."""
    return safetensors.torch.load((files("anonymizer.generate") / "heads.safetensors").read_bytes())
