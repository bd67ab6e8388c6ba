"""Which mesh is believed, and what hides a face."""

from dataclasses import replace

import pytest
import torch

from anonymizer.batches import Faces, Meshes, Patches
from anonymizer.face_model import features, load_face_model
from anonymizer.trust import believe, hides

MODEL = load_face_model()
SIZE = 60.0  # distance of the eyes


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
def test_a_face_further_away_than_expected_is_hidden_too(face: Faces, mesh: Meshes, score: float, shift: float) -> None:
    expected = elsewhere(face, shift, score, seen=False)
    belief = believe(mesh, expected, MODEL)
    assert not belief.usable.any()
    assert torch.equal(belief.faces.boxes, expected.boxes)
    assert torch.allclose(belief.strays.boxes, face.boxes)


@pytest.mark.parametrize("shift", [0.5, 0.65, 0.9])
def test_the_mesh_of_a_neighbour_does_not_move_a_face(face: Faces, mesh: Meshes, shift: float) -> None:
    behind = elsewhere(face, shift, 0.6, seen=False)
    both = Faces.cat([face, behind])
    belief = believe(Meshes.cat([mesh, mesh]), both, MODEL)
    assert belief.usable.tolist() == [True, False]
    assert torch.equal(belief.faces.boxes, both.boxes)
    assert not len(belief.strays)


def test_faces_of_other_frames_are_no_neighbours(face: Faces, mesh: Meshes) -> None:
    behind = replace(elsewhere(face, 0.65, 0.6, seen=False), frame=torch.tensor([1]))
    assert len(believe(Meshes.cat([mesh, mesh]), Faces.cat([face, behind]), MODEL).strays) == 1


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
    return Patches(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 3, 64, 64), alpha, to_patch)


def test_what_hides_a_face(face: Faces, mesh: Meshes) -> None:
    assert hides(disc(face), mesh, face, MODEL).all()
    assert not hides(disc(face, opacity=0.4), mesh, face, MODEL).any()
    assert not hides(disc(face, shift=0.45), mesh, face, MODEL).any()
    broken = disc(face)
    assert not hides(replace(broken, colour=broken.colour / 0), mesh, face, MODEL).any()


def test_the_nose_of_a_profile_must_be_hidden(face: Faces, mesh: Meshes) -> None:
    aside = face.landmarks.clone()
    aside[0, 2, 0] = face.boxes[0, 0] - 0.3 * face.sizes[0, 0]
    assert not hides(disc(face), mesh, replace(face, landmarks=aside), MODEL).any()
