"""What several tests share: pictures of people who do not exist, drawn once a run."""

import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded; see pipelines/cli.py

import pytest
import torch
from fake_anonymizer import Run, invoke, make_photo, make_video
from people_samples import ANN, BEA, CLEO
from stores import S3
from torch import Tensor
from unreliable_server import UnreliableServer

from anonymizer.batches import Frames
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.personas import Order, Portrait, Studio
from anonymizer.mesh import MeshEstimator


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return invoke


@pytest.fixture(scope="session")
def studio() -> Studio:
    cpu = torch.device("cpu")
    return Studio(cpu, MeshEstimator(cpu), truncation=0.7, batch_size=2)


@pytest.fixture(scope="session")
def portraits(studio: Studio) -> list[Portrait]:
    """Three people who look straight, to the right of the picture, and down, 256 pixels a side."""
    neutral = load_condition().neutral.tolist()
    poses = [(0.0, 0.0), (20.0, 0.0), (0.0, 12.0)]
    orders = [Order(Persona(seed), (*pose, *neutral[2:]), 256) for seed, pose in zip((13, 14, 3), poses, strict=True)]
    return studio.portraits(orders, keep=False)


@pytest.fixture(scope="session")
def views(studio: Studio) -> dict[int, list[Tensor]]:
    """Of each person two views, ``(256, 256, 3)`` uint8."""
    neutral = load_condition().neutral.tolist()
    poses = [(0.0, 0.0), (12.0, 4.0)]
    orders = [Order(Persona(seed), (*pose, *neutral[2:]), 256) for seed in (ANN, BEA, CLEO) for pose in poses]
    drawn = [(portrait.pixels * 255).byte().permute(1, 2, 0) for portrait in studio.portraits(orders, keep=False)]
    return {seed: drawn[2 * place : 2 * place + 2] for place, seed in enumerate((ANN, BEA, CLEO))}


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


@pytest.fixture(scope="session")
def moto() -> Iterator[int]:
    """The port of a server that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def server(moto: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnreliableServer]:
    """What is between this program and S3, and how it is found."""
    import s3fs

    server = UnreliableServer(moto)
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    yield server
    server.stop()


@pytest.fixture
def client(server: UnreliableServer) -> Any:
    """Straight to S3, which is empty."""
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.behind}")
    for bucket in client.list_buckets()["Buckets"]:
        for entry in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            client.delete_object(Bucket=bucket["Name"], Key=entry["Key"])
    return client


@pytest.fixture
def s3(client: Any) -> S3:
    """A place on S3."""
    return S3("s3://results/of/this", client)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where files lie in between: nothing may be left there."""
    path = tmp_path / "scratch"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield path
    assert list(path.iterdir()) == []


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
