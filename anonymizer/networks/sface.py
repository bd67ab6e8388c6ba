"""SFace: a face recognizer of another kind than dlib's, with other layers and another loss.

Yaoyao Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", 2021,
https://arxiv.org/abs/2205.12010, as published in OpenCV's model zoo: MobileNet (https://arxiv.org/abs/1704.04861) for
faces of 112 pixels, whose last map is read as a whole.
"""

from itertools import pairwise

from torch import Tensor, nn

SIZE = 112  # height and width of the input in pixels
EMBEDDING = 128
CHANNELS = (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
HALVED = (1, 3, 5, 11)  # steps from one number of channels to the next at which the map is halved: 112 to 7 pixels


def convolution(inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
        nn.PReLU(outputs),
    ]


class SFace(nn.Module):
    """RGB float ``(N, 3, 112, 112)`` in 0..1 of aligned faces -> embeddings ``(N, 128)``, of any length."""

    def __init__(self) -> None:
        super().__init__()
        layers = convolution(3, CHANNELS[0], 3)
        for step, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
            layers += convolution(inputs, inputs, 3, 2 if step in HALVED else 1, groups=inputs)
            layers += convolution(inputs, outputs, 1)
        self.layers = nn.Sequential(*layers, nn.BatchNorm2d(CHANNELS[-1], eps=2e-5), nn.Flatten())
        side = SIZE >> len(HALVED)
        self.embedding = nn.Sequential(
            nn.Linear(CHANNELS[-1] * side**2, EMBEDDING), nn.BatchNorm1d(EMBEDDING, eps=2e-5)
        )

    def forward(self, faces: Tensor) -> Tensor:
        embedding: Tensor = self.embedding(self.layers((faces * 255 - 127.5) / 128))
        return embedding
