"""The record in a ledger: it goes on in the next run, survives whatever kills a run, and tells what was altered."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fake_anonymizer import Run, invoke, make_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ledger import COMMAND, known

from pipelines import batch
from pipelines.journal import Journal, read_history

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
        for guard in ("UPDATE_never", "DELETE_never"):
            base.execute(f"DROP TRIGGER {guard}")
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
    assert {(line["item"]["target"], line["item"]["state"]) for line in results} == {
        ("a.jpg", "done"),
        ("b.jpg", "done"),
        ("c.jpg", "failed"),
    }
    assert again == {"again": {"target": "c.jpg", "why": "it failed"}}
    assert {line["item"]["target"] for line in (new, failed)} == {"c.jpg", "d.jpg"}
    line = results[0]["item"]
    assert len(line["hash_in"]) == len(line["hash_out"]) == 64
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


def test_force_forgets_the_items_and_keeps_the_record(run: Run, job: str) -> None:
    before = entries()
    Path("in/b.jpg").unlink()
    run("run", "in", "-o", "out", "--force", "--seed", "3", code=1)
    assert entries()[: len(before)] == before
    assert entries()[len(before)]["run"]["anew"] is True
    assert "2 outputs" in run("report", "verify", "out", "--head", job).stdout


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
    "the last is gone, and the head with it": (
        (
            "DELETE FROM records WHERE number = 8",
            "UPDATE job SET value = (SELECT chain FROM records WHERE number = 7) WHERE key = 'head'",
        ),
        "the ledger",
    ),
    "an item": (("UPDATE items SET hash_out = hash_in WHERE target = 'a.jpg'",), "of a.jpg is not what line 2 says"),
    "its result": (("UPDATE items SET result = '{}' WHERE target = 'a.jpg'",), "of a.jpg is not what line 2 says"),
    "an item is gone": (("DELETE FROM items WHERE target = 'b.jpg'",), "of b.jpg is not what line 3 says"),
    "an item is new": (
        ("INSERT INTO items (target, input, kind, state, identity) VALUES ('x.jpg', '', '', 'done', '')",),
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
        f"UPDATE items SET state = 'pending', result = NULL WHERE target = '{target}'",
        "UPDATE job SET value = (SELECT chain FROM records WHERE number = 7) WHERE key = 'head'",
    )
    run("report", "verify", "out")
    assert "is not the record" in run("report", "verify", "out", "--head", job, code=1).stderr


def test_no_run_goes_on_with_a_record_that_was_cut(run: Run, job: str) -> None:
    tamper("DELETE FROM records WHERE number = 8")
    make_photo(Path("in/e.jpg"))
    for options in ((), ("--force",)):
        refused = run("run", "in", "-o", "out", *options, code=1).stderr
        assert "out.ledger: the last lines of its record were" in refused
    assert not Path("out/e.jpg").exists()


def test_entries_are_only_added(run: Run, job: str) -> None:
    with closing(sqlite3.connect(LEDGER)) as base:
        for statement in ("UPDATE records SET entry = ''", "DELETE FROM records"):
            with pytest.raises(sqlite3.IntegrityError, match="only added"):
                base.execute(statement)


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
        told = run("report", "verify", "out").stdout
        assert ("signed by Test signer" in told) is signed
        heads.append(told.split("; ")[1].split()[0])
    assert subprocess.run(start, capture_output=True).returncode == 0
    for head in heads:
        assert "120 outputs" in run("report", "verify", "out", "--head", head).stdout
    assert len([line for line in entries() if "run" in line]) == 4


LINES = st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2), min_size=1)


def journal(lines: list[dict[str, Any]]) -> sqlite3.Connection:
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("CREATE TABLE job (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
    base.execute("CREATE TABLE items (target TEXT, state TEXT)")
    record = Journal(base, {"settings": {}}, None, None)
    for line in lines:
        record.add("line", line)
    record.end()
    for guard in ("UPDATE_never", "DELETE_never"):
        base.execute(f"DROP TRIGGER {guard}")
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
                base.execute("UPDATE records SET entry = ? WHERE number = ?", ('{"line":{"new":[]}}', one))
            case "moved" if one != other:
                base.execute("UPDATE records SET number = -number WHERE number IN (?, ?)", (one, other))
                base.execute("UPDATE records SET number = ? WHERE number = ?", (other, -one))
                base.execute("UPDATE records SET number = ? WHERE number = ?", (one, -other))
            case _:
                return
        assert read_history(base).wrong
