"""Parts of a video, encoded each on its own and joined without encoding again.

A part is two files: the packets, one behind the other, and a table of them. The table is written last, and names the
packets by their digest: without it there is no part. Tables do not hold times of decoding, as those of successive
parts would not fit together; ``join`` counts them anew.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import av
from av import Packet
from av.container import OutputContainer

from anonymizer.batches import Frames
from anonymizer.errors import MediaError, PassingError
from anonymizer.media.encoders import codec_for, container_for
from anonymizer.media.files import cause_of, replacing
from anonymizer.media.output import AudioMode, Output
from anonymizer.media.picture_encoder import PictureEncoder
from anonymizer.media.statement import SILENT, Statement
from anonymizer.media.timeline import Timeline
from anonymizer.media.video_info import VideoInfo

TABLE = ".json"


class Entry(NamedTuple):
    """A packet: its bytes, when it is shown, in units of the video, and whether decoding can begin with it."""

    size: int
    time: int
    key: bool


@dataclass(frozen=True)
class Part:
    """The table of a part.

    Attributes:
        header: what decoders must know before the first packet, as hexadecimal digits.
        digest: BLAKE2 of the packets.
        entries: the packets in the order in which they are decoded.
        end: when the last frame ends, in seconds, as text.
        notes: what else is to be known of it.
    """

    header: str
    digest: str
    entries: tuple[Entry, ...]
    end: str
    notes: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Part:
        """The table of the packets in ``path``.

        Raises:
            PassingError: there is no such part, and it has to be made again.
        """
        try:
            values = json.loads(_table(path).read_text())
            entries = tuple(Entry(*entry) for entry in values.pop("entries"))
            return cls(entries=entries, **values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PassingError(f"a part of the video is missing: {cause_of(error)}", path=path) from error

    @property
    def delay(self) -> int:
        """By how many places packets are decoded before they are shown, at most."""
        shown = {time: place for place, time in enumerate(sorted(entry.time for entry in self.entries))}
        return max((place - shown[entry.time] for place, entry in enumerate(self.entries)), default=0)


def is_written(path: Path) -> bool:
    """Whether the part with packets in ``path`` is there, as it was written."""
    try:
        deque(_packets(path, Part.read(path)), maxlen=0)
    except PassingError:
        return False
    return True


def _table(path: Path) -> Path:
    return path.with_suffix(TABLE)


class PartWriter:
    """Encodes some of the frames of a video as ``VideoWriter`` would encode all of them. A context manager.

    Args:
        path: of the packets. They and their table are there when ``close`` succeeds, or not at all.
        target: the file that the part is for; its suffix names the container.
        info: of the original.
        timeline: of the original.
        frames: numbers of those that the part is for.
        codec, crf, encoder: see ``VideoWriter``.

    Raises:
        ConfigError, MediaError: see ``VideoWriter``; also frames at other times than those of the original.
    """

    def __init__(
        self,
        path: Path,
        target: Path,
        info: VideoInfo,
        timeline: Timeline,
        frames: range,
        *,
        codec: str | None = None,
        crf: int | None = None,
        encoder: str | None = None,
    ) -> None:
        self._path, self._unit = path, timeline.unit
        self._times = iter(timeline.times[frames.start : frames.stop])
        self._next = timeline.times[frames.stop] * timeline.unit if frames.stop < len(timeline) else None
        self._entries: list[Entry] = []
        self._digest = hashlib.blake2b()
        container = container_for(target)
        with ExitStack() as stack:
            self._file = stack.enter_context(stack.enter_context(replacing(path)).open("wb"))
            self._output: OutputContainer = av.open(io.BytesIO(), "w", format=container.format)
            chosen = codec_for(container, codec, encoder)
            self._encoder = PictureEncoder(target, self._output, container, info, chosen, crf)
            self._stack = stack.pop_all()

    def write(self, frames: Frames) -> None:
        """Append frames as ``VideoReader.excerpt`` delivers them.

        Raises:
            MediaError: they are not the next ones of the original.
        """
        for time in frames.times:
            if time != next(self._times, -1) * self._unit:
                raise MediaError("a frame that is to be written is not the next one", path=self._path, time=time)
        self._append(self._encoder.encode(frames))

    def close(self, end: Fraction, notes: dict[str, Any]) -> None:
        """Finish the part.

        Args:
            end: when the last frame ends, in seconds, if it is the last one of the video.
            notes: to be kept in the table.
        """
        if self._encoder.time is None or next(self._times, None) is not None:
            raise MediaError("not all frames of a part came to be written", path=self._path)
        end = max(end, self._encoder.time + self._unit) if self._next is None else self._next
        self._append(self._encoder.finish(end))
        part = Part(self._encoder.header.hex(), self._digest.hexdigest(), tuple(self._entries), str(end), notes)
        self._stack.close()
        with replacing(_table(self._path)) as partial:
            partial.write_text(json.dumps(asdict(part)))

    def _append(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
            if packet.pts is None or packet.time_base != self._unit or packet.has_sidedata("new_extradata"):
                raise MediaError("this encoder's packets cannot be joined", path=self._path)
            data = bytes(packet)
            self._file.write(data)
            self._digest.update(data)
            self._entries.append(Entry(len(data), packet.pts, packet.is_keyframe))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def join(
    path: Path,
    parts: Sequence[Path],
    info: VideoInfo,
    timeline: Timeline,
    *,
    codec: str | None = None,
    crf: int | None = None,
    encoder: str | None = None,
    audio: AudioMode = "keep",
    says: Statement = SILENT,
) -> None:
    """Write the video that ``VideoWriter`` would write, of parts that are encoded already.

    Args:
        path: where to write; the file appears when it is whole.
        parts: all of them in order, the files of packets.
        info, timeline: of the original, from which sound and subtitles come.
        codec, crf, encoder, audio: see ``VideoWriter``; the first three as they were for the parts.
        says: what the file says about itself, if its format has a place for it.

    Raises:
        ConfigError: see ``VideoWriter``.
        MediaError: a part is encoded in another way, a frame is missing or at another time than that of the original,
            or writing fails. ``PassingError`` if a part is missing or altered.
    """
    tables = [Part.read(part) for part in parts]
    if tuple(time for table in tables for time in sorted(e.time for e in table.entries)) != timeline.times:
        raise MediaError("the times of the frames are not those of the original", path=path)
    times = _times_of_decoding(timeline.times, max(table.delay for table in tables))
    with Output(path, info, codec, crf, encoder, audio) as output, output.failures():
        if any(bytes.fromhex(table.header) != output.encoder.header for table in tables):
            raise MediaError("a part was encoded with other settings", path=path)
        durations = dict(zip(timeline.times, _durations(timeline, tables[-1]), strict=True))
        for part, table in zip(parts, tables, strict=True):
            for data, entry in _packets(part, table):
                packet = Packet(data)
                packet.stream, packet.time_base = output.encoder.stream, info.time_base
                packet.pts, packet.dts, packet.duration = entry.time, next(times), durations[entry.time]
                packet.is_keyframe = entry.key
                output.mux([packet])
        output.finish(Fraction(tables[-1].end), says)


def _packets(path: Path, table: Part) -> Iterator[tuple[bytes, Entry]]:
    """The packets of a part.

    Raises:
        PassingError: they are not those of the table.
    """
    digest = hashlib.blake2b()
    try:
        with path.open("rb") as file:
            for entry in table.entries:
                data = file.read(entry.size)
                digest.update(data)
                yield data, entry
            altered = file.read(1) != b"" or digest.hexdigest() != table.digest
    except OSError as error:
        raise PassingError(f"a part of the video is missing: {cause_of(error)}", path=path) from error
    if altered:
        raise PassingError("a part of the video was altered", path=path)


def _durations(timeline: Timeline, last: Part) -> Iterator[int]:
    end = round(Fraction(last.end) / timeline.unit)
    return (b - a for a, b in zip(timeline.times, (*timeline.times[1:], end), strict=True))


def _times_of_decoding(times: Sequence[int], delay: int) -> Iterator[int]:
    """Increasing times, none later than that at which the packet is shown, if ``delay`` places come before that."""
    if delay >= len(times):
        raise MediaError("a video with fewer frames than its encoder reorders")
    lead = times[delay] - times[0]
    yield from (time - lead for time in times[:delay])
    yield from times[: len(times) - delay]
