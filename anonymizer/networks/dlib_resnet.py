"""dlib's face recognizer: faces of one person lie close together in 128 dimensions, at most about 0.6 apart.

Davis King, http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html; the layers follow dlib's
``dnn_face_recognition_ex.cpp``: ResNet-34 (https://arxiv.org/abs/1512.03385) with fewer layers and half the
filters, batch normalisation frozen to affine maps.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 150  # height and width of the input in pixels
EMBEDDING = 128
LEVELS = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))  # filters, blocks; each level but the first halves first


class Affine(nn.Module):
    """A factor and a summand for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma[:, None, None] + self.beta[:, None, None]


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    A block that halves pads no border, so that its convolutions may end up smaller than its shortcut: the smaller
    one is continued with zeros, as are missing channels.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=stride % 2),
            Affine(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            Affine(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        made = self.convolutions(x)
        shortcut = F.avg_pool2d(x, 2) if self.stride == 2 else x
        missing = [max(0, wide - narrow) for wide, narrow in zip(shortcut.shape[2:], made.shape[2:], strict=True)]
        made = F.pad(made, (0, missing[1], 0, missing[0]))
        return F.relu(made + F.pad(shortcut, (0, 0, 0, 0, 0, made.shape[1] - shortcut.shape[1])))


class DlibResnet(nn.Module):
    """RGB float ``(N, 3, 150, 150)`` in 0..1 of aligned faces -> embeddings ``(N, 128)``."""

    def __init__(self) -> None:
        super().__init__()
        channels = LEVELS[0][0]
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 7, 2), Affine(channels), nn.ReLU(), nn.MaxPool2d(3, 2))
        blocks: list[nn.Module] = []  # (N, 32, 35, 35) at first, (N, 256, 2, 2) at last
        for level, (filters, count) in enumerate(LEVELS):
            for index in range(count):
                blocks.append(Block(channels, filters, stride=2 if level and not index else 1))
                channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.embedding = nn.Linear(channels, EMBEDDING, bias=False)

    def forward(self, faces: Tensor) -> Tensor:
        mean = faces.new_tensor([122.782, 117.001, 104.298])[:, None, None]
        x = self.blocks(self.stem((faces * 255 - mean) / 256))
        embedding: Tensor = self.embedding(x.mean((2, 3)))
        return embedding
