"""Tracking: glances at a smaller picture, halfway between looks that are far apart."""

from dataclasses import replace

import pytest
from scripted_faces import CONFIG, WIDTH, covers, frames_of, run, square, still

from anonymizer import lookout
from anonymizer.config import TrackConfig
from anonymizer.motion import LINGER

FAR = replace(CONFIG, track=TrackConfig(stride=16, window=16))
WAY = {n: square(60 + n, 60) for n in range(65)}
GUEST = square(200, 180)


@pytest.fixture(autouse=True)
def half_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "GLANCE", WIDTH // 2)


def test_what_goes_its_way_is_glanced_at() -> None:
    tracked, detector = run(lambda n: {WAY[n]: 0.9}, still(65), FAR)
    assert [list(faces) for faces in tracked] == [[0]] * 65
    assert detector.looks == [0, 16, 32, 48, 64]
    assert detector.glances == [8, 24, 40, 56]


@pytest.mark.parametrize("score", [0.9, 0.25])
def test_who_is_there_only_in_a_glance_is_looked_at(score: float) -> None:
    here = range(21, 28)
    tracked, detector = run(
        lambda n: {WAY[n]: 0.9, **({GUEST: 0.9 if n == 26 else score} if n in here else {})}, still(65), FAR
    )
    assert {24, *(here if score > 0.5 else ())} <= set(detector.looks)
    if score > 0.5:
        assert frames_of(tracked, 1) == list(range(here.start - LINGER, here.stop + LINGER))
        assert all(covers(tracked[n], GUEST) for n in here)


def test_who_comes_is_looked_for_without_a_glance() -> None:
    tracked, detector = run(lambda n: {GUEST: 0.9} if n >= 28 else {}, still(65), FAR)
    assert 24 in detector.looks
    assert 24 not in detector.glances
    assert frames_of(tracked, 0) == list(range(28 - LINGER, 65))


def test_small_pictures_are_looked_at_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "GLANCE", WIDTH)
    _, detector = run(lambda n: {WAY[n]: 0.9}, still(65), FAR)
    assert sorted(detector.looks) == list(range(0, 65, 8))
    assert not detector.glances
