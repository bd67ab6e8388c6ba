"""Writes video through PyAV: the frames that were read, at the times at which they were read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from anonymizer.batches import Frames
from anonymizer.errors import MediaError
from anonymizer.media.output import AudioMode, Output
from anonymizer.media.statement import SILENT, Statement
from anonymizer.media.video import VideoReader


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
        self._output = Output(self.path, like.info, codec, crf, encoder, audio)

    def write(self, frames: Frames) -> None:
        """Append frames as ``VideoReader.batches`` delivers them: upright, in order, on any device."""
        with self._output.failures():
            self._output.mux(self._output.encoder.encode(frames))
        self._written += len(frames)

    def close(self, says: Statement = SILENT) -> None:
        """Finish the file, which ``says`` this about itself if its format has a place for it, and give it its name."""
        self._closed = True
        like, encoder = self._like, self._output.encoder
        with self._output, self._output.failures():
            if encoder.time is None or not like.finished or self._written != like.frames_read:
                raise MediaError(f"only {self._written} frames came to be written", path=self.path)
            end = max(like.end, encoder.time + like.info.time_base)
            self._output.mux(encoder.finish(end))
            self._output.finish(end, says)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._output.__exit__(kind, error, trace)
        elif not self._closed:
            self.close()
