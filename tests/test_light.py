"""Colours of new faces."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anonymizer.batches import MESH_POINTS
from anonymizer.light import (
    EVEN,
    GREYEST,
    PALEST,
    RICHEST,
    SHAVEN,
    SKIN,
    TO_YCC,
    Light,
    harmonics,
    levelled,
    luma,
    measure,
    nearness,
    stains,
    tint,
)

TONES = st.tuples(st.floats(-0.25, -0.03), st.floats(0.05, 0.4), st.floats(0.02, 0.15))  # chroma, saturation


def light(skin: tuple[float, float, float]) -> Light:
    *chroma, saturation = skin
    one = torch.ones(1)
    return Light(torch.zeros(1, 4), one, one, torch.tensor([chroma]), torch.tensor([saturation]), 0 * one)


def tinted(rgb: Tensor, real: Light, new: Light) -> Tensor:
    """Brightness, and chroma relative to it, of a colour ``(3,)`` afterwards."""
    brightness, *chroma = (TO_YCC @ tint(real, new)[0] @ rgb).tolist()
    return torch.tensor([brightness, *(value / brightness for value in chroma)])


def coloured(chroma: Tensor, brightness: float = 0.5) -> Tensor:
    return torch.linalg.inv(TO_YCC) @ (brightness * torch.cat([torch.ones(1), chroma]))


@given(real=TONES, new=TONES)
def test_skin_gets_the_real_chroma_and_keeps_its_brightness(
    real: tuple[float, float, float], new: tuple[float, float, float]
) -> None:
    skin = coloured(light(new).chroma[0])
    assert torch.allclose(tinted(skin, light(real), light(new)), torch.tensor([0.5, *real[:2]]), atol=1e-4)


@given(real=TONES, new=TONES)
def test_grey_beards_never_get_the_opposite_colour(
    real: tuple[float, float, float], new: tuple[float, float, float]
) -> None:
    grey = tinted(torch.full((3,), 0.5), light(real), light(new))[1:]
    towards = grey / torch.tensor(real[:2])  # 0 is grey, 1 the real skin
    limit = (1 - GREYEST * torch.tensor(new[:2]) / torch.tensor(real[:2])).clamp(max=0)
    assert (towards >= limit - 1e-3).all()


def test_colour_of_no_skin_is_no_reason_to_fail() -> None:
    grey, skin = light((0.0, 0.0, 0.02)), light((-0.1, 0.2, 0.1))
    for real, new in ((grey, grey), (grey, skin), (skin, grey)):
        assert tint(real, new).isfinite().all()


def test_patches_of_another_colour_are_pulled_to_the_skin_around_them() -> None:
    chroma, patch = torch.tensor([-0.1, 0.2]), torch.tensor([0.02, -0.04])
    real = light((-0.1, 0.2, 0.2))

    def left(saturation: float) -> float:
        new = light((-0.1, 0.2, saturation))
        return float((tinted(coloured(chroma + patch), real, new)[1:] - chroma).norm() / patch.norm())

    assert left(EVEN) == pytest.approx(1, abs=1e-4)
    assert left(2 * EVEN) == pytest.approx(0.5, abs=1e-4)
    assert left(4 * EVEN) == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("colour", [(0.05, 0.05, 0.3), (0.9, 0.9, 1.0)])
def test_the_light_is_that_on_what_nothing_is_before(colour: tuple[float, ...]) -> None:
    """Half of a brown ball behind something of another colour: it is lit as without it."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(1, MESH_POINTS, 2, generator=generator)
    normals = F.normalize(torch.cat([points - 0.5, torch.full((1, MESH_POINTS, 1), -0.8)], dim=2), dim=2)
    bare = torch.tensor([0.7, 0.5, 0.4])[None, :, None, None].repeat(1, 1, 64, 64)
    behind, hidden = bare.clone(), (points[..., 0] > 0.48).float()
    behind[..., 32:] = torch.tensor(colour)[:, None, None]
    lit, fooled, told = (
        measure(picture, points, normals, before)
        for picture, before in ((bare, torch.zeros_like(hidden)), (behind, torch.zeros_like(hidden)), (behind, hidden))
    )
    chroma = slice(6, 8)
    assert (told - lit)[0, chroma].abs().max() < 0.02 < 0.07 < (fooled - lit)[0, chroma].abs().max()
    assert Light.of(told).front.sub(Light.of(lit).front).abs() < 0.1
    assert Light.of(told).contrast < 0.3 * Light.of(fooled).contrast
    assert Light.of(told).brightest.isclose(Light.of(lit).brightest)
    doubts = [light.contrast + light.saturation for light in map(Light.of, (fooled, lit))]
    assert doubts[0] > max(0.1, 5 * doubts[1]), "what nobody tells makes the light doubtful"
    everywhere = measure(behind, points, normals, torch.ones_like(hidden))
    assert everywhere.isclose(fooled, atol=1e-3).all(), "where all is hidden, all counts"


