"""The ledger: the same command again does only what is left, whatever happened before."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_anonymizer import FakeAnonymizer, Run, files, invoke, make_photo
from PIL import Image

from anonymizer.batches import Frames
from pipelines import batch
from pipelines.failures import may_pass
from pipelines.inputs import Kind, Source
from pipelines.ledger import Ledger
from pipelines.plan import Job
from pipelines.report import Result

LEDGER = Path("out.ledger")
SECRET = Path("out.ledger.secret")
TRIES = "entry ->> '$.item.result.tries'"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder, with no pauses between tries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "PAUSE", 0.0)
    for name in ("a", "b", "c"):
        make_photo(Path("in", f"{name}.jpg"))
    return invoke


def no_networks(config: object) -> None:
    raise AssertionError("networks were loaded")


def rows(columns: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(LEDGER) as base:
        query = f"SELECT {columns} FROM items LEFT JOIN records ON number = record ORDER BY target"
        found = base.execute(query).fetchall()
    base.close()
    return found


class Flaky(FakeAnonymizer):
    """Fails at the first tries, for a reason that may pass."""

    failures = 0

    def stills(self, frames: Frames, evidence=None):  # type: ignore[no-untyped-def]
        if Flaky.failures:
            Flaky.failures -= 1
            raise OSError(errno.ECONNRESET, "connection reset")
        return super().stills(frames, evidence)


def test_what_is_recorded(run: Run) -> None:
    Path("in/labels.csv").write_text("a,b\n")
    Path("in/d.jpg").write_bytes(b"\xff\xd8\xff nothing")
    run("run", "in", "-o", "out", code=1)
    assert rows(f"target, state, {TRIES}") == [
        ("a.jpg", "done", 1),
        ("b.jpg", "done", 1),
        ("c.jpg", "done", 1),
        ("d.jpg", "failed", 1),
        ("labels.csv", "done", 1),
    ]
    names = [Path("out", str(target)) for (target,) in rows("target") if target != "d.jpg"]
    assert [size for (size,) in rows("size_out") if size] == [path.stat().st_size for path in names]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in names]
    assert [digest for (digest,) in rows("entry ->> '$.item.result.sha256.output'") if digest] == digests
    assert LEDGER.stat().st_mode & 0o077 == 0


def test_again_does_nothing_and_loads_nothing(run: Run) -> None:
    run("run", "in", "-o", "out")
    before = {path: Path(path).stat().st_mtime_ns for path in files()}
    assert "0 written; 3 done before" in run("run", "in", "-o", "out", load=no_networks).stdout
    assert {path: Path(path).stat().st_mtime_ns for path in files()} == before


def test_again_does_what_is_new_failed_changed_or_gone(run: Run) -> None:
    Path("in/d.jpg").write_bytes(b"\xff\xd8\xff nothing")
    run("run", "in", "-o", "out", code=1)
    assert "1 failed" in run("run", "in", "-o", "out", code=1).stdout
    make_photo(Path("in/d.jpg"))
    make_photo(Path("in/e.jpg"))
    make_photo(Path("in/a.jpg"), (64, 64))
    Path("out/b.jpg").unlink()
    Path("out/c.jpg").write_bytes(b"something else")
    result = run("run", "in", "-o", "out")
    assert "in/a.jpg: is done again: the input or its labels have changed" in result.stderr
    assert "in/b.jpg: is done again: its output is gone" in result.stderr
    assert "in/c.jpg: is done again: its output was changed" in result.stderr
    assert "5 written" in result.stdout
    with Image.open("out/a.jpg") as picture:
        assert picture.size == (64, 64)
    assert "5 done before" in run("run", "in", "-o", "out", load=no_networks).stdout


def test_other_settings_are_refused(run: Run) -> None:
    run("run", "in", "-o", "out", "--seed", "1")
    refused = run("run", "in", "-o", "out", "--seed", "2", "--quality", "50", code=2, load=no_networks)
    assert "other settings (seed, quality)" in " ".join(refused.stderr.split())
    assert "3 written" in run("run", "in", "-o", "out", "--seed", "2", "--quality", "50", "--force").stdout
    assert "3 done before" in run("run", "in", "-o", "out", "--seed", "2", "--quality", "50").stdout


def test_what_others_made_is_kept(run: Run) -> None:
    make_photo(Path("out/a.jpg"), (8, 8))
    result = run("run", "in", "-o", "out", code=1)
    assert "in/a.jpg: its result exists" in result.stderr
    assert "2 written" in result.stdout
    with Image.open("out/a.jpg") as picture:
        assert picture.size == (8, 8)


def test_the_report_is_of_the_whole_and_may_be_written_again(run: Run) -> None:
    run("run", "in", "-o", "out", "--report", "r.json")
    make_photo(Path("in/d.jpg"))
    run("run", "in", "-o", "out", "--report", "r.json")
    assert Path("r.json").read_text().count('"output": "out/') == 4


def test_what_may_pass_is_tried_again(run: Run) -> None:
    Flaky.failures = 2
    assert "3 written" in run("run", "in", "-o", "out", load=Flaky).stdout
    assert sorted(rows(TRIES), reverse=True)[0] != (1,)


def test_what_does_not_pass_is_quarantined(run: Run) -> None:
    Flaky.failures = 1000
    assert "connection reset" in run("run", "in", "-o", "out", load=Flaky, code=1).stderr
    assert set(rows(f"state, {TRIES}")) == {("quarantined", 3)}
    assert not Path("out/a.jpg").exists()
    Flaky.failures = 0
    assert "3 failed" in run("run", "in", "-o", "out", load=no_networks, code=1).stdout
    assert "3 written" in run("run", "in", "-o", "out", "--retry", load=Flaky).stdout


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOSPC, "no space"), True),
        (OSError(errno.EACCES, "not allowed"), False),
        (ValueError("damaged"), False),
    ],
)
def test_what_may_pass(error: Exception, passes: bool) -> None:
    outer = RuntimeError("around it")
    outer.__cause__ = error
    assert may_pass(error) is may_pass(outer) is passes


def test_two_runs_do_not_share_a_ledger(run: Run) -> None:
    ledger = Ledger(Path("out"), {})
    assert "another run is at work" in run("run", "in", "-o", "out", load=no_networks, code=2).stderr
    ledger.close()
    run("run", "in", "-o", "elsewhere")


def test_what_is_no_ledger_is_kept(run: Run) -> None:
    LEDGER.write_text("my notes, which are longer than the head of a data base" * 10)
    assert "out.ledger: the ledger cannot be used" in run("run", "in", "-o", "out", load=no_networks, code=1).stderr
    assert LEDGER.read_text().startswith("my notes")


def test_the_secret_lasts_until_all_is_done(run: Run) -> None:
    jobs = [Job(Source(Path("in/a.jpg"), Kind.PHOTO), Path("out/a.jpg"))]
    Path("out").mkdir()
    Path("out/a.jpg").touch()
    secrets = []
    for _ in range(2):
        ledger = Ledger(Path("out"), {"seed": None})
        secrets.append(ledger.secret)
        ledger.left(jobs, [])
        ledger.close()
    assert secrets[0] == secrets[1]
    assert SECRET.stat().st_mode & 0o777 == 0o600
    ledger = Ledger(Path("out"), {"seed": None})
    ledger.left(jobs, [])
    ledger.record(Result(jobs[0], hash_out=hashlib.sha256().hexdigest(), size_out=0))
    ledger.close()
    assert not SECRET.exists()
    SECRET.write_bytes((secrets[0] << 1).to_bytes(8))
    SECRET.chmod(0o600)
    Ledger(Path("out"), {"seed": None}).close()
    ledger = Ledger(Path("out"), {"seed": None})
    assert ledger.secret == secrets[0], "a run that is about nothing does not know that all is done"
    assert ledger.left(jobs, []) == []
    ledger.close()
    assert not SECRET.exists(), "the run before was killed before it forgot it"
    ledger = Ledger(Path("out"), {"seed": None})
    assert ledger.secret != secrets[0]
    ledger.close()


def test_the_secret_is_not_in_the_ledger(run: Run) -> None:
    Path("in/d.jpg").write_bytes(b"\xff\xd8\xff nothing")
    run("run", "in", "-o", "out", code=1)
    content = SECRET.read_bytes()
    number = int.from_bytes(content) >> 1
    for form in (content, number.to_bytes(8), str(number).encode(), f"{number:x}".encode(), content.hex().encode()):
        assert form not in LEDGER.read_bytes()
    SECRET.chmod(0o644)
    assert "out.ledger.secret: others may read" in run("run", "in", "-o", "out", code=2).stderr
    SECRET.chmod(0o600)
    SECRET.write_bytes(b"cut")  # as a kill may leave it
    run("run", "in", "-o", "out", code=1)
    assert len(SECRET.read_bytes()) == 8
    run("run", "in", "-o", "out", "--force", "--seed", "3", code=1)
    assert not SECRET.exists()


COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from fake_anonymizer import Brisk
from pipelines.cli import main
main(sys.argv[1:], obj=Brisk)
"""


