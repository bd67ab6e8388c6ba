"""What an output says about itself: the program that made it and, in IPTC's words, how its pictures came to be.

A picture in which a network drew a face is a composite with media of a trained algorithm. For one whose faces were only
covered, or that shows none, IPTC has no word that is true whatever the original was: it names the program, no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from anonymizer.generate.base import MADE, Outcome
from anonymizer.media.statement import Statement

TOOL = f"anonymizer {version('anonymizer')}"

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"

SYNTHETIC = Statement(TOOL, f"{_VOCABULARY}trainedAlgorithmicMedia")
"""Of a picture that was drawn by a network as a whole."""

COMPOSITE = Statement(TOOL, f"{_VOCABULARY}compositeWithTrainedAlgorithmicMedia")
"""Of one in which a network drew a face."""

PROCESSED = Statement(TOOL)
"""Of one in which faces were covered at most."""


UNMARKED = frozenset({"BMP", "mpegts"})
"""Formats, by Pillow's and FFmpeg's names, that have no place for it."""


def statement_on(outcomes: Iterable[str]) -> Statement:
    """What is true of a photograph or video with these outcomes of its faces."""
    return PROCESSED if set(MADE).isdisjoint(outcomes) else COMPOSITE


def in_words(outcomes: Iterable[str]) -> str:
    """``faces replaced by those of nobody who exists, or covered``: all that became of some face."""
    found = set(outcomes)
    said = {
        "replaced by those of nobody who exists": found & set(MADE),
        "covered": found - set(MADE) - {Outcome.KEPT},
        "kept": found & {Outcome.KEPT},
    }
    return f"faces {', or '.join(words for words, those in said.items() if those)}"
