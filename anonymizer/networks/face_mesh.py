"""MediaPipe's face mesh: 468 points in three dimensions on a picture of one face.

Yury Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019,
https://arxiv.org/abs/1907.06724; the layers follow MediaPipe's ``face_landmark.tflite``. A trunk of
residual depthwise-separable blocks halves the picture five times; of its two branches, one gives the points
and one the presence of a face.
"""

import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 192  # height and width of the input in pixels
POINTS = 468


class Residual(nn.Module):
    """3x3 depthwise and 1x1 convolution beside a shortcut; which pads channels and pools as needed."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.widen = outputs - inputs
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=stride % 2, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        within = self.depthwise(padded(x) if self.stride == 2 else x)
        return self.activation(shortcut(x, self.stride, self.widen) + self.pointwise(within))


def padded(x: Tensor) -> Tensor:
    """TensorFlow pads even sizes, before they are halved, only at the right and the bottom."""
    return F.pad(x, (0, 1, 0, 1))


def shortcut(x: Tensor, stride: int, widen: int) -> Tensor:
    """``(N, C, H, W)``, pooled and with empty channels, as is needed to add it to what a block makes of it."""
    pooled = F.max_pool2d(x, 2) if stride == 2 else x
    return F.pad(pooled, (0, 0, 0, 0, 0, widen)) if widen else pooled


class Stem(nn.Module):
    """3x3 convolution that halves the picture."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, outputs, 3, 2)
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.convolution(padded(x)))


def narrow(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.PReLU(outputs), Residual(outputs, outputs))


class FaceMesh(nn.Module):
    """RGB float ``(N, 3, 192, 192)`` in 0..1 -> points ``(N, 468, 3)``, presence ``(N,)``.

    Points are x, y, z in pixels of the input, z growing away from the camera; presence is a logit. Both are
    float32 whatever the network runs in, as half precision tells points apart only to an eighth of a pixel.
    The network was trained on 0..1, so nothing is normalised.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [Stem(16)]  # (N, 16, 96, 96)
        layers += [Residual(16, 16), Residual(16, 16)]
        for inputs, outputs in ((16, 32), (32, 64), (64, 128), (128, 128)):
            layers += [
                Residual(inputs, outputs, stride=2),
                Residual(outputs, outputs),
                Residual(outputs, outputs),
            ]
        self.trunk = nn.Sequential(*layers)  # (N, 128, 6, 6)
        self.shape = nn.Sequential(  # (N, 32, 3, 3)
            Residual(128, 128, stride=2), Residual(128, 128), Residual(128, 128), narrow(128, 32)
        )
        self.points = nn.Linear(32 * 3 * 3, POINTS * 3)
        self.face = nn.Sequential(Residual(128, 128, stride=2), narrow(128, 32))  # (N, 32, 3, 3)
        self.presence = nn.Linear(32 * 3 * 3, 1)

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(faces)
        points = linear_float32(self.points, self.shape(x))
        presence = linear_float32(self.presence, self.face(x))
        return points.unflatten(1, (POINTS, 3)), presence.squeeze(1)


def linear_float32(layer: nn.Linear, x: Tensor) -> Tensor:
    """The layer on the flattened input, computed in float32."""
    return F.linear(x.flatten(1).float(), layer.weight.float(), layer.bias.float())
