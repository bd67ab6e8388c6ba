"""Generators: one contract for all, and what only the synthetic one promises."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from anonymizer.aspects import CELL
from anonymizer.batches import Faces, Frames, Meshes, Patches
from anonymizer.blend import compose
from anonymizer.canvas import Canvases
from anonymizer.config import GenerateConfig
from anonymizer.errors import WeightsError
from anonymizer.face_model import LINEAR, LOWER_LIDS, UPPER_LIDS, features, load_face_model, measure_expression
from anonymizer.generate import GENERATORS, Generator, Outcome, personas
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.cover import Cover
from anonymizer.generate.personas import Order, Studio
from anonymizer.generate.synthetic import PORTRAITS, Synthetic
from anonymizer.mesh import MeshEstimator
from anonymizer.observe import Observer
from anonymizer.render import Renderer, Views
from anonymizer.trust import Belief

CPU = torch.device("cpu")
PERSONAS = [Persona(seed) for seed in (11, 12, 13, 14)]
CENTRES = torch.tensor([[168.0, 195.0], [472.0, 195.0]])  # of the faces in ``picture``


@pytest.fixture(scope="module")
def estimator() -> MeshEstimator:
    return MeshEstimator(CPU)


@pytest.fixture(scope="module")
def places() -> Faces:
    """Where the faces of ``frames`` are, roughly."""
    centres = torch.cat([CENTRES, torch.tensor([640.0, 0]) + CENTRES.flip(0) * torch.tensor([-1.0, 1])])
    half = torch.tensor([55.0, 70.0])
    spots = torch.tensor([[-30.0, -28], [30, -28], [0, 5], [-25, 38], [25, 38]])
    return Faces(
        torch.tensor([0, 0, 1, 1]),
        torch.cat([centres - half, centres + half], dim=1),
        centres[:, None] + spots,
        torch.ones(4),
        torch.tensor([-1, -1, -1, -1]),
        torch.ones(4, dtype=torch.bool),
    )


@pytest.fixture(scope="module")
def meshes(frames: Frames, places: Faces, estimator: MeshEstimator) -> Meshes:
    return estimator.estimate(frames, places)


@pytest.fixture(scope="module")
def faces(places: Faces, meshes: Meshes) -> Faces:
    """The faces of ``frames``, as a detector would find them."""
    return replace(places, landmarks=features(meshes.points))


class Found:
    """In place of a mesh estimator: has found these meshes."""

    def __init__(self, meshes: Meshes) -> None:
        self._meshes = meshes

    def estimate(self, frames: Frames, faces: Faces) -> Meshes:
        return self._meshes


def observe(frames: Frames, faces: Faces, meshes: Meshes) -> Belief:
    return Observer(Found(meshes), load_face_model()).observe(frames, faces)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def belief(frames: Frames, faces: Faces, meshes: Meshes) -> Belief:
    return observe(frames, faces, meshes)


@pytest.fixture(scope="module", params=sorted(GENERATORS))
def generator(request: pytest.FixtureRequest, estimator: MeshEstimator, studio: Studio) -> Generator:
    if request.param == "generate":
        model = load_face_model()
        return Synthetic(GenerateConfig(), studio, Renderer(model, CPU), model)
    return GENERATORS[request.param](GenerateConfig(method=request.param), CPU, estimator, 2)


def inner(frames: Frames, faces: Faces, row: int) -> torch.Tensor:
    """The pixels between eyes and mouth of a face."""
    x0, y0, x1, y1 = (int(value) for value in faces.boxes[row].tolist())
    return frames.pixels[faces.frame[row], y0 + 30 : y1 - 20, x0 + 20 : x1 - 20].float()


def test_contract(generator: Generator, frames: Frames, faces: Faces, belief: Belief) -> None:
    patches, outcomes = generator.generate(frames, belief, PERSONAS)
    assert len(outcomes) == len(faces)
    assert sum(len(patch) for patch in patches) == len(faces)
    assert set(outcomes) <= {Outcome.GENERATED, Outcome.COVERED}
    done = compose(frames, patches)
    assert done.pixels.dtype == frames.pixels.dtype
    assert done.times == frames.times
    for row in range(len(faces)):
        difference = (inner(done, faces, row) - inner(frames, faces, row)).abs()
        assert difference.mean() > 4
    assert torch.equal(done.pixels[:, :40], frames.pixels[:, :40])
    assert torch.equal(done.pixels[:, :, 310:330], frames.pixels[:, :, 310:330])


def test_no_faces_change_nothing(generator: Generator, frames: Frames) -> None:
    patches, outcomes = generator.generate(frames, Belief.blind(Faces.none()), [])
    assert outcomes == []
    assert torch.equal(compose(frames, patches).pixels, frames.pixels)


def test_a_face_does_not_depend_on_its_batch(
    generator: Generator, frames: Frames, faces: Faces, meshes: Meshes, belief: Belief
) -> None:
    together = compose(frames, generator.generate(frames, belief, PERSONAS)[0]).pixels[1]
    second = replace(faces[2:], frame=torch.tensor([0, 0]))
    alone = compose(
        frames[1:], generator.generate(frames[1:], observe(frames[1:], second, meshes[2:]), PERSONAS[2:])[0]
    ).pixels[0]
    assert (together.int() - alone.int()).abs().max() <= 2


def test_sixteen_bits_stay_sixteen_bits(
    generator: Generator, frames: Frames, faces: Faces, meshes: Meshes, belief: Belief
) -> None:
    deep = Frames((frames.pixels.int() * 257).to(torch.uint16), frames.times)
    done = compose(deep, generator.generate(deep, observe(deep, faces, meshes), PERSONAS)[0])
    shallow = compose(frames, generator.generate(frames, belief, PERSONAS)[0])
    assert done.pixels.dtype == torch.uint16
    assert (done.pixels.int() / 257 - shallow.pixels.int()).abs().max() < 3


@pytest.fixture(scope="module")
def synthetic(studio: Studio) -> Synthetic:
    model = load_face_model()
    return Synthetic(GenerateConfig(), studio, Renderer(model, CPU), model)


@pytest.mark.parametrize("fault", ["absent", "elsewhere", "slipped", "shrunk", "turned"])
def test_a_mesh_that_the_detector_contradicts_is_not_used(
    synthetic: Synthetic, frames: Frames, faces: Faces, meshes: Meshes, fault: str
) -> None:
    points, middle = meshes.points.clone(), meshes.points[0].mean(0)
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    points[0] = {
        "absent": points[0] * float("nan"),
        "elsewhere": points[0] + 300,
        "slipped": points[0] + torch.tensor([20.0, 12.0, 0.0]),
        "shrunk": (points[0] - middle) * 0.6 + middle,
        "turned": (points[0] - middle) @ turn + middle,
    }[fault]
    wrong, none = Meshes(points, meshes.presence), replace(meshes, points=points * float("nan"))
    done, expected = (
        compose(frames[:1], synthetic.generate(frames[:1], observe(frames[:1], faces[:1], found[:1]), PERSONAS[:1])[0])
        for found in (wrong, none)
    )
    assert torch.equal(done.pixels, expected.pixels)


class Sieve(Renderer):
    """Draws faces that do not hide what is behind them."""

    def render(self, frames: Frames, rows: torch.Tensor, belief: Belief, views: Views, canvases: Canvases) -> Patches:
        patches = super().render(frames, rows, belief, views, canvases)
        return replace(patches, alpha=patches.alpha * 0.4)


@pytest.mark.parametrize("fault", ["no mesh", "steep pose", "generation failed"])
def test_a_face_that_cannot_be_generated_is_covered_solid(
    studio: Studio, frames: Frames, faces: Faces, meshes: Meshes, fault: str
) -> None:
    model, landmarks, points = load_face_model(), faces.landmarks.clone(), meshes.points.clone()
    if fault == "no mesh":
        landmarks[0] += 200
    elif fault == "steep pose":
        turn = torch.tensor([[0.2, 0, 0.98], [0, 1, 0], [-0.98, 0, 0.2]])
        points[0] = model.mean @ turn * 55 + torch.tensor([*faces.boxes[0, :2].tolist(), 0]) + torch.tensor([55, 40, 0])
        landmarks[0] = features(points[:1])[0]
    renderer = (Sieve if fault == "generation failed" else Renderer)(model, CPU)
    synthetic = Synthetic(GenerateConfig(max_yaw=60), studio, renderer, model)
    seen = replace(faces, landmarks=landmarks)
    patches, outcomes = synthetic.generate(frames, observe(frames, seen, Meshes(points, meshes.presence)), PERSONAS)
    assert outcomes[0] == fault
    assert outcomes[1:] == [Outcome.FAILED if fault == "generation failed" else Outcome.GENERATED] * 3
    hidden = inner(compose(frames, patches), faces, 0)
    assert hidden.flatten(0, 1).std(0).max() == 0


def test_where_no_face_was_seen_the_surroundings_are_continued(
    synthetic: Synthetic, frames: Frames, faces: Faces, meshes: Meshes
) -> None:
    slope = torch.linspace(40, 200, frames.size[1]).byte()
    wall = Frames(slope[None, None, :, None].expand(1, frames.size[0], -1, 3).contiguous(), frames.times[:1])
    painted = wall.pixels.clone()
    x0, y0, x1, y1 = (int(value) for value in faces.boxes[0].tolist())
    painted[:, y0:y1, x0:x1] = torch.randint(256, (1, y1 - y0, x1 - x0, 3)).byte()
    unseen = {"scores": torch.zeros(1), "seen": torch.zeros(1, dtype=torch.bool)}
    assumed, absent = replace(faces[:1], **unseen), Meshes(meshes.points[:1], torch.zeros(1))
    hidden = Frames(painted, wall.times)
    patches, outcomes = synthetic.generate(hidden, observe(hidden, assumed, absent), PERSONAS[:1])
    done = compose(hidden, patches)
    assert outcomes == [Outcome.NOT_SEEN]
    assert (inner(done, faces, 0).int() - inner(wall, faces, 0).int()).abs().max() < 25


def test_the_new_face_has_pose_and_expression_of_the_old(
    synthetic: Synthetic, frames: Frames, faces: Faces, meshes: Meshes, belief: Belief, estimator: MeshEstimator
) -> None:
    done = compose(frames, synthetic.generate(frames, belief, PERSONAS)[0])
    model, found = load_face_model(), estimator.estimate(done, faces)
    old, new = model.pose(meshes.points), model.pose(found.points)
    assert (old.degrees - new.degrees).abs().max() < 6
    change = measure_expression(model.unpose(meshes.points, old)) - measure_expression(model.unpose(found.points, new))
    assert change.abs().max() < 0.15
    moved = (found.points - meshes.points)[..., :2].norm(dim=2).mean(1) / old.scale
    assert (moved > 0.01).all(), "the new face must have a shape of its own"
    assert (moved < 0.15).all()


def test_an_eye_that_shuts_is_seen_to_shut(
    synthetic: Synthetic, frames: Frames, faces: Faces, meshes: Meshes, estimator: MeshEstimator
) -> None:
    """Lids are taken from the real face, and found again in the new one; the other eye stays open."""
    model = load_face_model()

    def opening(belief: Belief) -> torch.Tensor:
        done = compose(frames, synthetic.generate(frames, belief, PERSONAS)[0])
        points = estimator.estimate(done, faces).points
        return measure_expression(model.unpose(points, model.pose(points)))[:, LINEAR:]

    def winked(shut: int) -> Belief:
        points = meshes.points.clone()
        points[:, UPPER_LIDS[shut]] = torch.lerp(points[:, LOWER_LIDS[shut]], points[:, UPPER_LIDS[shut]], 0.3)
        return observe(frames, faces, replace(meshes, points=points))

    before = opening(observe(frames, faces, meshes))
    narrower = torch.stack([opening(winked(shut)) / before for shut in (0, 1)]).mean(1)
    assert narrower.diagonal().max() < 0.7
    assert narrower.flip(1).diagonal().min() > 0.9


def test_a_grey_picture_stays_grey(synthetic: Synthetic, frames: Frames, faces: Faces, meshes: Meshes) -> None:
    grey = Frames(frames.pixels.float().mean(3, keepdim=True).byte().expand(-1, -1, -1, 3).contiguous(), frames.times)
    done = compose(grey, synthetic.generate(grey, observe(grey, faces, meshes), PERSONAS)[0]).pixels.int()
    assert (done.amax(3) - done.amin(3)).max() <= 3


@pytest.mark.parametrize("quarters", [0, 1])
@pytest.mark.parametrize("lit", [(0.25, 0.0), (0.0, 0.25)], ids=["aside", "below"])
def test_the_new_face_is_in_the_light_of_the_old(
    synthetic: Synthetic, frames: Frames, faces: Faces, meshes: Meshes, quarters: int, lit: tuple[float, float]
) -> None:
    """Also if the head lies: the light that portraits were drawn in has to lie down with them, to be taken away."""
    width, points = frames.size[1], meshes.points
    pixels, centre, scale = frames.pixels, points.mean(1)[:2, :2], load_face_model().pose(points).scale[0]
    if quarters:
        pixels = torch.rot90(pixels, 1, (1, 2)).contiguous()
        points = torch.stack([points[..., 1], width - 1 - points[..., 0], points[..., 2]], dim=2)
        centre = torch.stack([centre[:, 1], width - 1 - centre[:, 0]], dim=1)
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in pixels.shape[1:3]), indexing="ij")
    nearest = torch.stack([(columns - x).square() + (rows - y).square() for x, y in centre.tolist()]).argmin(0)
    away = (torch.stack([columns, rows], dim=2) - centre[nearest]) / scale
    shade = (0.8 * (away @ torch.tensor(lit)).clamp(-1, 1).exp())[..., None]
    turned = Frames((pixels[:1] * shade).clamp(0, 255).byte(), frames.times[:1])
    boxes = torch.cat([points[:2, :, :2].amin(1), points[:2, :, :2].amax(1)], dim=1)
    there = replace(faces[:2], boxes=boxes, landmarks=features(points[:2]))
    here = replace(meshes[:2], points=points[:2])
    belief = observe(turned, there, here)
    done = compose(turned, synthetic.generate(turned, belief, PERSONAS)[0])
    old, new = belief.look[:, :4], observe(done, there, here).look[:, :4]
    assert (old - new)[:, 1:3].abs().max() < 0.06, "from aside, and from above or below"
    assert ((old - new) @ torch.tensor([1.0, 0.0, 0.0, -1.0])).abs().max() < 0.06, "straight in front"


def test_a_mesh_that_is_measured_depends_less_on_where_the_face_was_expected(
    estimator: MeshEstimator, frames: Frames, faces: Faces
) -> None:
    moves = torch.linspace(-0.04, 0.04, 5)[:, None, None, None] * faces.sizes[:, None]
    moved = [replace(faces, landmarks=faces.landmarks + move) for move in moves]
    spreads = [
        torch.stack([look(frames, face).points[:2, :, :2] for face in moved]).std(0).mean()
        for look in (estimator.measure, estimator.estimate)
    ]
    assert spreads[0] < 0.6 * spreads[1]


def test_seeds_draw_people_and_conditions_turn_them(studio: Studio, estimator: MeshEstimator) -> None:
    model, rest = load_face_model(), load_condition().neutral.tolist()[2:]
    asked = [(yaw, pitch) for yaw in (-30.0, 0.0, 30.0) for pitch in (-10.0, 10.0)]
    drawn = studio.portraits([Order(Persona(9), (*angles, *rest), 256) for angles in asked], keep=False)
    found = model.pose(torch.stack([portrait.points for portrait in drawn])).degrees[:, :2]
    assert (found - torch.tensor(asked)).abs().mean(0)[0] < 5
    assert (found - torch.tensor(asked)).abs().mean(0)[1] < 6
    again = studio.portraits([Order(Persona(9), (*asked[3], *rest), 256)], keep=False)[0]
    assert (again.pixels - drawn[3].pixels).abs().max() < 0.01
    other = studio.portraits([Order(Persona(10), (*asked[3], *rest), 256)], keep=False)[0]
    assert (other.pixels - drawn[3].pixels).abs().mean() > 0.04


@pytest.mark.parametrize("condition", [(15.0, 5.0, 0.05, 0.9), (-30.0, -10.0, 0.3, 0.9)], ids=["frontal", "steep"])
def test_portraits_of_all_sizes_show_the_same(studio: Studio, condition: tuple[float, ...]) -> None:
    def drawn(size: int, keep: bool) -> tuple[torch.Tensor, torch.Tensor]:
        portrait = studio.portraits([Order(Persona(9), condition, size)], keep)[0]
        return F.adaptive_avg_pool2d(portrait.pixels, 64)[:, 20:52, 16:48], portrait.points / portrait.pixels.shape[-1]

    full, exact = drawn(PORTRAITS[-1], keep=True)
    for size in PORTRAITS[:-1]:
        pixels, points = drawn(size, keep=True)
        assert (pixels - full).square().mean() < 0.005
        assert torch.allclose(points, exact)
    (pixels, points), (_, others) = drawn(PORTRAITS[0], keep=False), drawn(PORTRAITS[1], keep=False)
    assert not torch.allclose(points, others), "small ones have sketches of their own"
    assert (pixels - full).square().mean() < 0.01
    assert (points - exact).norm(dim=1).mean() < 0.02


def test_portraits_that_miss_what_was_ordered_are_drawn_again(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [
        Order(Persona(11), (yaw, pitch, 0.1, 0.9), 256) for yaw in (-40.0, -20.0, 20.0, 40.0) for pitch in (-12.0, 12.0)
    ]
    wanted = torch.tensor([order.condition for order in orders])

    def missed() -> torch.Tensor:
        drawn = torch.stack([portrait.points for portrait in studio.portraits(orders, keep=False)])
        return (load_face_model().conditions(drawn) - wanted).abs() / torch.tensor(CELL)

    corrected = missed()
    monkeypatch.setattr(personas, "CORRECTIONS", 0)
    once = missed()
    assert corrected.mean() < 0.7 * once.mean()
    assert (corrected.amax(1) <= once.amax(1) + 0.05).all()


def test_corrections_stay_near_the_order() -> None:
    wanted = torch.tensor([[-50.0, 20.0, 0.0, 1.2]])
    asked = personas._corrected(wanted, torch.tensor([[30.0, -40.0, 0.5, -1.0]]), wanted)
    assert torch.allclose((asked - wanted) / torch.tensor(CELL), torch.tensor([[-1.0, 1.0, -1.0, 1.0]]), atol=1e-5)


@pytest.mark.parametrize("box", [(40, 30, 100, 110), (20, 40, 120, 80), (30, 10, 70, 100)])
def test_of_a_face_that_is_only_expected_all_of_the_box_is_covered(box: tuple[int, int, int, int]) -> None:
    noise = torch.randint(0, 256, (1, 120, 160, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    frames = Frames(noise, (Fraction(0),))
    place = torch.tensor([box], dtype=torch.float32)
    no = torch.tensor([False])
    face = Faces(torch.zeros(1, dtype=torch.int64), place, torch.zeros(1, 5, 2), torch.zeros(1), torch.tensor([0]), no)
    covered = compose(frames, Cover("solid").cover(frames, face)).pixels[0]
    x0, y0, x1, y1 = box
    inside = covered[y0:y1, x0:x1].flatten(0, 1)
    assert (inside == inside[0]).all()


@pytest.mark.parametrize("row", [0, 2])
def test_covers_hide_what_is_beside_a_box_that_jumps(
    generator: Generator, frames: Frames, faces: Faces, row: int
) -> None:
    """Nobody knows the shape of the face, and the frames around say that it is further down."""
    blind = Belief.blind(faces[torch.tensor([row])])
    below = blind.faces.boxes + torch.tensor([0.0, 100.0, 0.0, 100.0])
    belief = replace(blind, beside=torch.stack([below, torch.full((1, 4), float("nan"))], dim=1))
    patches, _ = generator.generate(frames, belief, PERSONAS[:1])
    alone, _ = generator.generate(frames, blind, PERSONAS[:1])
    noise = torch.randint(0, 255, frames.pixels.shape, dtype=torch.uint8)
    (here, there) = (compose(replace(frames, pixels=noise), part).pixels for part in (alone, patches))
    x, y = ((below[0, :2] + below[0, 2:]) / 2).int().tolist()
    spot = (blind.faces.frame[0], slice(y + 30, y + 40), slice(x - 10, x + 10))
    assert torch.equal(here[spot], noise[spot])
    assert not torch.equal(there[spot], noise[spot])


class Broken(MeshEstimator):
    """Computes no numbers."""

    def estimate(self, frames: Frames, faces: Faces) -> Meshes:
        found = super().estimate(frames, faces)
        return replace(found, points=found.points * float("nan"))


def test_portraits_without_numbers_stop_the_run() -> None:
    studio = Studio(CPU, Broken(CPU), truncation=0.7, batch_size=2)
    with pytest.raises(WeightsError, match="no numbers"):
        studio.portraits([Order(Persona(1), (0.0, 0.0, 0.0, 0.9), 64)], keep=False)
