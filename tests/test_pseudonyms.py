"""One key, one persona: photographs and videos of people who do not exist, seen by the real networks."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_anonymizer import FakeAnonymizer, Run, invoke, make_photo
from people_samples import ANN, BEA, CLEO, film, wall
from PIL import Image
from torch import Tensor

from anonymizer import Anonymizer, Config, Frames, GenerateConfig
from anonymizer.detect import DETECTORS
from anonymizer.envelope import Plain
from anonymizer.errors import ConfigError, LeakError, PassingError
from anonymizer.foreseen import Foreseen
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.identity import Recognizer
from anonymizer.people import LINK
from anonymizer.sightings import Sightings
from anonymizer.subjects import Subjects
from pipelines.inputs import Kind, Source
from pipelines.keys import new_key, path_of
from pipelines.plan import Job
from pipelines.registry import Registry
from pipelines.sealed import Sealed
from pipelines.segments import Agree, Track, anonymize_in_segments
from pipelines.settings import OutputConfig
from pipelines.split import split
from pipelines.video import anonymize_video
from pipelines.workers import Alone

CPU = torch.device("cpu")


class Recording(Registry):
    """Notes what it answers."""

    def __init__(self, key_file: Path) -> None:
        super().__init__(key_file)
        self.answers: list[dict[int, Persona]] = []

    def cast(
        self, views: Mapping[int, Tensor], met: Collection[tuple[int, int]], looks: Mapping[int, Look]
    ) -> dict[int, Persona]:
        self.answers.append(super().cast(views, met, looks))
        return self.answers[-1]

    @property
    def last(self) -> list[Persona]:
        """The personas of the last picture or video."""
        return list(self.answers[-1].values())


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a registry with nobody in it, the same in each run of the tests."""
    path = tmp_path_factory.mktemp("keys") / "my.key"
    path.touch(0o600)
    path.write_bytes(bytes(range(32)))
    Registry(path)._write(Subjects(bytes(16)))
    return path


def hire(key_file: Path) -> tuple[Anonymizer, Recording]:
    """Without the audit, which covers some: the people of these pictures are generated, as their personas are, and to
    SFace all such are a little alike.
    """
    registry = Recording(key_file)
    return Anonymizer(Config(generate=GenerateConfig(key=registry.key)), registry, audited=False), registry


@pytest.fixture(scope="module")
def hired(key_file: Path) -> tuple[Anonymizer, Recording]:
    return hire(key_file)


def as_job(source: Path, kind: Kind = Kind.VIDEO) -> Job:
    return Job(Source(source, kind), source.with_name(f"out_{source.name}"))


def test_a_person_has_one_persona_in_photographs_and_videos(
    hired: tuple[Anonymizer, Recording], views: dict[int, list[Tensor]], tmp_path: Path
) -> None:
    anonymizer, registry = hired
    first = anonymizer.image(wall(views[ANN][0], views[BEA][0]))
    two = set(registry.last)
    second = anonymizer.image(wall(views[CLEO][1], views[ANN][1]))
    others = set(registry.last)
    assert len({persona.seed for persona in two | others}) == 3
    [ann] = two & others
    [cleo] = others - two
    # the pictures show it
    seen = []
    for picture in (first, second):
        frames = Frames(picture[None], (Fraction(0),))
        faces = DETECTORS["centerface"](Config().detect, CPU).detect(frames)
        faces = faces[faces.boxes[:, 0].argsort()]
        seen.append(Recognizer(CPU).embed(frames, faces))
    (ann_1, bea_1), (cleo_2, ann_2) = seen
    same = (ann_1 - ann_2).norm()
    assert same < LINK
    assert same < 0.8 * min((ann_1 - bea_1).norm(), (ann_2 - cleo_2).norm())
    # the first, empty frames tell nothing yet, and who is small at first is known from the start
    small = torch.nn.functional.interpolate(views[ANN][0].permute(2, 0, 1)[None].float(), 30)[0].byte().permute(1, 2, 0)
    far = wall(torch.full_like(views[ANN][0], 128))
    far[200:230, 130:160] = small
    shots = [far] * 20 + [wall(views[ANN][1])] * 10 + [wall(views[CLEO][0])] * 10
    result = anonymize_video(as_job(film(tmp_path / "a.mkv", shots)), anonymizer, OutputConfig())
    assert result.error is None
    assert registry.last == [ann, cleo]  # in the order in which they come


