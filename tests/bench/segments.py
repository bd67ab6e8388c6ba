"""One long video on two workers: ``python tests/bench/segments.py MEDIA [--minutes 20]``.

The video, of 360 lines with sound, is cut from the clips that are named below, to be found in ``videos/`` of MEDIA, as
it would be from several cameras. It goes through the command in one piece on one core, and in segments through two
workers with a core each. Printed are the ratio of both times, whether times and sound are the same, how many frames of
the results differ by more than two encoders do and where, and what ``anonymizer audit`` finds.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import click
import cv2
import numpy as np
from datasets import command
from hard_clips import RATE, Media, Picture

from anonymizer import Config
from anonymizer.aspects import SETTLED
from anonymizer.media import VideoReader
from anonymizer.media.timeline import Timeline
from pipelines.audit import as_table, audit
from pipelines.split import LENGTH, cut

CLIPS = ("talking_a_512.mp4", "woman_turns_720p.mp4", "several_people_360p.mp4", "talking_b_512.mp4")
SIZE = 640, 360
SHOTS = (9, 4, 13, 6, 21)  # seconds until the next cut
SOUND = 48_000  # samples a second
BLOCKS, DIFFERENCE = (32, 18), 10  # of a picture, levels: two encodings of it differ by less in each block
WHOLE = "import pipelines.cli, pipelines.batch; pipelines.batch.ALONE = 1 << 30; pipelines.cli.main()"
"""The command, but for splitting long videos."""


def shots(media: Media) -> Iterator[Picture]:
    """The film, without end."""
    playing = itertools.cycle([media.video(name, *SIZE) for name in CLIPS])
    for clip, seconds in zip(playing, itertools.cycle(SHOTS), strict=False):
        yield from itertools.islice(clip, seconds * RATE)


def make(media: Media, path: Path, frames: int) -> None:
    """Write it, with a tone that rises and falls."""
    with av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = target.add_stream("aac", rate=SOUND, layout="mono")
        for number, picture in enumerate(itertools.islice(shots(media), frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            target.mux(video.encode(frame))
            target.mux(audio.encode(tone(number)))
        for stream in (video, audio):
            target.mux(stream.encode(None))


def tone(number: int) -> av.AudioFrame:
    """The sound of one frame."""
    samples = SOUND // RATE
    at = np.arange(number * samples, (number + 1) * samples) / SOUND
    wave = 0.1 * np.sin(2 * np.pi * (300 * at + 40 * np.sin(at)))
    sound = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
    sound.sample_rate, sound.pts, sound.time_base = SOUND, number * samples, Fraction(1, SOUND)
    return sound


def others(one: Path, two: Path) -> list[int]:
    """Numbers of the frames in which a block differs."""
    found, number = [], itertools.count()
    with VideoReader(one) as left, VideoReader(two) as right:
        for before, after in zip(left.batches(8), right.batches(8), strict=True):
            for pair in zip(before.pixels.numpy(), after.pixels.numpy(), strict=True):
                here, there = (cv2.resize(picture, BLOCKS, interpolation=cv2.INTER_AREA) for picture in pair)
                frame = next(number)
                found += [frame] if cv2.absdiff(here, there).max() > DIFFERENCE else []
    return found


@click.command()
@click.argument("media", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--minutes", default=20.0, help="Length of the video.")
@click.option("--step", default=100, help="Look for leaks in every n-th frame.")
def main(media: Path, minutes: float, step: int) -> None:
    """Print the figures."""
    with TemporaryDirectory() as name:
        source, whole, parts = (Path(name, f"{part}.mp4") for part in ("source", "whole", "segments"))
        make(Media(media), source, round(minutes * 60 * RATE))
        first, second, *_ = sorted(os.sched_getaffinity(0))
        two = command(source, parts, "--workers", "2", cores={first, second})
        one = command(source, whole, cores={first}, program=["-c", WHOLE])
        click.echo(f"two workers: {one / two:.2f} times as fast as one in one piece ({one:.0f} s, {two:.0f} s)")
        timeline = Timeline.of(source)
        starts = [segment.start for segment in cut(timeline, Config(), LENGTH)[1:]]
        click.echo(f"{len(starts) + 1} segments")
        differ = others(whole, parts)
        before = [frame for frame in differ if any(-SETTLED <= frame - start < 0 for start in starts)]
        behind = [frame for frame in differ if any(0 <= frame - start < 10 * RATE for start in starts)]
        click.echo(f"frames that are others: {len(differ)} of {len(timeline)}")
        click.echo(
            f"of those, {SETTLED} frames or less before a joint: {len(before)}; ten seconds behind: {len(behind)}"
        )
        click.echo(as_table(list(audit(source, parts, step, "cpu"))))


if __name__ == "__main__":
    main()
