"""MobileStyleGAN: faces of people who do not exist, 1024 x 1024 pixels.

Sergei Belousov, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image
Synthesis", 2021, https://arxiv.org/abs/2104.04767: StyleGAN2 (https://arxiv.org/abs/1912.04958) distilled
into a network that predicts wavelet coefficients with depthwise-separable convolutions. As in the published
file, demodulation, which does not depend on the style here, is part of the weights, and the noise of a layer
is a constant picture.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STYLE = 512  # length of a style vector
BLOCKS = (
    (512, 512),
    (512, 512),
    (512, 512),
    (512, 512),
    (512, 256),
    (256, 128),
    (128, 64),
)  # channels in, out
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}  # resolution: channels
HAAR = [  # mean, vertical, horizontal, diagonal
    [[0.5, 0.5], [0.5, 0.5]],
    [[0.5, 0.5], [-0.5, -0.5]],
    [[0.5, -0.5], [0.5, -0.5]],
    [[0.5, -0.5], [-0.5, 0.5]],
]
STYLES = 1 + 3 * len(BLOCKS) + 1  # style inputs: the stem, three a block, the picture


class MappingNetwork(nn.Module):
    """Normal noise z ``(N, 512)`` -> style w ``(N, 512)``."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(STYLE, STYLE) for _ in range(8))

    def forward(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * math.sqrt(2)
        return x


class InverseHaar(nn.Module):
    """Inverse Haar wavelet transform: ``(N, 4 C, H, W)`` -> ``(N, C, 2 H, 2 W)``.

    Each channel of the result comes from four in a row: mean, vertical, horizontal and diagonal detail.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.kernel = nn.Buffer(torch.tensor(HAAR * channels).unsqueeze(1))  # (4 C, 1, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.kernel, stride=2, groups=self.channels)


class Modulation(nn.Module):
    """Scales each channel of x ``(N, C, H, W)`` by a linear function of the style ``(N, 512)``."""

    def __init__(self, channels: int, gain: float) -> None:
        super().__init__()
        self.linear = nn.Linear(STYLE, channels)
        self.gain = gain

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return x * (self.linear(style) * self.gain)[:, :, None, None]


class StyledConv(nn.Module):
    """Modulated convolution, noise, leaky ReLU: ``(N, in, S, S)`` and ``(N, 512)`` -> ``(N, out, S, S)``."""

    def __init__(self, inputs: int, outputs: int, size: int, convolutions: nn.Module) -> None:
        super().__init__()
        self.modulation = Modulation(inputs, gain=1 / math.sqrt(inputs * 9))
        self.convolutions = convolutions
        self.noise = nn.Buffer(torch.zeros(1, 1, size, size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return F.leaky_relu(self.convolutions(self.modulation(x, style)) + self.noise, 0.2)


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 depthwise, then 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), nn.Conv2d(inputs, outputs, 1)
    )


class Block(nn.Module):
    """Doubles the resolution: ``(N, in, S/2, S/2)``, styles ``(N, 3, 512)`` -> ``(N, out, S, S)``."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.modulation = Modulation(inputs, gain=1)
        self.up = InverseHaar(inputs // 4)
        self.first = StyledConv(inputs // 4, outputs, size, separable(inputs // 4, outputs))
        self.second = StyledConv(outputs, outputs, size, separable(outputs, outputs))

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        x = self.up(self.modulation(x, styles[:, 0]))
        x = self.first(x, styles[:, 1])
        return self.second(x, styles[:, 2])


class ToImage(nn.Module):
    """Features ``(N, C, S, S)``, style ``(N, 512)`` -> RGB ``(N, 3, 2 S, 2 S)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.modulation = Modulation(channels, gain=1 / math.sqrt(channels))
        self.convolution = nn.Conv2d(channels, 3 * 4, 1)
        self.up = InverseHaar(3)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.up(self.convolution(self.modulation(x, style)))


class SynthesisNetwork(nn.Module):
    """Styles ``(N, 23, 512)``, one a layer, or ``(N, 512)``, one for all -> RGB ``(N, 3, 1024, 1024)``.

    Colours lie in -1..1, save a few a little beyond, which are not clamped.
    Style 0 belongs to the stem, styles 3 b + 1, 3 b + 2, 3 b + 3 to block b, style 22 to the picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(1, STYLE, 4, 4))
        self.stem = StyledConv(STYLE, STYLE, 4, nn.Conv2d(STYLE, STYLE, 3, padding=1))
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, 8 << number) for number, (inputs, outputs) in enumerate(BLOCKS)
        )
        self.to_image = ToImage(CHANNELS[512])

    def features(self, w: Tensor, resolution: int) -> Tensor:
        """The last features of a resolution r of 4, 8, ... 512: ``(N, CHANNELS[r], r, r)``.

        Coarser ones cost less: nothing beyond them is computed.
        """
        if resolution not in CHANNELS:
            raise ValueError(f"features exist at {list(CHANNELS)}, not at {resolution}")
        styles = every_layer(w)
        x = self.stem(self.constant.expand(w.shape[0], -1, -1, -1), styles[:, 0])
        for number in range(int(math.log2(resolution)) - 2):
            x = self.blocks[number](x, styles[:, 3 * number + 1 : 3 * number + 4])
        return x

    def forward(self, w: Tensor) -> Tensor:
        return self.to_image(self.features(w, 512), every_layer(w)[:, -1])


def every_layer(w: Tensor) -> Tensor:
    """``(N, 512)`` or ``(N, 23, 512)`` -> ``(N, 23, 512)``."""
    return w.unsqueeze(1).expand(-1, STYLES, -1) if w.ndim == 2 else w
