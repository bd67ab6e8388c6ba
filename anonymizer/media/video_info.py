"""What a video file says about itself, and the orientation in which its pictures are shown."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from av import VideoFrame
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from anonymizer.media.colour import FULL_RANGE, RGB_MATRIX, Pixels, bit_depth, is_full, is_rgb


@dataclass(frozen=True)
class Orientation:
    """How stored pictures are turned to stand upright: one of the eight turns and mirrorings.

    Attributes:
        swap: exchange rows and columns first.
        flip_x, flip_y: then mirror left-right, top-bottom.
        matrix: the display matrix of the stream, nine integers as FFmpeg has them; empty if there is none.
    """

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False
    matrix: tuple[int, ...] = ()

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read the display matrix; one that is no multiple of 90 degrees is kept but does not turn the pixels."""
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        matrix = struct.unpack("=9i", bytes(data))
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if a == d == 0 and b and c:
            return cls(True, c < 0, b < 0, matrix)
        if b == c == 0 and a and d:
            return cls(False, a < 0, d < 0, matrix)
        return cls(matrix=matrix)

    def upright(self, pixels: Pixels) -> Pixels:
        """Stored to shown: a view of ``(H, W, 3)`` pixels."""
        turned = pixels.swapaxes(0, 1) if self.swap else pixels
        return turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def stored(self, pixels: Pixels) -> Pixels:
        """Shown to stored: the inverse of ``upright``."""
        turned = pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return turned.swapaxes(0, 1) if self.swap else turned

    @property
    def rotation(self) -> int:
        """Clockwise degrees by which a player turns the stored picture: 0, 90, 180 or 270."""
        if self.swap:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video. Numbers of colour are those of ISO/IEC 23091-2 (H.273); 2 means "not said".

    Attributes:
        path, container, codec, pixel_format: where it is, and FFmpeg's names for what it is.
        width, height: of the stored pictures, before they are turned upright.
        orientation: how the pictures are turned to be shown.
        sample_aspect_ratio: width over height of a stored pixel; 0 if not said.
        bit_depth: of one colour component.
        primaries, transfer, matrix: colour tags.
        color_range: 0 not said, 1 limited ("TV"), 2 full.
        time_base: seconds in which the timestamps count.
        frame_rate: average, for encoders and progress bars; timestamps alone say when a frame is shown.
        frames: their number, as far as the file says; 0 if it does not.
        duration: seconds, as far as the file says; 0 if it does not.
        sample_rates: of the streams of sound.
        audio, subtitles: the codec of each stream that can be copied; ``unknown`` if FFmpeg does not know it.
        left_out: streams that no output may hold: other pictures, data, attachments.
    """

    path: Path
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    orientation: Orientation
    sample_aspect_ratio: Fraction
    bit_depth: int
    primaries: int
    transfer: int
    matrix: int
    color_range: int
    time_base: Fraction
    frame_rate: Fraction
    frames: int
    duration: Fraction
    sample_rates: tuple[int, ...]
    audio: tuple[str, ...]
    subtitles: tuple[str, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, container: InputContainer, stream: VideoStream, frame: VideoFrame) -> VideoInfo:
        """Collect the facts from an open file and its first frame, which knows better than the header."""
        return cls(
            path=path,
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=frame.format.name,
            width=frame.width,
            height=frame.height,
            orientation=Orientation.of(frame),
            sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(0),
            bit_depth=bit_depth(frame),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            matrix=RGB_MATRIX if is_rgb(frame) else int(frame.colorspace),
            color_range=FULL_RANGE if is_rgb(frame) or is_full(frame) else int(frame.color_range),
            time_base=stream.time_base or Fraction(0),
            frame_rate=stream.guessed_rate or stream.average_rate or Fraction(25),
            frames=stream.frames,
            duration=_duration(container, stream),
            sample_rates=tuple(
                other.codec_context.sample_rate for other in container.streams.audio if other.codec_context
            ),
            audio=tuple(_codec_name(other) for other in container.streams if other.type == "audio"),
            subtitles=tuple(_codec_name(other) for other in container.streams if other.type == "subtitle"),
            left_out=tuple(
                f"{other.type} stream {other.index} ({_codec_name(other)})"
                for other in container.streams
                if other is not stream and other.type not in ("audio", "subtitle")
            ),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright pictures."""
        return (self.width, self.height) if self.orientation.swap else (self.height, self.width)


def _duration(container: InputContainer, stream: VideoStream) -> Fraction:
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    return Fraction(container.duration or 0, 1_000_000)


def _codec_name(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else "unknown"
