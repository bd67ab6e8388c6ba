"""The library's front door: arrays in, arrays without real faces out."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from anonymizer import Anonymizer, Config, ConfigError, Faces, Frames, GenerateConfig, Outcome
from anonymizer.face_model import load_face_model
from anonymizer.mesh import MeshEstimator
from anonymizer.observe import Observer


@pytest.fixture(scope="module")
def anonymizer() -> Anonymizer:
    return Anonymizer(Config(generate=GenerateConfig(seed=7), batch_size=2))


def test_readme_example(picture: Tensor) -> None:
    array = picture.numpy()
    text = (Path(__file__).parent.parent / "README.md").read_text()
    names = {"array": array}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)  # type: ignore[index]
    safe = names["safe"]
    assert safe.shape == array.shape
    assert safe.dtype == array.dtype
    assert (safe != array).any(axis=2).mean() > 0.1


def test_kinds_of_arrays(anonymizer: Anonymizer, picture: Tensor) -> None:
    from_numpy = anonymizer.image(picture.numpy())
    from_torch = anonymizer.image(picture)
    assert isinstance(from_numpy, np.ndarray)
    assert isinstance(from_torch, Tensor)
    assert np.array_equal(from_numpy, from_torch.numpy())
    mirrored = anonymizer.image(picture.numpy()[:, ::-1])
    assert mirrored.shape == from_numpy.shape


def test_the_input_is_not_written_to(anonymizer: Anonymizer, picture: Tensor) -> None:
    before = picture.clone()
    anonymizer.image(picture)
    anonymizer.image(picture.numpy())
    assert torch.equal(picture, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_pictures_on_the_gpu_stay_there(picture: Tensor) -> None:
    anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=7), device="cuda"))
    safe = anonymizer.image(picture.cuda())
    assert safe.is_cuda
    assert (safe.cpu() != picture).any(2).float().mean() > 0.1


def test_pictures_do_not_depend_on_each_other(anonymizer: Anonymizer, picture: Tensor) -> None:
    empty = torch.full_like(picture, 90)
    several = anonymizer.images(torch.stack([empty, picture, picture.flip(0), picture]))
    assert torch.equal(several[0], empty)
    assert (several[1].int() - several[3].int()).abs().max() <= 2
    assert (several[1].int() - anonymizer.image(picture).int()).abs().max() <= 2


def test_seeds(picture: Tensor) -> None:
    def anonymize(seed: int | None) -> Tensor:
        return Anonymizer(Config(generate=GenerateConfig(seed=seed))).image(picture).int()

    assert torch.equal(anonymize(7), anonymize(7))
    assert (anonymize(7) - anonymize(8)).abs().max() > 20
    assert (anonymize(None) - anonymize(None)).abs().max() > 20


def test_faces_and_outcomes(anonymizer: Anonymizer, frames: Frames) -> None:
    done = anonymizer.stills(frames)
    assert done.faces.frame.tolist() == [0, 0, 1, 1]
    assert done.outcomes == (Outcome.GENERATED,) * 4
    assert len(anonymizer.inspect(frames)) == 4
    assert len(anonymizer.stills(frames[:0]).faces) == 0


def panning(picture: Tensor, count: int) -> Iterator[Frames]:
    """A camera that pans slowly, in batches of 5, at a rate that varies."""
    times = [Fraction(number * number + 3 * number, 30) for number in range(count)]
    shots = [torch.roll(picture, 2 * number, dims=1) for number in range(count)]
    for start in range(0, count, 5):
        yield Frames(torch.stack(shots[start : start + 5]), tuple(times[start : start + 5]))


def test_a_video_keeps_frames_times_and_people(anonymizer: Anonymizer, picture: Tensor) -> None:
    given = Frames.cat(list(panning(picture, 24)))
    parts = list(anonymizer.stream(panning(picture, 24)))
    done = Frames.cat([part.frames for part in parts])
    assert done.times == given.times
    faces = [part.faces for part in parts]
    assert {track for part in faces for track in part.tracks.tolist()} == {0, 1}
    assert sum(len(part) for part in faces) == 48
    assert all(outcome is Outcome.GENERATED for part in parts for outcome in part.outcomes)
    first = done.pixels[:, 120:260, :].int()
    for number, (one, two) in enumerate(pairwise(first)):
        before = torch.roll(one, 2, dims=1)[:, 120 + 2 * number : 220 + 2 * number]
        assert (two[:, 120 + 2 * number : 220 + 2 * number] - before).abs().float().mean() < 12, "the face flickers"


class Blind:
    """A mesh estimator that never finds anything."""

    def estimate(self, frames: Frames, faces: Faces) -> object:
        found = MeshEstimator(torch.device("cpu")).estimate(frames, faces)
        return type(found)(found.points + 25, torch.zeros_like(found.presence))


def test_without_meshes_every_face_is_replaced_too(picture: Tensor) -> None:
    anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=3)))
    anonymizer._observer = Observer(Blind(), load_face_model())  # type: ignore[arg-type]
    done = anonymizer.stills(Frames(picture[None], (Fraction(0),)))
    assert done.outcomes == (Outcome.AVERAGE, Outcome.AVERAGE)
    change = (done.frames.pixels[0].int() - picture.int()).abs().float().mean(2)
    for box in done.faces.boxes.int().tolist():
        middle = change[box[1] + 20 : box[3] - 20, box[0] + 20 : box[2] - 20]
        assert middle.mean() > 6
        assert (middle > 0).float().mean() > 0.9


def test_a_failing_stage_stops_the_run(
    anonymizer: Anonymizer, picture: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(anonymizer._painter.generator, "generate", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        anonymizer.image(picture)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta"])
def test_devices_that_are_not_there(device: str) -> None:
    with pytest.raises(ConfigError, match=device):
        Anonymizer(Config(device=device))
