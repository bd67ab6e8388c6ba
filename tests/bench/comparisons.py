"""One table of all that is measured on videos: ``python tests/bench/comparisons.py FOLDER [--against deface]``.

FOLDER holds clips with one face or more. For each: frames per second, those of the whole command over those of another
program's, and those without start-up over those of a bare transcode (medians of runs in turn); faces, and those that
are left (see ``anonymizer audit``); how steady the largest face is (see ``steadiness.py``). At the end: how much faster
two processes are, on two cores, than one on one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import steadiness

from anonymizer import PRESETS, Anonymizer
from pipelines import audit, bench

COLUMNS = ("clip", "frames", "fps", "x peer", "of bare", "faces", "left", "corr.", "jitter", "flicker", "identity")


def run(clips: Sequence[Path], folder: Path, preset: str, cores: set[int] | None = None) -> subprocess.Popen[str]:
    """Start the command on some of the cores."""
    command = [sys.executable, "-m", "pipelines.cli", "run", *map(str, clips), "-o", str(folder), "--seed", "1"]
    limit = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    return subprocess.Popen([*command, "--preset", preset], preexec_fn=limit, stdout=subprocess.DEVNULL, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for the command, which must succeed."""
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, process.args)


def row(clip: Path, anonymizer: Anonymizer, preset: str, peer: str | None, repeat: int, step: int) -> list[str]:
    """The figures of one clip."""
    compared = bench.commands(peer, ["--preset", preset])
    figures = bench.measure(clip, anonymizer, repeat, compared).as_dict()
    with TemporaryDirectory() as folder:
        finish(run([clip], Path(folder), preset))
        result = Path(folder, clip.name)
        (audited,) = audit.audit(clip, result, step, "cpu")
        steady = steadiness.compare(clip, result)
    times = min(figures["ratios"].values(), default=None)
    return [
        clip.name,
        str(figures["frames"]),
        f"{figures['stages']['whole']['frames_per_second']:.1f}",
        "-" if times is None else f"{times:.2f}",
        f"{figures['whole_to_transcode']:.2f}",
        str(audited.faces),
        str(len(audited.wrong)),
        f"{steady.correlation:.3f}",
        *(f"{value:.2f}" for value in (steady.jitter, steady.flicker)),
        f"{steady.identity:.1%}",
    ]


def scaling(clips: Sequence[Path], preset: str) -> float:
    """Clips a second of two processes with a core each, over those of one with one core."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    seconds = []
    for parts in ([(clips, {first})], [(clips[::2], {first}), (clips[1::2], {second})]):
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            started = [run(part, Path(folder, str(core)), preset, core) for part, core in parts]
            for process in started:
                finish(process)
            seconds.append(time.perf_counter() - start)
    return seconds[0] / seconds[1]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--against", help="Another program to compare with, if it is installed.")
@click.option("--preset", default="balanced", help="Of the settings.")
@click.option("--repeat", default=3, help="Times that everything is timed.")
@click.option("--step", default=6, help="Look for leaks in every n-th frame.")
def main(folder: Path, against: str | None, preset: str, repeat: int, step: int) -> None:
    """Print the table."""
    clips = sorted(path for path in folder.iterdir() if path.is_file())
    anonymizer = Anonymizer(PRESETS[preset])
    click.echo("".join(f"{name:>10}" if place else f"{name:26}" for place, name in enumerate(COLUMNS)))
    for clip in clips:
        cells = row(clip, anonymizer, preset, against, repeat, step)
        click.echo("".join(f"{cell:>10}" if place else f"{cell:26}" for place, cell in enumerate(cells)))
    if len(clips) > 1:
        click.echo(f"two processes with a core each: {scaling(clips, preset):.2f} times as fast as one")


if __name__ == "__main__":
    main()
