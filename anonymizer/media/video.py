"""Reads video through PyAV: upright RGB, exact times, and an error instead of a picture that may be wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from threading import Lock

import av
import numpy as np
import torch
from av import Packet, VideoFrame
from av.video.stream import VideoStream

from anonymizer.batches import Frames
from anonymizer.errors import MediaError, SeekError
from anonymizer.media.colour import Pixels, to_rgb
from anonymizer.media.demux import Demuxer
from anonymizer.media.files import Closing, cause_of
from anonymizer.media.timeline import Timeline, shows_picture
from anonymizer.media.video_info import VideoInfo


class VideoReader(Closing):
    """Reads the main video stream of a file once, from start to end. A context manager.

    Frames come upright: turned as the file says it is to be shown. Transparency is not read. Damage that a
    decoder cannot know of, such as changed bytes that still make a valid stream, is not noticed.

    Attributes:
        path: the file.
        info: what it says about itself; see ``VideoInfo``.
        frames_read: how many frames were delivered.
        end: when the last decoded frame ends, in seconds.
        finished: whether all frames were delivered.

    Raises:
        MediaError: on opening: no such file, empty, not a video, no video stream, a first picture that cannot be
            decoded. On reading: a packet that does not decode cleanly to a picture, a file that was cut off,
            timestamps that are missing or do not increase, a picture size that changes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.frames_read = 0
        self.end = Fraction(0)
        self.finished = False
        self._lock = Lock()
        self._closed = False
        self._time: Fraction | None = None
        self._demuxer = Demuxer(self.path)
        try:
            self._stream = self._demuxer.main_video()
            self._unit = Fraction(self._stream.time_base or 0)
            self._stream.thread_type = "AUTO"
            self._stream.codec_context.options = {"err_detect": _error_detection(self._stream)}
            decoded = self._decode()
            first = next(decoded, None)
            if first is None:
                raise MediaError("its video stream holds no pictures", path=self.path)
            self.info = VideoInfo.of(self.path, self._demuxer.container, self._stream, first)
            self._frames: Iterator[VideoFrame] = itertools.chain([first], decoded)
        except BaseException:
            self.close()
            raise

    def batches(self, size: int) -> Iterator[Frames]:
        """Yield the frames in order, ``size`` at a time; the last batch may be smaller.

        Pixels are ``(N, H, W, 3)`` RGB on the host, uint8, or uint16 with white at 65535 for sources of more than
        8 bits; times are exact.
        """
        dtype = np.uint8 if self.info.bit_depth <= 8 else np.uint16
        while frames := self._next(size):
            pixels = np.empty((len(frames), *self.info.size, 3), dtype)
            for row, frame in zip(pixels, frames, strict=True):
                row[:] = self._upright(frame)
            self.frames_read += len(frames)
            yield Frames(torch.from_numpy(pixels), tuple(self._time_of(frame) for frame in frames))
        self.finished = True

    def excerpt(self, timeline: Timeline, start: int, stop: int, size: int) -> Iterator[Frames]:
        """Like ``batches``, but only the frames from number ``start`` up to ``stop``, wherever the reader is.

        Decoding begins at the key frame before. The last excerpt, up to the end of ``timeline``, also sets ``end``.

        Raises:
            SeekError: on reading: other frames than these come out.
            MediaError: on reading: as ``batches``.
        """
        with self._lock:
            self._demuxer.seek(self._stream, timeline.times[timeline.key_before(start)])
            self._time, self.finished, self.frames_read = None, False, 0
            self._frames = self._pick(timeline.times[start:stop], to_end=stop == len(timeline))
        return self.batches(size)

    def _next(self, size: int) -> list[VideoFrame]:
        with self._lock:
            if self._closed:
                raise ValueError("the reader is closed")
            return list(itertools.islice(self._frames, size))

    def _upright(self, frame: VideoFrame) -> Pixels:
        if (frame.width, frame.height, frame.format.name) != self._layout:
            raise MediaError("the size or format of the picture changes", path=self.path, time=self._time_of(frame))
        try:
            return self.info.orientation.upright(to_rgb(frame))
        except (MediaError, av.FFmpegError) as error:
            raise self._error(cause_of(error)) from error

    @property
    def _layout(self) -> tuple[int, int, str]:
        return self.info.width, self.info.height, self.info.pixel_format

    def _time_of(self, frame: VideoFrame) -> Fraction:
        return (frame.pts or 0) * self._unit

    def _error(self, cause: str) -> MediaError:
        return MediaError(cause, path=self.path, time=self._time)

    def _decode(self) -> Iterator[VideoFrame]:
        """Decode all frames and count them against the packets.

        Packets before the first frame in time need not give one: where a file was cut out of a longer one, these
        pictures depend on others that are not there, and no player shows them.
        """
        pictures: list[int | None] = []
        first = expected = frames = fields = 0
        for packet in self._packets():
            if packet is not None and shows_picture(packet):
                pictures.append(packet.pts)
            for frame in self._decode_packet(packet):
                first = (frame.pts or 0) if frames == 0 else first
                frames += 1
                fields += frame.interlaced_frame
                yield frame
            if frames:
                expected += sum(pts is None or pts >= first for pts in pictures)
                pictures.clear()
        if expected > frames + fields:  # of an interlaced picture, each field may have its own packet
            raise self._error(f"{expected - frames} of {expected} pictures cannot be decoded")
        self._reach_end()

    def _pick(self, times: Sequence[int], *, to_end: bool) -> Iterator[VideoFrame]:
        """Decode from here on until the frames at ``times``, which are all that there are between them, came out."""
        wanted = iter(times)
        expected = next(wanted, None)
        for packet in self._packets():
            for frame in self._decode_packet(packet, times[0]):
                if frame.pts != expected:
                    raise SeekError("other frames than expected", path=self.path, time=self._time_of(frame))
                yield frame
                expected = next(wanted, None)
                if expected is None and not to_end:
                    return
        if expected is not None:
            raise SeekError("frames are missing", path=self.path, time=self._time)
        self._reach_end()

    def _packets(self) -> Iterator[Packet | None]:
        """Those of the main stream, from here on, and ``None`` to flush the decoder."""
        own = (packet for packet in self._demuxer.packets() if packet.stream_index == self._stream.index)
        return itertools.chain(own, [None])

    def _reach_end(self) -> None:
        if self._stream.duration and self._stream.start_time is not None and self._time is not None:
            announced = (self._stream.start_time + self._stream.duration) * self._unit
            self.end = announced if announced > self._time else self.end

    def _decode_packet(self, packet: Packet | None, since: int | None = None) -> Iterator[VideoFrame]:
        """Decode one packet, or flush the decoder. Frames before the time ``since`` are left out, damaged or not."""
        if packet is not None and packet.is_corrupt:
            raise self._error("the file is damaged or cut off after this time")
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            raise self._error(f"the next pictures cannot be decoded: {cause_of(error)}") from error
        for frame in frames:
            if frame.pts is None:
                raise self._error("the next picture has no timestamp")
            if since is not None and frame.pts < since:
                continue
            time = self._time_of(frame)
            gap = self._unit if self._time is None else time - self._time
            if gap <= 0:
                raise self._error("the timestamps do not increase")
            self._time, self.end = time, time + (frame.duration * self._unit or gap)
            if frame.is_corrupt:
                raise self._error("a damaged picture")
            yield frame

    def close(self) -> None:
        """Close the file; waits for a thread that is decoding from it."""
        with self._lock:
            self._closed = True
            self._demuxer.close()


def _error_detection(stream: VideoStream) -> str:
    """H.264 and HEVC mark pictures that they had to conceal; to "explode" would refuse faults of metadata too."""
    marked = stream.codec_context.codec.canonical_name in ("h264", "hevc")
    return "crccheck" if marked else "crccheck+bitstream+buffer+explode"
