"""One long video in segments: the same result as in one piece, whatever happens in between."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from fake_anonymizer import FakeAnonymizer
from scripted_faces import Scripted, square
from video_samples import make_video, packets, read

from anonymizer import Anonymizer, Config, GenerateConfig, Outcome, TrackConfig
from anonymizer.anonymize import Anonymized
from anonymizer.batches import Faces, Frames
from anonymizer.errors import ConfigError, LeakError, MediaError
from anonymizer.generate.base import FAILURES
from anonymizer.media.timeline import Timeline
from anonymizer.people import People
from pipelines.inputs import Kind, Source
from pipelines.plan import Job
from pipelines.segments import Agree, Render, Track, anonymize_in_segments, finish, stages
from pipelines.settings import OutputConfig
from pipelines.split import Split, cut, split
from pipelines.video import anonymize_video

CONFIG = Config(track=TrackConfig(stride=4, window=4), generate=GenerateConfig(method="solid"))
COUNT, LENGTH = 170, 40
EXACT = OutputConfig(crf=0)  # H.264 without losses


class Halves(FakeAnonymizer):
    """Tracks and renders what ``FakeAnonymizer`` finds, and counts the frames."""

    def __init__(self, config: Config = CONFIG) -> None:
        super().__init__(config)
        self.tracked = self.rendered = 0

    def track(
        self, batches: Iterable[Frames], people: People | None = None, lead: int = 0
    ) -> Iterator[tuple[Frames, Faces]]:
        for batch in batches:
            self.tracked += len(batch)
            yield batch, self.inspect(batch)

    def render(self, tracked: Iterable[tuple[Frames, Faces]], **_: Any) -> Iterator[Anonymized]:
        for frames, faces in tracked:
            self.rendered += len(frames)
            pixels = frames.pixels.clone()
            for frame, (x0, y0, x1, y1) in zip(faces.frame.tolist(), faces.boxes.int().tolist(), strict=True):
                pixels[frame, y0:y1, x0:x1] = 0
            yield Anonymized(Frames(pixels, frames.times), faces, (Outcome.COVERED,) * len(faces))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_video(tmp_path / "in.mp4", range(COUNT), options={"g": "10", "bf": "2"}, audio="aac")


def job(source: Path, name: str = "out.mp4") -> Job:
    return Job(Source(source, Kind.VIDEO), source.with_name(name))


def work_on(source: Path, name: str = "out.mp4") -> Split:
    work = split(job(source, name), CONFIG, EXACT, LENGTH)
    assert work is not None
    return work


def run(work: Split, anonymizer: Any) -> None:
    for step in (step for stage in stages(work) for step in stage if not step.done):
        step.run(anonymizer)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_segments_cover_all_frames_once() -> None:
    timeline = Timeline(Fraction(1, 25), tuple(range(1000)), (0, 90, 95, 200, 333, 340, 600, 931, 990))
    for config in (Config(), CONFIG, Config(track=TrackConfig(stride=1, window=16))):
        segments = cut(timeline, config, 100)
        assert [segment.start for segment in segments[1:]] == [segment.stop for segment in segments[:-1]]
        assert (segments[0].lead, segments[0].start, segments[-1].stop, segments[-1].tail) == (0, 0, 1000, 1000)
        assert len(segments) == 5
        for segment in segments[1:]:
            assert segment.start - segment.lead >= 32
            assert 0 <= segment.lead - timeline.key_before(segment.lead) < 16
        assert all(segment.stop - segment.start >= 50 for segment in segments)
    assert len(cut(Timeline(Fraction(1, 25), tuple(range(1000)), (0,)), Config(), 100)) == 1


@pytest.mark.parametrize(
    ("name", "codec", "audio"),
    [
        ("out.mp4", None, "keep"),
        ("out.mkv", None, "drop"),
        ("out.mov", "hevc", "keep"),
        ("out.mkv", "vp9", "keep"),
        ("out.mp4", None, "disguise"),
    ],
)
def test_the_same_as_in_one_piece(source: Path, name: str, codec: Any, audio: Any) -> None:
    output = OutputConfig(codec=codec, audio=audio)
    done = anonymize_in_segments(job(source, name), Halves(), output, LENGTH)
    whole = anonymize_video(job(source, f"whole{Path(name).suffix}"), Halves(), output)
    assert done.error is whole.error is None
    assert (done.frames, done.faces) == (whole.frames, whole.faces) == (COUNT, {Outcome.COVERED: COUNT})
    result, other = read(done.job.target), read(whole.job.target)
    assert result.times == other.times == read(source).times
    assert (result.pixels.int() - other.pixels.int()).abs().float().mean() < 4
    assert result.pixels[:, 10:22, 10:22].float().mean() < 5
    if audio == "keep":
        assert packets(done.job.target, "audio") == packets(whole.job.target, "audio")
    assert names(source.parent) == {"in.mp4", name, f"whole{Path(name).suffix}"}


def test_a_turned_video_with_uneven_times(tmp_path: Path) -> None:
    times = np.cumsum([30, *(1 + 17 * number % 90 for number in range(COUNT - 1))]).tolist()
    matrix = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    made = make_video(
        tmp_path / "in.mkv", times, Fraction(1, 1000), options={"g": "10"}, matrix=matrix, size=(48, 32), last=7
    )
    done = anonymize_in_segments(job(made, "out.mkv"), Halves(), EXACT, LENGTH)
    anonymize_video(job(made, "whole.mkv"), Halves(), EXACT)
    assert done.error is None
    result, whole = read(tmp_path / "out.mkv"), read(tmp_path / "whole.mkv")
    assert result.times == whole.times == tuple(Fraction(time, 1000) for time in times)
    assert torch.equal(result.pixels, whole.pixels)
    assert result.size == (32, 48)


def scripted(config: Config = CONFIG) -> Anonymizer:
    """The real tracker and renderer around a detector that sees people walk, come, go and turn away."""

    def script(frame: int) -> dict[tuple[float, float, float, float], float]:
        people = {square(30 + 1.5 * frame, 60): 0.9 if frame < 20 else 0.25}
        if 25 < frame < 90 or 118 < frame < 121:
            people[square(200, 150 + (frame % 7))] = 0.8
        if frame % 40 == 3:
            people[square(80, 200)] = 0.7
        people[square(280, 200)] = 0.22  # nobody ever is sure of this
        return people

    anonymizer = Anonymizer(config)
    anonymizer._detector = Scripted(script)
    return anonymizer


@pytest.mark.parametrize("config", [CONFIG, Config(generate=CONFIG.generate)])
def test_the_real_tracker_finds_the_same_faces(tmp_path: Path, config: Config) -> None:
    source = make_video(tmp_path / "in.mp4", range(COUNT), size=(240, 320), options={"g": "8"})
    done = anonymize_in_segments(job(source), scripted(config), EXACT, LENGTH)
    whole = anonymize_video(job(source, "whole.mp4"), scripted(config), EXACT)
    assert done.error is whole.error is None
    assert done.faces == whole.faces
    assert torch.equal(read(done.job.target).pixels, read(whole.job.target).pixels)
    assert not torch.equal(read(done.job.target).pixels, read(source).pixels)


def test_what_cannot_be_split_is_done_in_one_piece(tmp_path: Path) -> None:
    made = {
        "short.mp4": make_video(tmp_path / "short.mp4", range(60), options={"g": "10"}),
        "one.mp4": make_video(tmp_path / "one.mp4", range(COUNT), options={"g": "500", "sc_threshold": "0"}),
        "in.avi": make_video(tmp_path / "in.avi", range(COUNT), options={"g": "10", "bf": "0"}),
        "refresh.mp4": make_video(
            tmp_path / "refresh.mp4",
            range(COUNT),
            options={"g": "10", "x264-params": "intra-refresh=1"},
            size=(96, 128),
        ),
    }
    for name, path in made.items():
        assert split(job(path), CONFIG, EXACT, LENGTH) is None, name
        done = anonymize_in_segments(job(path, "out.mkv"), FakeAnonymizer(CONFIG), EXACT, LENGTH)
        assert (done.error, done.frames) == (None, len(read(path)))
    assert split(job(made["short.mp4"], "out.ts"), CONFIG, EXACT, 20) is None
    assert names(tmp_path) == {*made, "out.mkv"}


def test_steps_travel(source: Path) -> None:
    work = work_on(source)
    for stage in stages(work):
        for step in reversed(stage):
            sent = pickle.loads(pickle.dumps(step))
            assert sent == step
            assert not sent.done
            sent.run(Halves())
            assert step.done
    assert work.folder.stat().st_mode & 0o777 == 0o700
    assert (work.folder / "secret.json").stat().st_mode & 0o777 == 0o600
    assert work.secret() == work_on(source).secret()


def test_what_is_lost_is_done_again_and_nothing_else(source: Path) -> None:
    work, anonymizer = work_on(source), Halves()
    run(work, anonymizer)
    before = anonymizer.tracked, anonymizer.rendered
    for path in (work.part(1), work.part(2).with_suffix(".json"), work.part(0)):
        if path == work.part(0):
            path.write_bytes(path.read_bytes()[:-1])
        else:
            path.unlink()
        again = Halves()
        run(work_on(source), again)
        assert again.tracked == 0
        assert 0 < again.rendered < before[1] / 2
    result = anonymize_in_segments(job(source), Halves(), EXACT, LENGTH)
    assert result.error is None
    assert not work.folder.exists()


def test_other_settings_begin_anew(source: Path) -> None:
    run(work_on(source), Halves())
    other = split(job(source), CONFIG, OutputConfig(crf=30), LENGTH)
    assert other is not None
    assert not any(step.done for stage in stages(other) for step in stage)
    assert names(source.parent) == {"in.mp4", other.folder.name}
    with pytest.raises(ConfigError, match="settings are not those"):
        Track(other, 0).run(Halves(Config()))


def test_a_source_that_changes_is_noticed(source: Path) -> None:
    work = work_on(source)
    for step in stages(work)[0]:
        step.run(Halves())
    Agree(work).run(Halves())
    os.utime(source, ns=(0, 0))
    for number in range(2):
        with pytest.raises(MediaError, match="was changed"):
            Render(work, number).run(Halves())
    with pytest.raises(MediaError, match="was changed"):
        finish(work, anonymize_in_segments(job(source, "other.mp4"), Halves(), EXACT, LENGTH))
    assert not work.job.target.exists()


class Forgetful(Halves):
    """Loses the last frames."""

    def track(self, batches: Iterable[Frames], people: People | None = None, lead: int = 0) -> Any:
        return list(super().track(batches, people, lead))[:-1]


class Mute(Halves):
    """Renders all but one frame."""

    def render(self, tracked: Iterable[tuple[Frames, Faces]], **_: Any) -> Iterator[Anonymized]:
        return iter(list(super().render(tracked))[1:])


class Careless(Halves):
    """Does nothing with the faces."""

    def render(self, tracked: Iterable[tuple[Frames, Faces]], **_: Any) -> Iterator[Anonymized]:
        return (Anonymized(frames, faces, ()) for frames, faces in tracked)


@pytest.mark.parametrize("anonymizer", [Forgetful(), Mute(), Careless()])
def test_a_frame_that_is_lost_is_noticed(source: Path, anonymizer: Any) -> None:
    result = anonymize_in_segments(job(source), anonymizer, EXACT, LENGTH)
    assert result.error is not None
    assert not job(source).target.exists()


def test_faces_that_are_missing_are_noticed(source: Path) -> None:
    work = work_on(source)
    run(work, Halves())
    tables, name = work.people()
    work.keep_people([{}, *tables[1:]], name)
    with pytest.raises(LeakError, match="nobody knows who"):
        Render(work, 0).run(Halves())
    work.keep_people(tables, name)
    work.faces(0).write_bytes(work.faces(1).read_bytes())
    with pytest.raises(LeakError, match="nobody looked"):
        Render(work, 0).run(Halves())
    work.faces(0).unlink()
    with pytest.raises(MediaError, match="are missing"):
        Render(work, 0).run(Halves())
    work.discard()
    with pytest.raises(MediaError, match="is missing"):
        Render(work, 0).run(Halves())


KILLED = """
import os, signal, sys
from pathlib import Path
from test_segments import EXACT, LENGTH, Halves, anonymize_in_segments, job

