"""Optical flow: faces of noise that are moved by known ways."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.flow import Array, Grey, carry, grey, likeness, part_around

HEIGHT, WIDTH, SIZE = 160, 200, 60


def noise(seed: int, height: int = HEIGHT, width: int = WIDTH, grain: float = 3) -> Grey:
    values = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(values, (0, 0), grain), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def scene(x: float, y: float, face: int = 1) -> Grey:
    """A face, its corner at ``x, y``, before something else."""
    picture = noise(0)
    move = np.array([[1.0, 0, x], [0, 1, y]])
    size, border = (WIDTH, HEIGHT), cv2.BORDER_TRANSPARENT
    return cv2.warpAffine(noise(face, SIZE, SIZE), move, size, picture, flags=cv2.INTER_LINEAR, borderMode=border)


def box(x: float, y: float) -> Array:
    return np.array([[x, y], [x + SIZE, y + SIZE]], np.float32)


@settings(deadline=None, max_examples=30)
@given(
    start=st.tuples(st.integers(0, WIDTH - SIZE), st.integers(0, HEIGHT - SIZE)),
    steps=st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=1, max_size=5),
)
def test_a_face_is_carried_where_it_goes(start: tuple[int, int], steps: list[tuple[float, float]]) -> None:
    places = np.cumsum([start, *steps], axis=0)
    shown = ((places > -SIZE / 2) & (places < np.array([WIDTH, HEIGHT]) - SIZE / 2)).all(1)
    places = places[: len(places) if shown.all() else int(shown.argmin())]
    pictures = [scene(*place) for place in places]
    ways = carry(pictures, box(*start), likeness(pictures[0], box(*start)))
    np.testing.assert_allclose(np.array(ways, np.float32).reshape(-1, 2), (places - start)[1:].reshape(-1, 2), atol=1.0)


def test_a_face_is_carried_until_nothing_of_it_is_left() -> None:
    places = [(130 + 5 * n, 50) for n in range(20)]
    pictures = [scene(*place) for place in places]
    ways = carry(pictures, box(*places[0]), likeness(pictures[0], box(*places[0])))
    found = [way is not None for way in ways]
    assert found == sorted(found, reverse=True)
    assert 11 <= sum(found) <= 13  # 60 of 70 pixels of the way to the border and beyond: a twelfth is left


@pytest.mark.parametrize("after", [noise(5), scene(70, 50, face=2), np.full((HEIGHT, WIDTH), 90, np.uint8)])
def test_something_else_is_not_the_face(after: Grey) -> None:
    before = scene(70, 50)
    assert carry([before, after, after], box(70, 50), likeness(before, box(70, 50))) == [None, None]


def test_it_is_found_again_behind_what_passes_before_it() -> None:
    pictures = [scene(150, 50), noise(5), scene(154, 52)]
    hidden, way = carry(pictures, box(150, 50), likeness(pictures[0], box(150, 50)))
    assert hidden is None
    np.testing.assert_allclose(way, (4, 2), atol=1.0)


def test_it_may_become_darker() -> None:
    before = scene(150, 50)
    [way] = carry([before, before // 2 + 20], box(150, 50), likeness(before, box(150, 50)))
    np.testing.assert_allclose(way, 0, atol=0.5)


@pytest.mark.parametrize("corner", [(-70, 50), (205, 50), (70, -90), (70, 165)])
def test_outside_of_the_picture_there_is_no_face(corner: tuple[int, int]) -> None:
    picture = scene(70, 50)
    assert carry([picture, picture], box(*corner), likeness(picture, box(*corner))) == [None]


def test_deep_pictures_are_as_grey_as_others() -> None:
    picture = torch.randint(0, 256, (7, 9, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    deep = (picture.int() * 257).to(torch.uint16)
    np.testing.assert_array_equal(grey(deep), grey(picture))


@pytest.mark.parametrize("corner", [(-70, 50), (205, 50), (70, -90), (70, 165), (199.9, 159.9)])
def test_the_part_of_a_frame_around_a_face_is_never_empty(corner: tuple[float, float]) -> None:
    place = np.array([corner, np.add(corner, 0.2)], np.float32)
    x, y, width, height = part_around(place, (HEIGHT, WIDTH))
    assert 0 <= x < x + width <= WIDTH
    assert 0 <= y < y + height <= HEIGHT
