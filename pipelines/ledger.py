"""What became of every file of a large run, so that the same command again does only what is left.

One SQLite file beside the output, in write-ahead mode: whatever kills the program, what was recorded stays. One process
writes at a time. It holds names, sizes, hashes and counts; no pictures. Small runs have one in memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, NamedTuple

from platformdirs import user_state_path

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import Closing, cause_of
from pipelines.inputs import Source
from pipelines.places import Place
from pipelines.plan import Job
from pipelines.report import Result

SUFFIX = ".ledger"

_TABLES = """
CREATE TABLE IF NOT EXISTS job (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS items (
    target TEXT PRIMARY KEY,        -- below the output folder
    input TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,            -- pending, done, failed, quarantined
    identity TEXT NOT NULL,         -- size and time of the input when it was last planned
    tries INTEGER NOT NULL DEFAULT 0,
    hash_in TEXT, hash_out TEXT,    -- SHA-256
    size_out INTEGER,
    seconds REAL,
    result TEXT                     -- JSON: counts, what is missing, the error
) STRICT;
"""


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
    identity: str
    size_out: int | None


class Ledger(Closing):
    """The record of one run, and of the runs before that it goes on from.

    Args:
        root: the output folder, beside which the ledger lies if that is on this machine; None for a ledger in memory.
        settings: all that decides how outputs look. A ledger of other settings is refused.
        force: forget what the ledger knows.

    Attributes:
        secret: what personas are drawn from, the same until the run is complete.
        notes: lines about outputs that have to be made again.

    Raises:
        ConfigError: another run works with it, or it is of a run with other settings.
        MediaError: it is no ledger, is damaged, or cannot be written.
    """

    def __init__(self, root: Place | None, settings: dict[str, Any], *, force: bool = False) -> None:
        self.path = path = ledger_of(root) if root else None
        self.notes: list[str] = []
        self._root = Path(root) if root else None
        with ExitStack() as undone:
            self._lock = undone.enter_context(_locked(path)) if path else None
            try:
                self._base = undone.enter_context(closing(sqlite3.connect(path or ":memory:", isolation_level=None)))
                self._open(settings, force)
            except sqlite3.DatabaseError as error:
                raise MediaError(f"the ledger cannot be used: {error}", path=path) from error
            undone.pop_all()

    def close(self) -> None:
        """Give the file back. When nothing is left to do, the secret is forgotten."""
        self._base.execute(
            "DELETE FROM job WHERE key = 'secret' AND NOT EXISTS (SELECT 1 FROM items WHERE state != 'done')"
        )
        self._base.close()
        if self._lock:
            self._lock.close()

    def _open(self, settings: dict[str, Any], force: bool) -> None:
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = NORMAL")
        self._base.executescript(_TABLES)
        if force:
            self._base.execute("DELETE FROM items")
            self._base.execute("DELETE FROM job")
        text = json.dumps(settings, sort_keys=True)
        before = self._value("settings", text)
        if before != text:
            changes = ", ".join(_changes(json.loads(before), json.loads(text)))
            cause = f"is of a run with other settings ({changes}); name another output, or --force makes all anew"
            raise ConfigError(cause, path=self.path)
        self.secret = int(self._value("secret", str(secrets.randbits(63))))

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

    def is_new(self) -> bool:
        """Whether no run before knew of any item."""
        return self._base.execute("SELECT 1 FROM items").fetchone() is None

    def _key(self, target: Path) -> str:
        return str(target.relative_to(self._root) if self._root and target.is_relative_to(self._root) else target)

    def left(self, jobs: Sequence[Job], *, retry: bool = False) -> list[Job]:
        """Those of ``jobs`` that are not done; all are known from now on.

        A file that is done is done again, with a note, if it has changed or its output is gone.

        Args:
            retry: whether to try again what is in quarantine.
        """
        left = []
        self._base.execute("BEGIN")
        for job in jobs:
            identity, known = _identity(job.source), self._known(job)
            if known and known.state == State.QUARANTINED and known.identity == identity and not retry:
                continue
            if known and known.state == State.DONE:
                why = self._why_again(job, known, identity)
                if not why:
                    continue
                self.notes.append(f"{job.source.name}: is done again: {why}")
            left.append(job)
            self._base.execute(
                "INSERT OR REPLACE INTO items (target, input, kind, state, identity) VALUES (?, ?, ?, ?, ?)",
                (self._key(job.target), job.source.name, job.source.kind, State.PENDING, identity),
            )
        self._base.execute("COMMIT")
        return left

    def _known(self, job: Job) -> _Known | None:
        row = self._base.execute(
            "SELECT state, identity, size_out FROM items WHERE target = ?", (self._key(job.target),)
        ).fetchone()
        return _Known(*row) if row else None

    def _why_again(self, job: Job, known: _Known, identity: str) -> str:
        if known.identity != identity:
            return "the input has changed"
        size = job.size()
        if size is None:
            return "its output is gone"
        return "" if size == known.size_out else "its output was changed"

    def record(self, result: Result) -> None:
        """Note what became of one of the jobs, at once."""
        state = State.DONE if result.error is None else State.QUARANTINED if result.passing else State.FAILED
        self._base.execute(
            "UPDATE items SET state = ?, tries = ?, hash_in = ?, hash_out = ?, size_out = ?, seconds = ?, result = ?"
            " WHERE target = ?",
            (
                state,
                result.tries,
                result.hash_in,
                result.hash_out,
                result.size_out,
                result.seconds,
                json.dumps(result.as_dict()),
                self._key(result.job.target),
            ),
        )

    def states(self) -> Counter[str]:
        """How many items there are of each state."""
        return Counter(dict(self._base.execute("SELECT state, COUNT(*) FROM items GROUP BY state")))

    def failures(self) -> int:
        """Items that are not done, or of which something is missing."""
        count: int = self._base.execute(
            "SELECT COUNT(*) FROM items WHERE state != 'done' OR json_array_length(result, '$.missing') > 0"
        ).fetchone()[0]
        return count

    def results(self) -> Iterator[dict[str, Any]]:
        """What became of all items that were tried, as in the report, with their state."""
        for state, text in self._base.execute(
            "SELECT state, result FROM items WHERE result IS NOT NULL ORDER BY rowid"
        ):
            yield {**json.loads(text), "state": state}


def ledger_of(root: Place) -> Path:
    """Where the ledger of an output folder lies: beside it; of one in a store, in this user's folder for such files."""
    if isinstance(root, str):
        name = hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16]
        return user_state_path("anonymizer") / f"{Path(root).name}-{name}{SUFFIX}"
    return root.resolve().with_name(root.resolve().name + SUFFIX)


def files_of(root: Place) -> list[Path]:
    """The files of a ledger, while it is open and afterwards."""
    path = ledger_of(root)
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))]


def _locked(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)  # it holds the secret
        file = path.open("ab")
    except OSError as error:
        raise MediaError(f"the ledger cannot be written: {cause_of(error)}", path=path) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError("another run is at work with this ledger", path=path) from error
    return file


def _identity(source: Source) -> str:
    if source.origin:
        return f"{source.origin.size} {source.origin.version}"
    status = source.path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _changes(before: dict[str, Any], now: dict[str, Any]) -> Iterable[str]:
    """Names of settings that differ, through all levels."""
    for key in sorted(before.keys() | now.keys()):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _changes(one, other)
        elif one != other:
            yield key
