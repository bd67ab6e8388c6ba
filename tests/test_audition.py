"""The audition: whoever keeps a persona gets one that is unlike them, which is chosen once, the same for everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from people_samples import ANN, BEA, film, wall
from split_samples import EXACT, LENGTH
from torch import Tensor

from anonymizer import Anonymizer, Config, Frames, GenerateConfig
from anonymizer.audition import CANDIDATES, Audition, beyond
from anonymizer.audition import UNLIKE as LIMITS
from anonymizer.casting import Director
from anonymizer.envelope import Plain
from anonymizer.face_model import features
from anonymizer.generate.base import Persona
from anonymizer.generate.likeness import load_likeness
from anonymizer.generate.looks import Gender, Look
from anonymizer.generate.personas import SKETCH, Studio, stills, whole_pictures
from anonymizer.generate.seeds import derive_seed
from anonymizer.identity import Recognizer
from anonymizer.jury import Jury, normalized
from anonymizer.people import People
from anonymizer.sightings import NOBODY
from pipelines.inputs import Kind, Source
from pipelines.plan import Job
from pipelines.segments import Agree, Render, Track
from pipelines.split import Split, split

CPU = torch.device("cpu")
OTHERS = 2_000_000  # seeds from here on are of people to whom nothing was fitted
GAINING = OTHERS + 200  # the first four from here on; of twelve, two have guesses that are worth no more than chance
ANNA, BEN = Persona(1), Persona(2)
UNLIKE = float(LIMITS[0])
ME = F.one_hot(torch.tensor([0, 0]), 128).float().flatten()


def at(distance: float) -> Tensor:
    """So far from ``ME`` to dlib's recognizer, and as far as can be to the other one."""
    return torch.cat([half(distance), half(2.0)])


def half(distance: float) -> Tensor:
    """Of length 1, so far from each half of ``ME``."""
    cosine = 1 - distance**2 / 2
    return torch.cat([torch.tensor([cosine, (1 - cosine**2) ** 0.5]), torch.zeros(126)])


class Stage:
    """A studio; and a likeness by which personas are so far from ``ME``, by persona and try, and once drawn."""

    def __init__(self, script: Mapping[Persona, Sequence[float]], drawn: Mapping[Persona, float] | None = None) -> None:
        self._script = {
            persona.another(tries): distance for persona, row in script.items() for tries, distance in enumerate(row)
        }
        self._drawn = self._script | dict(drawn or {})
        self.asked: list[list[Persona]] = []
        self.drawn: list[Persona] = []

    def likely_styles(self, personas: list[Persona]) -> Tensor:
        self.asked.append(personas)
        return torch.tensor([[self._script[persona]] for persona in personas])

    def styles(self, personas: list[Persona]) -> Tensor:
        self.drawn += personas
        return torch.tensor([[self._drawn[persona]] for persona in personas])

    def guess(self, styles: Tensor) -> Tensor:
        return torch.stack([at(float(distance)) for distance in styles])


def choose(stage: Stage, *personas: Persona, views: Tensor = ME[None]) -> list[int]:
    audition = Audition(stage)  # type: ignore[arg-type]
    audition._likeness = stage  # type: ignore[assignment]
    tries = audition.choose(dict(enumerate(personas)), dict.fromkeys(range(len(personas)), views))
    return [tries[number] for number in range(len(personas))]


def test_the_first_who_is_unlike_is_taken() -> None:
    for row, tries in (([UNLIKE + 0.01], 0), ([UNLIKE - 0.01, UNLIKE + 0.01], 1), ([0.1, 0.2, 0.7, 0.9], 2)):
        stage = Stage({ANNA: row})
        assert choose(stage, ANNA) == [tries]
        assert stage.asked == [[ANNA.another(number)] for number in range(tries + 1)]
        assert set(stage.drawn) == {ANNA.another(tries)}, "only who may do"


def test_who_is_alike_once_drawn_is_not_taken() -> None:
    row = [UNLIKE - 0.1, UNLIKE + 0.2, UNLIKE + 0.1]
    stage = Stage({ANNA: row}, {ANNA.another(1): UNLIKE - 0.2})
    assert choose(stage, ANNA) == [2]
    assert set(stage.drawn) == {ANNA.another(1), ANNA.another(2)}
    far = [UNLIKE + 0.1] * CANDIDATES
    stage = Stage({ANNA: far}, {ANNA.another(tries): UNLIKE - 0.1 - 0.01 * (tries != 4) for tries in range(CANDIDATES)})
    assert choose(stage, ANNA) == [4], "the least alike, as they are drawn"
    near = [UNLIKE - 0.01, UNLIKE - 0.02, *[UNLIKE - 0.3] * (CANDIDATES - 2)]
    stage = Stage({ANNA: near}, {ANNA: UNLIKE - 0.2})
    assert choose(stage, ANNA) == [1], "also of those of whom none is likely to do"
    assert set(stage.drawn) == {ANNA, ANNA.another(1)}


