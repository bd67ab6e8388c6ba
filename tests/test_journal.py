"""The record in a ledger: it goes on in the next run, survives whatever kills a run, and tells what was altered."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fake_anonymizer import Run, files, invoke, make_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ledger import COMMAND, known

from pipelines import batch
from pipelines.chain import text_of
from pipelines.journal import Journal, read_history
from pipelines.signature import read_signature
from pipelines.told import read_told

LEDGER = Path("out.ledger")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder, with no pauses between tries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "PAUSE", 0.0)
    return invoke


@pytest.fixture
def job(run: Run) -> str:
    """Two runs: over three photographs of which one fails, and over one more; how the record ends."""
    for name in "abc":
        make_photo(Path(f"in/{name}.jpg"))
    Path("in/c.jpg").write_bytes(b"\xff\xd8\xff nothing")
    run("run", "in", "-o", "out", "--operator", "Erika Mustermann", code=1)
    make_photo(Path("in/d.jpg"))
    run("run", "in", "-o", "out", "--operator", "Max Mustermann", code=1)
    return run("report", "verify", "out").stdout.split("; ")[1].split()[0]


def entries() -> list[dict[str, Any]]:
    with closing(sqlite3.connect(LEDGER)) as base:
        return [json.loads(text) for (text,) in base.execute("SELECT entry FROM records ORDER BY number")]


def tamper(*statements: str) -> None:
    """As somebody does who may write the file, and knows what is in it."""
    with closing(sqlite3.connect(LEDGER)) as base, base:
        base.create_function("sha", 1, lambda text: sha256(text.encode()).hexdigest())
        for statement in statements:
            base.execute(statement)


def test_the_record_goes_on_in_the_next_run(run: Run, job: str) -> None:
    first, *results, second, again, new, failed = entries()
    assert first["run"]["operator"] == "Erika Mustermann"
    assert second["run"]["operator"] == "Max Mustermann"
    for begun in (first["run"], second["run"]):
        assert begun["settings"]["output"]["audio"] == "keep"
        assert begun["settings"]["versions"]["anonymizer"]
        assert len(begun["settings"]["weights"]["centerface"]) == 64
        assert begun["begun"].endswith("+00:00")
    assert all(line["item"].keys() == {"target", "state", "result"} for line in results)
    assert str(Path().resolve()) not in json.dumps(entries())
    assert {(line["item"]["target"], line["item"]["state"]) for line in results} == {
        ("a.jpg", "done"),
        ("b.jpg", "done"),
        ("c.jpg", "failed"),
    }
    assert again == {"again": {"target": "c.jpg", "why": "it failed"}}
    assert {line["item"]["target"] for line in (new, failed)} == {"c.jpg", "d.jpg"}
    line = results[0]["item"]
    assert [len(line["result"]["sha256"][which]) for which in ("input", "output")] == [64, 64]
    assert line["result"]["faces"] == {"covered": 1}
    assert line["result"]["audit"]["redrawn"] == 0
    told = run("report", "verify", LEDGER).stdout
    assert "8 lines, 3 outputs" in told
    assert "not signed" in told


def test_a_run_that_has_nothing_to_do_leaves_no_line(run: Run, job: str) -> None:
    Path("in/c.jpg").unlink()
    before = entries()
    run("run", "in", "-o", "out")
    assert entries() == before


def test_dry_runs_leave_no_line_either(run: Run, job: str) -> None:
    Path("out/a.jpg").unlink()
    before = LEDGER.read_bytes(), entries()
    assert "in/a.jpg: is done again" in run("run", "in", "-o", "out", "--dry-run").stderr
    assert (LEDGER.read_bytes(), entries()) == before


def test_heads_that_were_noted_stay_as_the_record_grows(run: Run, job: str) -> None:
    make_photo(Path("in/e.jpg"))
    run("run", "in", "-o", "out", code=1)
    assert job not in run("report", "verify", "out").stdout
    run("report", "verify", "out", "--head", job)
    assert "is not the record that ends with 00" in run("report", "verify", "out", "--head", "00", code=1).stderr


def test_what_is_made_again_is_told(run: Run, job: str) -> None:
    Path("out/a.jpg").write_bytes(b"something else")
    assert "out/a.jpg is not what was written" in run("report", "verify", "out", code=1).stderr
    run("run", "in", "-o", "out", code=1)
    assert {"again": {"target": "a.jpg", "why": "its output was changed"}} in entries()
    run("report", "verify", "out")
    Path("out/b.jpg").unlink()
    assert "out/b.jpg cannot be read" in run("report", "verify", "out", code=1).stderr


def test_force_sets_the_ledger_aside(run: Run, job: str) -> None:
    """So it neither goes on with a record that somebody cut, nor takes it away."""
    before = entries()
    Path("in/b.jpg").unlink()
    run("run", "in", "-o", "out", "--force", "--seed", "3", code=1)
    assert LEDGER.stat().st_mode & 0o077 == 0
    assert [set(line) for line in entries()] == [{"run"}, {"item"}, {"item"}, {"item"}]
    left = run("report", "verify", "out", code=1).stderr
    assert left.splitlines() == ["Error: " + str(LEDGER.resolve()) + ": no line tells of out/b.jpg"]
    Path("out/b.jpg").unlink()
    assert "2 outputs" in run("report", "verify", "out").stdout
    with closing(sqlite3.connect("out.ledger.1")) as base:
        assert [json.loads(text) for (text,) in base.execute("SELECT entry FROM records")] == before
    assert "8 lines, 0 outputs" in run("report", "verify", "out.ledger.1", "--head", job).stdout
    run("run", "in", "-o", "out", "--force", code=1)
    assert files() == ["in/a.jpg", "in/c.jpg", "in/d.jpg", "out/a.jpg", "out/d.jpg"]
    assert Path("out.ledger.2").exists()


def test_what_is_set_aside_is_whole(run: Run, job: str) -> None:
    """Also after a kill, when the last lines are still in the log beside it; and nothing of it is an input."""
    shutil.copytree(".", "killed")
    with closing(sqlite3.connect(LEDGER)) as base:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("INSERT INTO job VALUES ('a', 'b')")
        base.commit()
        for path in (LEDGER, Path("out.ledger-wal")):
            shutil.copy(path, "killed")
    os.chdir("killed")
    run("run", ".", "-o", "out", "--force", code=1)
    with closing(sqlite3.connect("file:out.ledger.1?immutable=1", uri=True)) as base:
        assert base.execute("SELECT value FROM job WHERE key = 'a'").fetchone() == ("b",)
    assert not [path for path in Path("out").rglob("*") if "ledger" in path.name]


_entry = text_of({"item": {"target": ["a"]}})
FOREIGN = (f"INSERT INTO records (entry, chain) SELECT '{_entry}', sha(chain || '{_entry}') FROM records LIMIT 1, 1",)

ALTERED: dict[str, tuple[tuple[str, ...], str]] = {
    "a line": (('UPDATE records SET entry = replace(entry, \'"faces":{}\', \'"faces":{"kept":1}\')',), "line 4 was"),
    "a line is no JSON": (("UPDATE records SET entry = '{' WHERE number = 2",), "line 2 was changed"),
    "a line is gone": (("DELETE FROM records WHERE number = 3",), "line 4 was changed, or one before it"),
    "a line is gone and others moved up": (
        ("DELETE FROM records WHERE number = 3", "UPDATE records SET number = number - 1 WHERE number > 3"),
        "line 3 was",
    ),
    "the first is gone": (("DELETE FROM records WHERE number = 1",), "line 2 was"),
    "two changed places": (
        (
            "UPDATE records SET number = -2 WHERE number = 2",
            "UPDATE records SET number = 2 WHERE number = 3",
            "UPDATE records SET number = 3 WHERE number = -2",
        ),
        "line 2 was",
    ),
    "one comes twice": (("INSERT INTO records (entry, chain) SELECT entry, chain FROM records LIMIT 1",), "line 9 was"),
    "the last is gone": (("DELETE FROM records WHERE number = 8",), "the last lines were"),
    "all are gone": (("DELETE FROM records",), "the last lines were"),
    "it is empty": (tuple(f"DELETE FROM {table}" for table in ("records", "items", "job")), "no record of any run"),
    "a line that no run writes": (("DELETE FROM records WHERE number > 2", *FOREIGN), "line 3 is none that a run"),
    "the last is gone, and the head with it": (
        (
            "DELETE FROM records WHERE number = 8",
            "UPDATE job SET value = (SELECT chain FROM records WHERE number = 7) WHERE key = 'head'",
        ),
        "the ledger",
    ),
    "an item": (("UPDATE items SET record = 3 WHERE target = 'a.jpg'",), "of a.jpg is not what line 2 says"),
    "its state": (("UPDATE items SET state = 'failed' WHERE target = 'a.jpg'",), "of a.jpg is not what line 2 says"),
    "an item is gone": (("DELETE FROM items WHERE target = 'b.jpg'",), "of b.jpg is not what line 3 says"),
    "an item is new": (
        ("INSERT INTO items (target, input, state, identity) VALUES ('x.jpg', '', 'done', '')",),
        "x.jpg is done, and no line says so",
    ),
    "an item is not done": (("UPDATE items SET state = 'pending' WHERE target = 'b.jpg'",), "of b.jpg is not what"),
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_was_altered_is_named(run: Run, job: str, what: str) -> None:
    statements, why = ALTERED[what]
    tamper(*statements)
    assert why in run("report", "verify", "out", code=1).stderr


def test_lines_that_a_run_could_not_tell_apart_are_missed_by_the_noted_head(run: Run, job: str) -> None:
    """Whoever takes away all of the last file, its result and the head, leaves what an earlier moment could have."""
    (target,) = {line["item"]["target"] for line in entries()[7:]}
    tamper(
        "DELETE FROM records WHERE number = 8",
        f"UPDATE items SET state = 'pending', record = NULL WHERE target = '{target}'",
        "UPDATE job SET value = (SELECT chain FROM records WHERE number = 7) WHERE key = 'head'",
    )
    Path("out", target).unlink(missing_ok=True)
    run("report", "verify", "out")
    assert "is not the record" in run("report", "verify", "out", "--head", job, code=1).stderr


def test_no_run_goes_on_with_a_record_that_was_cut(run: Run, job: str) -> None:
    tamper("DELETE FROM records WHERE number = 8")
    make_photo(Path("in/e.jpg"))
    refused = run("run", "in", "-o", "out", code=1).stderr
    assert "out.ledger: the last lines of its record were" in refused
    assert not Path("out/e.jpg").exists()


def test_what_no_line_tells_of(run: Run, job: str) -> None:
    """An original that somebody puts among the results, hidden or a link to one, does not stay unnoticed."""
    Path("out/deep").mkdir()
    Path("out/deep/.e.jpg").write_bytes(Path("in/a.jpg").read_bytes())
    Path("out/f.jpg").symlink_to(Path("in/a.jpg").resolve())
    Path("out/g").symlink_to(Path("in").resolve())
    for record in ("out", LEDGER):
        told = run("report", "verify", record, code=1).stderr.splitlines()
        names = [line.partition("no line tells of ")[2].rpartition("out/")[2] for line in told]
        assert sorted(names) == ["deep/.e.jpg", "f.jpg", "g"]


def test_reports_among_the_results_are_recorded(run: Run, job: str) -> None:
    for _ in range(2):
        run("run", "in", "-o", "out", "--report", "out/r.json", "--report", "out/r.html", "--report", "r.json", code=1)
    assert {"out/r.json", "out/r.html"} == {
        f"out/{entry['report']['output']}" for entry in entries() if "report" in entry
    }
    assert "5 outputs" in run("report", "verify", "out").stdout
    Path("out/r.json").write_bytes(Path("in/a.jpg").read_bytes())
    assert "out/r.json is not what was written" in run("report", "verify", "out", code=1).stderr


def test_folders_may_be_moved_and_names_need_not_be_unicode(run: Run) -> None:
    make_photo(Path("in/deep/a.jpg")).rename(Path("in/deep", os.fsdecode(b"\xff \\ .jpg")))
    run("run", "in", "-o", "out")
    Path("elsewhere").mkdir()
    for name in ("out", "out.ledger"):
        Path(name).rename(Path("elsewhere", name))
    assert "1 outputs" in run("report", "verify", "elsewhere/out").stdout


def test_output_in_a_store(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("state").resolve()))
    make_photo(Path("in/0.jpg"))
    run("run", "in", "-o", "memory://journal/out")
    assert "2 lines, 1 outputs" in run("report", "verify", "memory://journal/out").stdout
    fsspec.filesystem("memory").pipe_file("/journal/out/0.jpg", b"another")
    changed = run("report", "verify", "memory://journal/out", code=1).stderr
    assert "line 2: memory://journal/out/0.jpg is not what was written" in changed
    run("run", "in", "-o", "memory://journal/out")
    fsspec.filesystem("memory").pipe_file("/journal/out/1.jpg", b"an original")
    told = run("report", "verify", "memory://journal/out", code=1).stderr
    assert told.count("Error") == 1
    assert "no line tells of memory://journal/out/1.jpg" in told
    fsspec.filesystem("memory").rm("/journal", recursive=True)


def test_nothing_is_left_beside_what_is_checked(run: Run, job: str) -> None:
    """So that it can be checked where one may only read."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    run("report", "verify", "out")
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_a_ledger_is_checked_while_a_run_has_it(run: Run, job: str) -> None:
    with closing(sqlite3.connect(LEDGER)) as base:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("INSERT INTO job VALUES ('a', 'b')")
        base.commit()
        assert Path("out.ledger-wal").stat().st_size
        assert job in run("report", "verify", "out").stdout