def test_long_videos_in_segments_are_cast_once(
    hired: tuple[Anonymizer, Recording], views: dict[int, list[Tensor]], tmp_path: Path
) -> None:
    anonymizer, registry = hired
    anonymizer.image(wall(views[ANN][0]))
    [ann] = registry.last
    shots = [wall(views[ANN][0])] * 60 + [wall(views[ANN][1])] * 60
    work = split(as_job(film(tmp_path / "a.mp4", shots)), anonymizer.config, OutputConfig(), length=40)
    assert work
    assert len(work.segments) > 1
    seen: list[Persona] = []
    generate = anonymizer._painter.generator.generate

    def noting(frames: Frames, belief: object, personas: list[Persona]) -> object:
        seen.extend(personas)
        return generate(frames, belief, personas)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as context:
        context.setattr(anonymizer._painter.generator, "generate", noting)
        before = len(registry.answers)
        result = anonymize_in_segments(work, Alone(lambda config: anonymizer, anonymizer.config))
    assert result
    assert result.error is None
    assert len(registry.answers) == before + 1
    assert set(seen) == {ann}


def test_with_a_key_nobody_else_can_read_who_is_in_segments(
    hired: tuple[Anonymizer, Recording], views: dict[int, list[Tensor]], tmp_path: Path
) -> None:
    anonymizer, _ = hired
    shots = [wall(views[ANN][0])] * 60 + [wall(views[ANN][1])] * 60
    work = split(as_job(film(tmp_path / "a.mp4", shots)), anonymizer.config, OutputConfig(), length=40)
    assert work
    for number in range(len(work.segments)):
        Track(work, number).run(anonymizer)
    Agree(work).run(anonymizer)
    assert Agree(work).done
    assert work.people(anonymizer.envelope).personas
    embeddings = Sightings.load(work.faces(0), anonymizer.envelope).people
    assert embeddings
    everything = b"".join(path.read_bytes() for path in work.folder.iterdir())
    for embedding in embeddings.values():
        assert embedding.numpy().tobytes()[:32] not in everything
    for envelope in (Plain(), Sealed(bytes(32))):
        with pytest.raises(PassingError, match="missing"):
            Sightings.load(work.faces(0), envelope)
        with pytest.raises(PassingError, match="missing"):
            work.people(envelope)


def test_faces_that_cannot_be_told_are_nobody_and_have_personas_of_their_own(
    hired: tuple[Anonymizer, Recording], views: dict[int, list[Tensor]]
) -> None:
    anonymizer, registry = hired
    known, answers = registry.read().people.count, len(registry.answers)
    small = torch.nn.functional.interpolate(views[ANN][0].permute(2, 0, 1)[None].float(), 50)[0].byte().permute(1, 2, 0)
    picture = wall(torch.full_like(views[ANN][0], 128))
    picture[200:250, 130:180] = small
    frames = Frames(picture[None], (Fraction(0),))
    assert len(anonymizer.stills(frames).faces) == 1
    assert (registry.read().people.count, len(registry.answers)) == (known, answers)


def test_another_key_and_who_is_forgotten(
    hired: tuple[Anonymizer, Recording], views: dict[int, list[Tensor]], tmp_path: Path
) -> None:
    anonymizer, registry = hired
    picture = wall(views[BEA][1])
    once = anonymizer.image(picture)
    [bea] = registry.last
    assert torch.equal(anonymizer.image(picture), once)
    new_key(tmp_path / "other.key")
    other, others = hire(tmp_path / "other.key")
    assert not torch.equal(other.image(picture), once)
    assert others.last[0].seed != bea.seed
    number = next(number for number, known in registry.answers[-1].items() if known == bea)
    assert number == 0
    subjects = registry.read()
    [subject] = [number for number in subjects.known if subjects.persona(registry._key.seeds, number) == bea]
    registry.forget([subject])
    anonymizer.image(picture)
    assert registry.last[0].seed != bea.seed
    assert subject not in registry.read().known


def test_a_video_must_be_seen_twice_and_be_the_same(
    hired: tuple[Anonymizer, Recording], views: dict[int, list[Tensor]]
) -> None:
    anonymizer, _ = hired
    pixels = torch.stack([wall(views[ANN][0])] * 4)
    frames = Frames(pixels, tuple(Fraction(index, 25) for index in range(4)))
    with pytest.raises(ConfigError, match="seen twice"):
        anonymizer.stream([frames])
    foreseen = anonymizer.foresee([frames])
    late = Frames(pixels, tuple(Fraction(index, 24) for index in range(4)))
    other = Frames(pixels.flip(2), frames.times)
    for others in ([late], [other], [frames, frames], [frames[:3]], []):
        with pytest.raises(LeakError, match="looked at before"):
            list(anonymizer.stream(others, foreseen))


