"""Tracking: scripted detectors, whose faces, misses and false alarms are known."""

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from scripted_faces import (
    CONFIG,
    EVERY,
    HIGH,
    RATE,
    Box,
    Scripted,
    covers,
    flat,
    frames_of,
    run,
    square,
    still,
    video,
)

from anonymizer.batches import Frames
from anonymizer.config import Config
from anonymizer.motion import LINGER, LINGER_CUT
from anonymizer.track import _Follower, follow


def test_one_face_has_one_number_in_every_frame_at_few_looks() -> None:
    tracked, detector = run(lambda n: {square(60 + 2 * n, 100): 0.9}, still(80))
    assert [list(faces) for faces in tracked] == [[0]] * 80
    assert all(covers(faces, square(60 + 2 * n, 100), 0.95) for n, faces in enumerate(tracked))
    assert len(detector.looks) == 21  # every fourth and the last


def test_no_faces() -> None:
    tracked, _ = run(lambda n: {}, still(23))
    assert tracked == [{}] * 23


@pytest.mark.parametrize("count", [1, 2, 5])
def test_short_videos(count: int) -> None:
    tracked, _ = run(lambda n: {square(100, 100): 0.9}, still(count), cuts=[])
    assert [list(faces) for faces in tracked] == [[0]] * count


def test_no_frames() -> None:
    assert list(follow(iter([]), Scripted(lambda n: {}), CONFIG)) == []


@pytest.mark.parametrize("config", [CONFIG, EVERY])
def test_coming_and_going_are_exact_to_the_frames_that_a_face_lingers(config: Config) -> None:
    here = range(18, 43)
    tracked, _ = run(lambda n: {square(100, 100): 0.9} if n in here else {}, still(70), config)
    assert frames_of(tracked, 0) == list(range(18 - LINGER, 43 + LINGER))


def test_a_face_that_leaves_through_the_border_lingers_there() -> None:
    def script(n: int) -> dict[Box, float]:
        x = 200 + 3 * n
        return {square(x, 100): 0.9} if x <= 308 else {}  # not seen when half of it is gone

    tracked, _ = run(script, flat(70))
    assert frames_of(tracked, 0) == list(range(37 + LINGER_CUT))
    assert all(covers(tracked[n], square(min(200 + 3 * n, 320), 100)) for n in range(37 + LINGER_CUT))


def test_a_face_that_something_hides_lingers_beside_it() -> None:
    def script(n: int) -> dict[Box, float]:
        right = 120 - 2 * (n - 10)  # where what slides over the face from the right has come to
        return {(80, 80, min(120, right), 120): 0.9} if right >= 96 else {}

    tracked, _ = run(script, still(60))
    assert frames_of(tracked, 0) == list(range(23 + LINGER_CUT))


def test_an_expected_face_inside_one_that_is_seen_is_that_one() -> None:
    def script(n: int) -> dict[Box, float]:
        return {square(100, 100): 0.9} if n < 20 else {square(110, 110, 130): 0.9}

    tracked, _ = run(script, still(60), cuts=[])
    assert all(len(faces) == 1 for faces in tracked[20:])


def test_of_two_tracks_in_one_place_the_fresher_goes_on() -> None:
    def script(n: int) -> dict[Box, float]:
        if n < 30:
            return {square(100, 100): 0.9} | ({square(140, 100): 0.9} if n < 20 else {})
        return {square(121, 100): 0.9}  # a little nearer to the one that has gone

    tracked, _ = run(script, still(60), EVERY)
    assert all(0 in faces for faces in tracked)
    assert frames_of(tracked, 1) == list(range(20 + LINGER))


@pytest.mark.parametrize("speed", [0, 10])
def test_a_face_that_left_over_the_border_is_only_assumed_until_it_is_back(speed: int) -> None:
    def script(n: int) -> dict[Box, float]:
        return {} if 20 <= n < 26 else {square(303 - speed * min(abs(n - 20), abs(n - 25)), 100): 0.9}

    batches = list(follow(video(still(40), []), Scripted(script), EVERY))
    [(_, faces)] = batches
    assert faces.tracks.tolist() == [0] * 40
    assert [score > 0 for score in faces.scores.tolist()] == [n not in range(20, 26) for n in range(40)]


def test_weak_sightings_belong_to_a_face_that_is_sure_within_the_window() -> None:
    tracked, _ = run(lambda n: {square(100, 100): 0.9 if 24 <= n < 36 else 0.25}, still(60))
    assert all(list(faces) == [0] for faces in tracked[24 - CONFIG.track.window :])


