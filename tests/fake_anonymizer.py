"""An anonymizer without networks, the command around it, and small media to run it on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from click.testing import CliRunner, Result
from PIL import Image

from anonymizer.anonymize import Anonymized
from anonymizer.batches import Faces, Frames
from anonymizer.config import Config
from anonymizer.envelope import Plain
from anonymizer.errors import DetectionError
from anonymizer.evidence import Evidence
from anonymizer.generate.base import Outcome, Persona
from pipelines.cli import main

BOX = (8, 8, 24, 24)
"""Where the one face of every picture is "found": ``x0, y0, x1, y1``."""


class FakeAnonymizer:
    """Finds one face in every picture, always in the same place, and blackens it."""

    device = torch.device("cpu")
    batch_size = 4
    sees_twice = False  # it knows nobody
    envelope = Plain()

    def __init__(self, config: Config | None = None, subjects: object = None, consents: object = None) -> None:
        self.config = config or Config()
        self.timings: dict[str, float] = defaultdict(float)

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        x0, y0, x1, y1 = BOX
        pixels = frames.pixels.clone()
        pixels[:, y0:y1, x0:x1] = 0
        faces = self.inspect(frames)
        self.timings["detect"] += 0.001
        return Anonymized(Frames(pixels, frames.times), faces, (Outcome.COVERED,) * len(faces))

    def stream(self, batches: Iterable[Frames]) -> Iterator[Anonymized]:
        for batch in batches:
            yield from (self.stills(batch[start : start + 3]) for start in range(0, len(batch), 3))

    def cast(self, people: object, looks: object, secret: int, source: bytes) -> dict[int, Persona]:
        return {}

    def inspect(self, frames: Frames, evidence: Evidence | None = None) -> Faces:
        count = len(frames)
        return Faces(
            torch.arange(count),
            torch.tensor([BOX] * count, dtype=torch.float32).reshape(count, 4),
            torch.full((count, 5, 2), 16.0),
            torch.full((count,), 0.9),
            torch.zeros(count, dtype=torch.int64),
            torch.ones(count, dtype=torch.bool),
        )


class Blind(FakeAnonymizer):
    """Finds no faces."""

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        return Anonymized(frames, Faces.none(), ())


class Slow(FakeAnonymizer):
    """Leaves time to be interrupted."""

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        time.sleep(0.2)
        return super().stills(frames, evidence)


class Brisk(FakeAnonymizer):
    """Takes long enough to be killed at any moment."""

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        time.sleep(0.02)
        return super().stills(frames, evidence)


class Forgetful(FakeAnonymizer):
    """Loses the last frame of every batch."""

    def stream(self, batches: Iterable[Frames]) -> Iterator[Anonymized]:
        return (self.stills(batch[:-1]) for batch in batches)


class Careless(FakeAnonymizer):
    """Does nothing with the faces that it found."""

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        return Anonymized(frames, self.inspect(frames), ())


class Unable(FakeAnonymizer):
    """Fails on purpose at pictures that are as high as they are wide, and by accident at portraits."""

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        height, width = frames.size
        if height == width:
            raise DetectionError("no faces for squares")
        if height > width:
            raise ZeroDivisionError("a portrait\nof nobody")
        return super().stills(frames, evidence)


Run = Callable[..., Result]


def invoke(*args: object, load: object = FakeAnonymizer, code: int = 0) -> Result:
    """Run the command around what ``load`` makes; None is the real anonymizer."""
    result = CliRunner().invoke(main, [str(arg) for arg in args], obj=load)
    assert result.exit_code == code, result.output
    return result


def files() -> list[str]:
    """All files below the current folder, but for ledgers."""
    return sorted(str(path) for path in Path().rglob("*") if path.is_file() and ".ledger" not in path.suffixes)


def make_photo(path: Path, size: tuple[int, int] = (48, 32)) -> Path:
    """A photograph of coloured noise, ``size`` in width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(64, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)).save(path, quality=95)
    return path


def make_video(path: Path, times: Iterable[int] = range(0, 3000, 100), codec: str = "libx264") -> Path:
    """A bright video of 64x48 with frames at ``times``, in milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, moment in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128 + number % 100, np.uint8))
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sound_only(path: Path) -> Path:
    """A file of sound without a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noisy_video(path: Path) -> Path:
    """A video of pictures that cannot be coded in few bytes, so that damage hits a picture."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for _ in range(20):
            pixels = noise.integers(0, 255, (128, 128, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
    return path
