"""Smoothing over time: less tremble, no lag, quick things kept."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames, Meshes
from anonymizer.face_model import load_face_model
from anonymizer.occlusion import LIKELY
from anonymizer.smooth import REACH, smooth
from anonymizer.trust import Belief

SIZE = 60.0  # distance of the eyes
MEAN = load_face_model().mean * SIZE


def belief(points: Tensor, tracks: Tensor, frame: Tensor) -> Belief:
    count = len(points)
    box = torch.cat([points[:, :, :2].amin(1), points[:, :, :2].amax(1)], dim=1)
    ones = torch.ones(count)
    faces = Faces(frame, box, torch.zeros(count, 5, 2), ones, tracks, ones.bool())
    return replace(Belief.blind(faces), meshes=Meshes(points, ones), usable=ones.bool())


def video(points: Tensor, size: int = 7, track: int = 0) -> Iterator[tuple[Frames, Belief]]:
    """One face with these meshes ``(T, 468, 3)``, one a frame, in batches of a size."""
    for start in range(0, len(points), size):
        part = points[start : start + size]
        times = tuple(Fraction(start + index, 25) for index in range(len(part)))
        frames = Frames(torch.zeros(len(part), 8, 8, 3, dtype=torch.uint8), times)
        yield frames, belief(part, torch.full((len(part),), track), torch.arange(len(part)))


def ways(parts: Iterator[tuple[Frames, Belief]]) -> Tensor:
    return torch.cat([found.meshes.points for _, found in parts])


def tremble(count: int) -> Tensor:
    return torch.randn(count, 468, 3, generator=torch.Generator().manual_seed(1)) * 0.01 * SIZE


def jitter(points: Tensor) -> float:
    return float(points.diff(n=2, dim=0).norm(dim=2).mean())


@pytest.mark.parametrize("speed", [0.0, 9.0])
def test_a_face_that_rests_or_moves_steadily_trembles_less_and_does_not_lag(speed: float) -> None:
    true = MEAN + torch.arange(40.0)[:, None, None] * torch.tensor([speed, 0, 0])
    seen = true + tremble(40)
    smoothed = ways(smooth(video(seen)))
    inner = slice(REACH, -REACH)
    assert jitter(smoothed[inner]) < 0.4 * jitter(seen[inner])
    assert (smoothed - true)[inner].norm(dim=2).mean() < 0.6 * (seen - true)[inner].norm(dim=2).mean()
    assert (smoothed - true)[inner].mean(0).abs().max() < 0.01 * SIZE


def test_a_head_that_shakes_goes_on_shaking_while_its_shape_rests() -> None:
    shake = torch.randn(40, 1, 3, generator=torch.Generator().manual_seed(2)) * 0.05 * SIZE
    smoothed = ways(smooth(video(MEAN + shake + tremble(40))))[REACH:-REACH]
    moved = smoothed.mean(1, keepdim=True) - MEAN.mean(0)
    assert (moved - shake[REACH:-REACH]).norm(dim=2).mean() < 0.3 * shake.norm(dim=2).mean()
    assert (smoothed - moved - MEAN).norm(dim=2).mean() < 0.5 * tremble(40).norm(dim=2).mean()


def test_a_blink_stays() -> None:
    seen = MEAN.expand(30, -1, -1).clone()
    seen[14:16, 159, 1] += 0.2 * SIZE  # the upper lid, for two frames
    smoothed = ways(smooth(video(seen)))
    assert torch.allclose(smoothed[14:16, 159], seen[14:16, 159], atol=0.01 * SIZE)
    assert torch.allclose(smoothed[12, 159], seen[12, 159], atol=0.01 * SIZE)


@pytest.mark.parametrize("size", [1, 3, 40])
def test_how_a_video_is_cut_into_batches_changes_nothing(size: int) -> None:
    seen = MEAN + tremble(40)
    assert torch.equal(ways(smooth(video(seen, size))), ways(smooth(video(seen, 8))))


def test_frames_come_out_as_they_went_in_and_soon() -> None:
    parts = list(video(MEAN.expand(30, -1, -1), 4))
    waiting, came = 0, []
    for frames, _ in smooth(part for part in parts):
        came.append(frames)
    assert [frames.times for frames in came] == [frames.times for frames, _ in parts]

    def counted() -> Iterator[tuple[Frames, Belief]]:
        nonlocal waiting
        for part in parts:
            waiting += len(part[0])
            yield part

    for frames, _ in smooth(counted()):
        assert waiting <= len(frames) + REACH + 4
        waiting -= len(frames)


def test_faces_are_averaged_with_themselves_only() -> None:
    points = torch.stack([MEAN, MEAN + 0.01 * SIZE]).repeat(20, 1, 1)
    frames = Frames(torch.zeros(20, 8, 8, 3, dtype=torch.uint8), tuple(Fraction(n, 25) for n in range(20)))
    two = belief(points, torch.tensor([0, 1]).repeat(20), torch.arange(20).repeat_interleave(2))
    assert torch.allclose(ways(smooth(iter([(frames, two)]))), points, atol=1e-4)


def test_meshes_that_are_not_believed_are_left_alone_and_spoil_nothing() -> None:
    seen = MEAN + tremble(30)
    seen[10] = float("nan")
    parts = [
        (frames, replace(found, usable=found.meshes.points.isfinite().all(2).all(1))) for frames, found in video(seen)
    ]
    smoothed = ways(smooth(iter(parts)))
    assert smoothed[10].isnan().all()
    assert smoothed[torch.arange(30) != 10].isfinite().all()


def test_a_head_that_is_cut_to_another_pose_does_not_turn_before_the_cut() -> None:
    yaws = torch.tensor([-40.0] * 15 + [40.0] * 15)
    found = belief(MEAN.expand(30, -1, -1), torch.zeros(30, dtype=torch.int64), torch.arange(30))
    found = replace(found, conditions=torch.stack([yaws, *torch.zeros(3, 30)], dim=1))
    frames = Frames(torch.zeros(30, 8, 8, 3, dtype=torch.uint8), tuple(Fraction(n, 25) for n in range(30)))
    ((_, smoothed),) = smooth(iter([(frames, found)]))
    assert (smoothed.conditions[:, 0] - yaws).abs().max() < 2


def with_things(parts: Iterator[tuple[Frames, Belief]]) -> Iterator[tuple[Frames, Belief]]:
    """Something is before the face always at one place, from frame 20 on at another, in frame 9 only at a third."""
    start = 0
    for frames, found in parts:
        before = found.before.clone()
        before[:, :, 10:20] = 255
        for row in range(len(frames)):
            before[row, :, 30:40] = 255 * (start + row >= 20)
            before[row, :, 50:60] = 255 * (start + row == 9)
        start += len(frames)
        yield frames, replace(found, before=before)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_what_is_before_a_face_for_a_frame_only_is_not_believed(size: int) -> None:
    smoothed = smooth(with_things(video(MEAN.expand(40, -1, -1), size)))
    before = torch.cat([found.before for _, found in smoothed])[:, 0, :, 0]
    assert (before[:, 10:20] == 255).all()
    assert (before[22:, 30:40] == 255).all()
    assert not before[:20, 30:40].any()
    assert before[9, 50:60].max() < LIKELY * 255
    assert not before[torch.arange(40) != 9, 50:60].any()
    assert not before[:, 60:].any()


def spots(points: Tensor, change: Tensor, track: int = 0, score: float = 1.0) -> tuple[Tensor, Tensor]:
    """Boxes of meshes ``(T, 468, 3)``, none of them usable, plus ``change (T, 4)``; and what is furthest out of what
    a cover of each has to hide.
    """
    parts = []
    for (frames, found), part in zip(video(points, 7, track), change.split(7), strict=True):
        faces = replace(found.faces, boxes=found.faces.boxes + part, scores=score * found.faces.scores)
        parts.append((frames, replace(found, faces=faces, usable=~found.usable)))
    wide = []
    for _, found in smooth(iter(parts)):
        for row in range(len(found.faces)):
            hidden, whose = found.spots(torch.tensor([row]))
            assert (whose == row).all()
            assert torch.equal(hidden.boxes[0], found.faces.boxes[row])
            wide.append(torch.cat([hidden.boxes[:, :2].amin(0), hidden.boxes[:, 2:].amax(0)]))
    return torch.cat([found.faces.boxes for _, found in parts]), torch.stack(wide)


def jump(share: float) -> Tensor:
    """Boxes are elsewhere in two frames, by a share of their width."""
    change, width = torch.zeros(30, 4), float(MEAN[:, 0].max() - MEAN[:, 0].min())
    change[14:16] = torch.tensor([1.0, 0.3, 1.0, 0.3]) * share * width
    return change


@pytest.mark.parametrize("share", [0.2, 0.6])
@pytest.mark.parametrize("speed", [0.0, 9.0])
def test_a_cover_of_a_box_that_jumps_for_two_frames_still_hides_the_face(speed: float, share: float) -> None:
    true = MEAN + torch.arange(30.0)[:, None, None] * torch.tensor([speed, 0, 0])
    seen, wide = spots(true, jump(share))
    whole = seen - jump(share)
    assert (wide[:, :2] <= whole[:, :2] + 0.5 * speed + 1e-3).all()
    assert (wide[:, 2:] >= whole[:, 2:] - 0.5 * speed - 1e-3).all()
    far = torch.tensor([n for n in range(30) if not 11 < n < 18])
    assert torch.equal(wide[far], seen[far])


def test_a_cover_does_not_reach_to_another_scene_or_to_another_face_or_one_that_is_nowhere() -> None:
    cut = torch.zeros(30, 4)
    cut[15:] = 5 * SIZE
    for change, track, score in ((cut, 0, 1.0), (jump(0.2), UNTRACKED, 1.0), (jump(0.2), 0, 0.0)):
        seen, wide = spots(MEAN.expand(30, -1, -1), change, track, score)
        assert torch.equal(seen, wide)


def test_covers_of_faces_that_tremble_are_single() -> None:
    seen, wide = spots(MEAN + tremble(30), torch.zeros(30, 4))
    assert torch.equal(seen, wide)
