"""Portraits that would give themselves away, and who is drawn in place of such people."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anonymizer.device import Engine
from anonymizer.face_model import load_face_model
from anonymizer.generate.base import Persona
from anonymizer.generate.flaws import flaws
from anonymizer.generate.looks import Look
from anonymizer.generate.personas import AT_REST, TRIES, Order, Portrait, Studio
from anonymizer.occlusion import load_network

LOOK = Look(age=35, gender="man", skin=40)
PEOPLE = [Persona(seed, LOOK.attributes) for seed in (1, 2, 3)]
MASKED = Persona(6089496520973123311, (25.0, -4.743, -10.0, *(None,) * 6))  # something is before her mouth
NOBODY = torch.zeros(len(PEOPLE), dtype=torch.bool)


@pytest.fixture(scope="module")
def network() -> Engine:
    return load_network(torch.device("cpu"))


@pytest.fixture(scope="module")
def drawn(studio: Studio) -> list[Portrait]:
    return studio.portraits([Order(persona, AT_REST, 128) for persona in PEOPLE], keep=False)


def told(portraits: list[Portrait], network: Engine, glasses: Tensor = NOBODY, pixels: Tensor | None = None) -> Tensor:
    points = torch.stack([one.points for one in portraits])
    pixels = torch.stack([one.pixels for one in portraits]) if pixels is None else pixels
    return flaws(pixels, points, load_face_model().normals(points), network, glasses[: len(points)])


def painted(portraits: list[Portrait], top: int, bottom: int, colour: Tensor) -> Tensor:
    """All rows of the pictures between two points of the meshes mixed with something opaque of a colour ``(3,)``."""
    pixels = torch.stack([one.pixels for one in portraits]).clone()
    for picture, portrait in zip(pixels, portraits, strict=True):
        rows = slice(*(int(portrait.points[point, 1]) for point in (top, bottom)))
        picture[:, rows] = colour[:, None, None]
    return pixels


def test_good_portraits_have_none(drawn: list[Portrait], network: Engine) -> None:
    assert (told(drawn, network) == 0).all()


@pytest.mark.parametrize(
    ("top", "bottom", "colour"),
    [(2, 17, (0.1, 0.1, 0.5)), (107, 230, (0.05, 0.05, 0.05)), (10, 9, (0.05, 0.05, 0.05))],
    ids=["mouth", "sunglasses", "brim"],
)
def test_what_is_before_a_face_is_told(
    drawn: list[Portrait], network: Engine, top: int, bottom: int, colour: tuple[float, float, float]
) -> None:
    assert (told(drawn, network, pixels=painted(drawn, top, bottom, torch.tensor(colour))) > 1).all()


def test_coloured_light_and_shadows_are_told(drawn: list[Portrait], network: Engine) -> None:
    pixels = torch.stack([one.pixels for one in drawn])
    columns = torch.arange(128) % 32 < 16
    shadows = torch.where(columns, pixels, pixels * 0.6)
    red = torch.where(columns, pixels, pixels * torch.tensor([1.0, 0.6, 0.6])[:, None, None])
    for spoiled in (shadows, red):
        assert (told(drawn, network, pixels=spoiled) > 0.5).all()


def test_glasses_that_were_asked_for_are_none(studio: Studio, network: Engine) -> None:
    wearing = [Persona(seed, Look(gender="man", glasses=True).attributes) for seed in (5, 6)]
    portraits = studio.portraits([Order(persona, AT_REST, 128) for persona in wearing], keep=False)
    asked = torch.ones(2, dtype=torch.bool)
    assert (told(portraits, network, ~asked) > told(portraits, network, asked) + 1).all()


def test_somebody_else_is_drawn_for_who_has_flaws(studio: Studio) -> None:
    likely, style = studio.likely_styles([MASKED]), studio.styles([MASKED])
    assert not torch.equal(likely, style)
    assert torch.equal(studio.styles([PEOPLE[0]]), studio.likely_styles([PEOPLE[0]]))
    before, after = (studio._flaws(w, NOBODY[:1]) for w in (likely, style))
    assert before > 5
    assert after == 0


def test_the_first_without_flaws_is_taken_or_who_has_fewest(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [Persona(seed) for seed in range(700, 703)]
    rest = {0: [0.0], 1: [3.0, 1.0, 0.0], 2: [2.0, 0.5, 1.0, 3.0]}
    wanted = torch.stack([studio._candidates(persona) for persona in people])
    asked: list[Tensor] = []

    def looked(w: Tensor, glasses: Tensor) -> Tensor:
        asked.append(w)
        turns = [
            next(who for who in range(3) if any(torch.equal(w[row], c) for c in wanted[who])) for row in range(len(w))
        ]
        return torch.tensor([rest[who][len(asked) - 1] for who in turns])

    monkeypatch.setattr(studio, "_flaws", looked)
    found = studio._draw_styles(people)
    assert [len(group) for group in asked] == [3, 2, 2, 1]
    assert len(asked) == TRIES
    for who, place in enumerate((0, 2, 1)):
        assert torch.allclose(found[who], wanted[who, place], atol=1e-5)
