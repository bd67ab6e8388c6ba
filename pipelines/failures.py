"""What went wrong with a file: whether it may go well another time, and the line that people read."""

from __future__ import annotations

import errno

from anonymizer.errors import AnonymizerError, PassingError
from pipelines.places import Place

PASSING = frozenset(
    {
        *(errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC),
        *(errno.ESTALE, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETDOWN),
        *(errno.ENETUNREACH, errno.ETIMEDOUT),
    }
)
"""Errors of the operating system that may be gone when one tries again."""


def may_pass(error: BaseException | None) -> bool:
    """Whether what went wrong may go well another time, as it was the machine or the network."""
    while error is not None:
        if isinstance(error, MemoryError | PassingError) or (isinstance(error, OSError) and error.errno in PASSING):
            return True
        error = error.__cause__
    return False


def printable(text: str) -> str:
    """A text of others, without what may command a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def one_line(error: Exception, path: Place | None = None) -> str:
    """An error as a user sees it: where and why, in one line."""
    if isinstance(error, AnonymizerError):
        error.path = error.path or path
        return str(error)
    where = f"{path}: " if path else ""
    cause = " ".join(f"{where}unexpected {type(error).__name__}: {error}".split())
    return f"{cause} (`anonymizer --debug ...` shows the traceback)"
