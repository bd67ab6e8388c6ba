"""What archives of all formats have in common: members, names that are safe, and how much one may unpack to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from anonymizer.errors import MediaError
from anonymizer.media.files import cause_of

MEMBERS = 2_000_000
"""Most members of one archive: their names are held in memory. The largest sets of pictures in one file have fewer."""

RATIO = 200
"""Times its own size to which an archive may unpack. Labels as text reach 30, blank pictures 100, bombs 1000."""

FREE = 1 << 28
"""Bytes to which any archive may unpack: a small one of nothing but zeros is no danger."""

TOTAL = 1 << 42
"""Bytes to which no archive may unpack: what is larger does not come in one piece."""

OVERHEAD = 512
"""Bytes that a member counts besides its content, as in a tar file, so that empty ones are not free."""

CHUNK = 1 << 20

T = TypeVar("T")


class Readable(Protocol):
    """An open stream."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""


@dataclass(frozen=True)
class Member:
    """One thing in an archive, while the archive is open at it.

    Attributes:
        name: as it is stored.
        header: what its format knows besides.
        data: the content; None for a folder.
        size: of the content in bytes.
    """

    name: str
    header: Any
    data: Readable | None
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The content, piece by piece.

        Raises:
            MediaError: it is damaged, of another size than stated, or too much.
        """
        read = 0
        while self.data and (chunk := sound(lambda: self.data.read(CHUNK))):  # type: ignore[union-attr]
            read += len(chunk)
            yield chunk
        if read != self.size:
            raise MediaError(f"{spoken(self.name)} is not of the size that is stated")


Add = Callable[[Member, str, Path | None], None]
"""Writes a member anew: under a name, with the content of a file, or without any."""


class Budget:
    """What an archive may unpack to, counted in bytes that were really read.

    Args:
        size: of the archive in bytes.
        room: what is left of the budget of the archive that this one lies in; None if it lies in none.
    """

    def __init__(self, size: int, room: int | None = None) -> None:
        own = min(TOTAL, max(FREE, RATIO * size))
        self.limit = own if room is None else min(own, room)
        self.used = 0

    @property
    def room(self) -> int:
        """Bytes that are left."""
        return max(0, self.limit - self.used)

    def spend(self, count: int) -> None:
        """
        Raises:
            MediaError: it is more than was left.
        """
        self.used += count
        if self.used > self.limit:
            raise MediaError(f"is refused: unpacks to more than {self.limit} bytes, like a bomb")


class Metered:
    """A stream whose bytes are paid for."""

    def __init__(self, data: Readable, budget: Budget) -> None:
        self._data, self._budget = data, budget

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes."""
        chunk = self._data.read(size)
        self._budget.spend(len(chunk))
        return chunk


class Names:
    """The names of an archive, none of which may point out of it or come twice."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return _plain(name) in self._known

    def add(self, name: str) -> None:
        """
        Raises:
            MediaError: the archive is refused because of this name, or of too many.
        """
        if why := _hostile(name):
            raise MediaError(f"is refused: {spoken(name)} {why}")
        if name in self:
            raise MediaError(f"is refused: {spoken(name)} is there twice")
        self._known.add(_plain(name))
        if len(self._known) > MEMBERS:
            raise MediaError(f"is refused: holds more than {MEMBERS} members")


def _plain(name: str) -> str:
    return "/".join(PurePosixPath(name).parts)


def _hostile(name: str) -> str:
    """Why a name is not safe to unpack for whoever gets the archive; empty if it is."""
    if not name or "\0" in name:
        return "is no name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute name"
    if "\\" in name:
        return "has a backslash in its name"
    return "points out of the archive" if ".." in PurePosixPath(name).parts else ""


def spoken(name: str) -> str:
    """A name as it can be printed in one line."""
    return name if name.isprintable() else ascii(name)


def sound(read: Callable[[], T]) -> T:
    """What ``read`` gives.

    Raises:
        MediaError: the archive is damaged, cut off, or of a kind that is not read.
    """
    try:
        return read()
    except MediaError:
        raise
    except Exception as error:  # five libraries raise all kinds
        raise MediaError(f"is damaged, cut off, or packed in a way that is not read: {cause_of(error)}") from error