@pytest.mark.parametrize(("kills", "workers"), [(22, []), (8, ["--workers", "2"])])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_is_half(run: Run, kills: int, workers: list[str]) -> None:
    """Then run once to the end: what was done stays as it was, the rest is whole."""
    for number in range(200):
        make_photo(Path(f"in/{number % 4}/{number}.png"), (300, 200))
    dice = random.Random(len(workers))
    start = [sys.executable, "-c", COMMAND, str(Path(__file__).parent), "run", "in", "-o", "out", *workers]
    done: dict[str, int] = {}
    for _ in range(kills):
        process = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(known()) == len(done):
            time.sleep(0.01)  # it has begun to work
        time.sleep(dice.uniform(0, 0.15))
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = known()
        assert done.keys() < now
        assert all(Path("out", name).stat().st_mtime_ns == when for name, when in done.items())
        for name in now:
            with Image.open(Path("out", name)) as picture:
                picture.load()
        done = {name: Path("out", name).stat().st_mtime_ns for name in now}
    assert SECRET.exists()
    assert subprocess.run(start, capture_output=True).returncode == 0
    assert not SECRET.exists()
    assert all(Path("out", name).stat().st_mtime_ns == when for name, when in done.items())
    made = sorted(path.relative_to("out") for path in Path("out").rglob("*") if path.is_file())
    assert made == sorted(path.relative_to("in") for path in Path("in").rglob("*") if path.is_file())
    assert {state for (state,) in rows("state")} == {"done"}


def known() -> set[str]:
    """What the ledger says is done, at this moment."""
    if not LEDGER.exists():
        return set()
    base = sqlite3.connect(LEDGER, timeout=30)
    try:
        return {name for (name,) in base.execute("SELECT target FROM items WHERE state = 'done'")}
    except sqlite3.OperationalError:  # there are no tables yet
        return set()
    finally:
        base.close()
