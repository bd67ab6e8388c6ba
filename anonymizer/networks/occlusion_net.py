"""Which pixels of a face are hidden by something: a small U-Net (Ronneberger et al., 2015,
https://arxiv.org/abs/1505.04597).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 128  # pixels, sides of what the network takes
WIDTHS = (16, 32, 48, 64)


def _layer(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1))


class OcclusionNet(nn.Module):
    """RGB ``(N, 3, 128, 128)`` in 0..1, upright crops of ``mesh.crop_of_mesh`` -> logits ``(N, 1, 128, 128)``."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.downs = nn.ModuleList([_layer(a, b, stride=2) for a, b in zip(inputs, WIDTHS, strict=True)])
        self.mixes = nn.ModuleList([_layer(width, width) for width in WIDTHS])
        self.wide = _layer(WIDTHS[-1], WIDTHS[-1], dilation=2)
        self.ups = nn.ModuleList([_layer(a + b, b) for a, b in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)])
        self.last = nn.Conv2d(WIDTHS[0], 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2 - 1
        levels = []
        for down, mix in zip(self.downs, self.mixes, strict=True):
            x = down(x)
            x = x + mix(x)
            levels.append(x)
        x = x + self.wide(x)
        x = x + x.mean((2, 3), keepdim=True)
        for up, level in zip(self.ups, reversed(levels[:-1]), strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), level], dim=1))
        return F.pixel_shuffle(self.last(x), 2)