LINE = torch.linspace(-0.7, 0.7, 64)
Y, X = torch.meshgrid(LINE, LINE, indexing="ij")
SPHERE = torch.stack([X, Y, -(1 - X.square() - Y.square()).clamp(min=0.01).sqrt()])

BASIS = harmonics(F.normalize(SPHERE, dim=0).flatten(1).T)[None]


def ball(brightness: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A picture of a ball of that brightness ``(64, 64)`` and ``chroma (2, 64, 64)``, points on it, their normals.

    Beards grow in the lowest third.
    """
    ycc = brightness * torch.cat([torch.ones(1, 64, 64), chroma])
    picture = torch.einsum("ij,jhw->ihw", torch.linalg.inv(TO_YCC), ycc)
    points = torch.rand(1, MESH_POINTS, 2, generator=torch.Generator().manual_seed(0))
    shaven, bearded = list(SHAVEN), list(SKIN[len(SHAVEN) :])
    points[:, shaven, 1] *= 0.66
    points[:, bearded, 1] = 0.68 + 0.32 * points[:, bearded, 1]
    grid = points[:, :, None] * 2 - 1
    normals = F.grid_sample(SPHERE[None], grid, padding_mode="border", align_corners=False)[..., 0].transpose(1, 2)
    return picture[None], points, F.normalize(normals, dim=2)


def without_stains(picture: Tensor, points: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Chroma over brightness ``(2, 64, 64)`` of a ball without light of its own, and that of it levelled."""
    new = Light.of(measure(picture, points, normals))
    shape = torch.cat([normals[0], F.normalize(SPHERE, dim=0).flatten(1).T])
    found = stains(new, picture, points, normals, nearness(shape)[MESH_POINTS:])
    skin = (tint(new, new)[0] @ picture[0].flatten(1)).view(3, 64, 64)
    brightness = luma(skin[None])[0]
    added = levelled(new, new, found, BASIS)[0].T.view(3, 64, 64) * brightness
    assert luma(added[None]).abs().max() < 1e-4, "brightness is not theirs to change"
    before, after = (torch.einsum("ij,jhw->ihw", TO_YCC, rgb)[1:] / brightness for rgb in (skin, skin + added))
    return before, after


def test_light_of_two_colours_becomes_one() -> None:
    """A ball that is orange on one side and pink on the other."""
    chroma = torch.tensor([-0.1, 0.15])[:, None, None] + torch.tensor([0.06, 0.04])[:, None, None] * X
    seen = ball(torch.full_like(X, 0.5), chroma)
    before, after = without_stains(*seen)
    assert Light.of(measure(*seen)).saturation < 0.01, "it goes with the normals, and is no reason to take colour away"
    assert after.flatten(1).std(1).sum() < 0.6 * before.flatten(1).std(1).sum()
    assert torch.allclose(after.mean((1, 2)), before.mean((1, 2)), atol=0.01)


@pytest.mark.parametrize("hidden", ["nothing", "left half", "right half"])
@pytest.mark.parametrize("warmth", [-1.2, 0.0, 0.8])
def test_shade_is_as_warm_as_on_the_real_face(warmth: float, hidden: str) -> None:
    """A ball that a window lights from the left, of which half may be hidden, and another one in even light that takes
    its place.
    """
    front = torch.tensor([-0.1, 0.15])[:, None, None]
    slope = -0.5 * X
    lit = ball((slope - 0.7).exp(), front * (1 + warmth * slope))
    sides = {"nothing": lit[1][..., 0] > 1, "left half": lit[1][..., 0] < 0.5, "right half": lit[1][..., 0] > 0.5}
    real = Light.of(measure(*lit, sides[hidden].float()))
    picture, points, normals = ball(torch.full_like(X, 0.5), front.expand(2, 64, 64))
    new = Light.of(measure(picture, points, normals))
    assert float(real.warmth) == pytest.approx(warmth, abs=0.15 if hidden == "nothing" else 0.35)
    assert float(new.warmth) == pytest.approx(0, abs=0.01)
    assert torch.allclose(real.chroma[0], front[:, 0, 0], atol=0.005 if hidden == "nothing" else 0.008)
    added = levelled(real, new, torch.zeros(1, 64 * 64, 2), BASIS)[0] @ TO_YCC.T
    assert added[:, 0].abs().max() < 1e-6, "brightness is not theirs to change"
    wanted = (front * warmth * slope).flatten(1).T
    assert (added[:, 1:] - wanted).norm(dim=1).mean() <= 0.35 * wanted.norm(dim=1).mean() + 1e-3


@pytest.mark.parametrize("warmth", [-9.0, 9.0])
def test_light_neither_takes_all_colour_nor_doubles_it(warmth: float) -> None:
    even = light((-0.1, 0.15, 0.02))
    real = even._replace(field=torch.tensor([[0.0, -1.0, 0.0, 0.0]]), warmth=torch.tensor([warmth]))
    added = (levelled(real, even, torch.zeros(1, 64 * 64, 2), BASIS)[0] @ TO_YCC.T)[:, 1:]
    share = 1 + added / real.chroma
    assert torch.allclose(share.amin(0), torch.tensor(PALEST), atol=1e-4)
    assert torch.allclose(share.amax(0), torch.tensor(RICHEST), atol=1e-4)


def test_the_grey_of_shaven_beards_comes_nearer_to_the_skin() -> None:
    skin, cheeks = torch.tensor([-0.1, 0.15])[:, None, None].expand(2, 64, 64), torch.arange(64)[:, None] < 0.67 * 64
    before, after = without_stains(*ball(torch.full_like(X, 0.5), torch.where(cheeks, skin, 0.5 * skin)))
    grey, left = ((chroma[:, 56:, 24:40] - skin[:, 56:, 24:40]).norm(dim=0).mean() for chroma in (before, after))
    assert left < 0.6 * grey
    assert (after - skin)[:, 8:28, 16:48].abs().max() < 0.02


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.8, 0.0), (0.0, -0.8)], ids=["even", "aside", "above"])
def test_hard_light_is_measured_whole_and_a_beard_is_no_shadow(slope: tuple[float, float]) -> None:
    brightness = (slope[0] * X + slope[1] * Y - 0.7).exp()
    skin = torch.tensor([-0.1, 0.15])[:, None, None].expand(2, 64, 64)
    cheeks = torch.arange(64)[:, None] < 0.67 * 64
    shaven = ball(brightness, skin)
    bearded = ball(torch.where(cheeks, brightness, 0.3 * brightness), torch.where(cheeks, skin, 0.2 * skin))
    one, other = (Light.of(measure(*seen)) for seen in (shaven, bearded))
    assert torch.allclose(one.field[0, 1:3], torch.tensor(slope), atol=0.06)
    assert torch.allclose(other.field, one.field, atol=0.12)
    assert torch.allclose(other.chroma, one.chroma, atol=0.01)


