"""What several tests share: pictures of people who do not exist, drawn once a run."""

import os
import tempfile
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded; see pipelines/cli.py

import pytest
import torch
from fake_anonymizer import make_photo, make_video
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


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path, None, None]:
    """Where originals out of archives and tables lie for a while; nothing may stay."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small files by name."""
    folder = tmp_path_factory.mktemp("media")
    paths = [make_photo(folder / "a.jpg"), make_photo(folder / "a.png"), make_photo(folder / "square.jpg", (32, 32))]
    paths += [
        make_video(folder / "a.mp4", range(0, 500, 100)),
        make_video(folder / "a.avi", range(0, 500, 100), "mpeg4"),
    ]
    return {path.name: path.read_bytes() for path in paths}
