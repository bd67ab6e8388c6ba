"""MediaPipe's eye contours: 71 points of eyelids and brow on a picture of one eye.

Artsiom Ablavatski et al., "Real-time Pupil Tracking from Monocular Video for Digital Puppetry", 2020,
https://arxiv.org/abs/2006.11341; the layers follow MediaPipe's ``iris_landmark.tflite``, without its branch for the
iris. Residual bottlenecks; the picture is halved five times.
"""

from torch import Tensor, nn

from anonymizer.networks.face_mesh import Stem, linear_float32, shortcut

SIZE = 64  # height and width of the input in pixels
POINTS = 71


class Bottleneck(nn.Module):
    """Half the channels, 3x3 depthwise, all channels, beside a shortcut; or, with a stride of 2, half the size."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        middle = outputs // 2
        self.stride, self.widen = stride, outputs - inputs
        self.reduce = nn.Conv2d(inputs, middle, stride, stride)
        self.between = nn.PReLU(middle)
        self.depthwise = nn.Conv2d(middle, middle, 3, padding=1, groups=middle)
        self.expand = nn.Conv2d(middle, outputs, 1)
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(
            shortcut(x, self.stride, self.widen) + self.expand(self.depthwise(self.between(self.reduce(x))))
        )


class EyeContour(nn.Module):
    """RGB float ``(N, 3, 64, 64)`` in 0..1 of eyes on the left of a face in the picture -> points ``(N, 71, 3)``.

    Points are x, y, z in pixels of the input: the lower lid from the outer corner to the inner one (9), the upper lid
    in the same direction without the corners (7), then lines around the eye and the brow. Eyes on the right are
    mirrored before.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [Stem(64)]  # (N, 64, 32, 32)
        layers += [Bottleneck(64, 64) for _ in range(4)]
        layers += [Bottleneck(64, 128, stride=2), *(Bottleneck(128, 128) for _ in range(4))]  # (N, 128, 16, 16)
        for _ in range(3):  # (N, 128, 2, 2)
            layers += [Bottleneck(128, 128, stride=2), Bottleneck(128, 128), Bottleneck(128, 128)]
        self.layers = nn.Sequential(*layers)
        self.points = nn.Linear(128 * 2 * 2, POINTS * 3)

    def forward(self, eyes: Tensor) -> Tensor:
        return linear_float32(self.points, self.layers(eyes)).unflatten(1, (POINTS, 3))
