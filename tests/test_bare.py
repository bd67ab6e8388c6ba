"""Portraits without hair over the face."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anonymizer.device import Engine
from anonymizer.generate.bare import bare, hidden
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.generate.personas import AT_REST, Order, Portrait, Studio
from anonymizer.occlusion import load_network, outlines

BLUE = torch.tensor([0.1, 0.1, 0.5])[:, None, None]
BROWS = (70, 105, 107, 336, 334, 300, 46, 52, 55, 285, 282, 276)
EYES, NOSE, MOUTH, CHEEKS = (33, 133, 159, 145, 263, 362, 386, 374), (1, 4), (13, 14, 61, 291), (50, 280)


LOOK = Look(age=35, gender="man", beard=False, skin=40)
ORDERS = [Order(Persona(seed, LOOK.attributes), AT_REST, 256) for seed in (1, 2)]


@pytest.fixture(scope="module")
def network() -> Engine:
    return load_network(torch.device("cpu"))


@pytest.fixture(scope="module")
def drawn(studio: Studio) -> list[Portrait]:
    """Two men, whose hair is short."""
    return studio.portraits(ORDERS, keep=True)


def stacked(portraits: list[Portrait]) -> tuple[Tensor, Tensor]:
    return torch.stack([one.pixels for one in portraits]), torch.stack([one.points for one in portraits])


def at(picture: Tensor, points: Tensor, which: tuple[int, ...]) -> Tensor:
    places = points[list(which), :2].round().long()
    return picture[:, places[:, 1], places[:, 0]]


def with_strand(pictures: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Blue hair over one side of the head, temple and cheek; and where it lies ``(N, 1, S, S)``."""
    places = torch.arange(pictures.shape[-1], dtype=torch.float32)
    inner, low = points[:, 70, 0], points[:, 205, 1]
    hair = (places[None, None, :] < inner[:, None, None]) & (places[None, :, None] < low[:, None, None])
    return torch.where(hair[:, None], BLUE, pictures), hair[:, None]


def test_hair_over_temple_and_cheek_becomes_skin(drawn: list[Portrait], network: Engine) -> None:
    pictures, points = stacked(drawn)
    covered, hair = with_strand(pictures, points)
    done = bare(covered, points, network)
    for before, after, mesh, strand in zip(covered, done, points, hair, strict=True):
        skin = at(before, mesh, CHEEKS).mean(1)
        temple = tuple(int(point) for point in (54, 21, 162, 127) if strand[0, *mesh[point, :2].long().flip(0)])
        assert temple
        assert ((at(before, mesh, temple) - skin[:, None]).norm(dim=0) > 0.3).all()
        assert ((at(after, mesh, temple) - skin[:, None]).norm(dim=0) < 0.25).all()


def test_how_much_hangs_over_a_face_is_told(drawn: list[Portrait], network: Engine) -> None:
    pictures, points = stacked(drawn)
    covered, hair = with_strand(pictures, points)
    face = outlines(points[..., :2], pictures.shape[-1])
    real = (face * hair).sum((1, 2, 3)) / face.sum((1, 2, 3))
    assert (real > 0.02).all()
    told = hidden(covered, points, network) - hidden(pictures, points, network)
    assert ((told - real).abs() < 0.5 * real).all()


def test_features_stay_bit_for_bit(drawn: list[Portrait], network: Engine) -> None:
    pictures, points = stacked(drawn)
    for picture in (pictures, with_strand(pictures, points)[0]):
        done = bare(picture, points, network)
        for before, after, mesh in zip(picture, done, points, strict=True):
            assert torch.equal(at(before, mesh, (*NOSE, *MOUTH)), at(after, mesh, (*NOSE, *MOUTH)))
    done = bare(pictures, points, network)
    for before, after, mesh in zip(pictures, done, points, strict=True):
        assert torch.equal(at(before, mesh, EYES), at(after, mesh, EYES))


def test_brows_are_no_hair_as_long_as_that_is_doubtful(drawn: list[Portrait]) -> None:
    pictures, points = stacked(drawn)

    def doubtful(crops: Tensor) -> Tensor:
        """Half sure of the upper half of heads."""
        chances = torch.full_like(crops[:, :1], -9)
        chances[:, :, : chances.shape[2] // 2] = 0
        return chances

    done = bare(pictures, points, doubtful)
    for before, after, mesh in zip(pictures, done, points, strict=True):
        features, rim = (*BROWS, *EYES, *NOSE, *MOUTH), (10, 109, 338)
        assert torch.allclose(at(before, mesh, features), at(after, mesh, features), atol=0.04)
        assert not torch.allclose(at(before, mesh, rim), at(after, mesh, rim), atol=0.04)


def test_a_bare_head_keeps_its_forehead(drawn: list[Portrait], network: Engine) -> None:
    """Skin all over the head, and beyond."""
    pictures, points = stacked(drawn)
    for row, mesh in enumerate(points):
        forehead = int(mesh[151, 1])
        pictures[row, :, :forehead] = at(pictures[row], mesh, (151,))[:, :, None]
    done = bare(pictures, points, network)
    for before, after, mesh in zip(pictures, done, points, strict=True):
        assert (at(before, mesh, (10, 109, 338)) - at(after, mesh, (10, 109, 338))).abs().max() < 0.06


def test_what_comes_out_does_not_depend_on_what_else_is_there(drawn: list[Portrait], network: Engine) -> None:
    pictures, points = stacked(drawn)
    covered, _ = with_strand(pictures, points)
    together = bare(covered, points, network)
    again = torch.cat([bare(covered[[row]], points[[row]], network) for row in (1, 0)]).flip(0)
    assert torch.equal(together, again)


def test_nothing_is_painted_where_no_skin_is_found(drawn: list[Portrait], network: Engine) -> None:
    pictures, points = stacked(drawn)
    for elsewhere in (points * 0.1, points + 1000, points * 100 - 10_000):
        assert torch.equal(bare(pictures, elsewhere, network), pictures)


def test_only_faces_for_other_heads_are_bare(studio: Studio, drawn: list[Portrait]) -> None:
    corners = torch.stack([one.pixels[:, :16, :16] for one in drawn])
    other = Studio(studio._device, studio._estimator, 0.7, 2, bared=True)
    faces, points = stacked(other.portraits(ORDERS, keep=True))
    assert torch.equal(points, torch.stack([one.points for one in drawn]))
    assert ((faces[:, :, :16, :16] - corners).flatten(1).norm(dim=1) > 1).all()
