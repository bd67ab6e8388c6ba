"""The record in a ledger: what happened to each file, one entry after the other, to which entries are only added.

Each bears a hash of itself and the one before (``chain``). A run begins with who ran it, when, and with which settings,
versions and weights; then come results (``item``), why something is done again (``again``), and reports that were
written among the results (``report``).

The last hash is kept beside, and signed where results are. As it is about all entries, one signature is enough: it is
renewed with each entry, in the same transaction. So whatever kills a run, all that was recorded is signed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anonymizer.errors import MediaError
from pipelines.chain import START, Entry, following, text_of
from pipelines.settings import SIGNING_KEY
from pipelines.signature import Seal, key_of, read_signature

_TABLE = (
    "CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, entry TEXT NOT NULL, chain TEXT NOT NULL) STRICT"
)
_KEEP = "INSERT INTO job VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Journal:
    """Adds to the record, inside of transactions that somebody else begins and ends.

    Args:
        base: the ledger, whose table ``job`` takes the last hash and the signature.
        about: what the first entry of this run says.
        seal: signs the record.
        path: of the ledger, for errors.

    Raises:
        MediaError: it is not what a run before has left, so that nothing must be added as if it were.
    """

    def __init__(self, base: sqlite3.Connection, about: Entry, seal: Seal | None, path: Path | None) -> None:
        self._base, self._about, self._seal = base, about, seal
        base.execute(_TABLE)
        row = base.execute("SELECT chain FROM records ORDER BY number DESC LIMIT 1").fetchone()
        self._head: str = row[0] if row else START
        self._begun, self._changed = False, False
        if why := _why_not(self._head, _kept(base), seal):
            cause = f"{why}. `anonymizer report verify` tells more; --force sets this ledger aside, and makes all anew"
            raise MediaError(cause, path=path)

    def add(self, what: str, entry: Entry) -> int:
        """Add an entry; the first of a run comes after what the run is about. Returns its number."""
        if not self._begun:
            self._begun = True
            self._append("run", {**self._about, "begun": datetime.now(UTC).isoformat(timespec="seconds")})
        return self._append(what, entry)

    def end(self) -> None:
        """Keep the last hash, and sign it, if there are new entries; at the end of each transaction."""
        if self._changed:
            kept = {"head": self._head} | ({"signature": self._seal.sign(self._head)} if self._seal else {})
            self._base.executemany(_KEEP, kept.items())
            self._changed = False

    def _append(self, what: str, entry: Entry) -> int:
        text = text_of({what: entry})
        self._head, self._changed = following(self._head, text), True
        row = self._base.execute("INSERT INTO records (entry, chain) VALUES (?, ?)", (text, self._head))
        assert row.lastrowid
        return row.lastrowid


def _kept(base: sqlite3.Connection) -> dict[str, str]:
    return dict(base.execute("SELECT key, value FROM job WHERE key IN ('head', 'signature')").fetchall())


def _why_not(head: str, kept: dict[str, str], seal: Seal | None) -> str:
    """Why the record does not end as it did, when ``seal`` signed it if that is known; empty if it does."""
    if kept.get("head", START) != head:
        return "the last lines of its record were added, changed or removed"
    if head == START or not (seal or "signature" in kept):
        return ""
    try:
        signed = read_signature(kept["signature"])
    except KeyError:
        return "its record was signed, and the signature is gone"
    except MediaError as error:
        return f"its record's {error}"
    if seal and key_of(signed.certificate) != seal.key:
        return f"its record was signed by {signed.signer} with another key: sign with that, by any certificate of it"
    return "" if signed.head == head else "the signature of its record is about another one"


@dataclass
class History:
    """The record of a ledger, as it is found.

    Attributes:
        wrong: lines about what is not as it was.
        heads: the hashes of all entries.
        last: the last entry of each item: its number, and the state that it tells.
        reports: the last entry of each report among the results: its number, and the SHA-256 that it tells.
        signature: of the last hash; None if it is not signed.
        signs: whether the settings say that it is.
    """

    wrong: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    last: dict[str, tuple[int, str]] = field(default_factory=dict)
    reports: dict[str, tuple[int, str]] = field(default_factory=dict)
    signature: str | None = None
    signs: bool = False


def read_history(base: sqlite3.Connection) -> History:
    """Read the record of a ledger, and hold it against itself and against what the ledger knows of its items.

    Raises:
        sqlite3.DatabaseError: it is no ledger, or is damaged.
    """
    kept = _kept(base)
    found = History(signature=kept.get("signature"))
    for number, text, chain in base.execute("SELECT number, entry, chain FROM records ORDER BY number"):
        entry = _parsed(text)
        before = found.heads[-1] if found.heads else START
        if entry is None or following(before, text_of(entry)) != chain or number != len(found.heads) + 1:
            found.wrong.append(f"line {number} was changed, or one before it was added, removed or moved")
            return found
        found.heads.append(chain)
        if not _take(found, number, entry):
            found.wrong.append(f"line {number} is none that a run writes")
            return found
    if kept.get("head", START) != (found.heads[-1] if found.heads else START):
        found.wrong.append("the last lines were added, changed or removed")
    elif not found.heads:
        found.wrong.append("it has no record of any run")
    found.wrong += _rows_that_differ(base, found.last)
    return found


def outputs(base: sqlite3.Connection, found: History) -> Iterator[tuple[int, str, str, str]]:
    """Number of the entry, name below the folder, name as it was given, and SHA-256 of all that was written last."""
    for target, (number, _) in found.last.items():
        (text,) = base.execute("SELECT entry FROM records WHERE number = ?", (number,)).fetchone()
        match json.loads(text):
            case {"item": {"result": {"output": str(output), "sha256": {"output": str(digest)}}}}:
                yield number, target, output, digest


def is_signed(told: Entry) -> bool:
    """Whether settings say that they are those of a record that is signed."""
    match told:
        case {"settings": {"output": dict(output)}}:
            return bool(output.get(SIGNING_KEY))
    return False


def _parsed(text: str) -> Entry | None:
    try:
        entry: Any = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _take(found: History, number: int, entry: Entry) -> bool:
    """Whether it is an entry that a run writes, and not before it has begun."""
    match entry:
        case {"run": {"settings": dict()} as run}:
            found.signs = is_signed(run)
        case _ if number == 1:
            return False
        case {"item": {"target": str(target), "state": str(state), "result": {"output": str() | None}}}:
            found.last[target] = number, state
        case {"again": {"target": str(target)}}:
            found.last[target] = number, "pending"
        case {"report": {"output": str(output), "sha256": str(digest)}}:
            found.reports[output] = number, digest
        case _:
            return False
    return True


def _rows_that_differ(base: sqlite3.Connection, last: dict[str, tuple[int, str]]) -> Iterator[str]:
    rows = {target: row for target, *row in base.execute("SELECT target, record, state FROM items ORDER BY target")}
    for target, (number, state) in last.items():
        if rows.pop(target, None) != [None if state == "pending" else number, state]:
            yield f"what the ledger says of {target} is not what line {number} says"
    for target, (_, state) in rows.items():
        if state != "pending":
            yield f"the ledger says that {target} is {state}, and no line says so"
