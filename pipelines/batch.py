"""Files spread over workers: what may pass is tried again, whoever dies."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from anonymizer.config import Config
from anonymizer.errors import AnonymizerError
from anonymizer.media.video import VideoReader
from pipelines.inputs import Kind
from pipelines.jobs import anonymize
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.segments import anonymize_in_segments
from pipelines.settings import OutputConfig
from pipelines.split import LENGTH, folders, forget, split
from pipelines.workers import Workers, share

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer

TRIES = 3
PAUSE = 1.0  # seconds before the second try; four times as long before the next
PIECE = 32  # jobs that are sent together: enough to decode ahead
PIECES = 8  # that each worker gets at least, so that all end at about the same time
SHARED, ALONE = 2, 10  # segments from which a video is split among workers, and by one, for the sake of a later run


class Piece:
    """Some files, for one worker. A ``Task``."""

    def __init__(self, jobs: Sequence[Job], output: OutputConfig) -> None:
        self.left = deque(jobs)
        self._output = output

    def perform(self, anonymizer: Anonymizer) -> Iterator[Result]:
        return anonymize(list(self.left), anonymizer, self._output)


def spread(jobs: Sequence[Job], workers: Workers, output: OutputConfig, most: int = PIECE) -> Iterator[Result]:
    """Do ``jobs``; results come as they are ready. What was in the hands of a worker that died has failed.

    Args:
        most: jobs that are sent together.
    """
    pieces = [Piece(part, output) for part in share(jobs, PIECES * workers.count, most)]
    for task, value, lost in workers.run(pieces):
        assert isinstance(task, Piece)
        if not lost:
            task.left.remove(value.job)
            yield value
        for job in task.left if lost else ():
            yield Result(job, error=f"{job.source.name}: {lost}", passing=True)


def anonymize_all(
    workers: Workers, config: Config, output: OutputConfig, jobs: Sequence[Job], attempt: int = 1
) -> Iterator[Result]:
    """Do ``jobs``; long videos, last, in segments, so that all workers share each and little is lost with one, unless
    all of a video has to be seen in one piece.

    At the second attempt each is sent alone: if it kills its worker, no other is lost with it.
    """
    least = SHARED if workers.count > 1 else ALONE
    long = [] if config.whole else [job for job in jobs if _may_be_long(job, least)]
    for job in jobs if config.whole else ():
        forget(job.target)  # what was begun with other settings
    yield from spread([job for job in jobs if job not in long], workers, output, PIECE if attempt == 1 else 1)
    for job in long:
        result, work = Result(job), None
        with result.guarded():
            work = split(job, config, output, least=least)
        done = anonymize_in_segments(work, workers) if work else result if result.error else None
        yield from [done] if done else spread([job], workers, output)


def _may_be_long(job: Job, least: int) -> bool:
    """Whether it is a video of this machine that may have ``least`` segments, or of which some were done before."""
    if job.source.kind is not Kind.VIDEO or job.source.origin or job.destination:
        return False
    try:
        with VideoReader(job.source.path) as reader:
            return not 0 < reader.info.frames < least * LENGTH or bool(folders(job.target))
    except AnonymizerError:  # which is told when it is worked on
        return False


def persistently(jobs: Sequence[Job], do: Callable[[Sequence[Job], int], Iterator[Result]]) -> Iterator[Result]:
    """Do ``jobs``, and those that failed for a reason that may pass again later, with longer and longer pauses."""
    for attempt in range(1, TRIES + 1):
        again = []
        for result in do(jobs, attempt):
            result.tries = attempt
            if result.passing and attempt < TRIES:
                again.append(result.job)
            else:
                yield result
        if not again:
            return
        time.sleep(PAUSE * 4 ** (attempt - 1))
        jobs = again
