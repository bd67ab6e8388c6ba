"""Tracking: glances at the part of the picture that changed."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_faces import CONFIG, RATE, covers
from torch import Tensor

from anonymizer.batches import Faces, Frames
from anonymizer.config import Config, TrackConfig
from anonymizer.detect.base import faces
from anonymizer.identity import SIZE, TEMPLATE
from anonymizer.scenes import changed_part, thumbnails
from anonymizer.track import follow

HEIGHT, WIDTH = 540, 960
SIDE = WIDTH // 3  # of the part
FACE, LAMP = (200, 40, 200), (250, 250, 120)
FAR = Config(detect=CONFIG.detect, track=TrackConfig(stride=16, window=16))
COUNT = 33
ALWAYS = range(COUNT)


class Sees:
    """Finds all of the colour of ``FACE``, sure of it in some frames, and notes which pictures it was given."""

    def __init__(self, sure: range) -> None:
        self._sure = sure
        self.whole: list[int] = []
        self.parts: list[int] = []

    def detect(self, frames: Frames) -> Faces:
        numbers = [int(time * RATE) for time in frames.times]
        if frames.size == (HEIGHT, WIDTH):
            self.whole += numbers
        elif frames.size == (SIDE, SIDE):
            self.parts += numbers
        found = []
        for row, picture in enumerate(frames.pixels.numpy()):
            mask = cv2.inRange(picture, np.array(FACE) - 20, np.array(FACE) + 20)
            for x, y, width, height, _ in cv2.connectedComponentsWithStats(mask)[2][1:].tolist():
                found.append((row, x, y, x + width, y + height))
        rows = torch.tensor(found, dtype=torch.float32).reshape(-1, 5)
        boxes = rows[:, 1:]
        landmarks = boxes[:, None, :2] + TEMPLATE / SIZE * (boxes[:, 2:] - boxes[:, :2])[:, None]
        scores = [0.9 if numbers[int(row)] in self._sure else 0.25 for row in rows[:, 0]]
        return faces(rows[:, 0].long(), boxes, landmarks, torch.tensor(scores))


def video(*shown: tuple[range, tuple[int, int, int], tuple[int, int, int, int]]) -> Frames:
    """Grey blocks, but for boxes (left, top, right, bottom) of a colour in some frames."""
    blocks = torch.randint(20, 170, (18, 32, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    scene = blocks.repeat_interleave(HEIGHT // 18, 0).repeat_interleave(WIDTH // 32, 1)
    pixels = scene.expand(COUNT, -1, -1, 3).clone()
    for when, colour, (x0, y0, x1, y1) in shown:
        pixels[list(when), y0:y1, x0:x1] = torch.tensor(colour, dtype=torch.uint8)
    return Frames(pixels, tuple(Fraction(index, RATE) for index in range(COUNT)))


def tracked(frames: Frames, sure: range = ALWAYS) -> tuple[list[dict[int, Tensor]], Sees]:
    """The faces in each frame, by number, and the detector."""
    detector = Sees(sure)
    found = Faces.cat([part for _, part in follow(iter([frames]), detector, FAR)])
    here = [found[found.frame == row] for row in range(COUNT)]
    return [dict(zip(part.tracks.tolist(), part.boxes, strict=True)) for part in here], detector


SOMEBODY = (ALWAYS, FACE, (600, 100, 700, 220))


@pytest.mark.parametrize(
    "lamp",
    [
        pytest.param((100, 300, 130, 330), id="far from the face"),
        pytest.param((570, 150, 595, 180), id="beside it"),
        pytest.param((480, 100, 510, 130), id="where it sticks out of the part"),
    ],
)
def test_what_flickers_is_glanced_at_alone(lamp: tuple[int, int, int, int]) -> None:
    found, detector = tracked(video(SOMEBODY, (range(5, 6), LAMP, lamp), (range(20, 22), LAMP, lamp)))
    assert detector.whole == [0, 16, 32]
    assert {5, 20} <= set(detector.parts) <= {5, 6, 20, 22}
    assert [list(faces) for faces in found] == [[0]] * COUNT


def test_who_comes_and_goes_between_two_looks_is_found_in_a_part() -> None:
    box = (150, 250, 210, 330)
    found, detector = tracked(video(SOMEBODY, (range(20, 23), FACE, box)))
    assert 20 in detector.parts
    assert all(covers(found[frame], box) for frame in range(20, 23))


def test_who_comes_in_over_the_border_beside_somebody_is_found() -> None:
    here = (ALWAYS, FACE, (0, 100, 100, 220))
    box = (0, 300, 40, 380)
    found, _ = tracked(video(here, (range(20, 23), FACE, box)))
    assert all(covers(found[frame], box) for frame in range(20, 23))


def test_who_is_sure_only_in_a_glance_at_a_part_is_looked_at() -> None:
    lamp = (range(20, 22), LAMP, (570, 150, 595, 180))
    found, detector = tracked(video(SOMEBODY, lamp), sure=range(20, 21))
    assert 20 in detector.parts
    assert 20 in detector.whole
    assert all(covers(found[frame], SOMEBODY[2]) for frame in range(17, 24))


def test_who_jumps_aside_for_a_moment_is_looked_at() -> None:
    first, aside = (600, 100, 700, 220), (640, 100, 740, 220)
    here = [(range(20), FACE, first), (range(20, 22), FACE, aside), (range(22, COUNT), FACE, first)]
    found, detector = tracked(video(*here))
    assert 20 in detector.parts
    assert covers(found[20], aside, overlap=0.95)


def test_two_faces_are_not_one_that_is_known() -> None:
    beside = (range(20, 22), FACE, (705, 110, 800, 230))
    found, _ = tracked(video(SOMEBODY, beside))
    assert all(covers(found[frame], beside[2]) for frame in (20, 21))


def test_two_places_at_once_are_looked_at() -> None:
    lamps = [(range(20, 21), LAMP, (x, 60, x + 30, 90)) for x in (100, 800)]
    _, detector = tracked(video(SOMEBODY, *lamps))
    assert 20 in detector.whole


@settings(deadline=None)
@given(x=st.integers(0, WIDTH - 60), y=st.integers(0, HEIGHT - 60), size=st.integers(30, 45))
def test_the_part_holds_what_changed(x: int, y: int, size: int) -> None:
    frames = video((range(1, 2), LAMP, (x, y, x + size, y + size)))[:2]
    before, after = thumbnails(frames)
    part = changed_part(before, after, frames.size)
    assert part is not None
    left, top, width, height = part
    assert (width, height) == (SIDE, SIDE)
    assert 0 <= left <= x
    assert x + size <= left + width <= WIDTH
    assert 0 <= top <= y
    assert y + size <= top + height <= HEIGHT


def test_there_is_no_part_where_nothing_or_everything_changed() -> None:
    frames = video((range(1, 2), LAMP, (0, 0, WIDTH, HEIGHT)))
    nothing, everything, _ = thumbnails(frames[:3])
    assert changed_part(nothing, nothing, frames.size) is None
    assert changed_part(nothing, everything, frames.size) is None
