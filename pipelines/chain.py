"""A record in which no line can be changed or taken away without notice: each bears a hash of itself and all before.

Whoever may write the record can write another one from its start. So its head, one hash, is to be kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

LINK, HEAD, SIGNATURE = "chain", "head", "signature"
"""Under what a line has its hash, and a report that of the whole, and the signature of that."""

START = "0" * 64
"""What stands before the first line."""

ITEMS = "inputs"
"""Under what a report has its lines."""

Entry = dict[str, Any]


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def text_of(entry: Entry) -> str:
    """An entry as JSON: keys in order, no spaces, ASCII."""
    return _encoder.encode(entry)


def following(before: str, text: str) -> str:
    """SHA-256 of the hash before and the ``text_of`` an entry."""
    return hashlib.sha256(f"{before}{text}".encode()).hexdigest()


def chained(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries with their hashes."""
    before = START
    for entry in entries:
        before = following(before, text_of(entry))
        yield {**entry, LINK: before}


def sealed(report: Entry) -> Entry:
    """A report whose lines are chained, with its head, which is about all that it says."""
    return {**report, HEAD: head_of(report)}


def head_of(report: Entry) -> str:
    """The hash of the last line, and of what else a report says."""
    items = report[ITEMS]
    said = {name: value for name, value in report.items() if name not in (ITEMS, HEAD, SIGNATURE)}
    return following(items[-1][LINK] if items else START, text_of(said))


def first_broken(report: Entry) -> int | None:
    """The number of the first line that is not what it was, or that another was before; None if all are."""
    before = START
    for number, line in enumerate(report[ITEMS], start=1):
        entry = {name: value for name, value in line.items() if name != LINK}
        before = following(before, text_of(entry))
        if line.get(LINK) != before:
            return number
    return None
