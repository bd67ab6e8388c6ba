"""What is kept of people on a disk while work on a video goes on, and who can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Envelope(Protocol):
    """Hides data from those who may not read it."""

    def seal(self, data: bytes, about: bytes) -> bytes:
        """The data as it may be written.

        Args:
            about: names what it is; is not hidden, and has to be known again.
        """
        ...

    def unseal(self, data: bytes, about: bytes) -> bytes:
        """What was sealed.

        Raises:
            ValueError: this did not seal it, it was altered, or it is about something else.
        """
        ...


class Plain:
    """Hides nothing: where there is no key, whoever can read the work could read its key, too. An ``Envelope``."""

    def seal(self, data: bytes, about: bytes) -> bytes:
        """The same."""
        return data

    def unseal(self, data: bytes, about: bytes) -> bytes:
        """The same."""
        return data


def place_of(path: Path) -> bytes:
    """What a file in the folder of a video is about."""
    return f"{path.parent.name}/{path.name}".encode()
