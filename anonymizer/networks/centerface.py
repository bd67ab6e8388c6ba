"""CenterFace: an anchor-free face detector.

Yuanyuan Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019,
https://arxiv.org/abs/1911.03599. The backbone is MobileNetV2 (width 1) up to its 320 channels; three steps of
a feature pyramid lead back to a quarter of the input's size, where four 1x1 convolutions look for faces.
"""

from typing import NamedTuple

from torch import Tensor, nn

STRIDE = 4  # input pixels per cell of the returned maps
MULTIPLE = 32  # height and width of the input must be multiples of this
NECK = 24  # channels of the feature pyramid

# expansion, output channels, repeats, stride of the first: table 2 of https://arxiv.org/abs/1801.04381
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
TAPS = (1, 2, 4)  # the stages that the pyramid looks back at


class FaceMaps(NamedTuple):
    """What the network says about each cell of 4 x 4 pixels; h = H / 4, w = W / 4.

    Attributes:
        heatmap: ``(N, 1, h, w)`` in 0..1, how sure the network is that a face has its centre in the cell.
        scale: ``(N, 2, h, w)``, logarithm of the height and the width of the face in cells.
        offset: ``(N, 2, h, w)``, where in the cell the centre lies: down, right, in cells.
        landmarks: ``(N, 10, h, w)``, five points, each down, right, from the corner of the box in its size.
    """

    heatmap: Tensor
    scale: Tensor
    offset: Tensor
    landmarks: Tensor


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection; a shortcut where the shapes agree."""

    def __init__(self, expansion: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        expand = [nn.Conv2d(inputs, hidden, 1), nn.ReLU(inplace=True)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, outputs, 1),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


class Merge(nn.Module):
    """One step of the pyramid: doubles the coarse features and adds the finer ones of the backbone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(
            nn.ConvTranspose2d(NECK, NECK, 2, 2, bias=False),
            nn.BatchNorm2d(NECK, eps=1e-3),
            nn.ReLU(inplace=True),
        )
        self.lateral = nn.Sequential(nn.Conv2d(channels, NECK, 1), nn.ReLU(inplace=True))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return self.upsample(coarse) + self.lateral(fine)


class CenterFace(nn.Module):
    """RGB ``(N, H, W, 3)`` in 0..255, of any type, H and W multiples of 32 -> :class:`FaceMaps`.

    So pictures go in as they are stored; the network was trained on them without normalisation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, padding=1), nn.ReLU(inplace=True))
        stages = []
        inputs = 32
        for expansion, outputs, repeats, stride in STAGES:
            blocks = [InvertedResidual(expansion, inputs, outputs, stride)]
            blocks += [InvertedResidual(expansion, outputs, outputs, 1) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        self.top = nn.Sequential(nn.Conv2d(inputs, NECK, 1), nn.ReLU(inplace=True))
        self.merges = nn.ModuleList(Merge(STAGES[tap][1]) for tap in reversed(TAPS))
        self.last = nn.Sequential(nn.Conv2d(NECK, NECK, 3, padding=1), nn.ReLU(inplace=True))
        self.heatmap = nn.Conv2d(NECK, 1, 1)
        self.scale = nn.Conv2d(NECK, 2, 1)
        self.offset = nn.Conv2d(NECK, 2, 1)
        self.landmarks = nn.Conv2d(NECK, 10, 1)

    def forward(self, pictures: Tensor) -> FaceMaps:
        x = self.stem(pictures.permute(0, 3, 1, 2).to(self.heatmap.weight.dtype))  # (N, 32, H/2, W/2)
        stages = []
        for stage in self.stages:
            x = stage(x)
            stages.append(x)
        x = self.top(x)  # (N, 24, H/32, W/32)
        for merge, tap in zip(self.merges, reversed(TAPS), strict=True):
            x = merge(x, stages[tap])  # (N, 24, H/16, W/16), (N, 24, H/8, W/8), (N, 24, H/4, W/4)
        x = self.last(x)  # (N, 24, H/4, W/4)
        return FaceMaps(self.heatmap(x).sigmoid(), self.scale(x), self.offset(x), self.landmarks(x))
