"""Draws portraits for training, with their meshes: ``python -m anonymizer.generate.sample_portraits PORTRAITS``.

Half of them are personas, in many poses, of all ages and skin colours, few with glasses or hair over the forehead. The
others are whoever the network draws, as they happen to look. About five a second on a CPU with two cores; run it again
to go on.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import numpy as np
import torch
from torch import Tensor

from anonymizer import device, weights
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.heads import EarlyExit
from anonymizer.generate.looks import Gender, Look
from anonymizer.generate.personas import Order, Studio, stills, whole_pictures
from anonymizer.generate.training import Samples, collect
from anonymizer.mesh import MeshEstimator
from anonymizer.networks.mobile_stylegan import SynthesisNetwork

SIZE = 256  # pixels, sides of portraits
BATCH, KEPT = 4, 200  # portraits that are drawn together, and after which they are kept
TRUNCATION = 0.7
SPREAD = (0.6, 0.9)  # the same of whoever is drawn
AGE, SKIN = (12, 70), (-25, 55)  # all within what the generator draws well
YAW, PITCH, MOUTH = (-35, 35), (-15, 15), (0, 0.3)

CPU = torch.device("cpu")


def order(seed: int) -> Order:
    """Somebody in some pose."""
    chance = np.random.default_rng(seed)
    genders: tuple[Gender, ...] = ("woman", "man")
    look = Look(age=chance.uniform(*AGE), gender=genders[chance.integers(2)], skin=chance.uniform(*SKIN))
    mouth = chance.uniform(*MOUTH) * chance.integers(2)
    return Order(Persona(seed, look.attributes), (chance.uniform(*YAW), chance.uniform(*PITCH), mouth, None), SIZE)


class Sampler:
    """Draws portraits, each from a seed of its own."""

    def __init__(self) -> None:
        self._estimator, self._mapping = MeshEstimator(CPU), weights.load("mapping")
        self._studio = Studio(CPU, self._estimator, TRUNCATION, BATCH)
        network = EarlyExit(cast(SynthesisNetwork, weights.load("synthesis")), SIZE)
        self._synthesis = device.compile(network, CPU, torch.zeros(1, 512))
        self._condition = load_condition()

    def draw(self, seeds: range) -> Samples:
        """``pixels (N, 3, SIZE, SIZE)`` uint8, and ``points (N, 468, 3)`` in pixels."""
        personas = self._studio.portraits([order(seed) for seed in seeds[::2]], keep=False)
        anybody = [self._anybody(seeds[start : start + 2 * BATCH : 2]) for start in range(1, len(seeds), 2 * BATCH)]
        pixels = torch.cat([torch.stack([one.pixels for one in personas]), *(pictures for pictures, _ in anybody)])
        points = torch.cat([torch.stack([one.points for one in personas]), *(meshes for _, meshes in anybody)])
        return {"pixels": (pixels * 255).round().byte(), "points": points}

    def _anybody(self, seeds: range) -> tuple[Tensor, Tensor]:
        """Whoever the network draws, and their meshes."""
        w = torch.cat([self._style(seed) for seed in seeds])
        pictures = ((self._synthesis(w) + 1) / 2).clamp(0, 1)
        return pictures, self._estimator.estimate(stills(pictures), whole_pictures(len(w), SIZE)).points

    def _style(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        share = float(torch.empty(1).uniform_(*SPREAD, generator=generator))
        return self._condition.truncate(self._mapping(torch.randn(1, 512, generator=generator)), share)


@click.command()
@click.argument("portraits", type=click.Path(path_type=Path))
@click.option("--count", default=3000, help="Portraits to draw in total.")
@torch.inference_mode()
def main(portraits: Path, count: int) -> None:
    """Draw portraits into PORTRAITS."""
    collect(portraits, count, Sampler().draw, KEPT)


if __name__ == "__main__":
    main()