def test_what_is_no_ledger(run: Run) -> None:
    Path("out").mkdir()
    assert "there is no report or ledger: " in run("report", "verify", "out", code=2).stderr
    with closing(sqlite3.connect("other.ledger")) as base, base:
        base.execute("CREATE TABLE a (b)")
    assert "is no ledger" in run("report", "verify", "other.ledger", code=1).stderr
    Path("damaged.ledger").write_bytes(b"SQLite format 3\0 and nothing else")
    assert "is no ledger, or is damaged" in run("report", "verify", "damaged.ledger", code=1).stderr


@pytest.mark.parametrize("signed", [False, True])
def test_killed_at_any_moment_the_record_holds(run: Run, signed: bool) -> None:
    """The next run goes on with it; at each moment it holds, and is signed as far as it goes."""
    run("test-signer", "signer")
    options = ["--sign", "signer/certificates.pem", "signer/key.pem"] if signed else []
    for number in range(120):
        make_photo(Path(f"in/{number}.png"), (64, 48))
    start = [sys.executable, "-c", COMMAND, str(Path(__file__).parent), "run", "in", "-o", "out", *options]
    dice, heads = random.Random(0), []
    for _ in range(3):
        done = len(known())
        process = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(known()) == done:
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.1))
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        told = read_told(Path("out"))
        assert told.wrong == []
        assert told.signs is signed
        if signed:
            assert read_signature(told.signature).head == told.heads[-1]
        heads.append(told.heads[-1])
    assert subprocess.run(start, capture_output=True).returncode == 0
    for head in heads:
        assert "120 outputs" in run("report", "verify", "out", "--head", head).stdout
    assert len([line for line in entries() if "run" in line]) == 4


