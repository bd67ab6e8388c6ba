"""The record of a run: who ran it, and that nobody can change, add, move or remove a line of it without notice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fake_anonymizer import Run, files, make_photo, make_video
from hypothesis import given
from hypothesis import strategies as st

from pipelines.chain import START, chained, first_broken, head_of, sealed

Report = dict[str, Any]


@pytest.fixture
def head(run: Run) -> str:
    """Of the report of a run over five files, ``r.json``, of which one fails."""
    for number in range(3):
        make_photo(Path(f"in/{number}.jpg"))
    make_video(Path("in/3.mp4"))
    Path("in/4.jpg").touch()
    said = run("run", "in", "-o", "out", "--report", "r.json", "--operator", "Erika Mustermann", code=1).stdout
    return said.strip().rpartition("the report ends with ")[2]


def change(alter: Callable[[Report], object]) -> Report:
    report: Report = json.loads(Path("r.json").read_text())
    alter(report)
    Path("r.json").write_text(json.dumps(report))
    return report


def test_a_report_that_nobody_touched(run: Run, head: str) -> None:
    report = change(lambda report: None)
    assert report["operator"] == "Erika Mustermann"
    assert report["head"] == head
    assert len(head) == 64
    told = run("report", "verify", "r.json", "--head", head).stdout
    assert "5 lines, 4 outputs" in told
    assert head in told
    run("run", "in/0.jpg", "-o", "a.jpg", "--report", "s.json")
    assert json.loads(Path("s.json").read_text())["operator"] is None


def test_the_operator_is_no_setting(run: Run, head: str) -> None:
    again = run("run", "in", "-o", "out", "--report", "r.json", "--operator", "Max Mustermann", code=1).stdout
    assert "0 written" in again
    report = change(lambda report: None)
    assert report["operator"] == "Max Mustermann"
    assert report["head"] != head
    run("report", "verify", "r.json")
    run("run", "in/0.jpg", "-o", "a.jpg", "--report", "r.html", "--operator", "<b>Max")
    assert "&lt;b&gt;Max" in Path("r.html").read_text()


ALTERED: dict[str, tuple[Callable[[Report], object], str]] = {
    "a count": (lambda report: report["inputs"][1]["faces"].update(covered=2), "line 2 (in/1.jpg)"),
    "a line is gone": (lambda report: report["inputs"].pop(2), "line 3 (in/3.mp4)"),
    "two lines": (
        lambda report: report["inputs"].insert(0, report["inputs"].pop(1)),
        "line 1 (in/1.jpg)",
    ),
    "one line twice": (
        lambda report: report["inputs"].insert(1, report["inputs"][0]),
        "line 2 (in/0.jpg)",
    ),
    "a hash is gone": (lambda report: report["inputs"][3].pop("chain"), "line 4 (in/3.mp4)"),
    "the last line": (lambda report: report["inputs"].pop(), "last lines"),
    "a setting": (lambda report: report["settings"]["generate"].update(method="solid"), "settings"),
    "the operator": (lambda report: report.update(operator="Nobody"), "settings"),
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_was_altered_is_named(run: Run, head: str, what: str) -> None:
    alter, why = ALTERED[what]
    change(alter)
    assert why in run("report", "verify", "r.json", code=1).stderr


def test_a_report_that_was_made_up_is_not_the_one_that_was_noted(run: Run, head: str) -> None:
    def forge(report: Report) -> None:
        report["inputs"][0]["faces"] = {}
        lines = [{name: value for name, value in line.items() if name != "chain"} for line in report["inputs"]]
        report |= {"inputs": list(chained(lines))}
        report["head"] = sealed({name: value for name, value in report.items() if name != "head"})["head"]

    change(forge)
    run("report", "verify", "r.json")
    assert f"not the record that ends with {head}" in run("report", "verify", "r.json", "--head", head, code=1).stderr


def test_outputs_are_what_was_written(run: Run, head: str) -> None:
    Path("out/1.jpg").write_bytes(Path("in/1.jpg").read_bytes())
    Path("out/2.jpg").unlink()
    told = run("report", "verify", "r.json", code=1).stderr.splitlines()
    assert len(told) == 2
    assert "line 2: out/1.jpg is not what was written" in told[0]
    assert "line 3: out/2.jpg cannot be read" in told[1]


def test_outputs_in_a_store(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("state").resolve()))
    make_photo(Path("in/0.jpg"))
    run("run", "in", "-o", "memory://record/out", "--report", "r.json")
    run("report", "verify", "r.json")
    fsspec.filesystem("memory").pipe_file("/record/out/0.jpg", b"another")
    assert "memory://record/out/0.jpg is not what was written" in run("report", "verify", "r.json", code=1).stderr
    fsspec.filesystem("memory").rm("/record", recursive=True)
    assert "memory://record/out/0.jpg cannot be read" in run("report", "verify", "r.json", code=1).stderr


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"inputs": [1], "head": ""}', '{"inputs": [], "head": 1}', "\xff"]
)
def test_what_is_no_report(run: Run, content: str) -> None:
    Path("r.json").write_bytes(content.encode("latin-1"))
    assert "is no JSON report" in run("report", "verify", "r.json", code=1).stderr


@pytest.mark.parametrize(
    "content",
    [b"\xff\xd8\xff\xe0 Jane Doe", b"{\xff Jane Doe", b'{"inputs": [], "Jane Doe', b"[" * 100_000, b'{"a":' * 100_000],
)
def test_nothing_of_what_is_no_report_is_said(run: Run, content: bytes) -> None:
    Path("r.json").write_bytes(content)
    assert run("report", "verify", "r.json", code=1).output == (
        "Error: r.json: is no JSON report of a run, and no ledger\n"
    )


def test_pages_are_not_checked(run: Run) -> None:
    make_photo(Path("a.jpg"))
    run("run", "a.jpg", "--report", "r.html")
    assert "the JSON report of the same run can be checked" in run("report", "verify", "r.html", code=1).stderr


MALFORMED: dict[str, Report] = {
    "no hashes": {"inputs": [{"output": "a.jpg", "sha256": None}]},
    "a number": {"inputs": [{"output": 4, "sha256": {"output": "00"}}]},
    "no output": {"inputs": [{"input": "a.jpg"}]},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_lines_that_no_run_writes(run: Run, what: str) -> None:
    made = MALFORMED[what] | {"inputs": list(chained(MALFORMED[what]["inputs"]))}
    Path("r.json").write_text(json.dumps(sealed(made)))
    assert run("report", "verify", "r.json", code=1).stderr == "Error: r.json: line 1 is none that a run writes\n"


def test_settings_that_no_run_has(run: Run) -> None:
    for settings in ([], {"output": []}, {"output": {"signing_key": None}}, None):
        Path("r.json").write_text(json.dumps(sealed({"inputs": [], "settings": settings})))
        assert "not signed" in run("report", "verify", "r.json").stdout


def test_names_command_no_terminal(run: Run) -> None:
    line = {"input": "", "output": "\x1b[2J\0" + "a" * 300, "sha256": {"output": "00"}}
    Path("r.json").write_text(json.dumps(sealed({"inputs": list(chained([line]))})))
    told = run("report", "verify", "r.json", code=1).stderr
    assert "line 1: ?[2J?aaa" in told
    assert told[:-1].isprintable()
    Path("r.json").write_text(json.dumps({"inputs": [{"input": "\x1b[2J"}], "head": ""}))
    assert "line 1 (?[2J) was changed" in run("report", "verify", "r.json", code=1).stderr


def test_what_was_altered_is_not_looked_for(run: Run, head: str) -> None:
    change(lambda report: report["inputs"][0].update(output="/dev/zero"))
    assert run("report", "verify", "r.json", code=1).stderr.count("Error") == 1


def test_outputs_beside_the_report(run: Run, head: str) -> None:
    Path("elsewhere").mkdir()
    for name in ("out", "r.json"):
        Path(name).rename(Path("elsewhere", name))
    assert "4 outputs" in run("report", "verify", "elsewhere/r.json", "--head", head.upper()).stdout
    Path("elsewhere/out/1.jpg").unlink()
    assert "line 2: out/1.jpg cannot be read" in run("report", "verify", "elsewhere/r.json", code=1).stderr


def test_nothing_is_said_without_a_report(run: Run) -> None:
    make_photo(Path("a.jpg"))
    assert "ends with" not in run("run", "a.jpg").stdout
    assert files() == ["a.jpg", "a_anonymized.jpg"]


def test_others_can_check_it_with_what_every_machine_has(run: Run, head: str) -> None:
    """The hash of the first line by ``jq``'s and ``sha256sum``'s rules: keys in order, no spaces."""
    line = change(lambda report: None)["inputs"][0]
    link = line.pop("chain")
    text = START + json.dumps(line, sort_keys=True, separators=(",", ":"))
    done = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True)
    assert done.stdout.split()[0].decode() == link == sha256(text.encode()).hexdigest()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(min_size=1).filter(lambda key: key != "chain"), VALUES), max_size=5), st.data())
def test_chains_hold_until_a_line_goes_changes_or_moves(entries: list[Report], data: st.DataObject) -> None:
    report = sealed({"inputs": list(chained(entries))})
    stored = json.loads(json.dumps(report))
    assert first_broken(stored) is None
    assert head_of(stored) == stored["head"]
    lines = stored["inputs"]
    if not lines:
        return
    one, other = sorted(data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2)))
    what = data.draw(st.sampled_from(["gone", "changed", "moved"]))
    if what == "gone":
        del lines[one]
    elif what == "changed":
        lines[one][data.draw(st.text(min_size=1).filter(lambda key: key != "chain"))] = [report["head"]]
    else:
        lines.insert(other, lines.pop(one))
    if what == "gone" and one == len(lines):  # the last one, which only the head tells of
        assert first_broken(stored) is None
        assert head_of(stored) != stored["head"]
    else:
        assert first_broken(stored) == (None if what == "moved" and one == other else one + 1)
