"""The record in a ledger: what happened to each file, one entry after the other, to which entries are only added.

Each bears a hash of itself and the one before (``chain``). A run begins with who ran it, when, and with which settings,
versions and weights; then come results (``item``), and why something is done again (``again``).

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
from pipelines.signature import Seal, read_signature

_TABLES = (
    "CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, entry TEXT NOT NULL, chain TEXT NOT NULL) STRICT",
    *(
        f"CREATE TRIGGER IF NOT EXISTS {what}_never BEFORE {what} ON records "
        "BEGIN SELECT RAISE(ABORT, 'records are only added'); END"
        for what in ("UPDATE", "DELETE")
    ),
)
_COLUMNS = (
    *("target", "input", "kind", "state", "identity", "tries"),
    *("hash_in", "hash_out", "size_out", "time_out", "seconds", "result"),
)


_KEEP = "INSERT INTO job VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
KEPT = ("head", "signature")
"""What the table ``job`` of a ledger keeps of its record."""


class Journal:
    """Adds to the record, inside of transactions that somebody else begins and ends.

    Args:
        base: the ledger, whose table ``job`` takes the last hash and the signature.
        about: what the first entry of this run says.
        seal: signs the record.
        path: of the ledger, for errors.
        anew: whether this run knows no more of what was done before.

    Raises:
        MediaError: it is not what a run before has left, so that nothing must be added as if it were.
    """

    def __init__(
        self, base: sqlite3.Connection, about: Entry, seal: Seal | None, path: Path | None, *, anew: bool = False
    ) -> None:
        self._base, self._about, self._seal = base, {**about, "anew": anew}, seal
        for table in _TABLES:
            base.execute(table)
        row = base.execute("SELECT chain FROM records ORDER BY number DESC LIMIT 1").fetchone()
        self._head: str = row[0] if row else START
        self._begun, self._changed = False, False
        if why := _why_not(self._head, _kept(base), None if anew else seal):
            cause = f"{why}: `anonymizer report verify` tells more; move the ledger away to begin anew"
            raise MediaError(cause, path=path)
        if anew and row:
            base.execute("DELETE FROM job WHERE key = 'signature'")  # this run may have none
            self._begin()

    def add(self, what: str, entry: Entry) -> None:
        """Add an entry; the first of a run comes after what the run is about."""
        if not self._begun:
            self._begin()
        self._append(what, entry)

    def end(self) -> None:
        """Keep the last hash, and sign it, if there are new entries; at the end of each transaction."""
        if self._changed:
            kept = {"head": self._head} | ({"signature": self._seal.sign(self._head)} if self._seal else {})
            self._base.executemany(_KEEP, kept.items())
            self._changed = False

    def _begin(self) -> None:
        self._begun = True
        self._append("run", {**self._about, "begun": datetime.now(UTC).isoformat(timespec="seconds")})

    def _append(self, what: str, entry: Entry) -> None:
        text = text_of({what: entry})
        self._head, self._changed = following(self._head, text), True
        self._base.execute("INSERT INTO records (entry, chain) VALUES (?, ?)", (text, self._head))


def row_of(base: sqlite3.Connection, target: str) -> Entry:
    """What the ledger knows of an item, as an entry has it; empty if it knows nothing."""
    row = base.execute(f"SELECT {', '.join(_COLUMNS)} FROM items WHERE target = ?", (target,)).fetchone()
    facts: Entry = dict(zip(_COLUMNS, row, strict=True)) if row else {}
    if facts.get("result"):
        facts["result"] = json.loads(facts["result"])
    return facts


def _kept(base: sqlite3.Connection) -> dict[str, str]:
    return dict(base.execute(f"SELECT key, value FROM job WHERE key IN {KEPT}").fetchall())


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
    if seal and signed.certificate != seal.certificate:
        return f"its record was signed by {signed.signer}, with another certificate"
    return "" if signed.head == head else "the signature of its record is about another one"


@dataclass
class History:
    """The record of a ledger, as it is found.

    Attributes:
        wrong: lines about what is not as it was.
        heads: the hashes of all entries.
        last: the number of the last entry of each item.
        signature: of the last hash; None if it is not signed.
        signs: whether the settings say that it is.
    """

    wrong: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=dict)
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
        _take(found, number, entry)
    if kept.get("head", START) != (found.heads[-1] if found.heads else START):
        found.wrong.append("the last lines were added, changed or removed")
    found.wrong += _rows_that_differ(base, found.last)
    return found


def item(base: sqlite3.Connection, number: int) -> Entry:
    """What an entry says of an item; empty if that is to be done again."""
    (text,) = base.execute("SELECT entry FROM records WHERE number = ?", (number,)).fetchone()
    entry: Entry = json.loads(text).get("item", {})
    return entry


def _parsed(text: str) -> Entry | None:
    try:
        entry: Any = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _take(found: History, number: int, entry: Entry) -> None:
    if "run" in entry:
        found.signs = bool(entry["run"]["settings"].get("output", {}).get("sign"))
        if entry["run"]["anew"]:
            found.last.clear()
    for what in ("item", "again"):
        if what in entry:
            found.last[entry[what]["target"]] = number


def _rows_that_differ(base: sqlite3.Connection, last: dict[str, int]) -> Iterator[str]:
    for target, number in last.items():
        said, row = item(base, number), row_of(base, target)
        if (row != said) if said else (row.get("state") != "pending"):
            yield f"what the ledger says of {target} is not what line {number} says"
    for target, state in base.execute("SELECT target, state FROM items ORDER BY target"):
        if state != "pending" and target not in last:
            yield f"the ledger says that {target} is {state}, and no line says so"
