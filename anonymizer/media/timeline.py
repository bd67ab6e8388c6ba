"""When the frames of a video are shown, and with which of them decoding can begin; read without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from av import Packet

from anonymizer.errors import SeekError
from anonymizer.media.demux import Demuxer

INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers with an index and exact times. In the others FFmpeg guesses what lies where."""


@dataclass(frozen=True)
class Timeline:
    """The frames of a video, in the order in which they are shown.

    Attributes:
        unit: seconds in which times count.
        times: of the frames, in units; they increase.
        keys: numbers of the frames with which decoding can begin, as the file says.
    """

    unit: Fraction
    times: tuple[int, ...]
    keys: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> Timeline:
        """Read all packets of a file.

        Raises:
            MediaError: it cannot be read, or is cut off.
            SeekError: it does not say when its frames are shown, or where they are.
        """
        with Demuxer(path) as demuxer:
            stream = demuxer.main_video()
            if demuxer.container.format.name not in INDEXED:
                raise SeekError("its container has no index that can be trusted", path=path)
            unit = Fraction(stream.time_base or 0)
            own = (packet for packet in demuxer.packets() if packet.stream_index == stream.index)
            packets = [(packet.pts, packet.is_keyframe) for packet in own if shows_picture(packet)]
        shown = sorted((time, is_key) for time, is_key in packets if time is not None)
        if len(shown) < len(packets):
            raise SeekError("it does not say when its frames are shown", path=path)
        if any(a == b for (a, _), (b, _) in pairwise(shown)):
            raise SeekError("several of its frames are shown at the same time", path=path)
        keys = tuple(number for number, (_, is_key) in enumerate(shown) if is_key)
        return cls(unit, tuple(time for time, _ in shown), keys)

    def __len__(self) -> int:
        return len(self.times)

    def key_before(self, frame: int) -> int:
        """The frame with which decoding begins for ``frame`` to come out."""
        return max((key for key in self.keys if key <= frame), default=0)


def shows_picture(packet: Packet) -> bool:
    """Whether a decoder must return a picture for this packet."""
    if packet.is_discard:  # outside the edit list: decoded for the sake of others
        return False
    return packet.stream.codec_context.name != "vp8" or bool(bytes(packet)[0] & 0x10)
