"""What became of every file of a large run, so that the same command again does only what is left.

One SQLite file beside the output, in write-ahead mode: whatever kills the program, what was recorded stays. One process
writes at a time. What became of a file is told by its record alone (``journal``); beside that it holds what the next
run has to know. It holds no pictures, and no secret. Small runs have one in memory.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from anonymizer.errors import AnonymizerError, ConfigError, MediaError
from anonymizer.media.files import Closing
from pipelines.journal import Journal
from pipelines.ledger_files import kept_secret, ledger_of, locked, secret_of, set_aside
from pipelines.ledger_keys import as_text, identity_of, place_of
from pipelines.places import Place
from pipelines.plan import Job
from pipelines.report import Result, fingerprint
from pipelines.settings import changes
from pipelines.signature import Seal

_TABLES = """
CREATE TABLE IF NOT EXISTS job (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS items (
    target TEXT PRIMARY KEY,        -- below the output folder
    input TEXT NOT NULL,            -- where that lies
    state TEXT NOT NULL,            -- pending, done, failed, quarantined
    identity TEXT NOT NULL,         -- size, time and labels of the input when it was last planned
    size_out INTEGER, time_out INTEGER,
    record INTEGER                  -- number of the entry with the result
) STRICT;
CREATE TEMP TABLE planned (target TEXT PRIMARY KEY) STRICT;  -- the items that this run is about
"""


_ITEMS = """
SELECT items.*, items.rowid AS place, json_extract(entry, '$.item.result') AS result
FROM items LEFT JOIN records ON number = record
"""
_PLANNED = f"SELECT state, result FROM ({_ITEMS}) JOIN planned USING (target)"


class State(StrEnum):
    """What became of a file.

    ``failed`` is tried again by the next run; ``quarantined``, which failed time and again though it might have gone
    well, only if that is asked for.
    """

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class _Known(NamedTuple):
    state: str
    input: str
    identity: str
    size_out: int | None
    time_out: int | None
    result: str | None

    def lines(self) -> Iterator[str]:
        """What went wrong."""
        result = json.loads(self.result or "{}")
        yield from filter(None, [*result.get("missing", []), result.get("error")])

    def is_of(self, path: Path) -> bool:
        """Whether a file is what was written."""
        return fingerprint(path) == json.loads(self.result or "{}").get("sha256", {}).get("output")


class Ledger(Closing):
    """The record of one run, and of the runs before that it goes on from.

    Args:
        root: the output folder, beside which the ledger lies if that is on this machine; None for a ledger in memory.
        settings: all that decides how outputs look. A ledger of other settings is refused.
        force: set a ledger that is there aside, and begin another one.
        operator: who runs it, for the record; empty if that is not said.
        seal: signs the record.

    Attributes:
        begun: whether a run before had anything to do with the folder.
        notes: lines about outputs that have to be made again, and about what stays undone.
        done: how many of the files of this run were done before.

    Raises:
        ConfigError: another run works with it, or it is of a run with other settings.
        MediaError: it is no ledger, is damaged, was altered, or cannot be written.
    """

    def __init__(
        self,
        root: Place | None,
        settings: dict[str, Any],
        *,
        force: bool = False,
        operator: str = "",
        seal: Seal | None = None,
    ) -> None:
        self.path = path = ledger_of(root) if root else None
        self.notes: list[str] = []
        self.done = 0
        self._root = Path(root) if root else None
        with ExitStack() as undone:
            with self._guarded():
                aside = force and path is not None and set_aside(path)
                self._lock = undone.enter_context(locked(path)) if path else None
                self._base = undone.enter_context(closing(sqlite3.connect(path or ":memory:", isolation_level=None)))
                self._base.execute("PRAGMA journal_mode = WAL")
                self._base.execute("PRAGMA synchronous = NORMAL")
                self._base.executescript(_TABLES)
            about = {"operator": operator or None, "settings": settings}
            with self._changing():
                self._check(settings)
                self._journal = Journal(self._base, about, seal, path)
            self.begun = aside or bool(self._count("SELECT 1 FROM items"))
            undone.pop_all()

    def close(self) -> None:
        """Give the file back. When nothing of this run is left to do, the secret is forgotten."""
        with ExitStack() as stack:
            stack.enter_context(self._lock or nullcontext())
            stack.enter_context(closing(self._base))
            stack.enter_context(self._guarded())
            done = self._count("SELECT 1 FROM planned") and not self._count(f"{_PLANNED} WHERE state != 'done'")
            if done and self.path:
                secret_of(self.path).unlink(missing_ok=True)

    @cached_property
    def secret(self) -> int:
        """What personas are drawn from, the same until all is done.

        Raises:
            ConfigError: others may read its file.
            MediaError: it cannot be kept.
        """
        return kept_secret(secret_of(self.path)) if self.path else secrets.randbits(63)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """
        Raises:
            MediaError: the file is damaged, or the disk is full.
        """
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise MediaError(f"the ledger cannot be used: {error}", path=self.path) from error

    @contextmanager
    def _changing(self, *, dry: bool = False) -> Iterator[None]:
        """All that happens inside is written, with its record, or nothing; nothing if it is only tried.

        Raises:
            MediaError: the ledger cannot be written.
        """
        with self._guarded(), self._base:
            self._base.execute("BEGIN")
            yield
            self._base.rollback() if dry else self._journal.end()

    def _count(self, query: str) -> int:
        count: int = self._base.execute(f"SELECT COUNT(*) FROM ({query})").fetchone()[0]
        return count

    def _check(self, settings: dict[str, Any]) -> None:
        text = json.dumps(settings, sort_keys=True)
        before = self._value("settings", text)
        if before != text:
            names = ", ".join(changes(json.loads(before), json.loads(text)))
            cause = f"is of a run with other settings ({names}); name another output, or --force makes all anew, and "
            cause += "sets this ledger aside"
            raise ConfigError(cause, path=self.path)

    def _value(self, key: str, new: str) -> str:
        """What is kept under ``key``, at first ``new``."""
        self._base.execute("INSERT OR IGNORE INTO job VALUES (?, ?)", (key, new))
        value = self._get(key)
        assert value is not None
        return value

    def _get(self, key: str) -> str | None:
        row = self._base.execute("SELECT value FROM job WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def is_ours(self, target: Path) -> bool:
        """Whether an output was made, or was about to be made, by this run or those before."""
        found = self._base.execute("SELECT 1 FROM items WHERE target = ?", (self._key(target),)).fetchone()
        return found is not None or self._get(f"report {target}") is not None

    def reports_to(self, report: Path) -> None:
        """Note where the report goes, which the next run may then replace."""
        self._value(f"report {report}", "")

    def reported(self, report: Path) -> None:
        """Record a report that was written into the output folder, in which there is nothing that is not recorded."""
        if self._root and report.resolve().is_relative_to(self._root.resolve()):
            name = str(report.resolve().relative_to(self._root.resolve()))
            with self._changing():
                self._journal.add("report", {"output": name, "sha256": fingerprint(report)})

    def _key(self, target: Path) -> str:
        inside = self._root and target.is_relative_to(self._root)
        return as_text(target.relative_to(self._root) if self._root and inside else target)

    def left(
        self, jobs: Sequence[Job], failures: list[AnonymizerError], *, retry: bool = False, dry: bool = False
    ) -> list[Job]:
        """Those of ``jobs`` that are not done; all are known from now on.

        A file that is done is done again, with a note, if it or its labels have changed or its output is gone.

        Args:
            failures: takes those whose output is of another input.
            retry: whether to try again what is in quarantine.
            dry: whether nothing is to be written; then nothing may be recorded either.

        Raises:
            MediaError: the ledger cannot be written.
        """
        with self._changing(dry=dry):
            return [job for job in jobs if self._is_left(job, failures, retry)]

    def _is_left(self, job: Job, failures: list[AnonymizerError], retry: bool) -> bool:
        name, identity, known = job.source.name, identity_of(job), self._known(job)
        if known and known.state == State.DONE and known.input != place_of(job.source) and known.identity != identity:
            failures.append(MediaError(f"its result exists, of {known.input}: {job.result}", path=name))
            return False
        key = self._key(job.target)
        self._base.execute("INSERT OR IGNORE INTO planned VALUES (?)", (key,))
        if known and known.state == State.QUARANTINED and known.identity == identity and not retry:
            self.notes += [f"{name}: is left out, as it failed (--retry tries again): {line}" for line in known.lines()]
            return False
        if known and known.state == State.DONE:
            why = self._why_again(job, known, identity)
            if not why:
                self.notes += [f"{name}: is not whole: {line}" for line in known.lines()]
                self.done += 1
                return False
            self.notes.append(f"{name}: is done again: {why}")
            self._journal.add("again", {"target": key, "why": why})
        elif known and known.state != State.PENDING:
            self._journal.add("again", {"target": key, "why": "it failed"})
        self._base.execute(
            "INSERT OR REPLACE INTO items (target, input, state, identity) VALUES (?, ?, ?, ?)",
            (key, place_of(job.source), State.PENDING, identity),
        )
        return True

    def _known(self, job: Job) -> _Known | None:
        row = self._base.execute(
            f"SELECT {', '.join(_Known._fields)} FROM ({_ITEMS}) WHERE target = ?", (self._key(job.target),)
        ).fetchone()
        return _Known(*row) if row else None

    def _why_again(self, job: Job, known: _Known, identity: str) -> str:
        if known.identity != identity:
            return "the input or its labels have changed"
        if (size := job.size()) is None:
            return "its output is gone"
        touched = not job.destination and job.target.stat().st_mtime_ns != known.time_out
        same = size == known.size_out and (not touched or known.is_of(job.target))
        return "" if same else "its output was changed"

    def record(self, result: Result) -> None:
        """Note what became of one of the jobs, at once.

        Raises:
            MediaError: the ledger cannot be written.
        """
        state = State.DONE if result.error is None else State.QUARANTINED if result.passing else State.FAILED
        key = self._key(result.job.target)
        with self._changing():
            number = self._journal.add("item", {"target": key, "state": state, "result": result.as_dict()})
            self._base.execute(
                "UPDATE items SET state = ?, size_out = ?, time_out = ?, record = ? WHERE target = ?",
                (state, result.size_out, result.time_out, number, key),
            )

    def failures(self) -> int:
        """Files of this run that are not done, or of which something is missing."""
        return self._count(f"{_PLANNED} WHERE state != 'done' OR json_array_length(result, '$.missing') > 0")

    def results(self) -> Iterator[dict[str, Any]]:
        """What became of all files of this run that were tried, by it or before, as in the report, with their state."""
        for state, text in self._base.execute(f"{_PLANNED} WHERE result IS NOT NULL ORDER BY place"):
            yield {**json.loads(text), "state": state}
