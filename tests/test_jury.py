"""The jury: two recognizers, whose judgments are on one scale."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from anonymizer import Anonymizer, Config, Frames, GenerateConfig
from anonymizer.identity import Recognizer
from anonymizer.jury import Jury, apart, beyond

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def jury() -> Jury:
    return Jury(Recognizer(CPU), CPU)


def far(dlib: float, sface: float) -> Tensor:
    """So far from nothing, to each of the two."""
    return torch.cat([torch.tensor([dlib]), torch.zeros(127), torch.tensor([sface]), torch.zeros(127)])


LIMITS = torch.tensor([0.6, 0.9])


@pytest.mark.parametrize(
    ("dlib", "sface", "found"), [(0.3, 1.0, -0.3), (0.7, 0.8, -0.1), (0.9, 1.4, 0.3), (0.7, 1.4, 0.1)]
)
def test_whoever_finds_them_more_alike_decides(dlib: float, sface: float, found: float) -> None:
    away = apart(far(dlib, sface), torch.zeros(256))
    assert away.tolist() == pytest.approx([dlib, sface])
    assert float(beyond(away, LIMITS)) == pytest.approx(found)


def test_where_only_one_recognizer_was_asked_that_one_decides() -> None:
    views = torch.stack([torch.zeros(128), torch.ones(128)])
    away = apart(far(0.3, 0.1), views)
    assert away.shape == (2, 1)
    assert beyond(away, LIMITS).tolist() == pytest.approx([-0.3, (0.7**2 + 127) ** 0.5 - 0.6])


def test_both_know_a_face_again_that_is_lit_otherwise(jury: Jury, views: dict[int, list[Tensor]]) -> None:
    anonymizer = Anonymizer(Config(generate=GenerateConfig(method="solid")))
    people = [views[who][0] for who in list(views)[:2]]
    frames = Frames(torch.stack([*people, *(picture // 4 * 3 for picture in people)]), (Fraction(0),) * 4)
    faces = anonymizer.inspect(frames)
    assert faces.frame.tolist() == [0, 1, 2, 3]
    seen = jury.embed(frames, faces)
    for half in seen.split(128, dim=1):
        away = torch.cdist(half[:2], half[2:])
        assert away.diagonal().max() < away[[0, 1], [1, 0]].min()
    assert (seen[:, 128:].norm(dim=1) - 1).abs().max() < 1e-5


def test_neither_says_anything_where_too_little_is_to_be_seen(jury: Jury, picture: Tensor) -> None:
    frames = Frames(picture[None], (Fraction(0),))
    faces = Anonymizer(Config(generate=GenerateConfig(method="solid"))).inspect(frames)
    dull = replace(frames, pixels=torch.full_like(frames.pixels, 128))
    assert jury.embed(dull, faces).isnan().all()
    assert jury.embed(frames, faces[:0]).shape == (0, 256)
