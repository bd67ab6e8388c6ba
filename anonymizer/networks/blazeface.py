"""MediaPipe's full-range face detector: faces in a picture, each with six points.

Valentin Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019,
https://arxiv.org/abs/1907.05047; the layers follow MediaPipe's ``face_detection_full_range.tflite``. The picture is
halved five times; on the way back up what was seen at each size is added.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from anonymizer.networks.face_mesh import padded, shortcut

SIZE = 192  # height and width of the input in pixels
GRID = 48  # places along each side that may hold a face
NUMBERS = 16  # a place: centre, size, six points


class Block(nn.Module):
    """Twice 3x3 depthwise and 1x1, over few channels, beside a shortcut; which pads channels and pools as needed."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.widen = stride, outputs - inputs
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=stride % 2, groups=inputs)
        self.reduce = nn.Conv2d(inputs, middle, 1)
        self.between = nn.Conv2d(middle, middle, 3, padding=1, groups=middle)
        self.expand = nn.Conv2d(middle, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        within = self.depthwise(padded(x) if self.stride == 2 else x)
        within = self.expand(self.between(F.relu(self.reduce(within))))
        return F.relu(shortcut(x, self.stride, self.widen) + within)


def narrow(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU())


class BlazeFace(nn.Module):
    """RGB float ``(N, 3, 192, 192)`` in -1..1 -> logits ``(N, 48, 48)``, boxes and points ``(N, 48, 48, 16)``.

    Each place of the grid, four pixels wide, tells whether a face is there, and in pixels of the input, from the
    middle of the place: x, y of the centre; width and height; x, y of the eye on the left of the picture, the other
    eye, nose, mouth, the ear on the left and the other ear.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        self.fine = nn.Sequential(  # (N, 64, 48, 48)
            *(Block(32, 8, 32), Block(32, 8, 32), Block(32, 12, 48, 2), Block(48, 12, 48), Block(48, 16, 64))
        )
        self.from_fine = narrow(64, 48)
        self.middle = nn.Sequential(Block(64, 24, 96, 2), Block(96, 32, 128), Block(128, 32, 128))
        self.from_middle = narrow(128, 64)
        self.coarse = nn.Sequential(Block(128, 36, 144, 2), Block(144, 48, 192), Block(192, 64, 256))
        self.from_coarse = narrow(256, 96)
        self.top = nn.Sequential(  # (N, 96, 6, 6)
            Block(256, 96, 384, 2), *(Block(384, 96, 384) for _ in range(3)), narrow(384, 96)
        )
        self.up_coarse = nn.Sequential(Block(96, 48, 96), Block(96, 48, 96), narrow(96, 64))
        self.up_middle = nn.Sequential(Block(64, 32, 64), Block(64, 32, 64), narrow(64, 48))
        self.up_fine = Block(48, 24, 48)
        self.score = nn.Conv2d(48, 1, 1)
        self.place = nn.Conv2d(48, NUMBERS, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(F.relu(self.stem(padded(pictures))))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        x = self.up_coarse(self.from_coarse(coarse) + _doubled(self.top(coarse)))
        x = self.up_middle(self.from_middle(middle) + _doubled(x))
        x = self.up_fine(self.from_fine(fine) + _doubled(x))
        return self.score(x)[:, 0], self.place(x).permute(0, 2, 3, 1)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
