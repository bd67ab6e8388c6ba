"""One long video in segments: the same result as in one piece, whatever happens in between."""

import os
import pickle
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
from split_samples import CONFIG, COUNT, EXACT, LENGTH, Halves, in_segments, job, make_source, names, run, work_on
from video_samples import make_video, packets, read

from anonymizer import Anonymizer, Config, Outcome, TrackConfig
from anonymizer.errors import ConfigError, MediaError
from anonymizer.generate.base import FAILURES
from anonymizer.media.timeline import Timeline
from pipelines.segments import Agree, Render, Track, finish, stages
from pipelines.settings import OutputConfig
from pipelines.split import SECRET, cut, split
from pipelines.video import anonymize_video


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path)


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
    done = in_segments(job(source, name), Halves(), output, LENGTH)
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
    done = in_segments(job(made, "out.mkv"), Halves(), EXACT, LENGTH)
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
    done = in_segments(job(source), scripted(config), EXACT, LENGTH)
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
        done = in_segments(job(path, "out.mkv"), FakeAnonymizer(CONFIG), EXACT, LENGTH)
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
    assert (work.folder / SECRET).stat().st_mode & 0o777 == 0o600
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
    result = in_segments(job(source), Halves(), EXACT, LENGTH)
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
        finish(work, in_segments(job(source, "other.mp4"), Halves(), EXACT, LENGTH))
    assert not work.job.target.exists()


def test_people_keep_their_personas_across_joints(tmp_path: Path) -> None:
    """All networks, on a clip of three people who do not exist."""
    sample = read(Path(__file__).parent.parent / "sample_media" / "conversation.mp4")
    source = tmp_path / "in.mp4"
    pictures = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in sample.pixels[:112].numpy()]
    make_video(source, range(len(pictures)), size=(360, 640), frames=pictures, options={"g": "16", "crf": "12"})
    anonymizer = Anonymizer(Config())  # whose secret nobody knows: it has to be the same in all segments
    done = in_segments(job(source), anonymizer, EXACT, LENGTH)
    assert done.error is None
    # old and new people are of one generator, so that some may look alike, and personas last
    assert not done.faces.keys() & set(FAILURES) - {Outcome.SIMILAR}
    assert done.faces[Outcome.GENERATED] > 150
    result = read(job(source).target).pixels.int()
    change = (result - read(source).pixels.int()).abs().float()
    assert change[:, 120:250].mean((1, 2, 3)).min() > 3
    joints = [segment.start for segment in cut(Timeline.of(source), Config(), LENGTH)[1:]]
    assert joints
    steps = torch.stack([(b - a).abs().float().mean() for a, b in pairwise(result)])
    for joint in joints:
        assert steps[joint - 1] < 2 * steps[joint - 9 : joint + 8].median(), "people change at a joint"
