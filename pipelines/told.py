"""What a report or a ledger tells, as far as that can be checked without the outputs. It may be of anybody."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import cause_of
from pipelines.chain import HEAD, ITEMS, SIGNATURE, START, first_broken, head_of
from pipelines.journal import History, is_signed, outputs, read_history
from pipelines.ledger_files import SUFFIX, ledger_of
from pipelines.places import Place, place

_SQLITE = b"SQLite format 3\0"
_PAGE = b"<!doctype html"
NEITHER = "is no JSON report of a run, and no ledger"


@dataclass(frozen=True)
class Output:
    """What was written.

    Attributes:
        line: in which it is told of.
        sha256: what it was then.
    """

    line: int
    place: Place
    sha256: str


@dataclass(frozen=True)
class Told:
    """A record.

    Attributes:
        wrong: lines about what is not as it was in itself; then there are no outputs.
        lines: how many it has.
        heads: with which it ended, first to last.
        signature: of the last head; None if there is none.
        signs: whether its settings say that there is one.
        outputs: all that was written.
        folder: which holds nothing but the outputs; None if that is not known.
    """

    path: Path
    wrong: list[str]
    lines: int
    heads: list[str]
    signature: Any
    signs: bool
    outputs: list[Output] = field(default_factory=list)
    folder: Place | None = None


def read_told(job: Place) -> Told:
    """The record in a report or ledger, or in the one beside an output folder.

    Raises:
        ConfigError: there is none.
        MediaError: it is neither, or is damaged. Nothing of its content is said.
    """
    ledger = ledger_of(job)
    is_folder = isinstance(job, str) or (ledger.exists() and not job.is_file())
    path = ledger if is_folder else job
    assert isinstance(path, Path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ConfigError(f"there is no report or ledger: {cause_of(error)}", path=path) from error
    if start.startswith(_SQLITE):
        return _of_ledger(path, job if is_folder else _folder_of(path))
    if start.lower().startswith(_PAGE):
        raise MediaError("a page for people: the JSON report of the same run can be checked", path=path)
    if not start.lstrip().startswith(b"{"):
        raise MediaError(NEITHER, path=path)
    return _of_report(path)


def _folder_of(ledger: Path) -> Path | None:
    """The output folder beside which a ledger lies; None if ``--force`` has set that aside."""
    return ledger.with_suffix("") if ledger.suffix == SUFFIX else None


# Reports


def _of_report(path: Path) -> Told:
    report = _json(path)
    wrong = []
    if number := first_broken(report):
        name = report[ITEMS][number - 1].get("input")
        wrong.append(f"line {number} ({name}) was changed, or one before it was added, removed or moved")
    elif report[HEAD] != head_of(report):
        wrong.append("the last lines were removed, or settings, versions or other facts changed")
    told = Told(path, wrong, len(report[ITEMS]), [report[HEAD]], report.get(SIGNATURE), is_signed(report))
    if not wrong:
        _take(told, report)
    return told


def _json(path: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(path.read_bytes())
        if all(isinstance(line, dict) for line in report[ITEMS]) and isinstance(report[HEAD], str):
            return report
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    raise MediaError(NEITHER, path=path)


def _take(told: Told, report: dict[str, Any]) -> None:
    for number, line in enumerate(report[ITEMS], start=1):
        match line:
            case {"output": None}:
                pass
            case {"output": str(output), "sha256": {"output": str(digest)}}:
                told.outputs.append(Output(number, _nearby(place(output), told.path), digest))
            case _:
                told.wrong.append(f"line {number} is none that a run writes")


def _nearby(named: Place, report: Path) -> Place:
    """Where an output lies: as the run named it, else as seen from the report."""
    if isinstance(named, str):
        return named
    try:
        return next((path for path in (named, report.parent / named) if path.exists()), named)
    except OSError:  # no name of a file; which is told when that is read
        return named


# Ledgers


def _of_ledger(path: Path, folder: Place | None) -> Told:
    try:
        with closing(sqlite3.connect(_only_read(path), uri=True, isolation_level=None)) as base:
            base.execute("BEGIN")  # one moment of it, also while a run is at work
            found = read_history(base)
            written = [] if found.wrong or folder is None else [*_outputs(base, found, folder)]
    except sqlite3.DatabaseError as error:
        raise MediaError(f"is no ledger, or is damaged: {error}", path=path) from error
    heads = found.heads or [START]
    return Told(path, found.wrong, len(found.heads), heads, found.signature, found.signs, written, folder)


def _only_read(path: Path) -> str:
    """The URI by which SQLite reads a ledger and leaves nothing beside it, where it may not even write.

    If a run is at work, or was killed, there is a log of what it wrote last.
    """
    at_work = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'' if at_work else '&immutable=1'}"


def _outputs(base: sqlite3.Connection, found: History, folder: Place) -> Iterator[Output]:
    """What was written into this very folder, wherever it lies now, or into a store."""
    for number, target, output, digest in outputs(base, found):
        named = place(output)
        if isinstance(named, Path) and isinstance(folder, Path):  # the target need not tell its name exactly
            named = folder.joinpath(*named.parts[-len(Path(target).parts) :])
        yield Output(number, named, digest)
    if isinstance(folder, Path):
        for name, (number, digest) in found.reports.items():
            yield Output(number, folder / name, digest)
