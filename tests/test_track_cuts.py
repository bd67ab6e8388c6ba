"""Tracking where the picture changes: cuts, flashes, pans, and faces that show between two looks."""

import pytest
import torch
from scripted_faces import CONFIG, Box, covers, frames_of, run, scene, square, still


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


@pytest.mark.parametrize("light", [0, 235])
def test_a_long_flash_through_which_the_scene_still_shows_is_no_cut(light: int) -> None:
    rough = scene()[:6, :8].repeat_interleave(4, 0).repeat_interleave(4, 1)
    pictures = rough.repeat(60, 1, 1, 1)
    pictures[25:30] = pictures[25:30] // 16 + light
    tracked, _ = run(lambda n: {} if 25 <= n < 30 else {square(100, 100): 0.9}, pictures)
    assert [list(faces) for faces in tracked] == [[0]] * 60


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


def test_a_face_between_two_looks_is_found_though_it_is_as_bright_as_what_it_hides() -> None:
    pictures = torch.full((40, 24, 32, 3), 100, dtype=torch.uint8)
    pictures[21:23, 8:12, 8:12] = torch.tensor([150, 90, 60], dtype=torch.uint8)
    tracked, _ = run(lambda n: {square(100, 100): 0.9} if n in (21, 22) else {}, pictures)
    assert {21, 22} <= set(frames_of(tracked, 0))


def test_a_pan_is_no_cut_and_faces_move_with_the_picture() -> None:
    wide = scene()[:6, :16].repeat_interleave(4, 0).repeat_interleave(4, 1)  # (24, 64)
    left = [6 * abs((n + 3) % 6 - 3) for n in range(40)]  # 0, 6, 12, 18, 12, ... columns
    pictures = torch.stack([wide[:, start : start + 32] for start in left])

    def script(n: int) -> dict[Box, float]:
        return {square(230 - 10 * left[n], 100): 0.9 if n == 20 else 0.25}  # by 60 pixels, one and a half faces

    tracked, _ = run(script, pictures)
    for n in range(20 - CONFIG.track.window, 40):
        assert list(tracked[n]) == [0]
        assert covers(tracked[n], next(iter(script(n))))


def test_a_face_that_a_pan_takes_out_of_the_picture_is_let_go() -> None:
    wide = scene()[:6, :16].repeat_interleave(4, 0).repeat_interleave(4, 1)  # (24, 64)
    left = [0] * 20 + [6, 12, 18, 24] + [30] * 20
    pictures = torch.stack([wide[:, start : start + 32] for start in left])

    def script(n: int) -> dict[Box, float]:
        x = 230 - 10 * left[n]
        return {square(x, 100): 0.9} if x > 0 else {}  # the last of it is in the frame once more

    tracked, _ = run(script, pictures)
    assert frames_of(tracked, 0) == list(range(24))
