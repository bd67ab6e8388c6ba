"""Portraits that would give themselves away, and who is drawn in place of such people."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anonymizer.device import Engine
from anonymizer.errors import WeightsError
from anonymizer.face_model import load_face_model
from anonymizer.generate.base import Persona
from anonymizer.generate.flaws import MOST, flaws
from anonymizer.generate.looks import Look
from anonymizer.generate.personas import AT_REST, LOOKED_AT, Order, Portrait, Studio
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
    """All rows of the pictures between two points of the meshes in a colour ``(3,)``."""
    pixels = torch.stack([one.pixels for one in portraits]).clone()
    for picture, portrait in zip(pixels, portraits, strict=True):
        rows = slice(*(int(portrait.points[point, 1]) for point in (top, bottom)))
        picture[:, rows] = colour[:, None, None]
    return pixels


def test_good_portraits_have_none(drawn: list[Portrait], network: Engine) -> None:
    assert (told(drawn, network) == 0).all()


def spoiled(drawn: list[Portrait], how: str) -> Tensor:
    """``drawn`` with something before them, or in another light."""
    pixels, left = torch.stack([one.pixels for one in drawn]), torch.arange(128) < 64
    if how == "hand":
        return painted(drawn, 2, 17, torch.tensor([0.1, 0.1, 0.5]))
    if how == "sunglasses":
        return painted(drawn, 107, 230, torch.tensor([0.05, 0.05, 0.05]))
    if how == "brim":
        return painted(drawn, 10, 9, torch.tensor([0.05, 0.05, 0.05]))
    if how == "leaves":
        stripes = torch.arange(128) // 8 % 2 == 0
        return torch.where(stripes ^ stripes[:, None], pixels, pixels * 0.6)
    if how == "two colours":
        return torch.where(left, pixels, pixels * torch.tensor([1.0, 0.5, 0.5])[:, None, None])
    shadow = pixels.clone()
    for picture, one in zip(shadow, drawn, strict=True):
        picture[:, : int(one.points[159, 1])] *= 0.7
    return shadow


HOW = ["sunglasses", "shadow", "brim", "hand", "leaves", "two colours"]


@pytest.mark.parametrize(("place", "how"), list(enumerate(HOW)), ids=HOW)
def test_each_measure_tells_its_own(
    drawn: list[Portrait], network: Engine, place: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = torch.full_like(MOST, torch.inf)
    only[place] = MOST[place]
    monkeypatch.setattr("anonymizer.generate.flaws.MOST", only)
    assert (told(drawn, network, pixels=spoiled(drawn, how)) > 0.1).all()


def test_what_cannot_be_told_stops_the_run(drawn: list[Portrait], network: Engine) -> None:
    with pytest.raises(WeightsError, match="nothing can be told"):
        told(drawn, lambda crops: crops[:, :1] * torch.nan)


def test_glasses_that_were_asked_for_are_none_but_hands_are(studio: Studio, network: Engine) -> None:
    wearing = [Persona(seed, Look(gender="man", glasses=True).attributes) for seed in (5, 6)]
    portraits = studio.portraits([Order(persona, AT_REST, 128) for persona in wearing], keep=False)
    asked = torch.ones(2, dtype=torch.bool)
    allowed = told(portraits, network, asked)
    assert (told(portraits, network, ~asked) > allowed + 1).all()
    assert (told(portraits, network, asked, spoiled(portraits, "hand")) > allowed + 1).all()


def test_somebody_else_is_drawn_for_who_has_flaws(studio: Studio) -> None:
    likely, style = studio.likely_styles([MASKED]), studio.styles([MASKED])
    assert not torch.equal(likely, style)
    assert torch.equal(studio.styles([PEOPLE[0]]), studio.likely_styles([PEOPLE[0]]))
    before, after = (studio._flaws(w, NOBODY[:1]) for w in (likely, style))
    assert before > 5
    assert after == 0


@pytest.mark.parametrize(
    ("found", "place"), [([0.0], 0), ([3.0, 1.0, 0.0], 2), ([2.0, 0.5, 1.0, 3.0], 1)], ids=["first", "third", "fewest"]
)
def test_the_first_without_flaws_is_taken_or_who_has_fewest(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, found: list[float], place: int
) -> None:
    someone, asked = Persona(700, Look(glasses=True).attributes), list[Tensor]()

    def looked(w: Tensor, glasses: Tensor) -> Tensor:
        assert glasses
        asked.append(w)
        return torch.tensor([found[len(asked) - 1]])

    monkeypatch.setattr(studio, "_flaws", looked)
    assert torch.equal(studio._draw_style(someone), studio._candidates(someone)[place])
    assert len(asked) == len(found) <= LOOKED_AT


def test_people_who_were_forgotten_are_drawn_again(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymizer.generate.personas.KNOWN", 2)
    together = studio.styles(PEOPLE)
    assert list(studio._styles) == PEOPLE[1:]
    assert torch.equal(studio.styles(PEOPLE[:1]), together[:1])
    assert list(studio._styles) == [PEOPLE[2], PEOPLE[0]]
    studio.styles(PEOPLE[2:])
    assert list(studio._styles) == [PEOPLE[0], PEOPLE[2]], "who was asked for last is kept"
