"""Disguises voices by moving pitch and formants together, up or down, by an amount that is drawn in secret.

The shift wanders slowly around its mean, also by secret amounts, so that playing the result back shifted by one
fixed ratio does not restore the voice. It keeps listeners from knowing a speaker by ear. It does not change
words, accent, rhythm or background sounds, and it is no protection against somebody who searches for the shift
with a recording of the same speaker at hand, nor against automatic speaker recognition that does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import SystemRandom

import ffmpeg
import imageio_ffmpeg

from anonymizer.errors import MediaError
from anonymizer.media.demux import FORMATS
from anonymizer.media.files import ffmpeg_name

LOWER, HIGHER = (0.74, 0.82), (1.22, 1.34)
"""Ratios of pitch: far enough to change a voice, near enough to understand it."""

WANDER = 0.03
"""Amplitude of each of two slow waves around the ratio."""

FOREVER = 10**9
"""Seconds."""


@contextmanager
def disguised(source: Path, streams: int, beside: Path, codec: str) -> Iterator[Path]:
    """Yield a temporary file with the sound of ``source``, its voices disguised; times and duration stay.

    Args:
        source: a media file.
        streams: how many streams of sound it has; each is disguised by the same shift.
        beside: the temporary file lies beside this one.
        codec: FFmpeg's name of an audio encoder, ``aac`` or ``libopus``.

    Raises:
        MediaError: the sound cannot be decoded or written.
    """
    target = beside.with_suffix(".voice.mp4" if codec == "aac" else ".voice.mkv")
    waves = _pitch(SystemRandom())
    read = ffmpeg.input(
        ffmpeg_name(source), format_whitelist=FORMATS, protocol_whitelist="file", copyts=None, nostdin=None
    )
    voices = [
        read[f"a:{index}"]
        .filter("aresample", **{"async": 1})  # gaps become silence; the rest of the chain has no sense of time
        .filter("asendcmd", commands=f"0-{FOREVER} [expr] rubberband pitch '{waves}'")
        .filter("rubberband", formant="shifted")
        for index in range(streams)
    ]
    command = ffmpeg.output(*voices, ffmpeg_name(target), acodec=codec)
    try:
        command.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True, overwrite_output=True)
        yield target
    except ffmpeg.Error as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise MediaError(f"its voices cannot be disguised: {lines[-1] if lines else error}", path=source) from error
    finally:
        target.unlink(missing_ok=True)


def _pitch(draw: SystemRandom) -> str:
    """The ratio of pitch as an expression of the time ``T`` in seconds."""
    mean = draw.uniform(*draw.choice((LOWER, HIGHER)))
    waves = (
        f"{WANDER:.3f}*sin({2 * math.pi * draw.uniform(*hertz):.4f}*T+{draw.uniform(0, 2 * math.pi):.4f})"
        for hertz in ((0.05, 0.15), (0.2, 0.6))
    )
    return "+".join((f"{mean:.4f}", *waves))