def test_a_face_that_is_never_sure_is_none() -> None:
    tracked, _ = run(lambda n: {square(100, 100): HIGH - 0.01}, still(40))
    assert tracked == [{}] * 40


def test_one_false_alarm_stays_short() -> None:
    def script(n: int) -> dict[Box, float]:
        return {square(60, 60): 0.9} | ({square(250, 180): 0.5} if n == 20 else {})

    tracked, _ = run(script, still(50))
    assert frames_of(tracked, 0) == list(range(50))
    assert frames_of(tracked, 1) == list(range(20 - LINGER, 21 + LINGER))


def test_a_gap_is_filled_along_the_way() -> None:
    def script(n: int) -> dict[Box, float]:
        return {} if 30 <= n < 44 else {square(40 + 3 * n, 100): 0.9}

    tracked, _ = run(script, still(80))
    assert [list(faces) for faces in tracked] == [[0]] * 80
    assert all(covers(faces, square(40 + 3 * n, 100), 0.6) for n, faces in enumerate(tracked))


def test_a_face_that_stays_away_longer_than_the_window_is_another_track() -> None:
    tracked, _ = run(lambda n: {} if 20 <= n < 20 + 30 else {square(100, 100): 0.9}, still(80))
    assert frames_of(tracked, 0) == list(range(20 + LINGER))
    assert frames_of(tracked, 1) == list(range(50 - LINGER, 80))


@pytest.mark.parametrize("config", [CONFIG, EVERY])
def test_crossing_faces_keep_their_numbers(config: Config) -> None:
    def place(n: int) -> tuple[Box, Box]:
        return square(40 + 3 * n, 100, 44), square(280 - 3 * n, 112, 36)

    def script(n: int) -> dict[Box, float]:
        left, right = place(n)
        return {left: 0.9} if abs(n - 40) < 4 else {left: 0.9, right: 0.8}  # the nearer face hides the other

    tracked, _ = run(script, still(80), config)
    for n, faces in enumerate(tracked):
        assert covers({0: faces[0]}, place(n)[0])
        if abs(n - 40) > 5:  # in between the hidden face may be taken for the nearer one
            assert covers({1: faces[1]}, place(n)[1])


def test_neighbours_are_not_mixed_up_when_one_is_missed() -> None:
    def script(n: int) -> dict[Box, float]:
        return {square(100, 100): 0.9} | ({} if n % 8 == 4 else {square(135, 100): 0.9})

    tracked, _ = run(script, still(60))
    assert all(covers({0: faces[0]}, square(100, 100)) for faces in tracked)
    assert all(covers({1: faces[1]}, square(135, 100)) for faces in tracked)


def test_16_bit_video() -> None:
    frames = Frames(torch.zeros(30, 24, 32, 3, dtype=torch.uint16), tuple(Fraction(n, RATE) for n in range(30)))
    (same, faces), *rest = follow(iter([frames]), Scripted(lambda n: {(4, 4, 16, 16): 0.9}), CONFIG)
    assert same is frames
    assert not rest
    assert faces.tracks.tolist() == [0] * 30


def test_two_videos_do_not_know_of_each_other() -> None:
    first, _ = run(lambda n: {square(100, 100): 0.9}, still(20))
    second, _ = run(lambda n: {square(200, 100): 0.9}, still(20))
    assert frames_of(first, 0) == frames_of(second, 0) == list(range(20))


def test_waiting_frames_are_bounded() -> None:
    batch, waiting, most = 8, 0, 0

    def source() -> Iterator[Frames]:
        nonlocal waiting, most
        for frames in video(still(400), list(range(batch, 400, batch))):
            waiting += len(frames)
            most = max(most, waiting)
            yield frames

    for frames, _ in follow(source(), Scripted(lambda n: {square(100, 100): 0.9}), CONFIG):
        waiting -= len(frames)
    assert waiting == 0
    assert most <= 2 * CONFIG.track.window + 2 * batch


def test_memory_does_not_grow_with_the_video() -> None:
    follower = _Follower(Scripted(lambda n: {square(100, 100): 0.9}), CONFIG)
    for frames in video(still(600), list(range(10, 600, 10))):
        list(follower.push(frames))
        assert max(len(track.sights) for track in follower._tracks) <= 5 * CONFIG.track.window
        assert (
            len(follower._looks) + len(follower._lookout._thumbnails) + len(follower._cuts) <= 8 * CONFIG.track.window
        )