def test_what_another_colour_is_before_is_a_stain_not_light() -> None:
    """So the light is doubtful, and the chroma of portraits is reduced."""
    skin = torch.tensor([-0.1, 0.15])[:, None, None].expand(2, 64, 64)
    red = torch.where(torch.arange(64)[:, None] < 0.15 * 64, skin + 0.2, skin)
    plain, stained = (Light.of(measure(*ball(torch.full_like(X, 0.5), chroma))) for chroma in (skin, red))
    assert torch.allclose(stained.chroma, plain.chroma, atol=0.01)
    assert plain.saturation < 0.01 < EVEN < stained.saturation


@pytest.mark.parametrize("seen", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("cover", [0.02, 0.2, 1.0])
def test_the_light_is_that_of_the_chin_where_all_above_is_hidden(seen: float, cover: float) -> None:
    """As under a hat, goggles or hands, which are told."""
    skin, below = torch.tensor([-0.1, 0.15])[:, None, None].expand(2, 64, 64), torch.arange(64)[:, None] >= 0.67 * 64
    shown = below | (torch.arange(64)[None] < seen * 64)
    lit = ball(torch.full_like(X, 0.5), skin)
    behind = ball(torch.where(shown, 0.5, torch.full_like(X, cover)), torch.where(shown, skin, 0.0))
    hidden = ((lit[1][..., 1] < 0.67) & (lit[1][..., 0] >= seen)).float()
    one, other = Light.of(measure(*lit)), Light.of(measure(*behind, hidden))
    assert (one.front - other.front).abs() < 0.1
    assert torch.allclose(one.chroma, other.chroma, atol=0.03)
