"""One video: decoding, networks and encoding at the same time, each on its own thread, a few batches apart."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from anonymizer.batches import Frames
from anonymizer.errors import LeakError, MediaError
from anonymizer.media.encoders import container_for
from anonymizer.media.files import state_of
from anonymizer.media.video import VideoReader
from anonymizer.media.video_info import VideoInfo
from anonymizer.media.video_writer import VideoWriter
from anonymizer.prefetch import prefetch
from pipelines.marking import marks_of
from pipelines.plan import Job
from pipelines.progress import progress
from pipelines.report import Result
from pipelines.settings import OutputConfig

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer
    from anonymizer.foreseen import Foreseen

BATCHES_AHEAD = 2
"""Batches that wait between two threads: enough to keep both busy."""


def anonymize_video(job: Job, anonymizer: Anonymizer, output: OutputConfig) -> Result:
    """Write ``job.target``, whole or not at all."""
    result = Result(job)
    start = time.perf_counter()
    with result.guarded():
        _stream(result, anonymizer, output)
    result.seconds = time.perf_counter() - start
    return result


def _stream(result: Result, anonymizer: Anonymizer, output: OutputConfig) -> None:
    times: deque[Fraction] = deque()
    result.job.make_folder()
    before = state_of(result.job.source.path)
    foreseen = [_foreseen(result, anonymizer)] if anonymizer.sees_twice else []
    with (
        VideoReader(result.job.source.path) as reader,
        VideoWriter(
            result.job.target,
            like=reader,
            codec=output.codec,
            crf=output.crf,
            encoder=output.encoder,
            audio=output.audio,
        ) as writer,
        closing(prefetch(_read(reader, anonymizer.batch_size, times, result), BATCHES_AHEAD)) as frames,
        closing(prefetch(anonymizer.stream(frames, *foreseen), BATCHES_AHEAD)) as stream,
        progress(Path(result.job.source.name).name, reader.info.frames, "frames") as advance,
    ):
        tell_left_out(reader.info, result.job.source.name)
        for done in stream:
            _check_order(done.frames, times)
            result.add(done)
            with result.clock("encode"):
                writer.write(done.frames)
            advance(len(done.frames))
        for known in foreseen:
            result.whom.decide(known.decisions)
        if foreseen and state_of(result.job.source.path) != before:
            raise MediaError("the file was changed while it was worked on")
        writer.close(marks_of(result, container_for(result.job.target).format, anonymizer.config, output))


def _foreseen(result: Result, anonymizer: Anonymizer) -> Foreseen:
    """Who is in the video."""
    with (
        VideoReader(result.job.source.path) as reader,
        closing(prefetch(_read(reader, anonymizer.batch_size, deque(), result), BATCHES_AHEAD)) as frames,
        progress(f"{Path(result.job.source.name).name}: who is who", reader.info.frames, "frames") as advance,
    ):
        return anonymizer.foresee(_told(frames, advance))


def _told(batches: Iterable[Frames], advance: Callable[[int], object]) -> Iterator[Frames]:
    for batch in batches:
        yield batch
        advance(len(batch))


def tell_left_out(info: VideoInfo, name: str) -> None:
    """Say which streams no result of a video holds."""
    if info.left_out:
        click.echo(f"{name}: left out: {', '.join(info.left_out)}", err=True)


def _read(reader: VideoReader, size: int, times: deque[Fraction], result: Result) -> Iterator[Frames]:
    """The frames of ``reader``; the time of each is noted before anybody can write it."""
    batches = reader.batches(size)
    while True:
        with result.clock("decode"):
            batch = next(batches, None)
        if batch is None:
            return
        times.extend(batch.times)
        yield batch


def _check_order(frames: Frames, times: deque[Fraction]) -> None:
    """Hold frames that are to be written to ``times``, which were read. The writer sees to it that none is left.

    Raises:
        LeakError: they are not the next ones.
    """
    for moment in frames.times:
        if not times or times.popleft() != moment:
            raise LeakError("a frame that is to be written is not the next one that was read", time=moment)
