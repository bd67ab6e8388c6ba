"""Which encoder writes which codec into which container, in which pixel format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import av
from av.codec.codec import UnknownCodecError

from anonymizer.errors import ConfigError

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes its settings to standard error otherwise


@dataclass(frozen=True)
class Container:
    """What a suffix stands for.

    Attributes:
        format: FFmpeg's name of the muxer.
        codec: the video codec if none is asked for.
        voice: the audio encoder for disguised voices.
        oriented: whether it stores how a picture is to be turned.
        holds: codecs of sound and subtitles that it holds; empty where FFmpeg knows that itself.
    """

    format: str
    codec: str = "h264"
    voice: str = "aac"
    oriented: bool = True
    holds: frozenset[str] = frozenset()


_TRANSPORT_STREAM = Container(
    "mpegts",
    oriented=False,
    holds=frozenset(("aac", "ac3", "dts", "eac3", "mp1", "mp2", "mp3", "opus", "pcm_bluray", "truehd"))
    | frozenset(("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle")),
)

CONTAINERS = {
    ".mp4": Container("mp4"),
    ".m4v": Container("mp4"),
    ".mov": Container("mov"),
    ".mkv": Container("matroska", voice="libopus"),
    ".webm": Container("webm", codec="vp9", voice="libopus"),
    ".ts": _TRANSPORT_STREAM,
    ".mts": _TRANSPORT_STREAM,
    ".m2ts": _TRANSPORT_STREAM,
}
"""By suffix. All of them store a time for every frame, as AVI, for one, does not."""


@dataclass(frozen=True)
class Codec:
    """The encoder of a codec, and how it is set.

    Attributes:
        encoder: FFmpeg's name.
        crf: the constant rate factor, on the encoder's own scale, at which losses are hard to see.
        options: of the encoder.
    """

    encoder: str
    crf: int
    options: dict[str, str]


CODECS = {
    "h264": Codec("libx264", 18, {"preset": "veryfast", "bf": "0"}),  # B-frames are coarser: faces would flicker
    "hevc": Codec("libx265", 18, {"preset": "veryfast", "x265-params": "log-level=error"}),
    "vp9": Codec("libvpx-vp9", 24, {"deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
    "av1": Codec("libsvtav1", 20, {"preset": "9"}),
}

_ODD_IN_420 = {"vp9", "av1"}
"""Codecs whose 4:2:0 takes pictures of odd width or height. H.264 and HEVC need 4:4:4 for those."""


def container_for(path: Path) -> Container:
    """The container that a suffix names.

    Raises:
        ConfigError: none that can be written.
    """
    if path.suffix.lower() not in CONTAINERS:
        raise ConfigError(f"video is written to {', '.join(CONTAINERS)}, not to {path.suffix!r}", path=path)
    return CONTAINERS[path.suffix.lower()]


def codec_for(container: Container, name: str | None, encoder: str | None) -> Codec:
    """The named codec or, by default, that of the container; ``encoder`` is one of FFmpeg's to use instead.

    Raises:
        ConfigError: there is no such codec or encoder.
    """
    name = name or container.codec
    if name not in CODECS:
        raise ConfigError(f"the codec must be one of {', '.join(CODECS)}, not {name!r}")
    if encoder is None:
        return CODECS[name]
    try:
        av.Codec(encoder, "w")
    except UnknownCodecError as error:
        raise ConfigError(f"there is no encoder {encoder!r}") from error
    return Codec(encoder, CODECS[name].crf, {})


def pixel_formats(encoder: str, size: tuple[int, int], bits: int) -> tuple[str, str]:
    """FFmpeg's names of the planar format to encode, and of the equal one that the encoder takes.

    4:2:0 wherever the codec can, at the depth of the source.

    Raises:
        ConfigError: the encoder has no such format; the message names codecs that have.
    """
    found = _pixel_formats(encoder, size, bits)
    if found is None:
        able = [name for name, codec in CODECS.items() if _pixel_formats(codec.encoder, size, bits)]
        choice = f"choose the codec {' or '.join(able)}" if able else "nor can any other encoder here"
        raise ConfigError(f"{encoder} cannot write pictures of {size[0]}x{size[1]} with {bits} bits; {choice}")
    return found


def _pixel_formats(encoder: str, size: tuple[int, int], bits: int) -> tuple[str, str] | None:
    codec = av.Codec(encoder, "w")
    odd = bool(size[0] % 2 or size[1] % 2)
    name = "yuv444p" if odd and codec.canonical_name not in _ODD_IN_420 else "yuv420p"
    if bits > 8:
        name += "10le" if bits <= 10 else f"{bits}le"
    offered = {offer.name for offer in codec.video_formats or ()}
    if name in offered:
        return name, name
    return (name, "p010le") if name == "yuv420p10le" and "p010le" in offered else None
