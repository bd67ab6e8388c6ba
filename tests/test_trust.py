"""Which mesh is believed, and what hides a face."""

from dataclasses import replace

import pytest
import torch

from anonymizer.batches import Faces, Meshes, Patches
from anonymizer.face_model import features, load_face_model
from anonymizer.trust import averaged, believe, hides

MODEL = load_face_model()
SIZE = 60.0  # distance of the eyes
FRAME = (300, 400)  # height and width


@pytest.fixture
def mesh() -> Meshes:
    return Meshes((MODEL.mean * SIZE + torch.tensor([200.0, 150, 0]))[None], torch.ones(1))


@pytest.fixture
def face(mesh: Meshes) -> Faces:
    """As a detector sees the mesh."""
    flat = mesh.points[..., :2]
    box = torch.cat([flat.amin(1), flat.amax(1)], dim=1)
    one = torch.ones(1)
    return Faces(torch.zeros(1, dtype=torch.int64), box, features(mesh.points), one, one.long(), one.bool())


def elsewhere(face: Faces, shift: float, score: float, seen: bool) -> Faces:
    """The face, expected so many of its widths to the right of where it is."""
    by = torch.stack([shift * face.sizes[:, 0], torch.zeros(1)], dim=1)
    return replace(
        face,
        boxes=face.boxes + by.repeat(1, 2),
        landmarks=face.landmarks + by[:, None],
        scores=torch.tensor([score]),
        seen=torch.tensor([seen]),
    )


def test_a_mesh_that_agrees_is_used(face: Faces, mesh: Meshes) -> None:
    belief = believe(mesh, face, MODEL)
    assert belief.usable.all()
    assert not belief.average.any()
    assert torch.equal(belief.meshes.points, mesh.points)


@pytest.mark.parametrize("score", [0.0, 0.6])
@pytest.mark.parametrize("shift", [0.1, 0.2, 0.3])
def test_a_face_that_other_frames_expect_is_where_the_mesh_is(
    face: Faces, mesh: Meshes, shift: float, score: float
) -> None:
    belief = believe(mesh, elsewhere(face, shift, score, seen=False), MODEL)
    assert belief.usable.all()
    assert torch.equal(belief.meshes.points, mesh.points)
    assert torch.allclose(belief.faces.boxes, face.boxes)


@pytest.mark.parametrize("score", [0.0, 0.6])
@pytest.mark.parametrize("shift", [0.5, 0.65, 0.9])
def test_a_face_further_away_than_expected_is_hidden_and_so_is_where_it_was_expected(
    face: Faces, mesh: Meshes, score: float, shift: float
) -> None:
    expected = elsewhere(face, shift, score, seen=False)
    belief = believe(mesh, expected, MODEL)
    assert belief.usable.all()
    assert torch.equal(belief.meshes.points, mesh.points)
    assert torch.allclose(belief.faces.boxes, face.boxes)
    assert torch.equal(belief.vacant.boxes, expected.boxes)


@pytest.mark.parametrize("shift", [0.5, 0.65, 0.9])
def test_the_mesh_of_a_neighbour_does_not_move_a_face(face: Faces, mesh: Meshes, shift: float) -> None:
    behind = elsewhere(face, shift, 0.6, seen=False)
    both = Faces.cat([face, behind])
    belief = believe(Meshes.cat([mesh, mesh]), both, MODEL)
    assert belief.usable.all()
    assert belief.average.tolist() == [False, True]
    assert torch.equal(belief.faces.boxes, both.boxes)
    assert not len(belief.vacant)


def test_faces_of_other_frames_are_no_neighbours(face: Faces, mesh: Meshes) -> None:
    behind = replace(elsewhere(face, 0.65, 0.6, seen=False), frame=torch.tensor([1]))
    assert len(believe(Meshes.cat([mesh, mesh]), Faces.cat([face, behind]), MODEL).vacant) == 1


