"""The jury: whichever of two recognizers finds faces more alike."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import Anonymizer, Config, Frames, GenerateConfig, weights
from anonymizer.identity import CROPS, Recognizer
from anonymizer.jury import AT_SAME, STEP, Jury, apart, normalized

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def jury() -> Jury:
    return Jury(Recognizer(CPU), CPU)


def far(dlib: float, sface: float) -> Tensor:
    """So far from nothing, to each of the two."""
    return torch.cat([torch.tensor([dlib]), torch.zeros(127), torch.tensor([sface]), torch.zeros(127)])


@pytest.mark.parametrize(
    ("dlib", "sface", "found"),
    [(0.3, 1.0, 0.3), (0.7, AT_SAME, 0.6), (0.9, AT_SAME + 0.1 * STEP, 0.7), (0.7, 1.4, 0.7)],
)
def test_whoever_finds_them_more_alike_decides(dlib: float, sface: float, found: float) -> None:
    assert float(apart(far(dlib, sface), torch.zeros(256))) == pytest.approx(found)


@pytest.mark.parametrize(("dlib", "sface"), [(torch.nan, 1.4), (0.9, torch.nan)])
def test_what_cannot_be_told_is_the_same(dlib: float, sface: float) -> None:
    assert float(apart(far(dlib, sface), torch.zeros(256))) == 0


def test_both_know_a_face_again_that_is_lit_otherwise(jury: Jury, views: dict[int, list[Tensor]]) -> None:
    anonymizer = Anonymizer(Config(generate=GenerateConfig(method="solid")))
    people = [views[who][0] for who in list(views)[:2]]
    frames = Frames(torch.stack([*people, *(picture // 4 * 3 for picture in people)]), (Fraction(0),) * 4)
    faces = anonymizer.inspect(frames)
    assert faces.frame.tolist() == [0, 1, 2, 3]
    embeddings = jury.embed(frames, faces)
    for half in embeddings.split(128, dim=1):
        away = torch.cdist(half[:2], half[2:])
        assert away.diagonal().max() < away[[0, 1], [1, 0]].min()
    assert (embeddings[:, 128:].norm(dim=1) - 1).abs().max() < 1e-5


def test_faces_are_fed_to_sface_as_its_makers_do(jury: Jury, views: dict[int, list[Tensor]]) -> None:
    """Cut out by OpenCV, as its ``FaceRecognizerSF.alignCrop`` does, and fed in the order red, green, blue."""
    frames = Frames(next(iter(views.values()))[0][None], (Fraction(0),))
    faces = Anonymizer(Config(generate=GenerateConfig(method="solid"))).inspect(frames)
    places = np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    )
    to_chip, _ = cv2.estimateAffinePartial2D(faces.landmarks[0].numpy(), places, method=cv2.LMEDS)
    chip = torch.from_numpy(cv2.warpAffine(frames.pixels[0].numpy(), to_chip, (112, 112)))
    chips = torch.stack([chip, chip.flip(2), chip.roll(8, 0)]).permute(0, 3, 1, 2) / 255  # right, and twice wrong
    wanted = F.normalize(weights.load("sface")(chips), dim=1)
    right, *wrong = (jury.embed(frames, faces)[:, 128:] - wanted).norm(dim=1).tolist()
    assert right < 0.2
    assert min(wrong) > 0.4


def test_both_count_alike_in_what_people_are_known_by(jury: Jury, picture: Tensor) -> None:
    frames = Frames(picture[None], (Fraction(0),))
    faces = Anonymizer(Config(generate=GenerateConfig(method="solid"))).inspect(frames)
    views = jury.views(frames, faces)
    assert (views.unflatten(1, (2, 128)).norm(dim=2) - 0.5**0.5).abs().max() < 1e-5
    assert torch.allclose(views, normalized(jury.embed(frames, faces)) / 2**0.5)
    mirrored = Frames(frames.pixels.flip(2), frames.times)
    other = replace(faces, landmarks=(faces.landmarks * torch.tensor([-1, 1]) + torch.tensor([picture.shape[1], 0])))
    other = replace(other, landmarks=other.landmarks[:, [1, 0, 2, 4, 3]])
    both = Jury(Recognizer(CPU), CPU, CROPS[:2])
    away, once = (some.views(frames, faces) - some.views(mirrored, other) for some in (both, jury))
    assert (away.norm(dim=1) < 0.5 * once.norm(dim=1)).all()


def test_neither_says_anything_where_too_little_is_to_be_seen(jury: Jury, picture: Tensor) -> None:
    frames = Frames(picture[None], (Fraction(0),))
    faces = Anonymizer(Config(generate=GenerateConfig(method="solid"))).inspect(frames)
    dull = replace(frames, pixels=torch.full_like(frames.pixels, 128))
    assert jury.embed(dull, faces).isnan().all()
    assert jury.embed(frames, faces[:0]).shape == (0, 256)
