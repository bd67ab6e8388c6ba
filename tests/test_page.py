"""The page of a report: what stands on it, and that no name gets out of its place."""

from __future__ import annotations

import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_anonymizer import Blind, FakeAnonymizer, Run, files, make_photo, make_video

from pipelines import page as pages
from pipelines.page import page, save

HOSTILE = (
    '<script>alert(1)</script><img src=x onerror=alert(1)>"\'&amp;{{ 7 * 7 }}{% include "page.html" %}</td></table>.jpg'
)
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """What a browser makes of a page: open elements, all elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, "all elements are closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def entry(name: str = "a.jpg", **more: Any) -> dict[str, Any]:
    plain = {"output": "out", "kind": "photograph", "members": 0, "missing": [], "notes": [], "frames": 1}
    return {"input": name, **plain, "faces": {}, "seconds": 0.5, "error": None} | more


def report(*inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "settings": {"detect": {"detector": "centerface"}, "generate": {"method": "generate", "seed": None}},
        "versions": {"anonymizer": "0.1.0", "torch": "2.9"},
        "weights": {"centerface": "ab" * 32},
        "inputs": list(inputs),
        "skipped": [],
        "seconds": 75.0,
    }


def figures(text: str) -> dict[str, str]:
    """The totals on a page, by name."""
    from re import findall

    return {name: number for number, name in findall(r"<b>(.*?)</b><span>(.*?)</span>", text)}


def test_both_reports_of_a_run_agree(run: Run) -> None:
    make_photo(Path("in/a.jpg"))
    make_video(Path("in/b.mp4"))
    Path("in/c.jpg").touch()
    Path("in/d.csv").write_text("x\n")
    result = run("run", "in", "-o", "out", "--report", "r.html", "--report", "r.json", code=1)
    text, told = Path("r.html").read_text(), json.loads(Path("r.json").read_text())
    reader = Reader(text)
    assert figures(text) == {
        "anonymized": "2",
        "failed": "1",
        "copied": "1",
        "frames": "31",
        "faces": "31",
    }
    assert "31 faces: 31 covered" in result.stdout
    assert ["covered", "31", "100.0 %"] in reader.rows
    assert ["in/c.jpg", "the file is empty"] in reader.rows
    assert [row[:5] for row in reader.rows if "in/b.mp4" in row[0]][-1] == ["in/b.mp4", "done", "–", "30", "30"]
    assert "in/d.csv" not in reader.text, "what is merely copied is only counted"
    for values in (told["versions"], told["weights"]):
        assert all([name, value] in reader.rows for name, value in values.items())
    assert ["detect, threshold", "0.35"] in reader.rows
    assert ["out/a.jpg", hashlib.sha256(Path("out/a.jpg").read_bytes()).hexdigest()] in reader.rows


def test_one_report_of_each_kind_or_none(run: Run) -> None:
    make_photo(Path("a.jpg"))
    run("run", "a.jpg", "--report", "r.HTM", load=Blind)
    assert "None were found." in Reader(Path("r.HTM").read_text()).text
    assert files() == ["a.jpg", "a_anonymized.jpg", "r.HTM"]
    assert "--force" in run("run", "a.jpg", "-o", "b.jpg", "--report", "r.json", "--report", "r.HTM", code=2).stderr
    assert "report" in run("run", "a.jpg", "-o", "b.html", "--report", "b.html", code=2).stderr
    assert "b.jpg" not in files()


def test_it_loads_and_runs_nothing(run: Run) -> None:
    text = page(report(entry(faces={"generated": 3}), entry(error="a.jpg: no")))
    tags = Reader(text).tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "img", "link", "iframe", "object", "embed", "form", "a"})
    names = {name for _, attributes in tags for name in attributes}
    assert names.isdisjoint({"src", "href", "srcset", "action"})
    assert not any(name.startswith("on") for name in names)
    assert "url(" not in text
    assert "@import" not in text
    assert "data:" not in text


def test_hostile_names_are_text() -> None:
    hostile = entry(HOSTILE, error=f"{HOSTILE}: {HOSTILE}", missing=[HOSTILE], notes=[HOSTILE], faces={HOSTILE: 1})
    told = report(hostile) | {"skipped": [{"path": HOSTILE, "why": HOSTILE}], "versions": {HOSTILE: HOSTILE}}
    before = Reader(page(report(entry("x", error="x: y", missing=["z"], notes=["n"], faces={"f": 1}))))
    after = Reader(page(told))
    assert {tag for tag, _ in after.tags} == {tag for tag, _ in before.tags}
    assert {name for _, attributes in after.tags for name in attributes} == {
        name for _, attributes in before.tags for name in attributes
    }
    assert [HOSTILE, HOSTILE] in after.rows
    assert "49" not in after.text


def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    save(tmp_path / "r.html", report(entry("\udcff.jpg")))
    assert "\\udcff.jpg" in Reader((tmp_path / "r.html").read_text()).text


def test_totals_of_outcomes() -> None:
    parts = [{"generated": 6, "generated in average shape": 1}, {"generated": 2, "labelled": 2, "no mesh": 1}]
    text = page(report(*(entry(faces=faces) for faces in parts)))
    reader = Reader(text)
    assert figures(text)["faces"] == "12"
    assert ["generated", "8", "66.7 %"] in reader.rows
    assert ["covered: labelled", "2", "16.7 %"] in reader.rows
    assert "25.0 % were covered" in reader.text
    rows = Reader(page(report(entry(faces={"labelled": 1, "generated": 9999})))).rows
    assert ["covered: labelled", "1", "< 0.1 %"] in rows


def test_archives_and_copies() -> None:
    archive = entry("a.zip", kind="archive", members=1200, missing=["a.zip/b.jpg: is damaged"], frames=1199)
    text = page(report(archive, entry("c.csv", kind="file", frames=0), entry("d.npy", kind="file", error="d.npy: no")))
    assert figures(text) == {
        "anonymized": "0",
        "failed": "2",
        "copied": "1",
        "members": "1\u202f200",
        "frames": "1\u202f200",
        "faces": "0",
    }
    assert ["a.zip", "a.zip/b.jpg: is damaged"] in Reader(text).rows


def test_long_tables_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST", 5)
    many = [entry(f"{number}.jpg", seconds=number / 10) for number in range(12)]
    failed = [entry(f"x{number}.jpg", error="no", seconds=0) for number in range(7)]
    reader = Reader(page(report(*many, *failed)))
    assert "The first 5 of 19; the JSON report holds all." in reader.text
    assert "The first 5 of 7; the JSON report holds all." in reader.text
    times = [row[3] for row in reader.rows if len(row) == 4 and row[0].endswith(".jpg")]
    assert times == [f"{number / 10:.1f} s" for number in range(11, 1, -1)]


def test_the_anonymizer_is_told_of(run: Run) -> None:
    make_photo(Path("a.jpg"))
    run("run", "a.jpg", "--report", "r.html", "--seed", 11, load=FakeAnonymizer)
    reader = Reader(Path("r.html").read_text())
    assert ["generate, seed", "11"] in reader.rows
    assert "method generate, detector centerface" in reader.text