def test_who_cannot_be_told_is_taken_for_alike() -> None:
    stage = Stage({ANNA: [float("nan"), UNLIKE - 0.3, float("nan"), UNLIKE + 0.1]})
    assert choose(stage, ANNA) == [3]
    assert choose(Stage({ANNA: [float("nan"), *[UNLIKE - 0.3] * (CANDIDATES - 1)]}), ANNA) == [1]


def test_the_least_alike_of_those_tried_if_nobody_is_unlike() -> None:
    row = [0.3, 0.4, UNLIKE - 0.01, *[0.5] * (CANDIDATES - 3), 0.9]
    stage = Stage({ANNA: row})
    assert choose(stage, ANNA) == [2]
    assert len(stage.asked) == CANDIDATES
    assert len({persona.seed for [persona] in stage.asked}) == CANDIDATES


def test_people_are_tried_together_and_get_what_they_get_alone() -> None:
    script = {ANNA: [0.2, 0.3, 0.8], BEN: [0.9]}
    stage = Stage(script)
    assert choose(stage, ANNA, BEN) == [2, 0]
    assert stage.asked == [[ANNA, BEN], [ANNA.another(1)], [ANNA.another(2)]]
    assert choose(Stage(script), ANNA) == [2]
    assert choose(Stage(script), BEN) == [0]
    assert choose(Stage(script)) == []


def test_all_that_is_known_of_a_person_counts_whatever_its_length() -> None:
    row = [UNLIKE + 0.05, *[UNLIKE + 0.1] * CANDIDATES]
    other = torch.cat([at(UNLIKE + 0.05)[:128], ME[128:]])  # to dlib's recognizer alone
    for far, tries in ((ME, 0), (other, 1)):
        assert choose(Stage({ANNA: row}), ANNA, views=torch.stack([1.5 * ME, 0.5 * far])) == [tries]


@pytest.fixture(scope="module")
def jury() -> Jury:
    return Jury(Recognizer(CPU), CPU)


@pytest.mark.parametrize(("dlib", "sface", "chosen"), [(0.55, 1.36, False), (0.53, 1.38, False), (0.55, 1.38, True)])
def test_who_is_chosen_is_unlike_to_both(dlib: float, sface: float, chosen: bool) -> None:
    guess = torch.cat([half(dlib), half(sface)])
    assert (beyond(guess, ME[None]) >= 0).tolist() == [chosen]


def embedded(studio: Studio, jury: Jury, personas: Sequence[Persona]) -> Tensor:
    """Of portraits, ``(N, 256)``, each half of length 1."""
    portraits = studio.at_rest(personas)
    points = torch.stack([portrait.points for portrait in portraits])
    faces = replace(whole_pictures(len(portraits), SKETCH), landmarks=features(points))
    frames = stills(torch.stack([portrait.pixels for portrait in portraits]))
    return normalized(jury.embed(frames, faces))


def test_guesses_tell_who_is_alike(studio: Studio, jury: Jury) -> None:
    """All networks: distances between people and strangers of all ages, guessed for these and measured."""
    looks = [Look(age=age, gender=gender) for age in (25.0, 40.0, 60.0) for gender in get_args(Gender)]
    people = [Persona(OTHERS + number, looks[number % len(looks)].attributes) for number in range(24)]
    drawn = embedded(studio, jury, people)
    guessed = load_likeness().guess(studio.styles(people[:12]))
    for half, least in ((slice(128), 0.92), (slice(128, None), 0.8)):
        measured, told = (torch.cdist(drawn[12:, half], looks[:, half]).flatten() for looks in (drawn[:12], guessed))
        assert torch.corrcoef(torch.stack([measured, told]))[0, 1] > least


def test_nobody_is_replaced_by_a_likeness(studio: Studio, jury: Jury) -> None:
    """All networks: of people who look like their first personas, alone and together."""
    personas = {number: Persona(GAINING + number) for number in range(4)}
    views = dict(zip(personas, embedded(studio, jury, [*personas.values()])[:, None], strict=True))
    audition = Audition(studio)
    tries = audition.choose(personas, views)
    assert min(tries.values()) > 0
    gained, short = [], []  # over others, of the least alike; generated people are all a little alike
    for number, persona in personas.items():
        others = embedded(studio, jury, [persona.another(count) for count in range(CANDIDATES)])
        away = beyond(others, views[number])
        assert away[tries[number]] > away[1:].mean()
        gained.append(float(away[tries[number]] - away[1:].mean()))
        short.append(float(away.max() - away[tries[number]]))
        assert audition.choose({number: personas[number]}, {number: views[number]}) == {number: tries[number]}
    assert sum(gained) / len(gained) > 0.04
    assert sum(short) / len(short) < 0.05


