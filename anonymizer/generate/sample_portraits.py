"""Draws portraits for training, with their meshes: ``python -m anonymizer.generate.sample_portraits PORTRAITS``.

In many poses, of all ages and skin colours, few with glasses or hair over the forehead: personas are drawn without.
About four a second on a CPU with two cores; run it again to go on.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import numpy as np
import torch

from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Gender, Look
from anonymizer.generate.personas import Order, Studio
from anonymizer.generate.training import Samples, collect
from anonymizer.mesh import MeshEstimator

SIZE = 256  # pixels, sides of portraits
BATCH, KEPT = 4, 200  # portraits that are drawn together, and after which they are kept
TRUNCATION = 0.7
AGE, SKIN = (12, 70), (-25, 55)  # all within what the generator draws well
YAW, PITCH, MOUTH = (-35, 35), (-15, 15), (0, 0.3)


def order(seed: int) -> Order:
    """Somebody in some pose."""
    chance = np.random.default_rng(seed)
    genders: tuple[Gender, ...] = ("woman", "man")
    look = Look(age=chance.uniform(*AGE), gender=genders[chance.integers(2)], skin=chance.uniform(*SKIN))
    mouth = chance.uniform(*MOUTH) * chance.integers(2)
    return Order(Persona(seed, look.attributes), (chance.uniform(*YAW), chance.uniform(*PITCH), mouth, None), SIZE)


def draw(studio: Studio, seeds: range) -> Samples:
    """``pixels (N, 3, SIZE, SIZE)`` uint8, and ``points (N, 468, 3)`` in pixels."""
    portraits = studio.portraits([order(seed) for seed in seeds], keep=False)
    return {
        "pixels": torch.stack([(portrait.pixels * 255).round().byte() for portrait in portraits]),
        "points": torch.stack([portrait.points for portrait in portraits]),
    }


@click.command()
@click.argument("portraits", type=click.Path(path_type=Path))
@click.option("--count", default=2000, help="Portraits to draw in total.")
@torch.inference_mode()
def main(portraits: Path, count: int) -> None:
    """Draw portraits into PORTRAITS."""
    cpu = torch.device("cpu")
    studio = Studio(cpu, MeshEstimator(cpu), TRUNCATION, BATCH)
    collect(portraits, count, partial(draw, studio), KEPT)


if __name__ == "__main__":
    main()
