"""The audit: who does not pass gets another persona, or is covered, and the run says so."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import inf

import pytest
import torch
from torch import Tensor

from anonymizer import Anonymizer, Config, Faces, Frames, GenerateConfig, Outcome, geometry
from anonymizer.audit import EVERY, SAME, TRIES, WISHES, Audit, unchanged
from anonymizer.audition import CANDIDATES, Audition
from anonymizer.batches import Meshes, Patches
from anonymizer.detect import Both
from anonymizer.errors import LeakError
from anonymizer.face_model import features, load_face_model
from anonymizer.generate.base import MADE, Persona
from anonymizer.generate.cover import Cover
from anonymizer.generate.personas import Portrait
from anonymizer.geometry import cut_patches
from anonymizer.identity import Recognizer
from anonymizer.jury import AT_SAME, STEP, Jury, apart
from anonymizer.networks.occlusion_net import SIZE
from anonymizer.occlusion import to_crop_of
from anonymizer.trust import Belief
from pipelines.report import describe

CPU = torch.device("cpu")


class Copyist:
    """A generator that paints the real faces again, in its own way, the first ``times`` times."""

    def __init__(self, way: Callable[[Tensor], Tensor], times: int, generator: object) -> None:
        self._way, self._times, self._generator = way, times, generator
        self.seeds: list[list[int]] = []

    def generate(
        self, frames: Frames, belief: Belief, personas: Sequence[Persona]
    ) -> tuple[list[Patches], list[Outcome]]:
        self.seeds.append([persona.seed for persona in personas])
        if len(self.seeds) > self._times:
            return self._generator.generate(frames, belief, personas)  # type: ignore[attr-defined, no-any-return]
        (cover,) = Cover("solid").cover(frames, belief.faces, torch.arange(len(belief.faces)))
        real = cut_patches(frames.pixels, cover.frame, cover.to_patch, cover.colour.shape[-1])
        painted = Patches(cover.frame, self._way(real), cover.alpha, cover.to_patch, cover.face)
        return [painted], [Outcome.GENERATED] * len(belief.faces)


@pytest.fixture
def anonymizer() -> Anonymizer:
    return Anonymizer(Config(generate=GenerateConfig(seed=7), batch_size=4))


def corrupt(anonymizer: Anonymizer, way: Callable[[Tensor], Tensor], times: int = 1000) -> Copyist:
    copyist = Copyist(way, times, anonymizer._painter.generator)
    anonymizer._painter.generator = copyist
    return copyist


def still(picture: Tensor) -> Frames:
    return Frames(picture[None], (Fraction(0),))


def brighter(faces: Tensor) -> Tensor:
    return (faces * 1.1 + 0.02).clamp(0, 1)


def mirrored(faces: Tensor) -> Tensor:
    return faces.flip(3)


def of_the_neighbour(faces: Tensor) -> Tensor:
    return faces.roll(1, dims=0)


def face_of_noise(frame: Tensor) -> Faces:
    boxes = torch.tensor([[0.0, 0.0, 100.0, 100.0], [150.0, 0.0, 250.0, 100.0]])
    return Faces(frame, boxes, boxes.reshape(2, 2, 2)[:, [0] * 5], torch.ones(2), torch.arange(2), frame >= 0)


def assert_flat(frames: Frames, faces: Faces) -> None:
    """In the middle of faces, from brows to mouth, there is one colour each."""
    for frame, box, size in zip(frames.pixels[faces.frame], faces.boxes.tolist(), faces.sizes.tolist(), strict=True):
        x0, y0, x1, y1 = (int(box[side] + share * size[side % 2]) for side, share in enumerate((0.2, 0.2, -0.2, -0.2)))
        assert frame[y0:y1, x0:x1].float().flatten(0, 1).std(0).max() < 1


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (brighter, Outcome.UNCHANGED),
        (mirrored, Outcome.SIMILAR),
        (of_the_neighbour, Outcome.SIMILAR),
    ],
)
def test_a_generator_that_copies_faces_gets_none_out(
    anonymizer: Anonymizer, picture: Tensor, way: Callable[[Tensor], Tensor], why: Outcome
) -> None:
    copyist = corrupt(anonymizer, way)
    done = anonymizer.stills(still(picture))
    assert done.outcomes == (why, why)
    assert describe(Counter(done.outcomes)) == f"2 faces: 2 covered ({why})"
    assert_flat(done.frames, done.faces)
    tries = TRIES if why is Outcome.SIMILAR else 0
    assert (done.audit.by_detail, done.audit.redrawn) == (2 + 2 * tries, 2 * tries)
    assert (done.audit.nearest_own, done.audit.nearest_other) == (inf, inf), "nobody was let through"
    assert len(copyist.seeds) == (1 + TRIES if why is Outcome.SIMILAR else 1)
    assert len({seed for seeds in copyist.seeds for seed in seeds}) == 2 * len(copyist.seeds), "always the same people"


@pytest.mark.parametrize(
    ("height", "part"), [(24, "all"), (24, "left"), *product((40, 60, 150), ("eyes", "left", "mouth", "all"))]
)
def test_parts_of_real_faces_are_seen(portraits: list[Portrait], height: int, part: str) -> None:
    """Whatever the size of a face, and though the light on it is another one.

    Of the eyes alone, where faces are small, that does not hold for all people.
    """
    real, new = (resized(portrait, height) for portrait in portraits[:2])
    rows, columns = {
        "eyes": (slice(int(0.6 * height), int(0.9 * height)), slice(None)),
        "left": (slice(None), slice(0, int(0.75 * height))),
        "mouth": (slice(int(0.95 * height), None), slice(None)),
        "all": (slice(None), slice(None)),
    }[part]
    shade = torch.linspace(0.5, 1.1, real.shape[1])[None, :, None]
    mixed = (new.float() * shade).byte()
    mixed[rows, columns] = (real.float() * shade).byte()[rows, columns]
    face = Belief.blind(face_of(portraits[0], height))
    assert unchanged(still(real), still(mixed), face).item()
    assert not unchanged(still(real), still((new.float() * shade).byte()), face).item()


def test_what_stands_before_a_face_may_stay_if_it_is_believed(portraits: list[Portrait]) -> None:
    real, new = (resized(portrait, 150) for portrait in portraits[:2])
    stripes = (torch.arange(30)[:, None, None] // 3 % 2 * 200).byte().expand(-1, real.shape[1], 3)
    for picture in (real, new):
        picture[70:100] = stripes
    model, faces = load_face_model(), face_of(portraits[0], 150)
    belief = Belief.blind(faces)
    assert unchanged(still(real), still(new), belief).item()
    meshes = replace(belief.meshes, points=model.fit_landmarks(faces.landmarks))
    from_crop = geometry.invert_affine(to_crop_of(meshes.points))
    where = geometry.apply_affine(from_crop, geometry.pixel_grid(SIZE, CPU)[None])
    striped = ((where[..., 1] >= 69) & (where[..., 1] < 101)).reshape(1, 1, SIZE, SIZE)
    for before, left in ((striped, False), (torch.ones_like(striped), True)):  # too much to be believed
        known = replace(belief, meshes=meshes, before=before.byte() * 255)
        assert unchanged(still(real), still(new), known).item() == left


def test_nothing_is_told_of_what_shows_nothing(picture: Tensor) -> None:
    black, faces = torch.zeros_like(picture), face_of_noise(torch.tensor([0, 0]))
    assert not unchanged(still(black), still(black), Belief.blind(faces)).any()


def resized(portrait: Portrait, height: int) -> Tensor:
    """A portrait on a grey ground ``(S, S, 3)``; heads are about two thirds of it."""
    side = round(height * 1.5)
    small = torch.nn.functional.interpolate(portrait.pixels[None], (side, side), mode="bilinear", antialias=True)[0]
    return (small * 255).byte().permute(1, 2, 0).contiguous()


def face_of(portrait: Portrait, height: int) -> Faces:
    side = round(height * 1.5)
    points = portrait.points[:, :2] * (side / portrait.pixels.shape[1])
    box = torch.cat([points.amin(0), points.amax(0)])[None]
    one = torch.ones(1)
    return Faces(torch.zeros(1).long(), box, features(points[None]), one, torch.zeros(1).long(), one > 0)


def test_nor_in_a_video(anonymizer: Anonymizer, picture: Tensor) -> None:
    corrupt(anonymizer, mirrored)
    shots = Frames(picture.expand(12, -1, -1, -1), tuple(Fraction(number, 25) for number in range(12)))
    for done in anonymizer.stream([shots]):
        assert set(done.outcomes) == {Outcome.SIMILAR}
        assert_flat(done.frames, done.faces)


def test_somebody_else_is_drawn_instead(anonymizer: Anonymizer, picture: Tensor) -> None:
    copyist = corrupt(anonymizer, mirrored, times=1)
    done = anonymizer.stills(still(picture))
    assert done.outcomes == (Outcome.GENERATED,) * 2
    assert 2 <= len(copyist.seeds) <= 1 + TRIES
    assert done.audit.redrawn >= 2
    assert done.audit.by_detail == done.audit.by_recognizer == 2 + done.audit.redrawn
    jury, people = Jury(Recognizer(CPU), CPU), done.faces
    real, new = (jury.embed(frames, people) for frames in (still(picture), done.frames))
    away = apart(new[:, None], real[None])
    assert done.audit.nearest_own == pytest.approx(away.diagonal().min().item(), abs=0.02)
    assert done.audit.nearest_other == pytest.approx(away[~torch.eye(2, dtype=torch.bool)].min().item(), abs=0.02)
    assert not unchanged(still(picture), done.frames, Belief.blind(done.faces)).any()


class Scripted:
    """A jury to one of whom real faces are ``real``, and new ones ``new``, ``(N, 128)`` by track; to the other one, all
    new faces are far from all real ones. What it sees first is real.
    """

    def __init__(self, real: Tensor, new: Tensor, sface: bool = False) -> None:
        self._real, self._new = (real, torch.zeros_like(real)), (new, torch.ones_like(new))
        self._sface, self._before = sface, torch.zeros(0)
        self.looks = 0

    def embed(self, frames: Frames, faces: Faces) -> Tensor:
        self.looks += 1
        if not len(self._before):
            self._before = frames.pixels[0]
        part = self._real if torch.equal(frames.pixels[0], self._before) else self._new
        return torch.cat(part[::-1] if self._sface else part, dim=1)[faces.tracks]


def judge(
    recognizer: Scripted, picture: Tensor, frame: Tensor, *, moving: bool, lasting: bool = False, seconds: int = 0
) -> tuple[list[Outcome], Tensor]:
    """Two faces of grey noise, in frames 0 and 1 or in the same one, and what is said of them."""
    audit = Audit(recognizer, moving=moving, lasting=lasting)  # type: ignore[arg-type]
    belief = Belief.blind(face_of_noise(frame))
    for number in range(25 * seconds + 1):
        times = (Fraction(number, 25),) * 2
        before = Frames(picture[None].repeat(2, 1, 1, 1), times)
        judged, again, _ = audit.judge(before, Frames(before.pixels.flip(1, 2), times), belief, [Outcome.GENERATED] * 2)
    return judged, again


ONE, OTHER = torch.eye(128)[:2]
FAR = torch.eye(128)[2:4]


def scaled(distance: float, sface: bool) -> float:
    """What SFace measures where dlib's recognizer measures ``distance``, in the eyes of the jury."""
    return AT_SAME + (distance - SAME) * STEP if sface else distance