def narrowed(face: Faces, left: float, seen: bool = True) -> Faces:
    """The face as a detector sees it that takes what is left of it, beside something before it, for the whole."""
    low = face.boxes[:, 0]
    squeeze = torch.tensor([left, 1.0])
    corner = torch.stack([low, torch.zeros(1)], dim=1)
    boxes = ((face.boxes.reshape(1, 2, 2) - corner) * squeeze + corner).reshape(1, 4)
    return replace(face, boxes=boxes, landmarks=(face.landmarks - corner) * squeeze + corner, seen=torch.tensor([seen]))


@pytest.mark.parametrize("left", [0.7, 0.8])
@pytest.mark.parametrize("seen", [True, False])
def test_the_whole_mesh_of_a_face_that_is_partly_hidden_is_used(
    face: Faces, mesh: Meshes, left: float, seen: bool
) -> None:
    belief = believe(mesh, narrowed(face, left, seen), MODEL)
    assert belief.usable.all()
    assert not belief.average.any()
    assert not len(belief.vacant)


def test_a_part_of_a_face_without_a_mesh_is_only_expected_in_every_frame_alike(face: Faces, mesh: Meshes) -> None:
    absent = replace(mesh, presence=torch.zeros(1))
    for seen in (False, True):
        hidden = believe(absent, narrowed(face, 0.5, seen=seen), MODEL)
        assert not hidden.usable.any()
        assert hidden.faces.scores.tolist() == [0]
        assert believe(absent, narrowed(face, 1.0, seen=seen), MODEL).faces.scores.tolist() == [1]


def test_two_faces_with_one_mesh_are_one_though_the_detector_saw_a_part(face: Faces, mesh: Meshes) -> None:
    other = replace(elsewhere(face, 0.1, 0.6, seen=False), tracks=torch.tensor([2]))
    belief = believe(Meshes.cat([mesh, mesh]), Faces.cat([narrowed(face, 0.68), other]), MODEL)
    assert belief.faces.tracks.tolist() == face.tracks.tolist()


def test_what_the_mesh_network_sees_is_not_left_bare_by_an_average_face_beside_it(face: Faces, mesh: Meshes) -> None:
    small = replace(
        face,
        boxes=torch.cat([face.boxes[:, :2], face.boxes[:, :2] + face.sizes * 0.4], dim=1),
        landmarks=(face.landmarks - face.boxes[:, None, :2]) * 0.4 + face.boxes[:, None, :2],
    )
    assert not believe(mesh, small, MODEL).usable.any()
    assert believe(replace(mesh, presence=torch.zeros(1)), small, MODEL).average.all()


def test_an_average_face_that_is_too_narrow_for_what_the_detector_saw_is_not_used(face: Faces, mesh: Meshes) -> None:
    absent = replace(mesh, presence=torch.zeros(1))
    aside = torch.tensor([[-0.5, 0, 0.5, 0]]) * face.sizes.repeat(1, 2)
    assert believe(absent, face, MODEL).usable.all()
    assert not believe(absent, replace(face, boxes=face.boxes + aside), MODEL).usable.any()


@pytest.mark.parametrize("score", [0.0, 0.6])
def test_two_faces_for_which_the_same_mesh_is_found_are_one(face: Faces, mesh: Meshes, score: float) -> None:
    other = replace(elsewhere(face, 0.2, score, seen=False), tracks=torch.tensor([2]))
    meshes = Meshes.cat([mesh, mesh])
    assert believe(meshes, Faces.cat([face, other]), MODEL).faces.tracks.tolist() == face.tracks.tolist()
    assert believe(meshes, Faces.cat([other, face]), MODEL).faces.tracks.tolist() == face.tracks.tolist()
    seen = replace(other, seen=torch.tensor([True]))
    assert len(believe(meshes, Faces.cat([face, seen]), MODEL).faces) == 2


def test_a_face_that_was_seen_is_where_it_was_seen(face: Faces, mesh: Meshes) -> None:
    seen = elsewhere(face, 0.5, 0.6, seen=True)
    belief = believe(mesh, seen, MODEL)
    assert belief.average.all()
    moved = (belief.meshes.points - mesh.points)[..., 0].mean() / face.sizes[0, 0]
    assert abs(moved - 0.5) < 0.02


