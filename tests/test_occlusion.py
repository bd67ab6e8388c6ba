"""Occlusion: what stands before a face shows through what replaces it, and nothing else does."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from people_samples import ANN, BEA, CLEO, wall
from torch import Tensor

from anonymizer import Anonymizer, Config, GenerateConfig
from anonymizer.batches import Frames, Meshes, Patches
from anonymizer.canvas import Canvases
from anonymizer.face_model import FaceModel, load_face_model
from anonymizer.generate import occluders
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.looks import Look
from anonymizer.generate.personas import Order, Portrait, Studio, stills, whole_pictures
from anonymizer.mesh import crop_of_mesh
from anonymizer.occlusion import MOST, SMALLEST, OcclusionEstimator, filled, uncover
from anonymizer.trust import EXPECTED, PRESENCE, Belief

CPU = torch.device("cpu")
SIZE = 256
ROW = torch.tensor([0])
DARK = (30, 22, 20)
PEOPLE = [Look(gender="woman", skin=50), Look(gender="man", skin=50), Look(gender="woman", skin=-30)]


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


@pytest.fixture(scope="module")
def estimator(model: FaceModel) -> OcclusionEstimator:
    return OcclusionEstimator(model, CPU)


@pytest.fixture(scope="module")
def portraits(studio: Studio) -> list[Portrait]:
    neutral = tuple(load_condition().neutral.tolist())
    orders = [Order(Persona(seed, look.attributes), neutral, SIZE) for seed, look in enumerate(PEOPLE, start=41)]
    return studio.portraits(orders, keep=False)


def alone(portrait: Portrait) -> np.ndarray:
    return portrait.pixels.permute(1, 2, 0).contiguous().numpy()


def opaque(points: Tensor, model: FaceModel, frame: int = 0) -> Patches:
    """A patch that hides all of a face."""
    canvas = Canvases.around(model.outline(points[None]))
    size = int(canvas.size[0])
    return Patches(
        torch.tensor([frame]),
        torch.zeros(1, 3, size, size),
        torch.ones(1, 1, size, size),
        canvas.to_patch,
        torch.tensor([0]),
    )


def belief_of(*points: Tensor, score: float = 1.0) -> Belief:
    """Faces with these meshes, all in the first frame."""
    meshes = Meshes(torch.stack(points), torch.ones(len(points)))
    flat = meshes.points[..., :2]
    found = whole_pictures(len(points), SIZE)
    faces = replace(
        found,
        frame=torch.zeros_like(found.frame),
        boxes=torch.cat([flat.amin(1), flat.amax(1)], dim=1),
        scores=torch.full((len(points),), score),
    )
    return replace(Belief.blind(faces), meshes=meshes, usable=torch.ones(len(points), dtype=torch.bool))


def estimated(frames: Frames, belief: Belief, estimator: OcclusionEstimator) -> Belief:
    return replace(belief, before=estimator.estimate(frames, belief))


def shown(picture: np.ndarray, portrait: Portrait, model: FaceModel, estimator: OcclusionEstimator) -> np.ndarray:
    """How much of each pixel of the picture shows through such a patch: ``(SIZE, SIZE)``."""
    frames = stills(torch.from_numpy(picture).permute(2, 0, 1)[None])
    patches = uncover(estimated(frames, belief_of(portrait.points), estimator), ROW, opaque(portrait.points, model))
    x, y = (-patches.to_patch[0, :, 2]).int().tolist()  # canvases of small faces lie pixel on pixel
    through, size = np.zeros((3 * SIZE, 3 * SIZE), np.float32), patches.alpha.shape[-1]
    through[SIZE + y : SIZE + y + size, SIZE + x : SIZE + x + size] = 1 - patches.alpha[0, 0].numpy()
    return through[SIZE : 2 * SIZE, SIZE : 2 * SIZE]


def skin_of(portrait: Portrait) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(portrait.points[:, :2].round().int().numpy()), 1)
    return mask > 0


@pytest.mark.parametrize("person", range(len(PEOPLE)))
def test_a_bare_face_is_hidden(
    person: int, portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator
) -> None:
    through = shown(alone(portraits[person]), portraits[person], model, estimator)
    assert through[skin_of(portraits[person])].mean() < 0.02


@pytest.mark.parametrize("kind", [occluders.hand, occluders.glasses, occluders.mask, occluders.microphone])
def test_what_is_before_a_face_shows_through(
    kind: object, portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator
) -> None:
    seen, wrong = [], []
    for seed in range(12):
        portrait, other = portraits[seed % 3], portraits[(seed + 1) % 3]
        scene = occluders.Scene(
            alone(portrait), portrait.points[:, :2].numpy(), alone(other), other.points[:, :2].numpy()
        )
        picture, hidden = occluders.hide(scene, np.random.default_rng(seed), list(occluders.KINDS).index(kind))
        through, skin = shown(picture, portrait, model, estimator), skin_of(portrait)
        if 0 < hidden[skin].mean() < MOST:
            seen += through[skin & (hidden > 0.9)].tolist()
            wrong += through[skin & (cv2.dilate(hidden, np.ones((9, 9))) < 0.1)].tolist()
    assert np.mean(seen) > 0.4
    assert np.mean(wrong) < 0.02


def test_where_most_of_a_face_seems_hidden_all_is_replaced(
    portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator
) -> None:
    for portrait in portraits:
        picture = alone(portrait).copy()
        picture[np.roll(skin_of(portrait), -SIZE // 10, axis=0)] = [0.1, 0.6, 0.2]
        assert not shown(picture, portrait, model, estimator).any()


def masked(portrait: Portrait) -> Frames:
    """The person with something green over the mouth, which shows through otherwise."""
    picture = alone(portrait).copy()
    x, y = portrait.points[13, :2].int().tolist()
    picture[y - 25 : y + 60, x - 30 : x + 30] = [0.1, 0.6, 0.2]
    return stills(torch.from_numpy(picture).permute(2, 0, 1)[None])


def uncovered(
    frames: Frames, belief: Belief, portrait: Portrait, model: FaceModel, estimator: OcclusionEstimator
) -> float:
    """Pixels that show through a patch for the first face."""
    return float((1 - uncover(estimated(frames, belief, estimator), ROW, opaque(portrait.points, model)).alpha).sum())


def test_what_is_not_known_well_is_hidden_with_all_that_is_before_it(
    portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator
) -> None:
    portrait = portraits[0]
    frames, belief = masked(portrait), belief_of(portrait.points)
    assert uncovered(frames, belief, portrait, model, estimator) > 500
    guessed = replace(belief, average=torch.ones(1, dtype=torch.bool))
    absent = replace(belief, meshes=replace(belief.meshes, presence=torch.full((1,), PRESENCE - 0.1)))
    turned = model.place(
        model.unpose(portrait.points[None], model.pose(portrait.points[None])),
        model.pose(portrait.points[None])._replace(rotation=yawed(60)),
    )
    for unsure in (guessed, absent, belief_of(turned[0]), belief_of(portrait.points, score=EXPECTED)):
        assert uncovered(frames, unsure, portrait, model, estimator) == 0


def yawed(degrees: float) -> Tensor:
    turn = math.radians(degrees)
    return torch.tensor([[[math.cos(turn), 0, -math.sin(turn)], [0, 1, 0], [math.sin(turn), 0, math.cos(turn)]]])


def test_faces_cut_by_the_border_are_hidden_with_all_that_is_before_them(
    portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator
) -> None:
    portrait = portraits[0]
    frames, cut = masked(portrait), int(portrait.points[:, 1].quantile(0.8))
    rest = Frames(frames.pixels[:, :cut], frames.times)
    assert uncovered(rest, belief_of(portrait.points), portrait, model, estimator) == 0


def test_what_is_before_a_face_is_hidden_where_another_face_lies(
    portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator
) -> None:
    portrait = portraits[0]
    other = portrait.points * 0.3 + portrait.points[13] * torch.tensor([0.7, 0.7, 0.0])
    frames, belief = masked(portrait), belief_of(portrait.points, other)
    x0, y0, x1, y1 = belief.faces.boxes[1].int().tolist()
    patches = uncover(estimated(frames, belief, estimator), ROW, opaque(portrait.points, model))
    x, y = (-patches.to_patch[0, :, 2]).int().tolist()
    assert (patches.alpha[0, 0, y0 - y + 1 : y1 - y - 1, x0 - x + 1 : x1 - x - 1] == 1).all()


def test_islands_in_a_face_are_hidden(
    portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait = portraits[0]
    picture = alone(portrait).copy()
    x, y = portrait.points[1, :2].int().tolist()
    picture[y - 20 : y + 20, x - 20 : x + 20] = [0, 1, 0]
    monkeypatch.setattr(estimator, "_network", lambda given: (given[:, 1:2] - given[:, :1] - 0.5) * 100)
    assert not shown(picture, portrait, model, estimator).any()
    picture[y - 20 : y + 20, x - 20 :] = [0, 1, 0]
    assert shown(picture, portrait, model, estimator).any()


def test_the_edge_of_a_thing_is_no_bridge_to_islands(
    portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a thing at the rim and an island both of which are sure, it is hardly so."""
    portrait, skin = portraits[0], skin_of(portraits[0])
    x, y = portrait.points[1, :2].int().tolist()
    picture = np.zeros((SIZE, SIZE, 3), np.float32)
    rim, island = np.zeros((2, SIZE, SIZE), bool)
    rim[y - 20 : y + 20, : int(portrait.points[:, 0].min()) + 25] = True
    island[y - 20 : y + 20, x - 20 : x + 20] = True
    monkeypatch.setattr(estimator, "_network", lambda given: (given[:, :1] * 2 - 1) * 5)
    for between, joined in ((0.5 + 0.02, False), (1, True)):  # chances of 0.55 and nearly 1
        picture[y - 20 : y + 20, :x] = between
        picture[rim | island] = 1
        through = shown(picture, portrait, model, estimator)
        assert through[rim & skin].mean() > 0.5
        assert (through[island].mean() > 0.5) == joined


