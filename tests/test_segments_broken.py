"""Segments that go wrong: nothing is lost, nothing gets through, and little is done again."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_anonymizer import invoke
from split_samples import CONFIG, EXACT, LENGTH, Halves, in_segments, job, make_source, names, run, work_on
from video_samples import read

from anonymizer.anonymize import Anonymized
from anonymizer.batches import Faces, Frames
from anonymizer.envelope import Plain
from anonymizer.errors import LeakError, MediaError, PassingError
from anonymizer.people import People
from pipelines.segments import Render, stages
from pipelines.split import PEOPLE, Split, split
from pipelines.video import anonymize_video


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path)


class Forgetful(Halves):
    """Loses the last frames."""

    def track(self, batches: Iterable[Frames], people: People | None = None, lead: int = 0) -> Any:
        return list(super().track(batches, people, lead))[:-1]


class Mute(Halves):
    """Renders all but one frame."""

    def render(self, tracked: Iterable[tuple[Frames, Faces]], *_: Any, **__: Any) -> Iterator[Anonymized]:
        return iter(list(super().render(tracked))[1:])


class Careless(Halves):
    """Does nothing with the faces."""

    def render(self, tracked: Iterable[tuple[Frames, Faces]], *_: Any, **__: Any) -> Iterator[Anonymized]:
        return (Anonymized(frames, faces, ()) for frames, faces in tracked)


@pytest.mark.parametrize("anonymizer", [Forgetful(), Mute(), Careless()])
def test_a_frame_that_is_lost_is_noticed(source: Path, anonymizer: Any) -> None:
    result = in_segments(job(source), anonymizer, EXACT, LENGTH)
    assert result.error is not None
    assert not job(source).target.exists()


def test_faces_that_are_missing_are_noticed(source: Path) -> None:
    work = work_on(source)
    run(work, Halves())
    agreed = work.people(Plain())
    work.keep_people(replace(agreed, tables=[{}, *agreed.tables[1:]]), Plain())
    with pytest.raises(LeakError, match="nobody knows who"):
        Render(work, 0).run(Halves())
    work.keep_people(replace(agreed, marks=[agreed.marks[0], agreed.marks[0], *agreed.marks[2:]]), Plain())
    faces, other = work.faces(0).read_bytes(), work.faces(1).read_bytes()
    work.faces(1).write_bytes(faces)
    with pytest.raises(LeakError, match="nobody looked"):
        Render(work, 1).run(Halves())
    work.keep_people(agreed, Plain())
    for altered in (other, faces[:4096] + bytes(len(faces) - 4096), faces[:-1], b""):
        work.faces(0).write_bytes(altered)
        with pytest.raises(PassingError, match="not those that were agreed on"):
            Render(work, 0).run(Halves())
    work.faces(0).unlink()
    with pytest.raises(PassingError, match="not those that were agreed on"):
        Render(work, 0).run(Halves())
    work.discard()
    with pytest.raises(MediaError, match="is missing"):
        Render(work, 0).run(Halves())


KILLED = """
import os, signal, sys
from pathlib import Path
from split_samples import EXACT, LENGTH, Halves, in_segments, job
from split_samples import in_segments

class Killed(Halves):
    def inspect(self, frames):
        if self.tracked > int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().inspect(frames)

    def render(self, tracked, looks, **options):
        for done in super().render(tracked, looks, **options):
            if self.rendered > int(sys.argv[3]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield done

in_segments(job(Path(sys.argv[1])), Killed(), EXACT, LENGTH)
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
    assert in_segments(job(source), again, EXACT, LENGTH).error is None
    assert again.tracked + min(tracked, total.tracked) <= total.tracked + longest
    assert again.rendered + rendered <= total.rendered + longest
    anonymize_video(job(source, "whole.mp4"), Halves(), EXACT)
    assert torch.equal(read(job(source).target).pixels, read(source.with_name("whole.mp4")).pixels)
    assert names(source.parent) == {"in.mp4", "out.mp4", "whole.mp4"}


def test_who_is_who_is_agreed_on_again_if_that_is_damaged(source: Path) -> None:
    work = work_on(source)
    run(work, Halves())
    before, path = work.people(Plain()), work.folder / PEOPLE
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    work.part(0).unlink()
    run(work_on(source), Halves())
    assert work.people(Plain()) == before
    assert in_segments(job(source), Halves(), EXACT, LENGTH).error is None


def test_what_is_damaged_is_done_again_and_nothing_else(source: Path) -> None:
    work, total = work_on(source), Halves()
    run(work, total)
    for path, counted in ((work.part(1), "rendered"), (work.faces(1), "tracked"), (work.folder / PEOPLE, "")):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x40
        path.write_bytes(content)
        again = Halves()
        run(work_on(source), again)
        for name in ("rendered", "tracked"):
            assert (getattr(again, name) > 0) is (name == counted)
            assert getattr(again, name) < getattr(total, name) / 2
    assert in_segments(job(source), Halves(), EXACT, LENGTH).error is None


def test_begun_work_is_used_or_deleted(source: Path) -> None:
    run(work_on(source), Halves())
    machine = replace(CONFIG, device="cpu", batch_size=2)
    again = split(job(source), machine, EXACT, LENGTH, least=1000)
    assert again is not None
    assert all(step.done for stage in stages(again) for step in stage)
    assert split(job(source), CONFIG, EXACT, 10 * LENGTH, least=1000) is None
    assert names(source.parent) == {"in.mp4"}


def test_a_run_that_is_killed_when_all_is_done_may_be_repeated(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.batch.ALONE", 2)
    monkeypatch.setattr("pipelines.batch.LENGTH", LENGTH)
    monkeypatch.setattr("pipelines.batch.split", partial(split, length=LENGTH))
    with monkeypatch.context() as killed:
        killed.setattr(Split, "discard", lambda work: None)
        invoke("run", source, "-o", source.with_name("out.mp4"), "--seed", 1, load=Halves)
    assert len(names(source.parent)) == 3
    invoke("run", source, "-o", source.with_name("out.mp4"), "--seed", 1, load=Halves)
    assert names(source.parent) == {"in.mp4", "out.mp4"}


def test_what_cannot_be_written_is_told_before_the_work(source: Path) -> None:
    anonymizer = Halves()
    result = in_segments(job(source, "out.webm"), anonymizer, EXACT, LENGTH)
    assert "does not fit" in str(result.error)
    assert anonymizer.tracked == 0
    assert names(source.parent) == {"in.mp4"}
