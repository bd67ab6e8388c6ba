"""What is taken from faces that something hides in part."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from anonymizer.batches import Faces, Frames, Meshes
from anonymizer.face_model import load_face_model
from anonymizer.networks.occlusion_net import SIZE
from anonymizer.observe import FADES, FRONTAL, _generous, _turned_less, keep_light
from anonymizer.trust import LOOK, Belief

SATURATION = 8  # where ``Light`` is packed


def video(looks: Tensor, size: int = 7) -> Iterator[tuple[Frames, Belief]]:
    """One face with these ``looks (T, LOOK)``, in batches of a size."""
    for start in range(0, len(looks), size):
        part = looks[start : start + size]
        ones = torch.ones(len(part))
        frames = Frames(torch.zeros(len(part), 8, 8, 3, dtype=torch.uint8), (Fraction(0),) * len(part))
        boxes = torch.tensor([[0.0, 0, 8, 8]]).expand(len(part), -1)
        landmarks = torch.zeros(len(part), 5, 2)
        faces = Faces(torch.arange(len(part)), boxes, landmarks, ones, torch.zeros(len(part)).long(), ones.bool())
        meshes = Meshes(torch.zeros(len(part), 468, 3), ones)
        yield frames, replace(Belief.blind(faces), meshes=meshes, usable=ones.bool(), look=part)


def kept(looks: Tensor, size: int = 7) -> Tensor:
    return torch.cat([belief.look for _, belief in keep_light(video(looks, size))])


def looks(count: int) -> Tensor:
    """Of a face on which nothing changes."""
    look = torch.zeros(count, LOOK)
    look[:, [4, SATURATION]] = -2.7
    return look


@pytest.mark.parametrize("size", [1, 7, 200])
def test_how_long_light_is_kept_does_not_depend_on_the_batches(size: int) -> None:
    seen = looks(200)
    seen[1:, 0], seen[1:, SATURATION] = -1.0, 2.0
    assert torch.equal(kept(seen, size)[: FADES + 1, 0], torch.zeros(FADES + 1))
    assert torch.equal(kept(seen, size)[FADES + 1 :], seen[FADES + 1 :])


@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_face_behind_something_of_another_colour_keeps_its_light(size: int) -> None:
    seen = looks(40)
    seen[10:25, 0], seen[10:25, SATURATION] = -1.0, -1.4
    assert torch.equal(kept(seen, size)[:, 0], torch.zeros(40))


@pytest.mark.parametrize(("share", "stays"), [(0.0, False), (0.2, False), (0.5, True), (1.0, True)])
def test_light_that_is_measured_on_little_of_a_face_is_believed_less(share: float, stays: bool) -> None:
    """On the few points that are left it may seem as even as before."""
    seen = looks(40)
    seen[10:25, 0] = -1.0

    def hide(parts: Iterator[tuple[Frames, Belief]]) -> Iterator[tuple[Frames, Belief]]:
        points, start = load_face_model().mean * 60, 0
        for frames, belief in parts:
            before = belief.before.clone()
            before[max(10 - start, 0) : max(25 - start, 0), :, :, : round(share * SIZE)] = 255
            meshes = replace(belief.meshes, points=points.expand(len(frames), -1, -1))
            yield frames, replace(belief, before=before, meshes=meshes)
            start += len(frames)

    found = torch.cat([belief.look for _, belief in keep_light(hide(video(seen)))])
    assert torch.equal(found[:, 0], torch.zeros(40) if stays else seen[:, 0])


def test_light_that_changes_all_over_the_face_is_taken_as_it_is() -> None:
    seen = looks(40)
    seen[10:25, 0], seen[12:, 6] = 1.0, 0.3
    assert torch.equal(kept(seen), seen)


def test_what_stays_different_is_believed_in_the_end() -> None:
    seen = looks(2 * FADES)
    seen[10:, 0], seen[10:, SATURATION] = -1.0, -1.4
    assert torch.equal(kept(seen)[10 + FADES :], seen[10 + FADES :])


def test_a_mesh_that_the_border_cuts_is_larger_around_what_is_seen_of_it() -> None:
    mesh = load_face_model().mean[None] * 60 + torch.tensor([200.0, 150, 0])
    assert torch.allclose(_generous(mesh, (400, 400)), mesh, atol=1e-3)
    larger = _generous(mesh, (150, 400))
    assert torch.equal(_generous(mesh, (20, 20)), mesh), "nothing is shown, so nothing tells where the middle is"
    seen = (mesh[0, :, 1] <= 150) & (mesh[0, :, 1] >= 0)
    assert (larger[0, seen, :2].mean(0) - mesh[0, seen, :2].mean(0)).abs().max() < 1e-2
    assert 1.1 < (larger[0, 454] - larger[0, 234]).norm() / (mesh[0, 454] - mesh[0, 234]).norm() < 1.35


def test_portraits_are_turned_less_than_faces() -> None:
    conditions = torch.tensor([[-30.0, 5, 0.1, 0.9], [4.0, -5, 0.2, 1.0], [40.0, 0, 0, 0.8]])
    less = _turned_less(conditions)
    assert less[:, 0].tolist() == [FRONTAL - 30, 0, 40 - FRONTAL]
    assert torch.equal(less[:, 1:], conditions[:, 1:])
