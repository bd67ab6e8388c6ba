"""Whether numbers may be the pixels of a picture, in texts and in tables.

A picture of a face has many numbers, one after the other, of many values, all in the range of pixels: whole and up to
255, or from 0 to 1. Labels have few values, or go beyond.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

NUMBERS = 400
"""Numbers that may be a picture: 20 by 20 pixels."""

MANY = 1000
"""Numbers from 0 to 1 that may be one, however many values they have."""

FEW, LEVELS = 10, 300
"""Values: up to the one they are classes, up to the other they may be the levels of a picture, divided by 255."""

MOST = 0.95
"""Share of the numbers that must be in the range: there may be a label among them."""

SKIP = 7
"""Every so many numbers of a line are looked at before all are."""

_BETWEEN = b" \t\n\r\f,;|[](){}\"'"
_SPLIT = bytes.maketrans(_BETWEEN, b" " * len(_BETWEEN))
_FORMS = ("%d", "%02d", "%03d", "%d.", "%d.0", "%.18e", "%02x", "0x%x", "0x%02x")
_PIXELS = frozenset((form % number).encode() for number in range(256) for form in _FORMS) | frozenset(
    b"-%d" % number for number in range(1, 129)
)

_COUNTS = re.compile(rb"counts\\?[\"']\s*+:$")
_NUMBER = re.compile(rb"\d{0,4}+\.?\d{0,40}+(?<=[\d.])(?:[eE][+-]\d{2,3})?")
_LISTED = re.compile(rb"(?m)^[ \t]*(?:- ?)+|\"?\b\d{1,7}\"?: ?")
_INDEX = re.compile(rb"(?m)^[ \t]*\d+[,;\t ] *(?=\d+ *\r?$)")


def only(letters: bytes, *, but: bytes = b"") -> bytes:
    """A table for ``bytes.translate`` that makes ``a`` of some letters, leaves others, and makes blanks of the rest."""
    return bytes(ord("a") if byte in letters else byte if byte in but else ord(" ") for byte in range(256))


_WHOLE = only(b"0123456789abcdefABCDEFxX.+-" + _BETWEEN)
_DECIMAL = only(b"0123456789.eE+-" + _BETWEEN)
_LINE = only(b"0123456789.eE+-" + _BETWEEN.replace(b"\n", b""))
_DIGITS = bytes.maketrans(b"123456789\"'", b"000000000::")


def are_pixels(values: NDArray[np.float64], *, nested: bool = False) -> bool:
    """
    Args:
        values: ``(N,)``, as they follow each other.
        nested: whether they stand in lists of lists, as only pictures do: then negative and broken ones count as well.
    """
    values = values[~np.isnan(values)]
    kinds = len(np.unique(values))
    if len(values) < NUMBERS or kinds <= FEW:
        return False
    most = MOST * len(values)
    if nested:
        return bool(np.count_nonzero(np.abs(values) <= 255) >= most)
    shares = np.count_nonzero((values >= 0) & (values <= 1)) >= most
    whole = np.count_nonzero((values >= -128) & (values <= 255) & (values == np.floor(values))) >= most
    return bool(whole or (shares and (kinds <= LEVELS or len(values) >= MANY)))


def in_text(text: bytes) -> bool:
    """Whether there are pixels in a text."""
    if _count_listed(text) >= NUMBERS:
        text = _LISTED.sub(b" ", text)
    return _has_whole(text) or _has_levels(text) or _has_line(text)


def spans(text: bytes, table: bytes, least: int) -> Iterator[tuple[int, int]]:
    """Where runs of letters of a class begin and end that are not shorter than ``least``."""
    classes = text.translate(table)
    end = 0
    while (start := classes.find(b"a" * least, end)) >= 0:
        end = classes.find(b" ", start)
        end = len(classes) if end < 0 else end
        yield start, end


def _count_listed(text: bytes) -> int:
    """How many numbers may be keys, as in ``{"7": 0}``, or entries of a YAML list, at most."""
    return text.count(b"- ") + text.translate(_DIGITS).count(b"0:")


def _has_whole(text: bytes) -> bool:
    """Whether whole numbers up to 255, signed or not, follow each other with nothing but commas and such between."""
    for start, end in spans(text, _WHOLE, 2 * NUMBERS - 1):
        numbers = text[start:end]
        if numbers.lstrip().startswith(b"[") and _COUNTS.search(text[max(0, start - 50) : start]):
            numbers = numbers.partition(b"]")[2]  # what belongs to a thing, as COCO says it
        if _whole_run(numbers) and _whole_run(_INDEX.sub(b"", numbers)):
            return True
    return False


def _whole_run(numbers: bytes) -> bool:
    words = numbers.lower().translate(_SPLIT).split()
    small, end = bytes(map(_PIXELS.__contains__, words)), 0
    while (start := small.find(b"\1" * NUMBERS, end)) >= 0:
        end = small.find(b"\0", start)
        end = len(small) if end < 0 else end
        if len(set(words[start:end])) > FEW:
            return True
    return False


def _has_levels(text: bytes) -> bool:
    """Whether there are many decimals from 0 to 1 of few values, on any number of lines: pixels divided by 255."""
    for start, end in spans(text, _DECIMAL, 4 * MANY):
        words = text[start:end].translate(_SPLIT).split()
        kinds = set(words)
        if len(words) >= MANY and FEW < len(kinds) <= LEVELS:
            values = _parsed(sorted(kinds))
            if np.count_nonzero((values >= 0) & (values <= 1)) >= MOST * len(values):
                return True
    return False


def _has_line(text: bytes) -> bool:
    """Whether there is a line of decimals that are pixels."""
    for start, end in spans(text, _LINE, 2 * NUMBERS - 1):
        if text.count(b".", start, end):
            words = text[start:end].translate(_SPLIT).split()
            if len(words) >= NUMBERS and _in_range(_parsed(words[::SKIP])) and are_pixels(_parsed(words)):
                return True
    return False


def _in_range(values: NDArray[np.float64]) -> bool:
    """Whether most are: a first look."""
    return bool(2 * np.count_nonzero((values >= 0) & (values <= 255)) > len(values))


def _parsed(words: list[bytes]) -> NDArray[np.float64]:
    """Numbers; far out of range where there is a sign, or none."""
    return np.array([float(word) if _NUMBER.fullmatch(word) else -1e9 for word in words])
