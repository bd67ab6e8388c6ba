"""Writes video through PyAV: the frames that were read, at the times at which they were read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from math import lcm
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import av
from av import Packet, VideoFrame
from av.codec.context import CodecOptionSet
from av.video.stream import VideoStream

from anonymizer.batches import Frames
from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.colour import BT709, LIMITED_RANGE, RGB_MATRIX, Pixels, from_rgb
from anonymizer.media.encoders import Codec, codec_for, container_for, pixel_formats
from anonymizer.media.files import cause_of, ffmpeg_name, replacing
from anonymizer.media.tracks import Tracks
from anonymizer.media.video import VideoReader
from anonymizer.media.voice import disguised

AudioMode = Literal["keep", "drop", "disguise"]

MAX_FRAME_RATE = 240
"""Of what an encoder is told; SVT-AV1 refuses more. Times are not affected."""

MAX_TIMESCALE = 2**31 - 1


class VideoWriter:
    """Writes a new version of a video, with its sound and subtitles. A context manager.

    Kept: the number of frames and the time of each, the duration, size, orientation, pixel aspect, bit depth and
    colour tags (sources in RGB become BT.709); sound and subtitles bit for bit. Dropped: all metadata, other
    pictures (covers!), chapters, data, attachments, transparency, and HDR's mastering data. Times are exact in
    MP4, MOV and MPEG-TS if they fit its 90 kHz; Matroska and WebM hold whole milliseconds.

    The file appears under its name when ``close`` succeeds; otherwise nothing is left behind.

    Args:
        path: where to write; its suffix names the container.
        like: the open reader of the original.
        codec: ``h264``, ``hevc``, ``vp9`` or ``av1``; by default H.264, and VP9 in WebM.
        crf: constant rate factor on the scale of the encoder; by default one whose losses are hard to see.
        encoder: one of FFmpeg's to use, such as ``h264_nvenc``.
        audio: ``disguise`` changes voices; see ``anonymizer.media.voice`` for what that protects.

    Raises:
        ConfigError: the container, codec and encoder do not go together, or with these pictures.
        MediaError: writing fails, sound or subtitles do not fit the container, times do not increase, or on
            ``close``: not every frame that was read has been written.
    """

    def __init__(
        self,
        path: str | Path,
        like: VideoReader,
        *,
        codec: str | None = None,
        crf: int | None = None,
        encoder: str | None = None,
        audio: AudioMode = "keep",
    ) -> None:
        self.path = Path(path)
        self._like = like
        self._written = 0
        self._closed = False
        self._held: tuple[VideoFrame, Fraction] | None = None
        self._durations: dict[int, int] = {}
        self._packet: Packet | None = None
        self._lead = 0
        self._container = container_for(self.path)
        if audio not in get_args(AudioMode):
            raise ConfigError(f"sound can be {', '.join(get_args(AudioMode))}, not {audio!r}")
        with self._failures(), ExitStack() as stack:
            self._partial = stack.enter_context(replacing(self.path))
            self._output = av.open(
                ffmpeg_name(self._partial), "w", format=self._container.format, container_options=self._muxing()
            )
            stack.push(self._discard)
            self._stream = self._add_video(codec_for(self._container, codec, encoder), crf)
            self._tracks = self._add_tracks(stack, audio)
            self._output.start_encoding()
            self._stack = stack.pop_all()

    def _muxing(self) -> dict[str, str]:
        """Options of the muxer: no name of a program, no shift, and in MP4 a clock that every stream's start fits."""
        options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
        if self._container.format in ("mp4", "mov"):
            info = self._like.info
            clock = lcm(1000, info.time_base.denominator, *info.sample_rates)
            exact = clock if clock <= MAX_TIMESCALE else info.time_base.denominator
            options |= {"movflags": "+faststart", "movie_timescale": str(exact)}
        return options

    def _add_video(self, codec: Codec, crf: int | None) -> VideoStream:
        info = self._like.info
        turned = info.orientation.swap and not self._container.oriented
        options = dict(codec.options)
        if self._container.format == "mpegts":
            options["bf"] = "0"  # times to decode before zero would move the whole stream
        try:
            rate = min(max(info.frame_rate, Fraction(1)), Fraction(MAX_FRAME_RATE))
            stream = self._output.add_stream(codec.encoder, rate=rate, options=options)
        except ValueError as error:
            raise ConfigError(f"{codec.encoder} does not fit into {self.path.suffix}; choose another") from error
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = (info.height, info.width) if turned else (info.width, info.height)
        size = context.width, context.height
        self._format, context.pix_fmt = pixel_formats(codec.encoder, size, info.bit_depth)
        context.time_base = info.time_base
        context.color_primaries, context.color_trc = info.primaries, info.transfer
        rgb = info.matrix == RGB_MATRIX
        self._matrix, self._range = (BT709, LIMITED_RANGE) if rgb else (info.matrix, info.color_range)
        context.colorspace, context.color_range = self._matrix, self._range
        if info.sample_aspect_ratio:
            context.sample_aspect_ratio = 1 / info.sample_aspect_ratio if turned else info.sample_aspect_ratio
        if self._container.format in ("mp4", "mov") and codec.encoder == "libx265":
            context.codec_tag = "hvc1"  # the tag that players of Apple need
        if self._container.oriented and info.orientation.matrix:
            stream.set_display_matrix(info.orientation.matrix)
        context.options |= _quality(context.supported_options, codec, crf)
        return stream

    def _add_tracks(self, stack: ExitStack, audio: AudioMode) -> list[Tracks]:
        source = self._like.path
        sources = {source: {"subtitle"} if audio == "drop" else {"audio", "subtitle"}}
        if audio == "disguise" and self._like.info.audio:
            voice = stack.enter_context(
                disguised(source, len(self._like.info.audio), self._partial, self._container.voice)
            )
            sources = {source: {"subtitle"}, voice: {"audio"}}
        holds = self._container.holds
        return [stack.enter_context(Tracks(path, self._output, kinds, holds)) for path, kinds in sources.items()]

    def write(self, frames: Frames) -> None:
        """Append frames as ``VideoReader.batches`` delivers them: upright, in order, on any device."""
        with self._failures():
            for picture, time in zip(frames.pixels.cpu().numpy(), frames.times, strict=True):
                self._push(picture, time)
                self._written += 1

    def _push(self, picture: Pixels, time: Fraction) -> None:
        """Take one frame; it is encoded when the next comes, which says how long it lasts."""
        info = self._like.info
        clock = time / info.time_base
        if time < 0 or clock.denominator != 1:
            cause = "is before zero" if time < 0 else f"is no multiple of {info.time_base} s"
            raise MediaError(f"the time of a frame {cause}", path=self.path, time=time)
        if self._held is not None:
            self._encode_held(time)
        stored = info.orientation.stored(picture) if self._container.oriented else picture
        frame = from_rgb(stored, self._format, self._matrix, self._range)
        frame.pts, frame.time_base = int(clock), info.time_base
        self._held = frame, time

    def _encode_held(self, until: Fraction) -> None:
        assert self._held is not None
        frame, time = self._held
        duration = round((until - time) / self._like.info.time_base)
        if duration <= 0:
            raise MediaError("the times of frames do not increase", path=self.path, time=until)
        self._durations[frame.pts or 0] = duration
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Packet]) -> None:
        """Write packets with the sound that belongs before them; the last one is held back."""
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self._durations.pop(packet.pts)
            if self._packet is None:
                assert packet.dts is not None
                self._lead = packet.pts - packet.dts
            else:
                self._write_packet(self._packet)
            self._packet = packet

    def _write_packet(self, packet: Packet) -> None:
        assert packet.dts is not None
        for tracks in self._tracks:
            tracks.advance(packet.dts * packet.time_base)
        self._output.mux_one(packet)

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._closed = True
        with self._failures(), self._stack:
            like = self._like
            if self._held is None or not like.finished or self._written != like.frames_read:
                raise MediaError(f"only {self._written} frames came to be written", path=self.path)
            end = max(like.end, self._held[1] + like.info.time_base)
            self._encode_held(end)
            self._mux(self._stream.encode(None))
            self._write_last_packet(round(end / like.info.time_base))
            for tracks in self._tracks:
                tracks.advance(None)
            self._output.close()

    def _write_last_packet(self, end: int) -> None:
        """MP4 adds up steps between times of decoding; the last one has to reach the end of the video."""
        assert self._packet is not None
        assert self._packet.dts is not None
        if self._container.format in ("mp4", "mov"):
            step = end - self._lead - self._packet.dts
            self._packet.duration = max(self._packet.duration or 0, step)
        self._write_packet(self._packet)

    def _discard(self, kind: type[BaseException] | None, *_: object) -> None:
        """After a failure. The file goes first: the muxer would rewrite it once more."""
        if kind is not None:
            self._partial.unlink(missing_ok=True)
            with contextlib.suppress(av.FFmpegError):
                self._output.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            time = self._held[1] if self._held else None
            raise MediaError(f"cannot be written: {cause_of(error)}", path=self.path, time=time) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
        elif not self._closed:
            self.close()


def _quality(offered: CodecOptionSet, codec: Codec, crf: int | None) -> dict[str, str]:
    """The option that sets constant quality, by the name that this encoder has for it."""
    names = {option.name for option in offered.private}
    for name in ("crf", "cq"):
        if name in names:
            return {name: str(codec.crf if crf is None else crf)}
    if crf is not None:
        raise ConfigError(f"{codec.encoder} knows no constant rate factor")
    return {}
