"""Files that are neither photograph, video, archive nor table: copied bit for bit, if they are text without a picture.

A face can hide in whatever is not understood: in raw photographs, arrays, other containers. So only text is copied,
unless the user says so; and text only if it holds no picture in letters (base64, hex) or in numbers.
"""

from __future__ import annotations

import codecs
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from anonymizer.errors import MediaError
from anonymizer.media.files import cause_of, replacing
from pipelines.pixels import NUMBERS, in_text, only, spans
from pipelines.plan import Job
from pipelines.report import Result

SMALL = 64
"""Bytes that hold no face, whatever they are."""

PIECE = 1 << 20
"""Bytes of a text that are looked at together."""

OVERLAP = 1 << 16
"""Bytes that are looked at in two pieces. What is looked for fits in."""

RUN = 520
"""Letters without a blank that may be an encoding: hashes, keys, signatures and names are shorter."""

LINES, WIDTH = 12, 40
"""How many lines of how many letters may be an encoding."""

BYTES = 64
"""Control characters, as such or written as escapes, that may come from bytes taken for text."""

_CONTROLS = bytes({*range(32), 127} - {*b"\t\n\f\r\x1b"})
_HIGH = bytes(range(128, 256))
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_ENCODED = only(_LETTERS)
_LINED = only(_LETTERS, but=b"\n")

_LINKS = (b"data:image/", b"data:video/")
_UUENCODED = re.compile(rb"\nbegin [0-7]{3,4} \S")
_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:%PDF-|%!PS|/\* XPM|ply\s|#VRML|P[23]\s++(?:#[^\n]*+\s++)*+\d++\s++\d++\s++\d++\s)"
)
_BULLET = rb"(?: *+a +)?+ *+"
_BLOCK = re.compile(rb"\n%b(a{%d,}+) *+\n(?:%b\1 *+\n){%d}" % (_BULLET, WIDTH, _BULLET, LINES - 1))
_ESCAPE = re.compile(rb"\\(?:x|u00)(?:0[0-8bBeEfF]|1[0-9ac-fAC-F])|(?:\\[0-3][0-7]{2}){3}")


def copy(job: Job, allowed: Collection[str] = ()) -> Result:
    """Copy a file as it is, whole or not at all; see ``why_not``."""
    result = Result(job)
    with result.guarded(), result.clock("copy"):
        if reason := why_not(job.source.path, allowed):
            raise MediaError(f"is not copied: it {reason}", path=job.source.path)
        job.make_folder()
        with replacing(job.target) as partial:
            shutil.copyfile(job.source.path, partial)
    result.seconds = sum(result.stages.values())
    return result


def why_not(path: Path, allowed: Collection[str] = ()) -> str:
    """Why a file must not be copied, as a sentence without its subject; empty if it may.

    Args:
        path: any regular file.
        allowed: suffixes, such as ``.npy``, of files that may be copied whatever they hold.

    Raises:
        MediaError: it cannot be read.
    """
    if not {suffix.lower() for suffix in path.suffixes}.isdisjoint(allowed):
        return ""
    try:
        with path.open("rb") as file:
            if path.stat().st_size <= SMALL:
                return ""
            mark = file.read(2)
            file.seek(0)
            wide = mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            reason = unfit(codecs.EncodedFile(file, "utf-8", "utf-16").read if wide else file.read)
    except OSError as error:
        raise MediaError(cause_of(error), path=path) from error
    known = path.suffix.lower()
    way = f"--copy {known} copies such files all the same" if known else "--copy goes by suffixes, and it has none"
    return f"{reason} ({way})" if reason else ""


def unfit(read: Callable[[int], bytes]) -> str:
    """Why bytes are not to be copied, as a sentence without its subject; empty if they are text without a picture.

    Args:
        read: of a stream.
    """
    try:
        for piece in pieces(read):
            if not _is_text(piece):
                break
            if reason := inside(piece):
                return reason
        else:
            return ""
    except UnicodeError:
        pass
    return "is no text that is understood, and may hold pictures"


def pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """A stream in pieces that overlap, each of which may be given to ``inside``.

    A list of numbers by which COCO says what belongs to a thing is not torn from what it is called.
    """
    piece = b""
    while more := read(PIECE):
        kept = max(0, len(piece) - OVERLAP)
        if (counts := piece.rfind(b"counts", max(0, len(piece) - PIECE // 2), kept)) >= 0:
            kept = counts
        piece = piece[kept:] + more
        yield piece


def _is_text(data: bytes) -> bool:
    """Whether this is UTF-8, or of an old code page in which most letters are ASCII; both may be cut anywhere."""
    if len(data.translate(None, _CONTROLS)) < len(data):
        return False
    plain = data.translate(None, _HIGH)
    if 10 * (len(data) - len(plain)) <= len(data):
        return True
    return len(data.decode(errors="ignore").encode()) > len(data) - 6


def inside(text: bytes) -> str:
    """What a text holds that must not be copied, as a sentence without its subject; empty if there is nothing."""
    if _START.match(text):
        return "is a document, a picture or a scan"
    if any(link in text for link in _LINKS) or _has_run(text) or _has_block(text):
        return f"holds what may be a picture as text (base64 or hex: {RUN} letters without a blank, or {LINES} lines)"
    if _controls(text) >= BYTES:
        return "holds what may be a picture as text (bytes, or escapes in their place)"
    return f"holds what may be pixels ({NUMBERS} numbers or more)" if in_text(text) else ""


def _has_run(text: bytes) -> bool:
    """Whether there are many letters without a blank. Backslashes between them do not count, as in ``\\/``."""
    if b"\\" in text:
        for escape in (rb"\u002b", rb"\u002B", rb"\u002f", rb"\u002F"):
            text = text.replace(escape, b"+")
        text = text.replace(rb"\u", b" ").translate(None, b"\\")
    return any(
        text.count(text[start : start + 1], start, end) < end - start for start, end in spans(text, _ENCODED, RUN)
    )


def _has_block(text: bytes) -> bool:
    """Whether there are many lines of the same length, each of letters without a blank, or a mark that they follow."""
    text = b"\n%b\n" % text
    blocks = _BLOCK.finditer(text.translate(_LINED))
    letters = (set(_LETTERS).intersection(text[slice(*block.span())]) for block in blocks)
    return any(len(used) > 1 for used in letters) or bool(_UUENCODED.search(text))


def _controls(text: bytes) -> int:
    """How many control characters there are, escapes such as ``\\x00`` among them."""
    escapes = sum(1 for _ in _ESCAPE.finditer(text)) if b"\\" in text else 0
    return escapes + len(text) - len(text.translate(None, _CONTROLS))