class Killed(Halves):
    def inspect(self, frames):
        if self.tracked > int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().inspect(frames)

    def render(self, tracked, **options):
        for done in super().render(tracked, **options):
            if self.rendered > int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield done

anonymize_in_segments(job(Path(sys.argv[1])), Killed(), EXACT, LENGTH)
"""


@pytest.mark.parametrize(("tracked", "rendered"), [(20, 0), (150, 0), (1000, 30), (1000, 130)])
def test_after_a_kill_at_most_one_step_is_done_again(source: Path, tracked: int, rendered: int) -> None:
    total = Halves()
    run(work_on(source), total)
    longest = max(segment.tail - segment.lead for segment in work_on(source).segments)
    work_on(source).discard()
    command = [sys.executable, "-c", KILLED, str(source), str(tracked), str(rendered)]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode == -9
    assert not job(source).target.exists()
    again = Halves()
    assert anonymize_in_segments(job(source), again, EXACT, LENGTH).error is None
    assert again.tracked + min(tracked, total.tracked) <= total.tracked + longest
    assert again.rendered + rendered <= total.rendered + longest
    anonymize_video(job(source, "whole.mp4"), Halves(), EXACT)
    assert torch.equal(read(job(source).target).pixels, read(source.with_name("whole.mp4")).pixels)
    assert names(source.parent) == {"in.mp4", "out.mp4", "whole.mp4"}


def test_people_keep_their_personas_across_joints(tmp_path: Path) -> None:
    """All networks, on a clip of three people who do not exist."""
    sample = read(Path(__file__).parent.parent / "sample_media" / "conversation.mp4")
    source = tmp_path / "in.mp4"
    pictures = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in sample.pixels[:112].numpy()]
    make_video(source, range(len(pictures)), size=(360, 640), frames=pictures, options={"g": "16", "crf": "12"})
    anonymizer = Anonymizer(Config())  # whose secret nobody knows: it has to be the same in all segments
    done = anonymize_in_segments(job(source), anonymizer, EXACT, LENGTH)
    assert done.error is None
    assert not done.faces.keys() & set(FAILURES)
    assert done.faces[Outcome.GENERATED] > 200
    result = read(job(source).target).pixels.int()
    change = (result - read(source).pixels.int()).abs().float()
    assert change[:, 120:250].mean((1, 2, 3)).min() > 3
    joints = [segment.start for segment in cut(Timeline.of(source), Config(), LENGTH)[1:]]
    assert joints
    steps = torch.stack([(b - a).abs().float().mean() for a, b in pairwise(result)])
    for joint in joints:
        assert steps[joint - 1] < 2 * steps[joint - 9 : joint + 8].median(), "people change at a joint"