class Always(Audition):
    """Takes the third persona of everybody."""

    def __init__(self) -> None:
        self.known: list[set[int]] = []

    def choose(self, personas: Mapping[int, Persona], views: Mapping[int, Tensor]) -> dict[int, int]:
        assert personas.keys() == views.keys()
        self.known.append(set(personas))
        return dict.fromkeys(personas, 2)


@pytest.fixture(scope="module")
def anonymizer() -> Anonymizer:
    return Anonymizer(Config(batch_size=4))


@pytest.fixture(scope="module")
def work(anonymizer: Anonymizer, views: dict[int, list[Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Split:
    """A video of some people in segments, in which faces were found."""
    tmp_path = tmp_path_factory.mktemp("work")
    shots = [wall(views[ANN][0])] * 50 + [wall(views[BEA][0], views[ANN][1])] * 40
    source = film(tmp_path / "a.mp4", shots)
    found = split(Job(Source(source, Kind.VIDEO), tmp_path / "out.mp4"), anonymizer.config, EXACT, LENGTH)
    assert found
    assert len(found.segments) > 1
    for number in range(len(found.segments)):
        Track(found, number).run(anonymizer)
    return found


def test_all_segments_have_the_personas_that_were_chosen(
    anonymizer: Anonymizer, work: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    always = Always()
    monkeypatch.setattr(anonymizer, "_director", Director(0, None, None, always))
    Agree(work).run(anonymizer)
    people, seen = work.people(anonymizer.envelope), set[Persona]()
    everybody = {who for table in people.tables for who in table.values() if who != NOBODY}
    assert always.known == [everybody]
    generate = anonymizer._painter.generator.generate

    def noting(frames: Frames, belief: object, personas: list[Persona]) -> object:
        seen.update(personas)
        return generate(frames, belief, personas)  # type: ignore[arg-type]

    monkeypatch.setattr(anonymizer._painter.generator, "generate", noting)
    for number in range(len(work.segments)):
        Render(work, number).run(anonymizer)
    source = bytes.fromhex(people.source)
    first = [Persona(derive_seed(work.secret(), source, who), people.looks[who].attributes) for who in everybody]
    assert seen == {persona.another(2) for persona in first}


def test_it_does_not_matter_who_agrees(anonymizer: Anonymizer, work: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymizer.audition.CANDIDATES", 2)
    agreed = []
    for somebody in (anonymizer, Anonymizer(Config(batch_size=8))):
        Agree(work).run(somebody)
        agreed.append(work.people(anonymizer.envelope))
    assert agreed[0] == agreed[1]
    assert agreed[0].personas


class Casting:
    """Subjects, all of whom have one persona."""

    key, personas, envelope = None, (), Plain()

    def cast(self, views: Mapping[int, Tensor], met: object, looks: object) -> dict[int, Persona]:
        return dict.fromkeys(views, ANNA)


def test_subjects_are_never_auditioned(anonymizer: Anonymizer, picture: Tensor) -> None:
    """Two personas of one person who are both unlike them would be a little alike."""
    keyed = Anonymizer(Config(), Casting())
    assert keyed._auditor
    assert keyed._audition is None
    people = People()
    people.remember(people.stranger(), ME)
    assert keyed._director.people(people) == {0: ANNA}
    assert keyed.cast(people, {}, 5, b"a") == {0: ANNA}
    frames = Frames(picture[None], (Fraction(0),))
    faces = anonymizer.inspect(frames)
    assert ANNA in keyed._director.pictures(keyed._jury, frames, faces, [Look()] * len(faces))[0]


def test_only_who_is_drawn_and_audited_is_auditioned(anonymizer: Anonymizer) -> None:
    assert anonymizer._director._audition
    assert Anonymizer(Config(), audited=False)._director._audition is None
    assert Anonymizer(Config(generate=GenerateConfig(method="solid")))._director._audition is None


def test_who_cannot_be_told_is_not_auditioned() -> None:
    people, always = People(), Always()
    people.remember(people.stranger(), ME)
    people.stranger()
    director = Director(0, None, None, always)
    assert director.parts(people, {}, 5, b"a") == {0: Persona(derive_seed(5, b"a", 0)).another(2)}
    assert Director(0, 3, None, always).parts(people, {}, 5, b"a") == {}
    assert Director(0, None, None).parts(people, {}, 5, b"a") == {}
    assert always.known == [{0}]
