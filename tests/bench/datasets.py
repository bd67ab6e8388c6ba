"""Datasets: ``python tests/bench/datasets.py PHOTOS [--count 5000]``; PHOTOS is a folder of photographs.

They are repeated and renamed, with a label beside each, and go through the command as a folder, a zip and a tar of the
same files. Printed are photographs a second of each, without start-up, over those of a bare loop that reads, anonymizes
and writes one after the other; whether members and labels are the same; how much faster two workers are than one, on
a core each; and what bounds the process that shares out the work: how many results a second the ledger takes, how many
files a second are found and planned, and the memory that each needs.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from anonymizer import Anonymizer, Config, GenerateConfig
from anonymizer.media import read_image, write_image
from pipelines.images import as_frames
from pipelines.inputs import Kind, Source, find, kind_of
from pipelines.ledger import Ledger
from pipelines.plan import Job, plan
from pipelines.report import Result

PROGRAM = ("-m", "pipelines.cli")
BARE = 500  # photographs of the bare loop
RESULTS = 20_000  # that the ledger takes, and files that are planned


def make(photos: Path, folder: Path, count: int) -> None:
    """``count`` photographs, with labels, in sub-folders of a hundred."""
    given = [path for path in sorted(photos.rglob("*")) if path.is_file() and kind_of(path) is Kind.PHOTO]
    for number, path in zip(range(count), itertools.cycle(given), strict=False):
        target = folder / f"{number // 100:03}" / f"{number:06}{path.suffix.lower()}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.with_suffix(".txt").write_text(f"0 0.5 0.5 0.{number % 9 + 1} 0.5\n")


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a folder or an archive, in order."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        yield from ((str(file.relative_to(path)), file.read_bytes()) for file in files)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    else:
        with tarfile.open(path) as shard:
            yield from ((entry.name, shard.extractfile(entry).read()) for entry in shard)  # type: ignore[union-attr]


def pack(folder: Path) -> tuple[Path, Path]:
    """The files of a folder as a zip and as a tar."""
    packed, shard = folder.with_suffix(".zip"), folder.with_suffix(".tar")
    with zipfile.ZipFile(packed, "w") as archive, tarfile.open(shard, "w") as tar:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(folder))
            tar.add(file, file.relative_to(folder))
    return packed, shard


def command(
    source: Path, target: Path, *options: str, cores: set[int] | None = None, program: Sequence[str] = PROGRAM
) -> float:
    """Seconds that the command takes."""
    limit = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    arguments = [sys.executable, *program, "run", str(source), "-o", str(target), "--seed", "1", *options]
    start = time.perf_counter()
    subprocess.run(arguments, check=True, preexec_fn=limit, capture_output=True)
    return time.perf_counter() - start


def bare(folder: Path, target: Path) -> float:
    """Photographs a second of a loop that does nothing but the work."""
    anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=1)))
    photos = [path for path in sorted(folder.rglob("*")) if path.suffix not in ("", ".txt")][:BARE]
    start = time.perf_counter()
    for number, path in enumerate(photos):
        image = read_image(path)
        pixels = anonymizer.stills(as_frames(image)).frames.pixels[0].numpy()
        write_image(target / f"{number}{path.suffix}", image.with_pixels(pixels))
    return len(photos) / (time.perf_counter() - start)


def planning(photo: Path, folder: Path) -> tuple[float, float]:
    """Photographs a second that are found, planned and noted before the work begins; bytes of memory for each."""
    for number in range(RESULTS):
        place = folder / "many" / f"{number // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        os.link(photo, place / f"{number:06}{photo.suffix}")

    def planned(output: Path) -> list[Job]:
        with closing(Ledger(output, {})) as record:
            return record.left(plan(find([folder / "many"]), [folder / "many"], output), [])

    start = time.perf_counter()
    planned(folder / "first")
    seconds = time.perf_counter() - start
    tracemalloc.start()
    jobs = planned(folder / "second")
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return len(jobs) / seconds, memory / len(jobs)


def ledger(folder: Path) -> float:
    """Results a second that one ledger records."""
    jobs = [Job(Source(folder / "in", Kind.PHOTO), folder / "out" / f"{number}.jpg") for number in range(RESULTS)]
    (folder / "in").touch()
    with closing(Ledger(folder / "out", {})) as record:
        left = record.left(jobs, [])
        start = time.perf_counter()
        for job in left:
            record.record(Result(job, hash_in="0" * 64, hash_out="0" * 64, size_out=1))
        return RESULTS / (time.perf_counter() - start)


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=5000, help="Photographs of the dataset.")
@click.option("--workers", "shared", default=1000, help="Of those, how many go through one and through two workers.")
def main(photos: Path, count: int, shared: int) -> None:
    """Print the figures."""
    with TemporaryDirectory() as name:
        work = Path(name)
        make(photos, work / "data", count)
        make(photos, work / "few", shared)
        make(photos, work / "one", 1)
        start_up = command(work / "one", work / "one out")
        (work / "bare").mkdir()
        loop = bare(work / "data", work / "bare")
        click.echo(f"bare loop: {loop:.2f} photographs a second; start-up {start_up:.1f} s")
        for source in (work / "data", *pack(work / "data")):
            target = work / f"safe{source.suffix}"
            rate = count / (command(source, target) - start_up)
            before, after = members(source), members(target)
            pairs = list(zip(before, after, strict=True))
            same = all(a[0] == b[0] and (a[1] == b[1]) is a[0].endswith(".txt") for a, b in pairs)
            click.echo(f"{source.name}: {rate:.2f} a second, {rate / loop:.2f} of the loop; same members: {same}")
        first, second, *_ = sorted(os.sched_getaffinity(0))
        one = command(work / "few", work / "by one", "--workers", "1", cores={first})
        two = command(work / "few", work / "by two", "--workers", "2", cores={first, second})
        click.echo(f"two workers: {one / two:.2f} times as fast as one ({one:.1f} s, {two:.1f} s, with start-up)")
        click.echo(f"the ledger: {ledger(work):.0f} results a second")
        rate, memory = planning(next((work / "one").rglob("*.[jp]*g")), work)
        click.echo(f"planning: {rate:.0f} photographs a second, {memory:.0f} bytes of memory for each")


if __name__ == "__main__":
    main()
