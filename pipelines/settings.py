"""How results are written: the settings that concern files rather than faces. Light to import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Codec = Literal["h264", "hevc", "vp9", "av1"]
Audio = Literal["keep", "drop", "disguise"]
LabelUse = Literal["use", "ignore"]

SIGNING_KEY = "signing_key"
"""Under what records tell with which key they are signed, in place of ``OutputConfig.sign``."""


@dataclass(frozen=True)
class OutputConfig:
    """How results are written.

    Attributes:
        audio: what becomes of the sound of videos.
        codec: of videos; None for what suits the container.
        crf: constant rate factor of videos, on the scale of the encoder; None for one that looks like the original.
        encoder: one of FFmpeg's to use instead of the codec's own.
        quality: of photographs in lossy formats, 1..100; None for that of the original.
        copy: suffixes of files that are copied though they may hold pictures; see ``copies``.
        labels: whether label files beside photographs tell where faces are; see ``labels``.
        disclosure: whether results say in their metadata what made them; see ``provenance``.
        sign: files with certificates and with a key to sign results with; see ``credentials``.
    """

    audio: Audio = "keep"
    codec: Codec | None = None
    crf: int | None = None
    encoder: str | None = None
    quality: int | None = None
    copy: tuple[str, ...] = ()
    labels: LabelUse = "use"
    disclosure: bool = True
    sign: tuple[str, str] | None = None


def changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Names of settings that differ, through all levels."""
    for key in sorted(before.keys() | now.keys()):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from changes(one, other)
        elif one != other or (key in before) != (key in now):
            yield key
