"""What a face shows at first sight: a small convolutional network with an own doubt for every answer."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

SIZE = 64  # pixels, sides of what the network takes
TRAITS = ("age", "man", "skin", "beard", "glasses")  # as ``generate.attributes`` measures them
WIDTHS = (24, 48, 96, 128)


class TraitNet(nn.Module):
    """RGB ``(N, 3, 64, 64)`` in 0..1, chips of ``identity`` -> ``(N, 2, 5)``: means, and standard deviations.

    The doubt is learnt along with the answer (Kendall and Gal, 2017, https://arxiv.org/abs/1703.04977).
    """

    usual: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.convs = nn.ModuleList(
            [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(inputs, WIDTHS, strict=True)]
        )
        self.mixes = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for width in WIDTHS])
        self.last = nn.Linear(WIDTHS[-1] * 4, 2 * len(TRAITS))
        self.register_buffer("usual", torch.zeros(len(TRAITS)))
        self.register_buffer("spread", torch.ones(len(TRAITS)))

    def forward(self, x: Tensor) -> Tensor:
        mean, doubt = self.standard(x).unbind(1)
        return torch.stack([self.usual + self.spread * mean, self.spread * (doubt / 2).exp()], dim=1)

    def standard(self, x: Tensor) -> Tensor:
        """``(N, 2, 5)``: means in standard deviations of all faces, and logarithms of variances of that."""
        x = x * 2 - 1
        for conv, mix in zip(self.convs, self.mixes, strict=True):
            x = conv(x).relu()
            x = x + mix(x).relu()
        pooled = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
        return cast(Tensor, self.last(pooled).unflatten(1, (2, len(TRAITS))).clamp(-6, 6))
