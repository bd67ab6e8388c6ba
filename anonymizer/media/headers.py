"""What streams that are copied tell their decoder, without what they tell people: titles, authors, pictures, fonts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from anonymizer.errors import MediaError

_STREAMINFO = 34
"""Bytes of the first block of metadata of FLAC; others may hold pictures."""

_NO_COMMENTS = b"\x03vorbis" + bytes(8) + b"\x01"
"""Vorbis I, section 5: no vendor, no comments."""

_IDENTIFICATION = 30
"""Bytes of the first of the three headers of Vorbis."""

_LAYOUT = {
    b"[script info]": re.compile(
        rb"(ScriptType|PlayRes[XY]|LayoutRes[XY]|WrapStyle|ScaledBorderAndShadow|Collisions|Timer|YCbCr Matrix) *:",
        re.IGNORECASE,
    ),
    b"[v4 styles]": re.compile(rb"(Format|Style) *:", re.IGNORECASE),
    b"[v4+ styles]": re.compile(rb"(Format|Style) *:", re.IGNORECASE),
    b"[events]": re.compile(rb"Format *:", re.IGNORECASE),
}
"""Lines that are kept, by section, of Advanced SubStation Alpha. Other sections hold fonts and pictures as text."""

_PALETTE = re.compile(rb"(size|palette|org|scale|alpha|custom colors|forced subs) *:", re.IGNORECASE)
"""Lines that are kept of what DVD subtitles say."""


def plain_header(codec: str, header: bytes) -> bytes:
    """The header of a stream, for the same packets, with nothing in it but what decoding needs.

    Args:
        codec: FFmpeg's name of it; of codecs that are not named here headers are numbers alone, and stay.

    Raises:
        MediaError: it is not written as those of this codec are.
    """
    return _CLEANED[codec](header) if header and codec in _CLEANED else header


def _vorbis(header: bytes) -> bytes:
    """Three packets, one behind the other, with lengths before each, or Xiph's in front of all."""
    if int.from_bytes(header[:2]) == _IDENTIFICATION:
        parts, rest = [], header
        for _ in range(3):
            size = int.from_bytes(rest[:2])
            parts.append(rest[2 : 2 + size])
            rest = rest[2 + size :]
    else:
        sizes, at = [], 1
        for _ in range(2):
            size = 0
            while header[at : at + 1] == b"\xff":
                size, at = size + 255, at + 1
            sizes.append(size + int.from_bytes(header[at : at + 1]))
            at += 1
        ends = [at + sizes[0], at + sizes[0] + sizes[1]]
        parts = [header[at : ends[0]], header[ends[0] : ends[1]], header[ends[1] :]]
    if [part[:7] for part in parts] != [b"\x01vorbis", b"\x03vorbis", b"\x05vorbis"]:
        raise MediaError("its sound (vorbis) has a header that cannot be read")
    new = (parts[0], _NO_COMMENTS, parts[2])
    return b"".join(len(part).to_bytes(2) + part for part in new)


def _flac(header: bytes) -> bytes:
    info = header[8:] if header.startswith(b"fLaC") else header
    return info[:_STREAMINFO]


def _ass(header: bytes) -> bytes:
    kept, section = [], None
    for line in header.removeprefix(b"\xef\xbb\xbf").splitlines():
        if line.startswith(b"["):
            section = _LAYOUT.get(line.strip().lower())
        if section and (line.startswith(b"[") or section.match(line)):
            kept.append(line)
    return _lines(kept)


def _webvtt(header: bytes) -> bytes:
    blocks = re.split(rb"\r?\n\r?\n", header)
    return b"\n\n".join([b"WEBVTT", *(block for block in blocks if re.match(rb"\s*(STYLE|REGION)\b", block))])


def _dvd(header: bytes) -> bytes:
    return _lines(line for line in header.splitlines() if _PALETTE.match(line))


def _lines(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


_CLEANED: dict[str, Callable[[bytes], bytes]] = {
    "vorbis": _vorbis,
    "flac": _flac,
    "ass": _ass,
    "ssa": _ass,
    "webvtt": _webvtt,
    "dvd_subtitle": _dvd,
}
