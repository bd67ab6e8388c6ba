"""Tracking: scripted detectors, whose faces, misses and false alarms are known."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.config import Config, DetectConfig, TrackConfig
from anonymizer.geometry import box_iou
from anonymizer.motion import LINGER, LINGER_AT_BORDER
from anonymizer.track import _Follower, follow

HEIGHT, WIDTH = 240, 320
RATE = 25
HIGH, LOW = 0.35, 0.2
CONFIG = Config(detect=DetectConfig(threshold=HIGH, low=LOW), track=TrackConfig(stride=4, window=16))
EVERY = Config(detect=CONFIG.detect, track=TrackConfig(stride=1, window=16))

Box = tuple[float, float, float, float]
Script = Callable[[int], Mapping[Box, float]]


def square(x: float, y: float, size: float = 40) -> Box:
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


class Scripted:
    """Sees in frame ``n`` the boxes, with their scores, that the script has for ``n``; notes where it looked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.looks: list[int] = []

    def detect(self, frames: Frames) -> Faces:
        parts = [Faces.none()]
        for row, time in enumerate(frames.times):
            index = int(time * RATE)
            self.looks.append(index)
            seen = self._script(index)
            boxes = torch.tensor(list(seen), dtype=torch.float32).reshape(-1, 4)
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            parts.append(
                Faces(
                    torch.full((len(seen),), row),
                    boxes,
                    centres[:, None].expand(-1, 5, 2),
                    torch.tensor(list(seen.values()), dtype=torch.float32),
                    torch.full((len(seen),), UNTRACKED),
                )
            )
        return Faces.cat(parts)


def video(pictures: Tensor, cuts: list[int]) -> Iterator[Frames]:
    """``pictures (N, 24, 32, 3)`` in batches that end at ``cuts``, blown up to the size of the video."""
    start = 0
    for stop in [*cuts, len(pictures)]:
        times = tuple(Fraction(index, RATE) for index in range(start, stop))
        yield Frames(pictures[start:stop].repeat_interleave(10, 1).repeat_interleave(10, 2), times)
        start = stop