@pytest.mark.parametrize(
    ("distance", "whose", "together", "refused"),
    [
        (0.71, 0, True, True),
        (0.73, 0, True, False),
        (0.49, 1, True, True),
        (0.51, 1, True, False),
        (0.1, 1, False, False),
    ],
)
@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("sface", [False, True])
def test_who_is_too_similar(
    picture: Tensor, distance: float, whose: int, together: bool, refused: bool, moving: bool, sface: bool
) -> None:
    """The first new face is at a distance from the real face of one of two people, to one of the jury."""
    real = torch.stack([ONE, OTHER])
    new = torch.stack([real[whose] + scaled(distance, sface) * FAR[0], FAR[1]])
    judged, again = judge(Scripted(real, new, sface), picture, torch.tensor([0, 0 if together else 1]), moving=moving)
    seen = refused or (moving and not together)  # of a video all people count, whenever they are seen
    assert judged == [Outcome.SIMILAR if seen else Outcome.GENERATED, Outcome.GENERATED]
    assert again.tolist() == [seen, False]


@pytest.mark.parametrize(("distance", "asked"), [(0.73, 1), (0.71, 2 + WISHES), (0.61, 2 + WISHES), (0.59, 1 + TRIES)])
@pytest.mark.parametrize("sface", [False, True])
def test_who_would_do_is_shown_if_nobody_more_unlike_is_found(
    picture: Tensor, distance: float, asked: int, sface: bool
) -> None:
    new = torch.stack([ONE + scaled(distance, sface) * FAR[0], FAR[1]])
    recognizer = Scripted(torch.stack([ONE, OTHER]), new, sface)
    audit = Audit(recognizer, moving=False)  # type: ignore[arg-type]
    belief, before = Belief.blind(face_of_noise(torch.tensor([0, 0]))), still(picture)
    after, looks, again = Frames(before.pixels.flip(1, 2), before.times), 0, torch.ones(1)
    while again[0]:
        judged, again, _ = audit.judge(before, after, belief, [Outcome.GENERATED] * 2)
        looks += 1
    assert looks == asked
    assert judged[0] is (Outcome.SIMILAR if distance < SAME else Outcome.GENERATED)


