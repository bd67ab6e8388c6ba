"""The ledger when files, labels, outputs or the program that worked on them are no longer what they were."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from fake_anonymizer import FakeAnonymizer, Run, invoke, make_photo, make_video
from test_ledger import COMMAND, Flaky, no_networks

from anonymizer.batches import Frames
from pipelines import batch

VOC = "<annotation><object><name>face</name><bndbox>{}</bndbox></object></annotation>"
BOX = "<xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>20</ymax>"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder, with no pauses between tries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "PAUSE", 0.0)
    for name in ("a", "b", "c"):
        make_photo(Path("in", f"{name}.bmp"))
    return invoke


def states() -> dict[str, str]:
    with closing(sqlite3.connect("out.ledger")) as base:
        return dict(base.execute("SELECT target, state FROM items"))


def test_labels_that_are_added_or_changed(run: Run) -> None:
    run("run", "in", "-o", "out")
    for corner in (10, 20):
        Path("in/a.xml").write_text(VOC.format(BOX.format(corner)))
        again = run("run", "in", "-o", "out")
        assert "in/a.bmp: is done again: the input or its labels have changed" in again.stderr
        assert "2 written" in again.stdout
    assert "0 written; 4 done before" in run("run", "in", "-o", "out", load=no_networks).stdout


def test_an_original_in_place_of_a_result(run: Run) -> None:
    run("run", "in", "-o", "out")
    shutil.copyfile("in/a.bmp", "out/a.bmp")
    os.utime("out/b.bmp")
    again = run("run", "in", "-o", "out")
    assert "in/a.bmp: is done again: its output was changed" in again.stderr
    assert "1 written" in again.stdout
    assert Path("out/a.bmp").read_bytes() == Path("out/b.bmp").read_bytes() != Path("in/a.bmp").read_bytes()


def test_names_that_are_no_unicode(run: Run) -> None:
    Path("in/a.bmp").rename(os.fsdecode(b"in/\xe9t\xe9\n.bmp"))
    assert "3 written" in run("run", "in", "-o", "out", "--report", "r.json", "--report", "r.html").stdout
    assert "3 done before" in run("run", "in", "-o", "out", load=no_networks).stdout


def test_inputs_that_are_gone_are_no_failures(run: Run) -> None:
    Path("in/d.jpg").write_bytes(b"\xff\xd8\xff nothing")
    assert "1 failed" in run("run", "in", "-o", "out", code=1).stdout
    Path("in/d.jpg").unlink()
    run("run", "in", "-o", "out", load=no_networks)
    assert not Path("out.ledger.secret").exists()


def test_results_of_other_inputs_are_kept(run: Run) -> None:
    run("run", "in", "-o", "out")
    before = Path("out/a.bmp").read_bytes()
    make_photo(Path("other/a.bmp"), (64, 64))
    refused = run("run", "other", "-o", "out", load=no_networks, code=1)
    assert "other/a.bmp: its result exists, of" in refused.stderr
    assert Path("out/a.bmp").read_bytes() == before
    Path("in").rename("moved")
    assert "3 done before" in run("run", "moved", "-o", "out", load=no_networks).stdout


def test_what_stays_undone_is_named(run: Run) -> None:
    Flaky.failures = 1000
    run("run", "in", "-o", "out", load=Flaky, code=1)
    again = run("run", "in", "-o", "out", load=no_networks, code=1)
    assert "in/a.bmp: is left out, as it failed (--retry tries again): in/a.bmp: unexpected" in again.stderr
    assert "0 written; 3 failed" in again.stdout
    Flaky.failures = 0
    run("run", "in", "-o", "out", "--retry", load=Flaky)


def test_dry_runs_know_what_is_done(run: Run) -> None:
    assert run("run", "in", "-o", "out", "--dry-run").stdout.count("would anonymize") == 3
    assert not Path("out.ledger").exists()
    run("run", "in", "-o", "out")
    make_photo(Path("in/d.bmp"))
    assert run("run", "in", "-o", "out", "--dry-run").stdout == (
        "would anonymize the photograph in/d.bmp -> out/d.bmp\n"
    )
    assert run("run", "in", "-o", "out", "--dry-run", "--force").stdout.count("would anonymize") == 4


def test_a_report_without_a_folder_is_refused_at_once(run: Run) -> None:
    assert "no folder for the report" in run("run", "in", "--report", "no/r.json", load=no_networks, code=2).stderr


def test_force_removes_what_was_not_whole(run: Run) -> None:
    run("run", "in", "-o", "out")
    left = Path("out/.0123456789abcdef.part.bmp")
    left.touch()
    run("run", "in", "-o", "out", "--force")
    assert not left.exists()


class Murderous(FakeAnonymizer):
    """Dies at every picture that is as high as it is wide."""

    def stills(self, frames: Frames, evidence=None):  # type: ignore[no-untyped-def]
        if frames.size[0] == frames.size[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().stills(frames, evidence)


@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_kill_workers_take_no_others_with_them(run: Run, workers: int) -> None:
    for number in range(40):
        make_photo(Path(f"in/{number}.bmp"), (32, 32) if number % 10 == 3 else (48, 32))
    result = run("run", "in", "-o", "out", "--workers", workers, load=Murderous, code=1)
    assert "39 written; 4 failed" in result.stdout
    assert {name for name, state in states().items() if state != "done"} == {f"{n}.bmp" for n in (3, 13, 23, 33)}
    assert set(states().values()) == {"done", "quarantined"}


def test_workers_end_with_the_run_that_started_them(run: Run) -> None:
    """Else they would publish over the results of the next run."""
    for number in range(2):
        make_video(Path(f"in/{number}.mp4"), range(0, 30_000, 100))
    start = [sys.executable, "-c", COMMAND, str(Path(__file__).parent), "run", "in", "-o", "out", "--workers", "2"]
    with subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(Path("out").glob(".*.part.mp4")):
            time.sleep(0.02)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(workers) >= 2
        process.kill()
    for _ in range(500):
        if not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
            break
        time.sleep(0.02)
    else:
        pytest.fail("workers went on")
    assert not list(Path("out").glob("[01].mp4"))
    run("run", "in", "-o", "out", "--force")
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(path.name for path in Path("in").iterdir())
