"""What several tests share: pictures of people who do not exist, drawn once a run."""

import os
from fractions import Fraction

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded; see pipelines/cli.py

import pytest
import torch
from torch import Tensor

from anonymizer.batches import Frames
from anonymizer.generate.condition import load_condition
from anonymizer.generate.personas import Order, Portrait, Studio
from anonymizer.mesh import MeshEstimator


@pytest.fixture(scope="session")
def studio() -> Studio:
    cpu = torch.device("cpu")
    return Studio(cpu, MeshEstimator(cpu), truncation=0.7, batch_size=2)


@pytest.fixture(scope="session")
def portraits(studio: Studio) -> list[Portrait]:
    """Three people who look straight, to the right of the picture, and down, 256 pixels a side."""
    neutral = load_condition().neutral.tolist()
    poses = [(0.0, 0.0), (20.0, 0.0), (0.0, 12.0)]
    orders = [Order(seed, (*pose, *neutral[2:]), 256) for seed, pose in enumerate(poses, start=1)]
    return studio.portraits(orders, keep=False)


@pytest.fixture(scope="session")
def picture(portraits: list[Portrait]) -> Tensor:
    """``(360, 640, 3)`` uint8: two people before a grey wall, at ``x`` 40 and 344, ``y`` 60."""
    wall = torch.full((360, 640, 3), 128, dtype=torch.uint8)
    for left, portrait in zip((40, 344), portraits, strict=False):
        wall[60:316, left : left + 256] = (portrait.pixels * 255).byte().permute(1, 2, 0)
    return wall


@pytest.fixture(scope="session")
def frames(picture: Tensor) -> Frames:
    """``picture`` and its mirror image."""
    return Frames(torch.stack([picture, picture.flip(1)]), (Fraction(0), Fraction(1, 25)))