def test_the_least_alike_is_shown_if_nobody_is_unlike(picture: Tensor) -> None:
    distances = [0.65, 0.55, 0.7, 0.62, 0.61, 0.68, 0.64]
    new = torch.stack([ONE, FAR[1]])
    audit = Audit(Scripted(torch.stack([ONE, OTHER]), new), moving=False)  # type: ignore[arg-type]
    belief, before = Belief.blind(face_of_noise(torch.tensor([0, 0]))), still(picture)
    after, again, shown = Frames(before.pixels.flip(1, 2), before.times), torch.ones(1), []
    personas = [Persona(1), Persona(2)]
    others = [personas[0].another(CANDIDATES * number) for number in range(1, 1 + WISHES)]
    tries = [persona.seed for persona in (personas[0], *others)]
    while again[0]:
        shown.append(tries.index(audit.cast(before, belief.faces, personas)[0].seed))
        new[0] = ONE + distances[shown[-1]] * FAR[0]
        judged, again, _ = audit.judge(before, after, belief, [Outcome.GENERATED] * 2)
    assert shown == [*range(1 + WISHES), 2]
    assert judged == [Outcome.GENERATED] * 2


def test_personas_that_last_stay_or_are_covered(picture: Tensor) -> None:
    real = torch.stack([ONE, OTHER])
    cases = [(0.61, Outcome.GENERATED), (0.59, Outcome.SIMILAR)]
    for (distance, outcome), sface, moving in product(cases, (False, True), (False, True)):
        new = torch.stack([ONE + scaled(distance, sface) * FAR[0], FAR[1]])
        judged, again = judge(Scripted(real, new, sface), picture, torch.tensor([0, 0]), moving=moving, lasting=True)
        assert judged == [outcome, Outcome.GENERATED]
        assert not again.any()


