"""``--personas``: a few personas for all."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from fake_anonymizer import Run, make_photo, make_video
from hypothesis import given
from hypothesis import strategies as st
from people_samples import ANN, BEA, CLEO, film, wall
from PIL import Image
from test_audit import Copyist, mirrored
from torch import Tensor

from anonymizer import Anonymizer, Config, ConfigError, Faces, Frames, GenerateConfig, Outcome
from anonymizer.subjects import Subjects
from anonymizer.troupe import Troupe, draw, together
from pipelines.keys import new_key
from pipelines.registry import Registry
from pipelines.split import _digits
from pipelines.whom import shared

SEED = 20  # of two personas whom nobody takes for the people of these pictures, who are generated as well
Views = dict[int, list[Tensor]]
PAIRS = st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1]))


def near(pairs: set[tuple[int, int]]) -> dict[int, set[int]]:
    return {who: {other for pair in pairs if who in pair for other in pair} - {who} for who in range(10)}


@given(st.integers(1, 12), PAIRS, st.lists(st.integers(0, 11), min_size=10, max_size=10))
def test_two_who_are_seen_together_have_different_ones_as_long_as_there_are_enough(
    count: int, pairs: set[tuple[int, int]], wanted: list[int]
) -> None:
    numbers = {who: number % count for who, number in enumerate(wanted)}
    troupe, others = Troupe(draw(7, count), numbers, near(pairs)), near(pairs)
    for one, other in pairs:
        if len(others[max(one, other)]) < count and len(others[min(one, other)]) < count:
            assert troupe.number(one) != troupe.number(other)
    assert all(troupe.persona(who) in draw(7, count) for who in range(10))
    assert troupe.number(0) == numbers[0]  # who comes first has the one that is wanted


def test_another_one_is_one_that_nobody_near_has_and_that_was_not_tried() -> None:
    troupe = Troupe(draw(7, 3), {0: 0, 1: 1, 2: 1}, {0: {1}, 1: {0}})
    assert troupe.recast(0)
    assert troupe.number(0) == 2
    assert not troupe.recast(0)  # 1 is worn beside it, 0 was tried
    assert troupe.recast(2)
    assert troupe.number(2) == 2
    assert troupe.recast(2)
    assert not troupe.recast(2)


def test_who_is_together() -> None:
    frames = torch.tensor([0, 0, 1])
    faces = Faces(
        frames,
        torch.zeros(3, 4),
        torch.zeros(3, 5, 2),
        torch.ones(3),
        torch.tensor([4, 7, 4]),
        torch.ones(3, dtype=torch.bool),
    )
    assert together([faces, faces[2:]]) == {4: {7}, 7: {4}}


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="--match none"):
        GenerateConfig(personas=3)
    with pytest.raises(ConfigError, match="method generate"):
        GenerateConfig(personas=3, match=(), method="blur")
    with pytest.raises(ConfigError, match="at least one"):
        GenerateConfig(personas=0, match=())


def hire(count: int) -> Anonymizer:
    return Anonymizer(Config(generate=GenerateConfig(seed=SEED, personas=count, match=())))


@pytest.fixture(scope="module")
def pair() -> Anonymizer:
    return hire(2)


def test_pictures_share_personas(pair: Anonymizer, views: Views) -> None:
    pixels = torch.stack([wall(views[ANN][0], views[BEA][0]), wall(views[CLEO][0], views[ANN][1])])
    done = pair.stills(Frames(pixels, (Fraction(0),) * 2))
    assert set(done.outcomes) == {Outcome.GENERATED}
    assert [set(part) for part in (done.personas[:2], done.personas[2:])] == [{0, 1}] * 2


def test_the_audit_stays_among_them_and_covers_in_the_end(pair: Anonymizer, views: Views) -> None:
    copyist = Copyist(mirrored, 1000, pair._painter.generator)
    with pytest.MonkeyPatch.context() as context:
        context.setattr(pair._painter, "generator", copyist)
        done = pair.stills(Frames(wall(views[ANN][0])[None], (Fraction(0),)))
        assert done.outcomes == (Outcome.SIMILAR,)
        assert done.personas == (-1,)
        assert sorted(seed for [seed] in copyist.seeds) == sorted(persona.seed for persona in draw(SEED, 2))
        copyist.seeds.clear()
        pair.stills(Frames(wall(views[ANN][0], views[BEA][0])[None], (Fraction(0),)))
        assert len(copyist.seeds) == 1, "there is none that the other one does not have"


def test_people_of_a_video_share_them(pair: Anonymizer, views: Views) -> None:
    shots = [wall(views[who][0], views[BEA][0]) for who in (ANN, CLEO) for _ in range(20)]
    batch = Frames(torch.stack(shots), tuple(Fraction(number, 25) for number in range(40)))
    with pytest.raises(ConfigError, match="seen twice"):
        pair.stream([batch])
    worn: Counter[tuple[int, int]] = Counter()
    for done in pair.stream([batch], pair.foresee([batch])):
        worn.update(zip(done.faces.tracks.tolist(), done.personas, strict=True))
    by_person = {track: number for track, number in worn if number >= 0}
    assert len(by_person) == len(worn) == 3, "each person has one"
    assert sorted(Counter(by_person.values()).values()) == [1, 2]


# With a key


def test_the_number_of_a_subject_chooses(tmp_path: Path) -> None:
    new_key(tmp_path / "my.key")
    registry = Registry(tmp_path / "my.key", 3)
    views = {number: torch.eye(256)[number : number + 1] for number in range(6)}
    cast = registry.cast(views, set(), {})
    assert [registry.personas.index(cast[number]) for number in range(6)] == [0, 1, 2, 0, 1, 2]
    again = Registry(tmp_path / "my.key", 3)
    assert again.personas == registry.personas
    assert again.cast(views, set(), {}) == cast
    assert Subjects(b"").people.count == 0
    config = Config(generate=GenerateConfig(key=registry.key, personas=4, match=()))
    with pytest.raises(ConfigError, match="as many"):
        Anonymizer(config, registry)


# The command


def test_report_counts_faces_and_appearances(run: Run, views: Views) -> None:
    for number, people in enumerate([(ANN, BEA), (CLEO,)]):
        path = Path(f"in/{number}.png")
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(wall(*(views[who][0] for who in people)).numpy()).save(path)
    film(Path("in/a.mkv"), [wall(views[BEA][0])] * 12)
    run("run", "in", "--personas", 2, "--match", "none", "--seed", SEED, "--report", "r.json", load=None)
    report = json.loads(Path("r.json").read_text())
    personas = report["personas"]
    assert personas["count"] == 2
    assert sum(used["appearances"] for used in personas["used"].values()) == 4
    assert sum(used["faces"] for used in personas["used"].values()) == 15
    assert personas["least"]["appearances"] == min(used["appearances"] for used in personas["used"].values())
    assert personas == shared(2, report["inputs"])


def test_long_videos_are_not_cut_and_what_was_begun_goes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_segments(*args: object, **settings: object) -> None:
        raise AssertionError("cut into segments")

    monkeypatch.setattr("pipelines.batch.split", no_segments)
    monkeypatch.setattr("pipelines.batch.LENGTH", 2)
    make_video(Path("a.mp4"))
    with pytest.raises(AssertionError, match="cut into segments"):
        run("run", "a.mp4", "-o", "b.mp4")
    begun = Path(f".{_digits('b.mp4')}.0123456789abcdef.segments")
    begun.mkdir()
    run("run", "a.mp4", "-o", "b.mp4", "--personas", 2, "--match", "none")
    assert not begun.exists()


def test_wrong_usage(run: Run) -> None:
    make_photo(Path("a.jpg"))
    assert "--match none" in run("run", "a.jpg", "--personas", 5, code=2).stderr
