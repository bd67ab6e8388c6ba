"""Encodes upright pictures at exact times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av import Packet, VideoFrame
from av.codec.context import CodecOptionSet
from av.container import OutputContainer
from av.video.stream import VideoStream

from anonymizer.batches import Frames
from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.colour import BT709, LIMITED_RANGE, RGB_MATRIX, Pixels, from_rgb
from anonymizer.media.encoders import Codec, Container, pixel_formats
from anonymizer.media.video_info import VideoInfo

MAX_FRAME_RATE = 240
"""Of what an encoder is told; SVT-AV1 refuses more. Times are not affected."""


class PictureEncoder:
    """Adds the stream of pictures to a file that is to be written, and makes its packets.

    Args:
        path: the file, whose suffix names ``container``; for messages.
        output: the open file; it need not be the one that the packets end up in.
        info: of the original: size, times, orientation and colour are kept.
        codec: with ``crf``, how to encode.

    Attributes:
        stream: of ``output``.
        time: of the last frame, None before the first.

    Raises:
        ConfigError: the container, codec and encoder do not go together, or with these pictures.
        MediaError: times are negative, no multiple of the clock, or do not increase.
    """

    def __init__(
        self,
        path: Path,
        output: OutputContainer,
        container: Container,
        info: VideoInfo,
        codec: Codec,
        crf: int | None,
    ) -> None:
        self._path, self._container, self._info = path, container, info
        self._held: VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self.time: Fraction | None = None
        self.stream = self._add(output, codec, crf)

    @property
    def header(self) -> bytes:
        """What a decoder must know before the first packet, once the encoder is open."""
        return bytes(self.stream.codec_context.extradata or b"")

    def _add(self, output: OutputContainer, codec: Codec, crf: int | None) -> VideoStream:
        info = self._info
        turned = info.orientation.swap and not self._container.oriented
        options = dict(codec.options)
        if self._container.format == "mpegts":
            options["bf"] = "0"  # times to decode before zero would move the whole stream
        try:
            rate = min(max(info.frame_rate, Fraction(1)), Fraction(MAX_FRAME_RATE))
            stream = output.add_stream(codec.encoder, rate=rate, options=options)
        except ValueError as error:
            raise ConfigError(f"{codec.encoder} does not fit into {self._path.suffix}; choose another") from error
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

    def encode(self, frames: Frames) -> list[Packet]:
        """The packets that are ready, in order, with their durations, after these frames: upright, on any device."""
        pictures = zip(frames.pixels.cpu().numpy(), frames.times, strict=True)
        return [packet for picture, time in pictures for packet in self._push(picture, time)]

    def _push(self, picture: Pixels, time: Fraction) -> list[Packet]:
        """Take one frame; it is encoded when the next comes, which says how long it lasts."""
        clock = time / self._info.time_base
        if time < 0 or clock.denominator != 1:
            cause = "is before zero" if time < 0 else f"is no multiple of {self._info.time_base} s"
            raise MediaError(f"the time of a frame {cause}", path=self._path, time=time)
        packets = self._encode_held(time)
        stored = self._info.orientation.stored(picture) if self._container.oriented else picture
        self._held = from_rgb(stored, self._format, self._matrix, self._range)
        self._held.pts, self._held.time_base, self.time = int(clock), self._info.time_base, time
        return packets

    def _encode_held(self, until: Fraction) -> list[Packet]:
        if self._held is None or self.time is None:
            return []
        duration = round((until - self.time) / self._info.time_base)
        if duration <= 0:
            raise MediaError("the times of frames do not increase", path=self._path, time=until)
        self._durations[self._held.pts or 0] = duration
        return self._timed(self.stream.encode(self._held))

    def finish(self, end: Fraction) -> list[Packet]:
        """The last packets; the last frame ends at ``end``."""
        return [*self._encode_held(end), *self._timed(self.stream.encode(None))]

    def _timed(self, packets: list[Packet]) -> list[Packet]:
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self._durations.pop(packet.pts)
        return packets


def _quality(offered: CodecOptionSet, codec: Codec, crf: int | None) -> dict[str, str]:
    """The option that sets constant quality, by the name that this encoder has for it."""
    names = {option.name for option in offered.private}
    for name in ("crf", "cq"):
        if name in names:
            return {name: str(codec.crf if crf is None else crf)}
    if crf is not None:
        raise ConfigError(f"{codec.encoder} knows no constant rate factor")
    return {}
