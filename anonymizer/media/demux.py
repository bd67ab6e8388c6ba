"""Opens media files by content and reads their packets, noticing files that were cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av import Packet
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from anonymizer.errors import MediaError, SeekError
from anonymizer.media.files import Closing, cause_of, check_readable, ffmpeg_name
from anonymizer.media.matroska import announced_size

FORMATS = "mov,matroska,avi,flv,mpegts,mpeg,asf,ogg,gif,mxf,nut,wtv,dv,rm,ivf"
"""Demuxers that may open a file. Playlists are not among them: they name other files, and addresses."""

DURATION_SLACK = Fraction(1, 2)
"""Seconds by which an AVI or FLV file may end before the time that its header announces."""

TRANSPORT_PACKETS = (188, 192, 204)
"""Bytes of a packet of a transport stream: plain, with a timestamp, with error correction."""


class Demuxer(Closing):
    """The packets of a file, once, in the order of the file. A context manager.

    Attributes:
        container: the open file, for its streams.

    Raises:
        MediaError: on opening: the file cannot be read, is empty, or is no video file. On reading: it cannot be
            read further, or ends before the end that its index or header announces. Transport and program
            streams announce none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = Fraction(0)
        self._from_start = True
        check_readable(path)
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        try:
            self.container: InputContainer = av.open(
                ffmpeg_name(path), container_options=options, metadata_errors="ignore"
            )
        except av.FFmpegError as error:
            raise MediaError(f"is not a video, or is damaged: {cause_of(error)}", path=path) from error

    def main_video(self) -> VideoStream:
        """The video stream that a player shows.

        Raises:
            MediaError: there is none (a cover picture is not a video), or FFmpeg does not know its codec.
        """
        stream = self.container.streams.best("video")
        if not isinstance(stream, VideoStream) or Disposition.attached_pic in stream.disposition:
            raise MediaError("holds no video stream", path=self._path)
        if stream.codec_context is None:
            raise MediaError("holds video of a codec that is not known", path=self._path)
        return stream

    def packets(self) -> Iterator[Packet]:
        """Yield the packets of all streams. Empty ones are left out: they would flush a decoder."""
        counts: Counter[int] = Counter()
        try:
            for packet in self.container.demux():
                if packet.size:
                    counts[packet.stream_index] += 1
                    self._end = max(self._end, _end_of(packet))
                    yield packet
        except av.FFmpegError as error:
            raise self._error(f"cannot be read further: {cause_of(error)}") from error
        if self._from_start and not self._is_complete(counts):
            raise self._error("the file is cut off")

    def seek(self, stream: VideoStream, time: int) -> None:
        """Go to the key frame at, or before, a time in units of the stream; ``packets`` begins anew from there.

        How many packets there are is not checked then.

        Raises:
            SeekError: that is not possible.
        """
        self._from_start = False
        try:
            self.container.seek(time, stream=stream)
        except av.FFmpegError as error:
            raise SeekError(f"cannot be read from the middle: {cause_of(error)}", path=self._path) from error

    def _is_complete(self, counts: Counter[int]) -> bool:
        """A demuxer takes the end of a cut file for its end: hold what came against what was announced."""
        match self.container.format.name:
            case "mov,mp4,m4a,3gp,3g2,mj2":
                played = (*self.container.streams.video, *self.container.streams.audio)
                return all(counts[stream.index] >= len(stream.index_entries) for stream in played)
            case "matroska,webm":
                return self._path.stat().st_size >= announced_size(self._path)
            case "mpegts":
                return any(self._path.stat().st_size % length == 0 for length in TRANSPORT_PACKETS)
            case "avi" | "flv":
                announced = Fraction(self.container.duration or 0, av.time_base)
                return self._end >= announced - DURATION_SLACK
        return True

    def _error(self, cause: str) -> MediaError:
        return MediaError(cause, path=self._path, time=self._end)

    def close(self) -> None:
        """Close the file."""
        self.container.close()


def _end_of(packet: Packet) -> Fraction:
    start = packet.pts if packet.pts is not None else packet.dts
    return (start + (packet.duration or 0)) * packet.time_base if start is not None else Fraction(0)