LINES = st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2), min_size=1)


def journal(lines: list[dict[str, Any]]) -> sqlite3.Connection:
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("CREATE TABLE job (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
    base.execute("CREATE TABLE items (target TEXT, state TEXT, record INTEGER)")
    record = Journal(base, {"settings": {"output": {"sign": None}}}, None, None)
    for number, line in enumerate(lines):
        record.add("again", {"target": str(number), **line})
        base.execute("INSERT INTO items VALUES (?, 'pending', NULL)", (str(number),))
    record.end()
    return base


@given(LINES, st.data())
@settings(deadline=None)
def test_any_line_that_goes_changes_or_moves_is_noticed(lines: list[dict[str, Any]], data: st.DataObject) -> None:
    with closing(journal(lines)) as base:
        count = len(lines) + 1
        assert read_history(base).wrong == []
        one, other = data.draw(st.integers(1, count)), data.draw(st.integers(1, count))
        match data.draw(st.sampled_from(["gone", "changed", "moved"])):
            case "gone":
                base.execute("DELETE FROM records WHERE number = ?", (one,))
            case "changed":
                base.execute("UPDATE records SET entry = ? WHERE number = ?", ('{"again":{"target":"new"}}', one))
            case "moved" if one != other:
                base.execute("UPDATE records SET number = -number WHERE number IN (?, ?)", (one, other))
                base.execute("UPDATE records SET number = ? WHERE number = ?", (other, -one))
                base.execute("UPDATE records SET number = ? WHERE number = ?", (one, -other))
            case _:
                return
        assert read_history(base).wrong