def test_hair_beside_a_face_shows(portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator) -> None:
    for portrait in portraits:
        picture, skin = alone(portrait).copy(), skin_of(portrait)
        left, width = portrait.points[:, 0].min(), portrait.points[:, 0].max() - portrait.points[:, 0].min()
        hair = np.zeros_like(skin)
        hair[: int(portrait.points[152, 1]), max(int(left - 0.4 * width), 0) : int(left + 0.08 * width)] = True
        bare = shown(picture, portrait, model, estimator)
        picture[hair] = [0.1, 0.07, 0.06]
        through = shown(picture, portrait, model, estimator)
        assert through[hair & skin].mean() > max(0.5, 0.3 + bare[hair & skin].mean())
        assert through[skin & ~hair].mean() < 0.05


def test_numbers_that_are_none_hide(
    portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    portrait = portraits[0]
    monkeypatch.setattr(estimator, "_network", lambda given: given[:, :1] * torch.nan)
    assert uncovered(masked(portrait), belief_of(portrait.points), portrait, model, estimator) == 0


@pytest.mark.parametrize(("side", "told"), [(SMALLEST - 1, False), (SMALLEST + 1, True)])
def test_nothing_is_told_apart_in_small_faces(
    side: float, told: bool, portraits: list[Portrait], estimator: OcclusionEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = portraits[0].points
    points = points * side / crop_of_mesh(points[None]).side
    frames = Frames(torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8), (Fraction(0),))
    monkeypatch.setattr(estimator, "_network", lambda given: given[:, :1] + 100)
    assert estimated(frames, belief_of(points), estimator).before.any() == told


@pytest.mark.parametrize("turn", [-0.5, 0.0, 0.4])
def test_what_shows_through_lies_where_it_is(
    turn: float,
    portraits: list[Portrait],
    model: FaceModel,
    estimator: OcclusionEstimator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network is replaced by one that takes green for something."""
    portrait = portraits[1]
    rotation = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), float(np.degrees(turn)), 0.9)
    matrix = torch.from_numpy(rotation).float()
    flat = portrait.points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    turned = portrait._replace(points=torch.cat([flat, portrait.points[:, 2:] * 0.9], dim=1))
    picture = cv2.warpAffine(alone(portrait), rotation, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
    x, y = flat[132].int().tolist()  # on the outline
    picture[y - 20 : y + 20, x - 20 : x + 20] = [0, 1, 0]
    monkeypatch.setattr(estimator, "_network", lambda given: (given[:, 1:2] - given[:, :1] - 0.5) * 100)
    through, skin = shown(picture, turned, model, estimator), skin_of(turned).astype(np.uint8)
    square = np.zeros_like(skin)
    square[y - 20 : y + 20, x - 20 : x + 20] = 1
    inner, beyond = cv2.erode(square & skin, np.ones((9, 9))) > 0, cv2.dilate(square, np.ones((9, 9))) == 0
    assert inner.sum() > 100
    assert through[inner].min() > 0.9
    assert not through[beyond].any()


def test_no_faces(portraits: list[Portrait], model: FaceModel) -> None:
    none, nobody = opaque(portraits[0].points, model)[:0], torch.zeros(0, dtype=torch.int64)
    assert len(uncover(belief_of(portraits[0].points), nobody, none)) == 0


def curtained(portrait: Tensor, points: Tensor) -> tuple[Tensor, np.ndarray]:
    """A picture of somebody with dark hair that hangs over a side of the face, and where it does."""
    picture = portrait.clone()
    left, width = float(points[:, 0].amin()), float(points[:, 0].max() - points[:, 0].min())
    where = np.zeros(picture.shape[:2], bool)
    where[: int(points[13, 1]), int(left - 0.3 * width) : int(left + 0.1 * width)] = True
    picture[torch.from_numpy(where)] = torch.tensor(DARK, dtype=torch.uint8)
    return picture, where


def filmed(anonymizer: Anonymizer, picture: Tensor) -> Tensor:
    """The last frame of a video that shows nothing else."""
    frames = Frames(picture[None].repeat(3, 1, 1, 1), tuple(Fraction(number, 25) for number in range(3)))
    return list(anonymizer.frames(iter([frames])))[-1].pixels[-1]


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("person", [ANN, BEA, CLEO])
def test_hair_stays_and_the_face_goes(person: int, moving: bool, views: dict[int, list[Tensor]]) -> None:
    def anonymize(occluders: Literal["keep", "replace"], picture: Tensor) -> Tensor:
        anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=1, occluders=occluders)))
        return filmed(anonymizer, picture) if moving else anonymizer.image(picture)

    bare, keeping = wall(views[person][0]), Anonymizer(Config())
    frames = Frames(bare[None], (Fraction(0),))
    points = keeping._observe(frames, keeping.inspect(frames)).meshes.points[0, :, :2]
    picture, where = curtained(bare, points)
    kept, replaced = (anonymize(occluders, picture) for occluders in ("keep", "replace"))
    face = torch.from_numpy(filled(points.numpy(), max(picture.shape[:2]))[: len(picture), : picture.shape[1]] > 0)
    over, inner = face & torch.from_numpy(where), face & ~torch.from_numpy(where)

    def changed(result: Tensor, part: Tensor) -> float:
        return float((result[part].int() - picture[part].int()).abs().float().mean())

    assert changed(kept, over) < 0.5 * changed(replaced, over)
    assert changed(kept, inner) > 0.7 * changed(replaced, inner)


@pytest.mark.parametrize("left", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("person", range(len(PEOPLE)))
def test_a_hard_shadow_is_nothing_before_a_face(
    person: int, left: float, portraits: list[Portrait], model: FaceModel, estimator: OcclusionEstimator
) -> None:
    portrait, skin = portraits[person], skin_of(portraits[person])
    picture = alone(portrait).copy()
    bare = shown(picture, portrait, model, estimator)[skin].mean()
    picture[:, : int(portrait.points[4, 0])] *= left
    assert shown(picture, portrait, model, estimator)[skin].mean() < bare + 0.02