def test_without_a_mesh_what_nobody_saw_is_not_generated(face: Faces, mesh: Meshes) -> None:
    absent = replace(mesh, presence=torch.zeros(1))
    assert not believe(absent, elsewhere(face, 0, 0.0, seen=False), MODEL).usable.any()
    assert believe(absent, elsewhere(face, 0, 0.6, seen=False), MODEL).usable.all()


def test_the_average_face_does_not_fit_landmarks_of_no_face(face: Faces, mesh: Meshes) -> None:
    scattered = replace(face, landmarks=face.landmarks + torch.tensor([0.0, 0, 3, -3, 0])[:, None] * SIZE)
    nothing = replace(mesh, points=mesh.points * float("nan"))
    assert not believe(nothing, scattered, MODEL).usable.any()


def disc(face: Faces, shift: float = 0.0, opacity: float = 1.0) -> Patches:
    """A patch over the box with a hole at its left, ``shift`` of its width wide."""
    side = float(face.sizes.max()) * 1.2
    low = (face.boxes[0, :2] + face.boxes[0, 2:]) / 2 - side / 2
    to_patch = torch.tensor([[[64 / side, 0, -low[0] * 64 / side], [0, 64 / side, -low[1] * 64 / side]]])
    alpha = torch.full((1, 1, 64, 64), opacity)
    alpha[..., : int(64 * shift)] = 0
    return Patches(
        torch.zeros(1, dtype=torch.int64), torch.zeros(1, 3, 64, 64), alpha, to_patch, torch.zeros(1, dtype=torch.int64)
    )


def test_what_hides_a_face(face: Faces, mesh: Meshes) -> None:
    assert hides(disc(face), mesh, face, MODEL, FRAME).all()
    assert not hides(disc(face, opacity=0.4), mesh, face, MODEL, FRAME).any()
    assert not hides(disc(face, shift=0.45), mesh, face, MODEL, FRAME).any()
    broken = disc(face)
    assert not hides(replace(broken, colour=broken.colour / 0), mesh, face, MODEL, FRAME).any()


def test_of_a_face_that_the_border_cuts_what_is_in_the_frame_must_be_hidden(face: Faces, mesh: Meshes) -> None:
    cut = (FRAME[0], int(face.boxes[0, 0] + 0.4 * face.sizes[0, 0]))
    bare = disc(face, shift=0.27)
    assert hides(bare, mesh, face, MODEL, FRAME).all()
    assert not hides(bare, mesh, face, MODEL, cut).any()
    assert hides(disc(face), mesh, face, MODEL, cut).all()


def test_of_a_face_whose_middle_has_left_the_frame_all_must_be_hidden(face: Faces, mesh: Meshes) -> None:
    rim = (FRAME[0], int(face.boxes[0, 0] + 0.02 * face.sizes[0, 0]))
    assert hides(disc(face), mesh, face, MODEL, rim).all()
    bare = disc(face)
    bare.alpha[..., :22, :] = 0  # the forehead
    assert not hides(bare, mesh, face, MODEL, rim).any()


def test_the_nose_of_a_profile_must_be_hidden(face: Faces, mesh: Meshes) -> None:
    aside = face.landmarks.clone()
    aside[0, 2, 0] = face.boxes[0, 0] - 0.3 * face.sizes[0, 0]
    assert not hides(disc(face), mesh, replace(face, landmarks=aside), MODEL, FRAME).any()


def test_a_face_that_its_mesh_does_not_hide_gets_the_average_face_where_it_was_seen(face: Faces, mesh: Meshes) -> None:
    wide = replace(mesh, points=mesh.points * torch.tensor([1.1, 1, 1]))
    belief = averaged(believe(wide, face, MODEL), torch.tensor([True]), MODEL)
    assert belief.usable.all()
    assert belief.average.all()
    assert (features(belief.meshes.points) - face.landmarks).norm(dim=2).max() < 0.1 * SIZE


def test_an_expected_face_whose_mesh_is_a_neighbours_stays_hidden_where_it_was_expected(
    face: Faces, mesh: Meshes
) -> None:
    behind = elsewhere(face, 0.33, 0.6, seen=False)
    belief = believe(Meshes.cat([mesh, mesh]), Faces.cat([face, behind]), MODEL)
    assert len(belief.faces) == 1
    assert torch.equal(belief.vacant.boxes, behind.boxes)
