"""A report as a page that people read: one HTML file, which loads nothing and runs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from anonymizer.audit_figures import NOTHING, AuditFigures
from pipelines.report import write

SUFFIXES = (".html", ".htm")
MOST = 1000
"""Rows of the longest tables; the JSON report holds all."""
SLOWEST = 10
LEAST = 0.001
"""The smallest share that is told in numbers."""

FILE = "file"
"""The kind of files that are merely copied."""

Report = dict[str, Any]


def save(path: Path, report: Report) -> None:
    """Write a report, as a page if the name ends in ``.html``, otherwise as JSON.

    Raises:
        MediaError: it cannot be written.
    """
    from anonymizer.media.files import replacing

    if path.suffix.lower() not in SUFFIXES:
        write(path, report)
        return
    with replacing(path) as partial:
        partial.write_text(page(report), encoding="utf-8", errors="backslashreplace")  # names may be no Unicode


def page(report: Report) -> str:
    """The page of a report, as ``report.as_dict`` makes it. All names in it are shown as text, whatever they hold."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipelines", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(number=_number, some=_some, percent=_percent, duration=_duration)
    inputs: list[Report] = report["inputs"]
    items = [_item(entry) for entry in inputs if entry.get("kind") != FILE or _state(entry) == "failed"]
    outcomes = _outcomes(inputs)
    timed = sorted((item for item in items if item["seconds"]), key=lambda item: -item["seconds"])
    return environment.get_template("page.html").render(
        versions=report["versions"],
        settings=report["settings"],
        seconds=report["seconds"],
        figures=_figures(report),
        outcomes=outcomes,
        covered=sum(row["share"] for row in outcomes if row["kind"] == "covered"),
        failed=[(path, why) for entry in inputs for path, why in _failures(entry)],
        slowest=timed[:SLOWEST],
        items=items[:MOST],
        count=len(items),
        most=MOST,
        tables=_tables(report),
    )


def _state(entry: Report) -> str:
    """``failed`` also where only members are missing."""
    if entry["error"] or entry.get("missing"):
        return "failed"
    return "copied" if entry.get("kind") == FILE else "done"


def _failures(entry: Report) -> Iterator[tuple[str, str]]:
    """Input and reason; reasons begin with the input, which is not said twice."""
    for line in (*entry.get("missing", ()), *([entry["error"]] if entry["error"] else ())):
        yield entry["input"], line.removeprefix(f"{entry['input']}: ")


def _item(entry: Report) -> Report:
    counts = {name: entry.get(name, 0) for name in ("members", "frames", "seconds")}
    return {"path": entry["input"], "state": _state(entry), "faces": sum(entry.get("faces", {}).values()), **counts}


def _figures(report: Report) -> list[tuple[str, int, bool]]:
    """The totals: name, number, whether it is a bad sign. Those that must not be overlooked are there if they are 0."""
    inputs: list[Report] = report["inputs"]
    states = Counter(map(_state, inputs))
    totals = {name: sum(entry.get(name, 0) for entry in inputs) for name in ("members", "frames")}
    faces = sum(sum(entry.get("faces", {}).values()) for entry in inputs)
    figures = [
        ("anonymized", states["done"], False),
        ("failed", states["failed"], states["failed"] > 0),
        ("faces", faces, False),
        ("frames", totals["frames"], False),
        ("members", totals["members"], False),
        ("copied", states["copied"], False),
        ("left out", len(report["skipped"]), False),
    ]
    always = ("anonymized", "failed", "faces")
    return [figure for figure in figures if figure[1] or figure[0] in always]


def _outcomes(inputs: list[Report]) -> list[Report]:
    """Faces by outcome, those that were replaced first, then the commonest."""
    counts: Counter[str] = Counter()
    for entry in inputs:
        counts.update(entry.get("faces", {}))
    total = max(1, counts.total())
    rows = [_outcome(name, count, count / total) for name, count in counts.most_common()]
    return sorted(rows, key=lambda row: row["kind"] != "generated")


def _outcome(name: str, count: int, share: float) -> Report:
    if name.startswith(("generated", "kept")):
        return {"name": name, "kind": name.split()[0], "count": count, "share": share}
    named = name if name.startswith("covered") else f"covered: {name}"
    return {"name": named, "kind": "covered", "count": count, "share": share}


def _tables(report: Report) -> list[tuple[str, list[tuple[str, str]]]]:
    """What else is known, each under a title."""
    notes = [(entry["input"], line) for entry in report["inputs"] for line in entry.get("notes", ())]
    made = [(entry["output"], entry.get("sha256", {}).get("output")) for entry in report["inputs"]]
    hashes = [(name, digest) for name, digest in made if digest]
    record = {"operator": report.get("operator"), "ends with": report.get("head")}
    tables = [
        ("Record", [(name, value) for name, value in record.items() if value]),
        ("Stays visible", list(_decisions(report, "kept"))[:MOST]),
        ("Nearly stayed visible, but was replaced", list(_decisions(report, "near_misses"))[:MOST]),
        ("Consents", list(_flat(report.get("consents", {})))),
        ("Personas", list(_flat(report.get("personas", {})))),
        ("Audit", list(_audit(report["inputs"]))),
        ("Settings", list(_flat(report["settings"]))),
        ("Versions", list(_flat(report["versions"]))),
        ("SHA-256 of the results", hashes[:MOST]),
        ("SHA-256 of the networks' weights", list(_flat(report["weights"]))),
        ("Labels", list(_flat(report.get("labels", {})))),
        ("Remarks", notes[:MOST]),
        ("Left out", [(entry["path"], entry["why"]) for entry in report["skipped"][:MOST]]),
    ]
    return [(title, rows) for title, rows in tables if rows]


def _audit(inputs: list[Report]) -> Iterator[tuple[str, str]]:
    """What the audit did in all files; nothing if it had nothing to do."""
    total = sum((AuditFigures.of(entry["audit"]) for entry in inputs if "audit" in entry), NOTHING)
    if total != NOTHING:
        yield "new faces held against the real ones by detail", _number(total.by_detail)
        yield "by the recognizers", _number(total.by_recognizer)
        yield "personas drawn anew", _number(total.redrawn)
        for whose, distance in (("the real face", total.nearest_own), ("another real face", total.nearest_other)):
            yield f"least distance that was let through to {whose}", f"{distance:.3f}" if isfinite(distance) else "–"


def _decisions(report: Report, which: str) -> Iterator[tuple[str, str]]:
    """Who is nearest, in which part of which file, and why."""
    for entry in report["inputs"]:
        for told in entry.get(which, ()):
            part = " to ".join(f"{second:.2f} s" for second in told.get("seconds", ()))
            text = f"{told['who']}, distance {told['distance']:.3f}: {told['verdict']}"
            yield told.get("member", entry["input"]), f"{text}, {part}" if part else text


def _flat(values: Report, above: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as ``detect, threshold``, and as text."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}, ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield f"{above}{name}", "–" if value is None or text == "" else text


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _some(value: int) -> str:
    """In long tables nothing is less loud than 0."""
    return _number(value) if value else "–"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= LEAST or not share else f"< {100 * LEAST:.1f} %"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds else "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
