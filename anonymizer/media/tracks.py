"""Copies sound and subtitles, packet by packet, into a file that is being written."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

from av import Packet
from av.container import OutputContainer
from av.stream import Stream

from anonymizer.errors import MediaError
from anonymizer.media.demux import Demuxer
from anonymizer.media.files import Closing
from anonymizer.media.headers import plain_header


class Tracks(Closing):
    """The streams of the given kinds of one file on their way into another. A context manager.

    Packets are copied bit for bit, with their times. Language and disposition (default, forced, ...) of each
    stream are kept; titles and all other metadata are not, and headers of codecs are made plain. Streams in codecs
    that FFmpeg does not know are left out, unless all sound were lost.

    Args:
        source: the file to copy from.
        output: the container to copy into, before its header is written.
        kinds: ``audio``, ``subtitle`` or both.
        holds: the codecs that the output holds; empty to ask FFmpeg.

    Raises:
        MediaError: the output cannot hold one of them, or ``source`` cannot be read.
    """

    def __init__(self, source: Path, output: OutputContainer, kinds: Collection[str], holds: Collection[str]) -> None:
        self._source = source
        self._output = output
        self._holds = holds
        self._demuxer = Demuxer(source)
        self._streams: dict[int, Stream] = {}
        wanted = [stream for stream in self._demuxer.container.streams if stream.type in kinds]
        try:
            for stream in wanted:
                if stream.codec_context is not None:
                    self._streams[stream.index] = self._add(stream)
            copied = {stream.type for stream in self._streams.values()}
            if "audio" not in copied and any(stream.type == "audio" for stream in wanted):
                raise MediaError("its sound is in a codec that is not known; it can only be dropped", path=source)
        except BaseException:
            self.close()
            raise
        self._packets = self._demuxer.packets() if self._streams else iter(())
        self._pending: Packet | None = None

    def _add(self, stream: Stream) -> Stream:
        codec = stream.codec_context.codec.canonical_name
        try:
            if self._holds and codec not in self._holds:
                raise ValueError
            copy = self._output.add_stream_from_template(stream)
            header = stream.codec_context.extradata
            if header and (plain := plain_header(codec, header)) != header:
                copy.codec_context.extradata = plain
        except ValueError as error:
            cause = f"its {stream.type} ({codec}) does not fit into {self._output.format.name}: write another container"
            if stream.type == "audio":
                cause += ", or drop the sound"
            raise MediaError(cause, path=self._source) from error
        copy.disposition = stream.disposition
        if stream.language is not None:
            copy.metadata["language"] = stream.language
        return copy

    def advance(self, until: Fraction | None) -> None:
        """Write all packets before the time ``until``, or all that are left."""
        while (packet := self._pending or next(self._packets, None)) is not None:
            self._pending = packet
            if until is not None and packet.dts is not None and packet.dts * packet.time_base > until:
                return
            self._pending = None
            copy = self._streams.get(packet.stream_index)
            if copy is not None:
                packet.stream = copy
                self._output.mux_one(packet)

    def close(self) -> None:
        """Close the file that is copied from."""
        self._demuxer.close()
