"""Does memory grow with length? ``python tests/bench/memory.py CLIP``: a short and a long video made of one clip.

The clip is played forwards and backwards until it is long enough; each video is anonymized by a command of its own,
whose peak resident memory is printed. Needs Linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import click

RATE = 25


def prolong(clip: Path, video: Path, frames: int) -> None:
    """Write ``frames`` frames to ``video``."""
    with av.open(str(clip)) as source:
        pictures = list(source.decode(video=0))
    there_and_back = cycle([*pictures, *pictures[-2:0:-1]])
    with av.open(str(video), "w") as target:
        stream = target.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        for number, picture in enumerate(islice(there_and_back, frames)):
            frame = av.VideoFrame.from_ndarray(picture.to_ndarray(format="yuv420p"), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def peak_memory(video: Path, output: Path) -> int:
    """Bytes that the command held at most."""
    command = [sys.executable, "-m", "pipelines.cli", "run", str(video), "-o", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise click.ClickException(f"{' '.join(command)} failed")
    return used.ru_maxrss * 1024


@click.command()
@click.argument("clip", type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", nargs=2, type=float, default=(1, 10), help="How long the two videos are.", show_default=True)
def main(clip: Path, minutes: tuple[float, float]) -> None:
    """Compare the peak memory of a short and of a long video."""
    peaks = []
    with TemporaryDirectory() as folder:
        for length in minutes:
            video = Path(folder, f"{length:g}-minutes.mp4")
            prolong(clip, video, round(length * 60 * RATE))
            peaks.append(peak_memory(video, Path(folder, "out")))
            click.echo(f"{length:g} minutes: {peaks[-1] / 1e6:.0f} MB")
    click.echo(f"long / short: {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