@pytest.mark.parametrize(("distance", "outcome"), [(0.51, Outcome.GENERATED), (0.49, Outcome.SIMILAR)])
def test_personas_that_last_are_covered_later_where_far_too_similar(
    picture: Tensor, distance: float, outcome: Outcome
) -> None:
    new = torch.stack([ONE + 0.61 * FAR[0], FAR[1]])
    audit = Audit(Scripted(torch.stack([ONE, OTHER]), new), moving=True, lasting=True)  # type: ignore[arg-type]
    belief = Belief.blind(face_of_noise(torch.tensor([0, 0])))
    for seconds in (0, 2 * EVERY):
        before = Frames(picture[None], (Fraction(seconds),))
        judged, again, _ = audit.judge(before, Frames(before.pixels.flip(1, 2), before.times), belief, [*MADE])
        assert judged[0] is (outcome if seconds else Outcome.GENERATED)
        assert not again.any()
        new[0] = ONE + distance * FAR[0]


@pytest.mark.parametrize(
    ("shares", "distance", "looks", "refused"),
    [
        ([0.0, 0.6, 0.6], 0.59, [1, 1, 1], [0, 1, 1]),  # who is refused is looked at until that passes
        ([0.0, 0.6, 0.6], 0.61, [1, 1, 0], [0, 0, 0]),
        ([0.6, 0.0, 0.0], 0.59, [1, 1, 0], [0, 0, 0]),
        ([0.6, 0.0, 0.0], 0.49, [1, 1, 1], [0, 1, 1]),
        ([0.0, 0.1, 0.2], 0.1, [1, 0, 0], [0, 0, 0]),  # rather nothing is before any point
        ([0.6, 0.6, 0.6], 0.1, [1, 0, 0], [0, 0, 0]),
    ],
)
def test_a_face_is_looked_at_again_when_something_is_put_before_it_or_taken_away(
    picture: Tensor, shares: list[float], distance: float, looks: list[int], refused: list[int]
) -> None:
    new = torch.stack([ONE + FAR[0], FAR[1]])
    recognizer = Scripted(torch.stack([ONE, OTHER]), new)
    audit = Audit(recognizer, moving=True)  # type: ignore[arg-type]
    belief = Belief.blind(face_of_noise(torch.tensor([0, 0])))
    points = load_face_model().mean * 20 + torch.tensor([60.0, 60.0, 0.0])
    belief = replace(belief, meshes=Meshes(points.expand(2, -1, -1), torch.ones(2)))
    for number, share in enumerate(shares):
        hidden = torch.zeros_like(belief.before)
        hidden[:1] = round(255 * share)
        before, asked = Frames(picture[None], (Fraction(number, 25),)), recognizer.looks
        after = Frames(before.pixels.flip(1, 2), before.times)
        judged, again, _ = audit.judge(before, after, replace(belief, before=hidden), [*MADE])
        assert recognizer.looks - asked == 2 * looks[number]  # at the real face, and at the new one
        assert judged[0] is (Outcome.SIMILAR if refused[number] else Outcome.GENERATED)
        assert not again.any()
        new[0] = ONE + distance * FAR[0]


