"""Apparent age and gender as a network of face-api sees them: labels for fitting, not shipped and not used otherwise.

Tiny Xception (after Chollet, 2017, https://arxiv.org/abs/1610.02357), trained by the authors of face-api.js on
photographs of the wild. Weights: folder ``model`` of the npm package ``@vladmandic/face-api`` 1.7.15 (MIT).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 112  # pixels, what the network takes
MEAN = torch.tensor([122.782, 117.001, 104.298])[:, None, None] / 255
NAME, SHA256 = "age_gender_model", "49f92bbc0afef2342c4385e4a2b0acb6d7a727c6f0aa539499719a81acf9abaa"


class Separable(nn.Module):
    """3x3 depthwise, then 1x1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.pointwise(self.depthwise(x)))


class Reduction(nn.Module):
    """Two separable convolutions at half the size, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([Separable(inputs, outputs), Separable(outputs, outputs)])
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2)

    def forward(self, x: Tensor, first: bool = False) -> Tensor:
        y = self.convs[1](self.convs[0](x if first else x.relu()).relu())
        return cast(Tensor, F.max_pool2d(_padded(y, -torch.inf), 3, 2) + self.shortcut(x))


class AgeGender(nn.Module):
    """RGB ``(N, 3, 112, 112)`` in 0..1 of faces from brows to chin -> ``(N, 2)``: years, logit of "a man"."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, stride=2)
        self.entry = nn.ModuleList([Reduction(32, 64), Reduction(64, 128)])
        self.middle = nn.ModuleList([nn.ModuleList([Separable(128, 128) for _ in range(3)]) for _ in range(2)])
        self.exit = Reduction(128, 256)
        self.last = Separable(256, 512)
        self.age, self.gender = nn.Linear(512, 1), nn.Linear(512, 2)

    def forward(self, faces: Tensor) -> Tensor:
        x = self.first(_padded(faces - MEAN, 0)).relu()  # (N, 32, 56, 56)
        for number, block in enumerate(self.entry):
            x = block(x, first=number == 0)
        for convs in cast("list[nn.ModuleList]", self.middle):  # (N, 128, 14, 14)
            y = x
            for conv in convs:
                y = conv(y.relu())
            x = x + y
        x = self.last(self.exit(x)).relu().mean((2, 3))  # (N, 512)
        man, woman = self.gender(x).unbind(1)
        return torch.stack([self.age(x)[:, 0], man - woman], dim=1)


def _padded(x: Tensor, value: float) -> Tensor:
    """Padding of TensorFlow's "same" for 3x3 windows, a stride of 2 and an even size."""
    return F.pad(x, (0, 1, 0, 1), value=value)


def load(folder: Path) -> AgeGender:
    """The network, from the folder ``model`` of the package.

    Raises:
        ValueError: the file is another one.
    """
    data = (folder / f"{NAME}.bin").read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError(f"{folder / NAME}.bin is not the file that is expected")
    arrays: dict[str, Tensor] = {}
    at = 0
    for entry in json.loads((folder / f"{NAME}-weights_manifest.json").read_bytes())[0]["weights"]:
        scale = entry.get("quantization")
        kind = np.dtype(np.uint8 if scale else np.float32)
        values = np.frombuffer(data, kind, int(np.prod(entry["shape"])), at).reshape(entry["shape"])
        at += values.nbytes
        values = values * scale["scale"] + scale["min"] if scale else values.copy()
        arrays[entry["name"]] = torch.from_numpy(values).float()
    network = AgeGender()
    network.load_state_dict(_renamed(arrays))
    return network.eval().requires_grad_(False)


def _renamed(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Under the names, and in the order of axes, of ``AgeGender``."""
    blocks = {f"entry.{number}": f"entry_flow/reduction_block_{number}" for number in range(2)}
    blocks["exit"] = "exit_flow/reduction_block"
    separable = {
        f"{block}.convs.{number}": f"{theirs}/separable_conv{number}"
        for block, theirs in blocks.items()
        for number in range(2)
    }
    separable |= {
        f"middle.{block}.{number}": f"middle_flow/main_block_{block}/separable_conv{number}"
        for block in range(2)
        for number in range(3)
    }
    separable["last"] = "exit_flow/separable_conv"
    plain = {"first": "entry_flow/conv_in"} | {
        f"{b}.shortcut": f"{theirs}/expansion_conv" for b, theirs in blocks.items()
    }
    state = {}
    for ours, theirs in separable.items():
        state[f"{ours}.depthwise.weight"] = arrays[f"{theirs}/depthwise_filter"].permute(2, 3, 0, 1)
        state[f"{ours}.pointwise.weight"] = arrays[f"{theirs}/pointwise_filter"].permute(3, 2, 0, 1)
        state[f"{ours}.pointwise.bias"] = arrays[f"{theirs}/bias"]
    for ours, theirs in plain.items():
        state[f"{ours}.weight"] = arrays[f"{theirs}/filters"].permute(3, 2, 0, 1)
        state[f"{ours}.bias"] = arrays[f"{theirs}/bias"]
    for name in ("age", "gender"):
        state[f"{name}.weight"], state[f"{name}.bias"] = arrays[f"fc/{name}/weights"].T, arrays[f"fc/{name}/bias"]
    return state
