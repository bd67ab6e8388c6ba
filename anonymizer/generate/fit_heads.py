"""Fits the heads of ``heads`` by least squares, on portraits of the package's own generator.

``python -m anonymizer.generate.fit_heads --count 60`` writes ``generate/heads.safetensors`` and prints the peak
signal-to-noise ratio against the full picture, in the middle of portraits that were left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import weights
from anonymizer.generate.condition import load_condition
from anonymizer.generate.heads import FULL, SIZES
from anonymizer.networks.mobile_stylegan import SynthesisNetwork

PIXELS = 4096  # of each picture that are fitted
RIDGE = 1e-4


class Normal:
    """Normal equations of a head: grows by ``add``, ends in ``solve``."""

    def __init__(self) -> None:
        self.gram, self.right = torch.zeros(0), torch.zeros(0)

    def add(self, features: Tensor, picture: Tensor) -> None:
        """Features ``(1, C, R, R)`` and the picture ``(1, 3, 2 R, 2 R)`` that they should give."""
        patches = F.unfold(features, 3, padding=1)[0].T
        rows = torch.randperm(len(patches))[:PIXELS]
        design = torch.cat([patches[rows], torch.ones(len(rows), 1)], dim=1)
        target = F.pixel_unshuffle(picture, 2)[0].flatten(1).T[rows]
        gram, right = design.T @ design, design.T @ target
        self.gram, self.right = (self.gram + gram, self.right + right) if len(self.gram) else (gram, right)

    def solve(self) -> tuple[Tensor, Tensor]:
        """Weight ``(12, C, 3, 3)`` and bias ``(12,)`` of the convolution."""
        damping = RIDGE * self.gram.diagonal().mean() * torch.eye(len(self.gram))
        found = torch.linalg.solve(self.gram + damping, self.right).T
        return found[:, :-1].reshape(12, -1, 3, 3).contiguous(), found[:, -1].contiguous()


def draw(synthesis: SynthesisNetwork, seed: int) -> dict[int, tuple[Tensor, Tensor]]:
    """Features and picture of one random portrait, for each size below the full one."""
    noise = torch.randn(1, 512, generator=torch.Generator().manual_seed(seed))
    w = load_condition().truncate(weights.load("mapping")(noise), 0.8)
    full = synthesis(w)
    return {size: (synthesis.features(w, size // 2), F.avg_pool2d(full, FULL // size)) for size in SIZES[:-1]}


@click.command()
@click.option("--count", default=60, help="Portraits to fit to.")
@click.option("--test", default=12, help="Portraits to measure on.")
@torch.inference_mode()
def main(count: int, test: int) -> None:
    """Fit the heads and write them into the package."""
    synthesis = cast(SynthesisNetwork, weights.load("synthesis"))
    normals = {size: Normal() for size in SIZES[:-1]}
    for seed in range(count):
        for size, sample in draw(synthesis, seed).items():
            normals[size].add(*sample)
    heads = {size: normal.solve() for size, normal in normals.items()}
    errors: dict[int, list[Tensor]] = {size: [] for size in heads}
    for seed in range(count, count + test):
        for size, (features, picture) in draw(synthesis, seed).items():
            edge = size // 4
            error = F.pixel_shuffle(F.conv2d(features, *heads[size], padding=1), 2) - picture
            errors[size].append(error[:, :, edge:-edge, edge:-edge].square().mean())
    for size, squares in errors.items():
        click.echo(f"{size} px: {10 * (4 / torch.stack(squares)).log10().mean():.1f} dB")
    arrays = {
        f"{size}.{name}": value
        for size, head in heads.items()
        for name, value in zip(("weight", "bias"), head, strict=True)
    }
    safetensors.torch.save_file(arrays, Path(__file__).parent / "heads.safetensors")


if __name__ == "__main__":
    main()
