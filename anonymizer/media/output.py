"""A video file that is being written: packets of pictures, and the sound and subtitles of the original between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from math import lcm
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import av
from av import Packet

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.encoders import codec_for, container_for
from anonymizer.media.files import cause_of, ffmpeg_name, replacing
from anonymizer.media.matroska import ROOM, write_tags
from anonymizer.media.mp4 import append_xmp
from anonymizer.media.picture_encoder import PictureEncoder
from anonymizer.media.statement import SILENT, Statement
from anonymizer.media.tracks import Tracks
from anonymizer.media.video_info import VideoInfo
from anonymizer.media.voice import disguised

AudioMode = Literal["keep", "drop", "disguise"]

MAX_TIMESCALE = 2**31 - 1

MP4, MATROSKA = ("mp4", "mov"), ("matroska", "webm")
"""Formats that can say something about themselves; MPEG-TS has no place for it."""


def check_writable(
    path: Path, info: VideoInfo, codec: str | None, crf: int | None, encoder: str | None, audio: AudioMode
) -> None:
    """Begin to write, and leave nothing behind.

    Raises:
        ConfigError, MediaError: see ``Output``.
    """
    output = Output(path, info, codec, crf, encoder, "drop" if audio == "disguise" else audio)  # a voice always fits
    output.__exit__(MediaError, MediaError("only tried"), None)


class Output:
    """The file appears under its name when the block ends well, after ``finish``; otherwise nothing is left behind.

    Args:
        path: where to write; its suffix names the container.
        info: of the original.
        codec, crf, encoder, audio: see ``VideoWriter``.

    Attributes:
        encoder: of the pictures, open.

    Raises:
        ConfigError: the container, codec and encoder do not go together, or with these pictures.
        MediaError: writing fails, or sound or subtitles do not fit the container.
    """

    def __init__(
        self, path: Path, info: VideoInfo, codec: str | None, crf: int | None, encoder: str | None, audio: AudioMode
    ) -> None:
        self.path, self._info = path, info
        self._packet: Packet | None = None
        self._lead = 0
        self._container = container_for(path)
        if audio not in get_args(AudioMode):
            raise ConfigError(f"sound can be {', '.join(get_args(AudioMode))}, not {audio!r}")
        with self.failures(), ExitStack() as stack:
            self._partial = stack.enter_context(replacing(path))
            self._output = av.open(
                ffmpeg_name(self._partial), "w", format=self._container.format, container_options=self._muxing()
            )
            stack.push(self._discard)
            chosen = codec_for(self._container, codec, encoder)
            self.encoder = PictureEncoder(path, self._output, self._container, info, chosen, crf)
            self._tracks = self._add_tracks(stack, audio)
            if self._container.format in MATROSKA:
                self._output.metadata.update(ROOM)
            self._output.start_encoding()
            self._stack = stack.pop_all()

    def _muxing(self) -> dict[str, str]:
        """Options of the muxer: no name of a program, no shift, and in MP4 a clock that every stream's start fits."""
        options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
        if self._container.format in MP4:
            clock = lcm(1000, self._info.time_base.denominator, *self._info.sample_rates)
            exact = clock if clock <= MAX_TIMESCALE else self._info.time_base.denominator
            options |= {"movflags": "+faststart", "movie_timescale": str(exact)}
        return options

    def _add_tracks(self, stack: ExitStack, audio: AudioMode) -> list[Tracks]:
        source = self._info.path
        sources = {source: {"subtitle"} if audio == "drop" else {"audio", "subtitle"}}
        if audio == "disguise" and self._info.audio:
            voice = stack.enter_context(disguised(source, len(self._info.audio), self._partial, self._container.voice))
            sources = {source: {"subtitle"}, voice: {"audio"}}
        holds = self._container.holds
        return [stack.enter_context(Tracks(path, self._output, kinds, holds)) for path, kinds in sources.items()]

    def mux(self, packets: Iterable[Packet]) -> None:
        """Write packets of pictures with the sound that belongs before them; the last one is held back."""
        for packet in packets:
            assert packet.pts is not None
            assert packet.dts is not None
            if self._packet is None:
                self._lead = packet.pts - packet.dts
            else:
                self._write_packet(self._packet)
            self._packet = packet

    def _write_packet(self, packet: Packet) -> None:
        assert packet.dts is not None
        for tracks in self._tracks:
            tracks.advance(packet.dts * packet.time_base)
        self._output.mux_one(packet)

    def finish(self, end: Fraction, says: Statement = SILENT) -> None:
        """Write what is left of a video that ends at ``end``, in seconds, and what the file ``says``; close it."""
        self._write_last_packet(round(end / self._info.time_base))
        for tracks in self._tracks:
            tracks.advance(None)
        self._output.close()
        if self._container.format in MATROSKA:
            write_tags(self._partial, says.tags())
        elif self._container.format in MP4 and says != SILENT:
            append_xmp(self._partial, says.xmp())
            if says.seal:
                says.seal(self._partial, self._container.format)

    def _write_last_packet(self, end: int) -> None:
        """MP4 adds up steps between times of decoding; the last one has to reach the end of the video."""
        assert self._packet is not None
        assert self._packet.dts is not None
        if self._container.format in MP4:
            step = end - self._lead - self._packet.dts
            self._packet.duration = max(self._packet.duration or 0, step)
        self._write_packet(self._packet)

    def _discard(self, kind: type[BaseException] | None, *_: object) -> None:
        """After a failure. The file goes first: the muxer would rewrite it once more."""
        if kind is not None:
            self._partial.unlink(missing_ok=True)
            with contextlib.suppress(av.FFmpegError):
                self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Name the file, and the last frame, in errors of FFmpeg and of the system."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            encoder = getattr(self, "encoder", None)
            time = encoder.time if encoder else None
            raise MediaError(f"cannot be written: {cause_of(error)}", path=self.path, time=time) from error
