"""Faces that the border cuts: where no detector sees them, they are carried by optical flow, or covered all around."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, repeat

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_faces import (
    CONFIG,
    EVERY,
    RATE,
    WIDTH,
    Box,
    Script,
    Scripted,
    covers,
    flat,
    frames_of,
    run,
    scene,
    square,
    still,
)
from torch import Tensor

from anonymizer.batches import Faces, Frames
from anonymizer.config import Config
from anonymizer.motion import LINGER, LINGER_CUT, Sight, Track
from anonymizer.track import CARRIED, follow


def holds(box: Tensor, place: Box, more: float = 0) -> bool:
    """Whether a box holds what the picture shows of a place, but for so many pixels."""
    inner = torch.tensor(place).clamp(max=WIDTH)
    return bool((box[:2] <= inner[:2] + more).all() and (box[2:] >= inner[2:] - more).all())


def moving(places: Sequence[tuple[int, int]]) -> Frames:
    """Before one scene another, of 40 pixels: its middle at these places."""
    pictures = scene().repeat_interleave(10, 0).repeat_interleave(10, 1).repeat(len(places), 1, 1, 1)
    face = scene(1)[:20, :20].repeat_interleave(2, 0).repeat_interleave(2, 1)
    for picture, (x, y) in zip(pictures, places, strict=True):
        part = picture[max(y - 20, 0) : y + 20, max(x - 20, 0) : x + 20]
        part[:] = face[max(20 - y, 0) :, max(20 - x, 0) :][: len(part), : part.shape[1]]
    return Frames(pictures, tuple(Fraction(index, RATE) for index in range(len(places))))


def tracked_in(frames: Frames, script: Script, config: Config = CONFIG, lead: int = 0) -> list[Faces]:
    """What is tracked in each frame."""
    parts = (frames[start : start + 16] for start in range(0, len(frames), 16))
    batches = list(follow(parts, Scripted(script), config, lead=lead))
    return [faces[faces.frame == row] for batch, faces in batches for row in range(len(batch))]


def hidden(faces: Faces, place: Box) -> bool:
    """Whether what the picture shows of a place, but for two pixels, is in one of the boxes."""
    return any(holds(box, place, 2) for box in faces.boxes)


def leaving(speed: int, steps: int, wait: int) -> list[tuple[int, int]]:
    """The ways of a face that stands at 270 for 20 frames, goes to the right, and stays there."""
    return list(zip(accumulate([0] * 20 + [speed] * steps + [0] * wait, initial=270), repeat(100), strict=False))


def way(*places: tuple[int, float, float], looks: Sequence[int]) -> Track:
    """A face of 40 pixels that was seen in frames, with its middle in places; where the detector looked."""
    track = Track((240, WIDTH), looks)
    for frame, x, y in places:
        points = np.array([[x - 20, y - 20], [x + 20, y + 20], *[[x, y]] * 5], np.float32)
        track.add(Sight(frame, points, 0.9, seen=True))
    return track


def test_a_face_that_may_have_left_is_covered_where_it_was_and_wherever_it_went() -> None:
    def script(n: int) -> dict[Box, float]:
        return {square(270 + 5 * n, 100 - 5 * n): 0.9} if n <= 7 else {}

    tracked, _ = run(script, flat(40))
    for n in range(8, 8 + LINGER_CUT):
        way = 5 * min(n, 15)  # it is believed to go on for some frames
        assert holds(tracked[n][0], square(305, 65))
        assert holds(tracked[n][0], square(min(270 + way, 320), 100 - way))


def test_a_face_that_the_border_cuts_is_covered_for_as_long_as_something_of_it_is_there() -> None:
    steps = [0] * 20 + [3] * 20 + [0] * 60 + [-3] * 20 + [0] * 20
    places = list(zip(accumulate(steps, initial=270), repeat(100), strict=False))  # to 330: a quarter is left

    def script(n: int) -> dict[Box, float]:
        return {square(*places[n]): 0.9} if places[n][0] <= 308 else {}

    [(_, faces)] = follow(iter([moving(places)]), Scripted(script), CONFIG)
    assert faces.frame.tolist() == list(range(len(places)))
    assert all(holds(box, square(*place), 2) for box, place in zip(faces.boxes, places, strict=True))
    assert all(covers({0: box}, square(*place)) for box, place in zip(faces.boxes, places, strict=True))
    assert faces.tracks.unique().tolist() == [0]


def test_a_face_that_comes_in_over_the_border_is_covered_before_it_is_seen() -> None:
    places = [(max(340 - 2 * n, 270), 100) for n in range(60)]

    def script(n: int) -> dict[Box, float]:
        return {square(*places[n]): 0.9} if places[n][0] <= 308 else {}  # from 16 on

    [(_, faces)] = follow(iter([moving(places)]), Scripted(script), EVERY)
    assert faces.frame.tolist() == list(range(len(places)))
    assert all(holds(box, square(*place), 2) for box, place in zip(faces.boxes, places, strict=True))


def test_what_was_seen_once_at_the_border_is_carried_back_and_on() -> None:
    tracked, _ = run(lambda n: {square(298, 100): 0.9} if n == 20 else {}, still(150), EVERY)
    assert frames_of(tracked, 0) == list(range(20 - 16 - LINGER, 20 + CARRIED + LINGER + 1))


def test_not_for_ever() -> None:
    places = leaving(3, 20, 2 * CARRIED)
    tracked = tracked_in(moving(places), lambda n: {square(*places[n]): 0.9} if n <= 32 else {})
    assert [n for n, faces in enumerate(tracked) if len(faces)] == list(range(33 + CARRIED + LINGER_CUT))


def test_who_comes_in_beside_a_face_that_is_carried_is_somebody_else() -> None:
    places = leaving(3, 18, 80)  # to 324

    def script(n: int) -> dict[Box, float]:
        here = {square(*places[n]): 0.9} if n <= 32 else {}
        return here | ({square(310 - 4 * (n - 60), 104): 0.9} if 60 <= n < 110 else {})

    tracked = tracked_in(moving(places), script)
    assert all(hidden(faces, square(*place)) for faces, place in zip(tracked, places, strict=True))
    assert all(hidden(tracked[n], square(310 - 4 * (n - 60), 104)) for n in range(60, 110))
    assert [faces.tracks.tolist() for faces in tracked[70:80]] == [[0, 1]] * 10


def test_what_nobody_is_sure_of_is_not_the_face_that_is_carried() -> None:
    places = leaving(3, 16, 60)

    def script(n: int) -> dict[Box, float]:
        return {square(*places[n]): 0.9} if n <= 32 else {(260, 55, 330, 150): 0.22}

    tracked = tracked_in(moving(places), script)
    assert all(hidden(faces, square(*place)) for faces, place in zip(tracked, places, strict=True))


def test_a_part_of_a_video_with_what_leads_up_to_it_is_tracked_as_the_whole() -> None:
    places = leaving(3, 20, 150)

    def script(n: int) -> dict[Box, float]:
        return {square(*places[n]): 0.9} if n <= 32 else {}

    frames, start = moving(places), 112
    first = start - CARRIED
    whole, part = tracked_in(frames, script), tracked_in(frames[first:], script, lead=CARRIED)
    assert [faces.boxes.tolist() for faces in part[CARRIED:]] == [faces.boxes.tolist() for faces in whole[start:]]
    assert len(part[CARRIED])


def test_a_face_is_not_carried_back_over_a_cut() -> None:
    places = [(305, 100)] * 40
    frames = moving(places)
    other = frames.pixels[:20].flip(1)
    other[:, 40:160, 240:] = frames.pixels[:20, 40:160, 240:]  # so that flow would find it
    both = Frames(torch.cat([other, frames.pixels[20:]]), frames.times)
    tracked = tracked_in(both, lambda n: {square(*places[n]): 0.9} if n >= 25 else {}, EVERY)
    assert [n for n, faces in enumerate(tracked) if len(faces)] == list(range(20, 40))


def test_a_face_of_which_one_is_sure_late_is_carried_back_as_far_as_possible() -> None:
    def script(n: int) -> dict[Box, float]:
        return {square(305, 100): 0.9 if n >= 70 else 0.25} if n >= 30 else {}

    tracked = tracked_in(moving([(305, 100)] * 90), script)
    covered = [n for n, faces in enumerate(tracked) if len(faces)]
    assert covered == list(range(covered[0], 90))
    assert covered[0] <= 70 - CONFIG.track.window


@settings(deadline=None, max_examples=20)
@given(st.floats(300, 319.5), st.floats(5, 235), st.floats(0.3, 90), st.floats(0.3, 90))
def test_boxes_of_any_size(x: float, y: float, width: float, height: float) -> None:
    box = (x, y, x + width, y + height)
    tracked, _ = run(lambda n: {box: 0.9} if 8 <= n < 16 else {}, still(40), EVERY)
    assert all(len(tracked[n]) for n in range(8, 16)) or height < Scripted.smallest


def test_between_two_looks_a_face_goes_straight_on() -> None:
    stops = [(0, 100, 100), (4, 140, 100), (20, 180, 100)]
    assert way(*stops, looks=[0, 4, 20]).at(12).points[0, 0] == 140
    assert way(*stops, looks=[0, 4, 12, 20]).at(12).points[0, 0] > 150, "somebody looked, and it was not there"


def test_a_face_that_was_seen_on_one_side_only_is_assumed() -> None:
    track = way((0, 310, 100), (4, 310, 100), looks=[0, 2, 4])
    assert track.at(3).score > 0
    track.places.insert(1, track.places[0]._replace(frame=2, score=0.0, seen=False))
    assert track.at(3).score == 0


def test_a_face_that_is_not_seen_is_not_in_the_middle_of_the_picture() -> None:
    track = way((0, 310, 100), (20, 310, 120), looks=[0, 10, 20])
    rest = track.anywhere(10, lambda first, last: np.zeros(2, np.float32)).points[:2]
    np.testing.assert_array_equal(rest, [[290, 80], [330, 140]])
    panned = track.anywhere(10, lambda first, last: np.array([-40 * (first == 0), 0], np.float32)).points[:2]
    np.testing.assert_array_equal(panned, [[290, 80], [330, 140]])


def test_nor_far_away() -> None:
    track = way((0, 310, 30), looks=[0])
    box = track.anywhere(6, lambda first, last: np.array([0, 180 * (last > first)], np.float32)).points[:2]
    np.testing.assert_array_equal(box, [[290, 10], [330, 50]])