def test_a_video_that_changes_while_it_is_seen_is_not_written(
    hired: tuple[Anonymizer, Recording], views: dict[int, list[Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anonymizer, _ = hired
    job = as_job(film(tmp_path / "a.mkv", [wall(views[ANN][0])] * 4))
    foresee = anonymizer.foresee

    def touching(batches: Iterable[Frames]) -> Foreseen:
        foreseen = foresee(batches)
        os.utime(job.source.path, ns=(0, 0))
        return foreseen

    monkeypatch.setattr(anonymizer, "foresee", touching)
    assert "changed while" in (anonymize_video(job, anonymizer, OutputConfig()).error or "")
    assert not job.target.exists()


# The command


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder with a key."""
    monkeypatch.chdir(tmp_path)
    new_key(Path("my.key"))
    return invoke


def rows(key: str = "my.key") -> list[list[str]]:
    return [line.split() for line in invoke("subjects", "list", "--key-file", key).stdout.splitlines()[1:]]


def save(path: Path, *portraits: Tensor) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(wall(*portraits).numpy()).save(path)


def test_workers_share_the_registry(run: Run, views: dict[int, list[Tensor]]) -> None:
    for number, people in enumerate([(ANN, BEA), (BEA, CLEO), (CLEO, ANN), (ANN,)]):
        save(Path(f"in/{number}.png"), *(views[person][number % 2] for person in people))
    first = run("run", "in", "--key-file", "my.key", "--workers", 2, "--report", "r.json", load=None)
    assert "nobody is known yet" in first.stderr
    assert len(rows()) == 3
    report = Path("r.json").read_text()
    assert json.loads(report)["settings"]["generate"]["key"] == Registry(Path("my.key")).key
    for secret in (Path("my.key").read_bytes().hex(), Registry(Path("my.key"))._key.seeds.hex()):
        assert secret not in report
        assert secret.encode() not in Path("in_anonymized.ledger").read_bytes()
    second = run("run", "in/3.png", "-o", "again.png", "--key-file", "my.key", load=None)
    assert "nobody is known yet" not in second.stderr
    before, again, original = (
        np.asarray(Image.open(path), np.int64) for path in ("in_anonymized/3.png", "again.png", "in/3.png")
    )
    assert np.abs(before - again).mean() < 0.1 * np.abs(before - original).mean()  # but for rounding


def no_networks(config: object) -> None:
    raise AssertionError("networks were loaded")


def test_what_contradicts_a_key(run: Run) -> None:
    make_photo(Path("a.jpg"))
    key = ("--key-file", "my.key")
    assert "contradict" in run("run", "a.jpg", *key, "--seed", 7, code=2).stderr
    assert "makes none" in run("run", "a.jpg", *key, "--method", "blur", code=2).stderr
    assert "--workers" in run("run", "a.jpg", *key, "--cluster", "auto", code=2).stderr
    os.chmod("my.key", 0o644)  # noqa: PTH101
    assert "chmod 600" in run("run", "a.jpg", *key, code=2).stderr


def test_a_foreign_registry_stops_the_run(run: Run) -> None:
    make_photo(Path("in/a.jpg"))
    new_key(Path("other.key"))
    Registry(Path("other.key")).cast({0: torch.ones(1, 256)}, set(), {})
    content = path_of(Path("other.key")).read_bytes()
    path_of(Path("my.key")).write_bytes(content)
    result = run("run", "in", "--key-file", "my.key", code=2, load=no_networks)
    assert "not of the key" in result.stderr
    path_of(Path("my.key")).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    run("run", "in", "--key-file", "other.key", load=FakeAnonymizer)
    path_of(Path("other.key")).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "damaged" in run("run", "in", "--key-file", "other.key", code=1, load=no_networks).stderr
    assert path_of(Path("other.key")).read_bytes() != content


def test_a_run_goes_on_with_its_key_only(run: Run) -> None:
    make_photo(Path("in/a.jpg"))
    run("run", "in", "--key-file", "my.key")
    assert "done before" in run("run", "in", "--key-file", "my.key").stdout
    new_key(Path("other.key"))
    for other in (["--key-file", "other.key"], []):
        assert "other settings (key)" in run("run", "in", *other, code=2).stderr


def test_a_key_that_lies_among_the_files_is_not_copied(run: Run) -> None:
    make_photo(Path("in/a.jpg"))
    Path("in/my.key").touch(0o600)
    Path("in/my.key").write_text("0123456789abcdef" * 4)
    run("run", "in", "--key-file", "in/my.key")
    assert not list(Path("in_anonymized").glob("*key*"))