def scene(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (24, 32, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def still(count: int) -> Tensor:
    return scene().expand(count, -1, -1, -1)


def run(
    script: Script, pictures: Tensor, config: Config = CONFIG, cuts: list[int] | None = None
) -> tuple[list[dict[int, Tensor]], Scripted]:
    """What is tracked in each frame, by number, and the detector. Checks that every frame comes out, once, in order."""
    detector = Scripted(script)
    batches = list(video(pictures, list(range(10, len(pictures), 10)) if cuts is None else cuts))
    tracked: list[dict[int, Tensor]] = []
    out = []
    for frames, faces in follow(iter(batches), detector, config):
        out.append(frames)
        for row in range(len(frames)):
            here = faces[faces.frame == row]
            assert len(set(here.tracks.tolist())) == len(here)
            tracked.append(dict(zip(here.tracks.tolist(), here.boxes, strict=True)))
        assert (faces.frame.diff() >= 0).all()
        assert ((faces.scores >= 0) & (faces.scores <= 1)).all()
    assert [id(frames) for frames in out] == [id(frames) for frames in batches]
    assert len(detector.looks) == len(set(detector.looks))
    return tracked, detector


def covers(tracked: dict[int, Tensor], box: Box, overlap: float = 0.6) -> bool:
    boxes = torch.stack(list(tracked.values())) if tracked else torch.zeros(0, 4)
    return bool((box_iou(boxes, torch.tensor([box])) > overlap).any())


def frames_of(tracked: list[dict[int, Tensor]], number: int) -> list[int]:
    return [index for index, faces in enumerate(tracked) if number in faces]


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

    tracked, _ = run(script, still(70))
    assert frames_of(tracked, 0) == list(range(37 + LINGER_AT_BORDER))
    assert all(covers(tracked[n], square(min(200 + 3 * n, 320), 100)) for n in range(37 + LINGER_AT_BORDER))


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


def test_a_cut_ends_all_faces() -> None:
    pictures = torch.cat([scene(1).expand(22, -1, -1, -1), scene(2).expand(30, -1, -1, -1)])
    tracked, _ = run(lambda n: {square(100, 100): 0.9} if n < 22 else {square(102, 100): 0.9}, pictures)
    assert frames_of(tracked, 0) == list(range(22))
    assert frames_of(tracked, 1) == list(range(22, 52))


def test_nothing_lingers_beyond_a_cut() -> None:
    pictures = torch.cat([scene(1).expand(21, -1, -1, -1), scene(2).expand(30, -1, -1, -1)])
    tracked, _ = run(lambda n: {square(100, 100): 0.9} if n < 21 else {}, pictures)
    assert frames_of(tracked, 0) == list(range(21))


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int) -> None:
    pictures = still(60).clone()
    pictures[25 : 25 + length] = scene(5)
    tracked, detector = run(lambda n: {} if 25 <= n < 25 + length else {square(100, 100): 0.9}, pictures)
    assert [list(faces) for faces in tracked] == [[0]] * 60
    assert 25 in detector.looks


def test_a_black_video_has_no_cuts() -> None:
    dark = torch.randint(0, 3, (40, 24, 32, 3), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    tracked, detector = run(lambda n: {square(100, 100): 0.9}, dark)
    assert [list(faces) for faces in tracked] == [[0]] * 40
    assert len(detector.looks) == 11


def test_a_face_between_two_looks_is_found_where_the_picture_changes() -> None:
    pictures = still(40).clone()
    pictures[21:23] = scene(5)
    tracked, _ = run(lambda n: {square(100, 100): 0.9} if n in (21, 22) else {}, pictures)
    assert {21, 22} <= set(frames_of(tracked, 0))


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
        assert len(follower._looks) + len(follower._thumbnails) + len(follower._cuts) <= 8 * CONFIG.track.window


walks = st.lists(st.tuples(st.floats(-4, 4), st.floats(-3, 3)), min_size=8, max_size=8)


def walk(steps: list[tuple[float, float]], n: int, count: int) -> Box:
    """A smooth path inside the picture with a new velocity every ``count / 8`` frames."""
    x, y = 160.0, 120.0
    for index in range(n):
        dx, dy = steps[min(index * len(steps) // count, len(steps) - 1)]
        x, y = min(max(x + dx, 20), WIDTH - 20), min(max(y + dy, 20), HEIGHT - 20)
    return square(x, y)


@settings(max_examples=40, deadline=None)
@given(steps=walks, missed=st.sets(st.integers(0, 79)), config=st.sampled_from([CONFIG, EVERY]))
def test_a_face_with_random_misses_is_one_track_in_every_frame(
    steps: list[tuple[float, float]], missed: set[int], config: Config
) -> None:
    count, run_length = 80, 0
    seen = set()
    for n in range(count):  # never more than three in a row
        run_length = run_length + 1 if n in missed else 0
        if run_length in (0, 4):
            run_length = 0
            seen.add(n)
    tracked, detector = run(lambda n: {walk(steps, n, count): 0.9} if n in seen else {}, still(count), config)
    found = seen.intersection(detector.looks)
    first, last = min(found), max(found)
    assert frames_of(tracked, 0) == list(range(max(0, first - LINGER), min(count, last + 1 + LINGER)))
    assert all(set(faces) <= {0} for faces in tracked)
    assert all(covers(tracked[n], walk(steps, n, count), 0.3) for n in range(first, last + 1))


@settings(max_examples=40, deadline=None)
@given(
    here=st.lists(st.tuples(st.integers(0, 55), st.integers(1, 40)), min_size=1, max_size=4),
    data=st.data(),
)
def test_every_visible_face_is_covered_and_batches_do_not_matter(
    here: list[tuple[int, int]], data: st.DataObject
) -> None:
    count = 60

    def script(n: int) -> dict[Box, float]:
        return {
            square(40 + 75 * row + (n - start), 120): 0.9
            for row, (start, length) in enumerate(here)
            if start <= n < start + length
        }

    cuts = sorted(data.draw(st.sets(st.integers(1, count - 1))))
    tracked, detector = run(script, still(count), EVERY, cuts)
    assert all(covers(tracked[n], box) for n in range(count) for box in script(n))
    sparse, detector = run(script, still(count), CONFIG, cuts)
    assert all(covers(sparse[n], box) for n in detector.looks for box in script(n))
    whole, _ = run(script, still(count), CONFIG, [])
    for one, other in zip(sparse, whole, strict=True):
        assert list(one) == list(other)
        assert all(torch.equal(one[number], other[number]) for number in one)
