"""Early exits of the synthesis network: smaller portraits at a fraction of the cost.

A linear head, one 3x3 convolution, reads a picture off the features half-way through the network. Fitted by least
squares to the full picture with ``python -m anonymizer.generate.fit_heads``, which prints how close it comes.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import safetensors.torch
import torch.nn.functional as F
from torch import Tensor, nn

from anonymizer.networks.mobile_stylegan import CHANNELS, SynthesisNetwork

FULL = 1024  # pixels, side of the network's own pictures
SIZES = (256, 512, FULL)  # pixels, sides of the pictures that can be had


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
            self.head = nn.Conv2d(CHANNELS[size // 2], 12, 3, padding=1)
            weights = {name.split(".")[1]: value for name, value in _heads().items() if name.startswith(f"{size}.")}
            self.head.load_state_dict(weights)
        self.eval().requires_grad_(False)

    def forward(self, w: Tensor) -> Tensor:
        if self.size == FULL:
            return self.synthesis(w)
        return F.pixel_shuffle(self.head(self.synthesis.features(w, self.size // 2)), 2)

    def extra_repr(self) -> str:
        return f"size={self.size}"


@cache
def _heads() -> dict[str, Tensor]:
    """The heads that are part of the package: ``256.weight``, ``256.bias`` ..."""
    return safetensors.torch.load((files("anonymizer.generate") / "heads.safetensors").read_bytes())
