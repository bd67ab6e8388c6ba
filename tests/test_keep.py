"""``--keep``: who consented stays visible, seen by the real networks; nobody else does."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from fake_anonymizer import Run, invoke, make_photo
from people_samples import ANN, BEA, CLEO, film, wall
from PIL import Image
from torch import Tensor

from anonymizer import Anonymizer, Config, ConfigError, Evidence, Faces, Frames, GenerateConfig, Outcome
from anonymizer.audit import unchanged
from anonymizer.blend import compose
from anonymizer.consent import LINK, Verdict
from anonymizer.errors import AnonymizerError, MediaError
from anonymizer.spare import spare
from anonymizer.trust import Belief
from pipelines.keep import References
from pipelines.keys import new_key
from pipelines.registry import Registry
from pipelines.report import describe

Views = dict[int, list[Tensor]]


def save(path: Path, *portraits: Tensor) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(wall(*portraits).numpy()).save(path)
    return path


def consent(folder: Path, views: Views, **until: str) -> Path:
    """A folder in which Ann and Cleo consent."""
    for name, who in {"ann": ANN, "cleo": CLEO}.items():
        save(folder / name / "1.png", views[who][0])
        if name in until:
            (folder / name / "consent.toml").write_text(f"until = {until[name]}\n")
    return folder


def hire(folder: Path, method: str = "generate") -> Anonymizer:
    references = References.read(folder)
    generate = GenerateConfig(seed=7, method=method)  # type: ignore[arg-type]
    return Anonymizer(Config(generate=generate, keep=references.name), consents=references.consents("cpu"))


@pytest.fixture(scope="module")
def keeping(views: Views, tmp_path_factory: pytest.TempPathFactory) -> Anonymizer:
    return hire(consent(tmp_path_factory.mktemp("keep") / "people", views))


def still(picture: Tensor) -> Frames:
    return Frames(picture[None], (Fraction(0),))


def test_in_a_photograph_only_who_consented_stays(keeping: Anonymizer, views: Views) -> None:
    frames = still(wall(views[ANN][1], views[BEA][0]))
    done = keeping.stills(frames)
    left = done.faces.boxes[:, 0] < 200
    assert Counter(done.outcomes) == {Outcome.GENERATED: 1, Outcome.KEPT: 1}
    assert [outcome is Outcome.KEPT for outcome in done.outcomes] == left.tolist()
    assert unchanged(frames, done.frames, Belief.blind(done.faces)).tolist() == left.tolist()
    assert torch.equal(done.frames.pixels[:, :, :290], frames.pixels[:, :, :290])
    assert describe(Counter(done.outcomes)) == "2 faces: 1 generated, 1 kept"
    [decision] = [told for told in done.decisions if told.judgment.verdict is Verdict.KEPT]
    assert decision.judgment.who == "ann"


def test_pictures_of_a_batch_are_judged_alone(keeping: Anonymizer, views: Views) -> None:
    """That the same person is in another picture is no doubt."""
    pixels = torch.stack([wall(views[ANN][1]), wall(views[ANN][0]), wall(views[BEA][0])])
    done = keeping.stills(Frames(pixels, (Fraction(0),) * 3))
    assert dict(zip(done.faces.frame.tolist(), done.outcomes, strict=True)) == {
        0: Outcome.KEPT,
        1: Outcome.KEPT,
        2: Outcome.GENERATED,
    }


def test_who_is_there_twice_or_small_is_replaced(keeping: Anonymizer, views: Views) -> None:
    twice = keeping.stills(still(wall(views[ANN][1], views[ANN][1])))
    assert Outcome.KEPT not in twice.outcomes
    assert {told.judgment.verdict for told in twice.decisions} == {Verdict.TWICE}
    small = torch.nn.functional.interpolate(views[ANN][0].permute(2, 0, 1)[None].float(), 50)[0].byte().permute(1, 2, 0)
    picture = wall(torch.full_like(views[ANN][0], 128))
    picture[200:250, 130:180] = small
    assert Outcome.KEPT not in keeping.stills(still(picture)).outcomes


def test_labelled_faces_that_nobody_found_are_covered_even_there(keeping: Anonymizer, views: Views) -> None:
    evidence = Evidence.of_picture([(20, 270, 60, 310)], [True])
    done = keeping.stills(still(wall(views[ANN][1])), evidence)
    assert Counter(done.outcomes) == {Outcome.KEPT: 1, Outcome.LABELLED: 1}
    assert done.frames.pixels[0, 280:300, 30:50].float().flatten(0, 1).std(0).max() < 1


def test_covers_spare_them_too(views: Views, tmp_path: Path) -> None:
    anonymizer = hire(consent(tmp_path / "people", views), "solid")
    frames = still(wall(views[BEA][0], views[CLEO][1]))
    done = anonymizer.stills(frames)
    assert Counter(done.outcomes) == {Outcome.COVERED: 1, Outcome.KEPT: 1}
    assert torch.equal(done.frames.pixels[:, :, 320:], frames.pixels[:, :, 320:])


def test_a_new_face_must_not_look_like_who_stays(keeping: Anonymizer, views: Views) -> None:
    """A generator that paints the face of the person who stays over the other one is refused."""
    picture = wall(views[ANN][1], views[BEA][0])
    painter, generator = keeping._painter, keeping._painter.generator

    class Thief:
        def generate(self, frames: Frames, belief: Belief, personas: Any) -> Any:
            patches, outcomes = generator.generate(frames, belief, personas)
            shown = frames.pixels[0].permute(2, 0, 1).float() / 255
            stolen = [
                torch.nn.functional.interpolate(shown[None, :, 60:316, 20:276], part.colour.shape[-1]).expand(
                    len(part), -1, -1, -1
                )
                for part in patches
            ]
            return [
                type(part)(part.frame, new, torch.ones_like(part.alpha), _to(belief, part), part.face)
                for part, new in zip(patches, stolen, strict=True)
            ], outcomes

    with pytest.MonkeyPatch.context() as context:
        context.setattr(painter, "generator", Thief())
        done = keeping.stills(still(picture))
    assert Counter(done.outcomes) == {Outcome.SIMILAR: 1, Outcome.KEPT: 1}


def _to(belief: Belief, part: Any) -> Tensor:
    """The square of a portrait at the place of the second person of ``wall``."""
    scale = part.colour.shape[-1] / 256
    return torch.tensor([[[scale, 0.0, -310 * scale], [0.0, scale, -60 * scale]]]).expand(len(part), -1, -1)


def faces_of(*boxes: tuple[float, float, float, float]) -> Faces:
    count = len(boxes)
    return Faces(
        torch.zeros(count, dtype=torch.int64),
        torch.tensor(boxes, dtype=torch.float32),
        torch.zeros(count, 5, 2),
        torch.ones(count),
        torch.arange(count),
        torch.ones(count, dtype=torch.bool),
    )


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_neighbours_cover_neither_who_stays_nor_are_uncovered(kind: torch.dtype) -> None:
    peak = torch.iinfo(kind).max
    pixels = (torch.rand(1, 200, 300, 3) * peak).to(torch.int32).to(kind)
    frames = Frames(pixels, (Fraction(0),))
    replaced = Frames(torch.zeros_like(pixels), frames.times)
    kept, other = faces_of((100, 50, 180, 150)), faces_of((170, 60, 250, 150))
    done = compose(replaced, spare(frames, kept, Belief.blind(other))).pixels[0].to(torch.int32)
    assert (done[60:150, 170:250] == 0).all()
    assert torch.equal(done[70:130, 110:155], pixels[0, 70:130, 110:155].to(torch.int32))
    assert (done[:, 260:] == 0).all()
    assert spare(frames, kept, Belief.blind(Faces.none())) == []


# Videos


def test_in_a_video_who_consented_stays_where_that_is_sure(keeping: Anonymizer, views: Views) -> None:
    """Ann, then another person in her place."""
    shots = [wall(views[ANN][0])] * 30 + [wall(views[BEA][0])] * 30
    pixels, times = torch.stack(shots), tuple(Fraction(number, 25) for number in range(60))

    def batches(size: int) -> list[Frames]:
        return [Frames(pixels[at : at + size], times[at : at + size]) for at in range(0, 60, size)]

    with pytest.raises(ConfigError, match="seen twice"):
        keeping.stream(batches(8))
    outcomes = []
    for size in (8, 60):
        foreseen = keeping.foresee(batches(size))
        frames = Frames.cat([done.frames for done in keeping.stream(batches(size), foreseen)])
        outcomes.append(foreseen.kept.frame.tolist())
        stays = [torch.equal(frames.pixels[at], pixels[at]) for at in range(60)]
        assert [at for at in range(60) if stays[at]] == outcomes[-1]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == 0
    assert 24 <= outcomes[0][-1] < 30


def test_who_stays_at_times_is_no_subject(views: Views, tmp_path: Path) -> None:
    """The persona of the other frames would tell who it is in other files."""
    new_key(tmp_path / "my.key")
    registry, references = Registry(tmp_path / "my.key"), References.read(consent(tmp_path / "people", views))
    config = Config(generate=GenerateConfig(key=registry.key), keep=references.name)
    anonymizer = Anonymizer(config, registry, references.consents("cpu"))
    pixels = torch.stack([wall(views[ANN][1], views[BEA][0])] * 20)
    foreseen = anonymizer.foresee([Frames(pixels, tuple(Fraction(number, 25) for number in range(20)))])
    assert len(foreseen.kept) > 10
    assert len(registry.read().known) == 1
    assert not foreseen.personas.keys() & set(foreseen.kept.tracks.tolist())
    anonymizer.image(pixels[0])
    assert len(registry.read().known) == 1


# The folder


def make_bad(folder: Path, views: Views) -> dict[str, tuple[Callable[[], object], type[AnonymizerError], str]]:
    ann = folder / "ann"
    old = datetime.date(2020, 1, 1)
    return {
        "empty": (lambda: [path.unlink() for path in ann.iterdir()], ConfigError, "holds no reference"),
        "text": (lambda: (ann / "a.txt").write_text("a"), MediaError, "no photograph"),
        "damaged": (lambda: (ann / "1.png").write_bytes((ann / "1.png").read_bytes()[:5000]), MediaError, "1.png"),
        "noise": (lambda: make_photo(ann / "2.jpg"), MediaError, "shows none"),
        "several": (lambda: save(ann / "2.png", views[ANN][0], views[BEA][0]), MediaError, "shows 2"),
        "key": (lambda: (ann / "consent.toml").write_text("untill = 2027-01-01"), ConfigError, "untill"),
        "no date": (lambda: (ann / "consent.toml").write_text('until = "soon"'), ConfigError, "must be a date"),
        "time": (lambda: (ann / "consent.toml").write_text("until = 2027-01-01T10:00:00"), ConfigError, "must be"),
        "toml": (lambda: (ann / "consent.toml").write_text("until 2027"), ConfigError, "TOML"),
        "nobody": (lambda: (folder / "consent.toml").write_text(f"[dan]\nuntil = {old}"), ConfigError, "'dan'"),
        "no table": (lambda: (folder / "consent.toml").write_text(f"ann = {old}"), ConfigError, "below the"),
    }


BAD = list(make_bad(Path(), {}))


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_references_is_said_before_any_work(
    name: str, views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "people"
    save(folder / "ann" / "1.png", views[ANN][0])
    spoil, kind, why = make_bad(folder, views)[name]
    spoil()
    with pytest.raises(kind, match=why):
        References.read(folder).consents("cpu")
    make_photo(Path("in/a.jpg"))
    result = invoke("run", "in", "--keep", folder, code=2 if kind is ConfigError else 1)
    assert why in result.stderr
    assert not Path("in_anonymized").exists()
    assert not Path("in_anonymized.ledger").exists()


def test_names_and_days(views: Views, tmp_path: Path) -> None:
    save(tmp_path / "ann.png", views[ANN][0])
    save(tmp_path / "cleo" / "a.png", views[CLEO][0])
    save(tmp_path / "cleo" / "b.png", views[CLEO][1])
    before = References.read(tmp_path)
    (tmp_path / "consent.toml").write_text("[ann]\nuntil = 2027-01-01\n")
    after = References.read(tmp_path)
    assert before.name != after.name
    assert [(person.name, person.until) for person in after.people] == [
        ("ann", datetime.date(2027, 1, 1)),
        ("cleo", None),
    ]
    assert [len(person.views) for person in after.consents("cpu").people] == [1, 2]
    assert after.expired(datetime.date(2026, 12, 31)) == []
    assert [person.name for person in after.expired(datetime.date(2027, 1, 1))] == ["ann"]
    save(tmp_path / "cleo" / "a.png", views[CLEO][1])
    with pytest.raises(ConfigError, match="changed"):
        after.consents("cpu")


# The command


def test_run_keeps_replaces_and_tells(run: Run, views: Views) -> None:
    consent(Path("people"), views, cleo="2020-01-01")
    save(Path("in/photo.png"), views[ANN][1], views[BEA][0])
    save(Path("in/cleo.png"), views[CLEO][1])
    film(Path("in/video.mkv"), [wall(views[ANN][1], views[CLEO][1])] * 20)
    command = ("run", "in", "--keep", "people", "--report", "r.json", "--report", "r.html", "--method", "solid")
    first = run(*command, "--workers", 2, load=None)
    assert "cleo: the consent expired on 2020-01-01" in first.stderr
    assert "2 faces: 1 covered, 1 kept" in first.stdout
    report = json.loads(Path("r.json").read_text())
    assert report["consents"] == {
        "ann": {"photographs": 1, "until": None, "expired": False},
        "cleo": {"photographs": 1, "until": "2020-01-01", "expired": True},
    }
    told = {Path(entry["input"]).name: entry for entry in report["inputs"]}
    assert told["cleo.png"]["faces"] == {"covered": 1}
    assert [(near["who"], near["verdict"]) for near in told["cleo.png"]["near_misses"]] == [
        ("cleo", "consent has expired")
    ]
    [stays] = told["video.mkv"]["kept"]
    assert (stays["who"], stays["frames"][0]) == ("ann", 0)
    assert told["video.mkv"]["faces"]["kept"] == stays["frames"][1] + 1
    assert told["photo.png"]["kept"][0]["distance"] < LINK
    assert "Stays visible" in Path("r.html").read_text()
    with av.open("in/video.mkv") as before, av.open("in_anonymized/video.mkv") as after:
        pairs = zip(before.decode(video=0), after.decode(video=0), strict=True)
        apart = [
            np.abs(one.to_ndarray(format="rgb24").astype(int) - other.to_ndarray(format="rgb24"))
            for one, other in pairs
        ]
    assert np.mean([picture[150:250, 100:200].mean() for picture in apart[:10]]) < 3, "Ann"
    assert np.mean([picture[150:250, 390:490].mean() for picture in apart]) > 10, "Cleo"
    # other consents are other settings
    assert "done before" in run(*command, load=None).stdout
    (Path("people/cleo/consent.toml")).unlink()
    assert "other settings (keep)" in run(*command, code=2).stderr
    assert "other settings (keep)" in run("run", "in", "--method", "solid", code=2).stderr


def test_what_people_look_like_stays_on_one_machine(run: Run, views: Views) -> None:
    consent(Path("people"), views)
    make_photo(Path("a.jpg"))
    assert "--workers" in run("run", "a.jpg", "--keep", "people", "--cluster", "auto", code=2).stderr


def test_references_among_the_files_are_left_out(run: Run, views: Views) -> None:
    consent(Path("in/people"), views)
    make_photo(Path("in/a.jpg"))
    run("run", "in", "--keep", "in/people")
    assert sorted(path.name for path in Path("in_anonymized").rglob("*")) == ["a.jpg"]
