"""Hair beside faces: it is told from their skin, and nothing else is taken for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anonymizer.face_model import load_face_model
from anonymizer.generate.hairline import BROWS, EYES, MOUTH, NOSE, hair_before

SIZE = 128
DARK, BROWN = (30, 22, 20), (88, 54, 34)


def oval(turned: float = 0.0) -> Tensor:
    """A mesh ``(1, 468, 2)`` of the average face in the middle of a crop, turned by some degrees."""
    points = load_face_model().mean.clone()
    angle = np.deg2rad(turned)
    flat = torch.stack([points[:, 0] * np.cos(angle) + points[:, 2] * np.sin(angle), points[:, 1]], dim=1)
    low, high = flat.amin(0), flat.amax(0)
    return ((flat - (low + high) / 2) * (0.66 * SIZE / (high - low).amax()) + SIZE / 2)[None].float()


def filled(points: Tensor) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.contiguous().numpy()).round().astype(np.int32), 1)
    return mask > 0


def painted(points: Tensor, skin: tuple[int, ...], hair: tuple[int, ...], curtain: float, seed: int = 0) -> Tensor:
    """A plain head ``(1, 3, SIZE, SIZE)`` in front of hair, which hangs over both sides of the face by a share of its
    width.
    """
    picture = np.full((SIZE, SIZE, 3), hair, np.float32)
    face = filled(points[0])
    picture[face] = skin
    left, right = (float(points[0, :, 0].amin()), float(points[0, :, 0].amax()))
    width = curtain * (right - left)
    picture[:, : round(left + width)] = hair
    picture[:, round(right - width) :] = hair
    neck = (np.arange(SIZE)[:, None] > float(points[0, 152, 1])) & (abs(np.arange(SIZE) - SIZE / 2) < 14)
    picture[neck] = skin
    noise = np.random.default_rng(seed).normal(0, 4, picture.shape)
    return torch.from_numpy((picture + noise).clip(0, 255).astype(np.float32) / 255).permute(2, 0, 1)[None]


@pytest.mark.parametrize("skin", [(225, 180, 160), (150, 105, 80)])
@pytest.mark.parametrize("hair", [DARK, BROWN])
def test_hair_beside_a_face_is_told_from_skin(skin: tuple[int, ...], hair: tuple[int, ...]) -> None:
    points = oval()
    found = hair_before(painted(points, skin, hair, 0.12), points)[0][0, 0].numpy()
    columns = np.arange(SIZE)
    left, right = float(points[0, :, 0].amin()), float(points[0, :, 0].amax())
    width = 0.12 * (right - left)
    over = filled(points[0]) & ((columns < left + width - 2) | (columns > right - width + 2))
    skin_there = filled(points[0]) & (columns > left + width + 2) & (columns < right - width - 2)
    above = np.arange(SIZE)[:, None] < float(points[0, 13, 1])
    assert found[over & above].mean() > 0.9
    assert found[skin_there].mean() < 0.02


SKINS = [(225, 180, 160), (150, 105, 80), (80, 52, 40)]
WALLS = [(15, 15, 18), (240, 240, 245), (60, 90, 140)]


def bald(points: Tensor, skin: tuple[int, ...], wall: tuple[int, ...]) -> np.ndarray:
    """A bald head on a neck before a wall, ``(SIZE, SIZE, 3)`` float32."""
    picture = np.full((SIZE, SIZE, 3), wall, np.float32)
    x, y = (float(value) for value in (points[0].amin(0) + points[0].amax(0)) / 2)
    width, height = (float(value) for value in points[0].amax(0) - points[0].amin(0))
    cv2.ellipse(picture, ((x, y - 0.1 * height), (1.1 * width, 1.3 * height), 0), skin, -1)
    cv2.rectangle(picture, (round(x - 0.3 * width), round(y)), (round(x + 0.3 * width), SIZE), skin, -1)
    return picture


def noisy(picture: np.ndarray) -> Tensor:
    noise = np.random.default_rng(1).normal(0, 4, picture.shape)
    return torch.from_numpy((picture + noise).clip(0, 255).astype(np.float32) / 255).permute(2, 0, 1)[None]


def share(picture: Tensor, points: Tensor) -> float:
    """How much of a face is taken for hair."""
    return float(hair_before(picture, points)[0][0, 0].numpy()[filled(points[0])].mean())


@pytest.mark.parametrize("skin", SKINS)
@pytest.mark.parametrize("wall", WALLS)
def test_bare_faces_and_bald_heads_have_none(skin: tuple[int, ...], wall: tuple[int, ...]) -> None:
    assert share(noisy(bald(oval(), skin, wall)), oval()) < 0.01


@pytest.mark.parametrize("skin", SKINS[:2])
def test_shadow_on_a_side_of_a_face_is_no_hair(skin: tuple[int, ...]) -> None:
    points = oval()
    picture = bald(points, skin, DARK)
    low, high = float(points[0, :, 0].amin()), float(points[0, :, 0].amax())
    across = ((np.arange(SIZE) - low) / (high - low)).clip(0, 1)[:, None]
    assert share(noisy(picture * (0.35 + 0.65 * across)), points) < 0.02


def test_a_full_beard_is_the_face() -> None:
    """Of the colour of the hair above, on both sides down to the chin."""
    points = oval()
    picture = bald(points, SKINS[0], (200, 205, 210))
    cv2.rectangle(picture, (0, 0), (SIZE, round(float(points[0, 10, 1])) - 2), DARK, -1)
    low, high = (float(points[0, at, 1]) for at in (2, 152))
    beard = filled(points[0]) & (np.arange(SIZE)[:, None] > low) & (np.arange(SIZE)[:, None] < high + 2)
    picture[beard] = DARK
    found = hair_before(noisy(picture), points)[0][0, 0].numpy()
    assert found[beard].mean() < 0.05


def test_where_much_of_a_face_would_be_hair_none_is() -> None:
    points = oval()
    assert share(painted(points, SKINS[0], DARK, 0.12), points) > 0.05
    assert share(painted(points, SKINS[0], DARK, 0.3), points) == 0


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.25), st.floats(-40, 40), st.integers(0, 1000))
def test_brows_eyes_nose_and_mouth_are_never_hair(curtain: float, turned: float, seed: int) -> None:
    points = oval(turned)
    found = hair_before(painted(points, (210, 170, 150), DARK, curtain, seed), points)[0][0, 0].numpy()
    inner = cv2.erode(filled(points[0, [*BROWS, *EYES, *MOUTH, NOSE]]) * 1.0, None)
    assert found[inner > 0].max() == 0
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1


def test_each_face_alone_as_in_a_batch_and_each_time_the_same() -> None:
    points = torch.cat([oval(), oval(20), oval(-20)])
    pictures = torch.cat([painted(mesh[None], (210, 170, 150), BROWN, 0.1, row) for row, mesh in enumerate(points)])
    together = torch.cat(hair_before(pictures, points), dim=1)
    assert torch.equal(together, torch.cat(hair_before(pictures, points), dim=1))
    for row in range(3):
        alone = hair_before(pictures[row : row + 1], points[row : row + 1])
        assert torch.equal(together[row : row + 1], torch.cat(alone, dim=1))


def test_there_is_none_in_plain_pictures() -> None:
    assert hair_before(torch.full((1, 3, SIZE, SIZE), 0.5), oval())[0].max() == 0


@pytest.mark.parametrize("shift", [100.0, 1000.0, -1000.0])
def test_there_is_none_where_the_mesh_lies_beyond_the_picture(shift: float) -> None:
    assert hair_before(painted(oval(), SKINS[0], DARK, 0.1), oval() + shift)[0].max() == 0
