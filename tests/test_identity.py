"""Whose face it is: what is compared, and when two faces pass for one person."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from people_samples import ANN, BEA, CLEO
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from anonymizer.batches import Faces, Frames
from anonymizer.config import Config, DetectConfig
from anonymizer.detect import DETECTORS
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.personas import Order, Portrait, Studio
from anonymizer.identity import SMALLEST, TEMPLATE, Recognizer, clearness
from anonymizer.jury import Jury
from anonymizer.people import LINK
from anonymizer.track import follow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(CPU)


@pytest.fixture(scope="module")
def jury(recognizer: Recognizer) -> Jury:
    return Jury(recognizer, CPU)


@pytest.fixture(scope="module")
def views(studio: Studio) -> list[list[Portrait]]:
    """Two views of each of three people, 256 pixels a side."""
    neutral = load_condition().neutral.tolist()
    poses = [(0.0, 0.0), (12.0, 4.0)]
    orders = [Order(Persona(seed), (*pose, *neutral[2:]), 256) for seed in (ANN, BEA, CLEO) for pose in poses]
    drawn = studio.portraits(orders, keep=False)
    return [drawn[start : start + 2] for start in range(0, 6, 2)]


def picture(pixels: Tensor) -> Frames:
    """``pixels (3, H, W)`` in 0..1 with a grey border."""
    padded = torch.nn.functional.pad(pixels, (40,) * 4, value=0.5)
    return Frames((padded * 255).round().byte().permute(1, 2, 0)[None], (Fraction(0),))


def face_in(frames: Frames) -> Faces:
    faces = DETECTORS["centerface"](DetectConfig(), CPU).detect(frames)
    return faces[:1]


def frontal(size: float, score: float = 0.9, turn: float = 0.0) -> Faces:
    """One face of ``size`` pixels whose nose is moved aside by ``turn`` of its width."""
    landmarks = TEMPLATE[None] * size / 100
    landmarks[:, 2, 0] += turn * size
    box = torch.tensor([[0.2, 0.1, 1.2, 1.1]]) * size
    row = torch.zeros(1, dtype=torch.int64)
    return Faces(row, box, landmarks, torch.tensor([score]), row, torch.ones(1, dtype=torch.bool))


def test_two_views_of_a_person_are_nearer_than_two_people(jury: Jury, views: list[list[Portrait]]) -> None:
    embeddings = []
    for portrait in itertools.chain(*views):
        frames = picture(portrait.pixels)
        faces = face_in(frames)
        assert clearness(faces)[0] > 0
        embeddings.append(jury.views(frames, faces)[0])
    away = torch.cdist(torch.stack(embeddings), torch.stack(embeddings))
    same = torch.block_diag(*[torch.ones(2, 2)] * 3) > 0
    assert away[same].max() < LINK
    assert away[~same].min() > LINK


def test_a_video_that_cuts_to_another_person_and_back(jury: Jury, views: list[list[Portrait]]) -> None:
    shots = [views[0][0], views[1][0], views[0][1], views[2][0], views[1][1]]
    pixels = torch.cat([picture(shot.pixels).pixels.expand(20, -1, -1, -1) for shot in shots])
    frames = Frames(pixels, tuple(Fraction(index, 25) for index in range(len(pixels))))
    detector = DETECTORS["centerface"](DetectConfig(), CPU)
    faces = Faces.cat([faces for _, faces in follow([frames], detector, Config(), jury)])
    assert faces.tracks.tolist() == [person for person in (0, 1, 0, 2, 1) for _ in range(20)]


def test_turned_pictures_16_bit_and_batches_change_little(recognizer: Recognizer, views: list[list[Portrait]]) -> None:
    frames = picture(views[0][0].pixels)
    turned = Frames(frames.pixels.rot90(1, (1, 2)), frames.times)
    deep = Frames((frames.pixels.to(torch.int32) * 257).to(torch.uint16), frames.times)
    face = face_in(frames)
    around = torch.stack([face.landmarks[..., 1], frames.size[1] - face.landmarks[..., 0]], dim=2)
    wanted = recognizer.embed(frames, face)[0]
    side = replace(face, landmarks=around)
    assert (recognizer.embed(turned, side)[0] - wanted).norm() < 0.1
    assert (recognizer.embed(deep, face)[0] - wanted).norm() < 1e-3
    twice = recognizer.embed(frames, Faces.cat([face, face]))
    assert (twice - wanted).norm(dim=1).max() < 1e-3


@pytest.mark.parametrize("spoil", [lambda x: gaussian_blur(x, [61, 61], [12.0, 12.0]), lambda x: x * 0.05])
def test_blurred_and_dark_faces_are_not_told(
    recognizer: Recognizer, views: list[list[Portrait]], spoil: Callable[[Tensor], Tensor]
) -> None:
    good = views[0][0].pixels
    frames = Frames.cat([picture(spoil(good)), picture(good)])
    face = face_in(picture(good))
    embeddings = recognizer.embed(frames, Faces.cat([face, replace(face, frame=face.frame + 1)]))
    assert embeddings[0].isnan().all()
    assert embeddings[1].isfinite().all()


def test_no_faces(recognizer: Recognizer, frames: Frames) -> None:
    assert recognizer.embed(frames, Faces.none()).shape == (0, 128)
    assert clearness(Faces.none()).shape == (0,)


def test_clear_faces_are_large_sure_and_look_at_the_camera() -> None:
    assert clearness(frontal(SMALLEST))[0] > 0
    assert clearness(frontal(SMALLEST - 1))[0] == 0
    assert clearness(frontal(100, score=0.5))[0] == 0
    assert clearness(frontal(100, turn=0.3))[0] == 0
    assert clearness(frontal(100)) > clearness(frontal(100, turn=0.1)) > 0