@pytest.mark.parametrize(("rows", "looks"), [(8, 0), (16, 1)])
def test_a_face_is_looked_at_again_when_enough_of_it_is_hidden(picture: Tensor, rows: int, looks: int) -> None:
    recognizer = Scripted(torch.stack([ONE, OTHER]), FAR)
    audit = Audit(recognizer, moving=True)  # type: ignore[arg-type]
    belief = Belief.blind(face_of_noise(torch.tensor([0, 0])))
    points = load_face_model().mean * 20 + torch.tensor([60.0, 60.0, 0.0])
    belief = replace(belief, meshes=Meshes(points.expand(2, -1, -1), torch.ones(2)))
    for hidden in (0, rows):
        belief.before[:1, :, SIZE // 2 - hidden // 2 : SIZE // 2 + hidden // 2] = 255
        before, asked = still(picture), recognizer.looks
        audit.judge(before, Frames(before.pixels.flip(1, 2), before.times), belief, [*MADE])
    assert recognizer.looks - asked == 2 * looks


def test_how_often_faces_are_looked_at_is_bounded(picture: Tensor) -> None:
    recognizer = Scripted(torch.stack([ONE, OTHER]), FAR)
    judge(recognizer, picture, torch.tensor([0, 0]), moving=True, seconds=10)
    assert recognizer.looks == 2 * (1 + 10 // EVERY)


class Third(Audition):
    """Takes the third persona of everybody."""

    def __init__(self) -> None:
        self.asked: list[set[int]] = []

    def choose(self, personas: Mapping[int, Persona], views: Mapping[int, Tensor]) -> dict[int, int]:
        self.asked.append({*personas})
        assert personas.keys() == views.keys()
        return dict.fromkeys(personas, 2)


class Known:
    """A jury that knows real people, by track."""

    def embed(self, frames: Frames, faces: Faces) -> Tensor:
        return torch.eye(256)[faces.tracks]


PAIR = [Persona(1), Persona(2)]


def cast(audit: Audit, picture: Tensor, seen: tuple[bool, bool] = (True, True)) -> list[Persona]:
    faces = replace(face_of_noise(torch.tensor([0, 0])), seen=torch.tensor(seen))
    return audit.cast(still(picture), faces, PAIR)


def test_who_can_be_told_is_auditioned_once(picture: Tensor) -> None:
    audition = Third()
    audit = Audit(Known(), moving=True, audition=audition)  # type: ignore[arg-type]
    for _ in range(2):
        assert cast(audit, picture) == [persona.another(2) for persona in PAIR]
    assert [asked for asked in audition.asked if asked] == [{0, 1}]


def test_who_is_only_assumed_is_auditioned_when_seen(picture: Tensor) -> None:
    audit = Audit(Known(), moving=True, audition=Third())  # type: ignore[arg-type]
    assert cast(audit, picture, (True, False)) == [PAIR[0].another(2), PAIR[1]]
    assert cast(audit, picture) == [persona.another(2) for persona in PAIR]


def test_who_was_shown_keeps_the_persona(picture: Tensor) -> None:
    audit = Audit(Scripted(torch.eye(128)[:2], FAR), moving=True, audition=Third())  # type: ignore[arg-type]
    assert cast(audit, picture, (False, False)) == PAIR
    before, belief = still(picture), Belief.blind(face_of_noise(torch.tensor([0, 0])))
    judged, _, _ = audit.judge(before, Frames(before.pixels.flip(1, 2), before.times), belief, [*MADE])
    assert judged == [*MADE]
    assert cast(audit, picture) == PAIR


def test_who_stays_at_times_is_auditioned_all_the_same(picture: Tensor) -> None:
    audit = Audit(Known(), moving=True, audition=Third())  # type: ignore[arg-type]
    audit.know(still(picture), face_of_noise(torch.tensor([0, 0])))
    assert cast(audit, picture) == [persona.another(2) for persona in PAIR]


def test_who_is_refused_is_auditioned_again(picture: Tensor) -> None:
    recognizer = Scripted(torch.stack([ONE, OTHER]), torch.stack([ONE, FAR[1]]))
    audit = Audit(recognizer, moving=False, audition=Third())  # type: ignore[arg-type]
    belief, before = Belief.blind(face_of_noise(torch.tensor([0, 0]))), still(picture)
    assert audit.cast(before, belief.faces, PAIR) == [persona.another(2) for persona in PAIR]
    _, again, _ = audit.judge(before, Frames(before.pixels.flip(1, 2), before.times), belief, [*MADE])
    assert again.tolist() == [True, False]
    assert recognizer.looks == 2  # at real faces, once, and at new ones
    assert audit.cast(before, belief.faces, PAIR) == [PAIR[0].another(CANDIDATES).another(2), PAIR[1].another(2)]


def test_personas_that_last_are_not_auditioned(picture: Tensor) -> None:
    audit = Audit(Known(), moving=True, lasting=True, audition=Third())  # type: ignore[arg-type]
    assert cast(audit, picture) == PAIR


def test_pictures_and_videos_are_auditioned(anonymizer: Anonymizer, picture: Tensor) -> None:
    audition = Third()
    anonymizer._audition = audition
    anonymizer.stills(still(picture))
    assert {0, 1} in audition.asked
    audition.asked.clear()
    shots = Frames(picture.expand(8, -1, -1, -1), tuple(Fraction(number, 25) for number in range(8)))
    assert list(anonymizer.stream([shots]))
    assert any(len(asked) == 2 for asked in audition.asked)


class Blind:
    """A detector that never finds anything."""

    def detect(self, frames: Frames) -> Faces:
        return Faces.none()


def test_a_second_detector_finds_what_the_first_one_missed(anonymizer: Anonymizer, frames: Frames) -> None:
    assert isinstance(anonymizer._detector, Both)
    anonymizer._detector._first = Blind()
    done = anonymizer.stills(frames[:1])
    assert done.outcomes == (Outcome.GENERATED,) * 2
    assert not unchanged(frames[:1], done.frames, Belief.blind(done.faces)).any()


def test_embeddings_tell_new_faces_from_real_ones(anonymizer: Anonymizer, frames: Frames) -> None:
    """What is measured of the results is not what is measured of the originals."""
    done = anonymizer.stills(frames[:1])
    recognizer = Recognizer(CPU)
    away = (recognizer.embed(frames[:1], done.faces) - recognizer.embed(done.frames, done.faces)).norm(dim=1)
    assert (away >= 0.6).all()


class Forgetful:
    """A generator that draws nothing for the last face."""

    def __init__(self, generator: object) -> None:
        self._generator = generator

    def generate(
        self, frames: Frames, belief: Belief, personas: Sequence[Persona]
    ) -> tuple[list[Patches], list[Outcome]]:
        patches, outcomes = self._generator.generate(frames, belief, personas)  # type: ignore[attr-defined]
        return [some[some.face < len(outcomes) - 1] for some in patches], outcomes


def test_a_face_that_nothing_is_drawn_for_stops_the_run(anonymizer: Anonymizer, picture: Tensor) -> None:
    anonymizer._painter.generator = Forgetful(anonymizer._painter.generator)
    with pytest.raises(LeakError):
        anonymizer.stills(still(picture))


def test_nothing_of_a_first_drawing_is_left_around_the_second(anonymizer: Anonymizer, picture: Tensor) -> None:
    generator, results = anonymizer._painter.generator, []
    for strength in (1.0, 0.9):
        anonymizer._painter.generator = generator
        copyist = corrupt(anonymizer, lambda real, by=strength: by * mirrored(real), times=1)
        results.append(anonymizer.stills(still(picture)).frames.pixels)
        assert len(copyist.seeds[1]) == 2  # both were refused
    assert torch.equal(*results)
