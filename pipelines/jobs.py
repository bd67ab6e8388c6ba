"""Any number of files, in order: one that fails does not keep the others from being done."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from pipelines.archives import rewrite_archive
from pipelines.copies import copy
from pipelines.images import anonymize_photo
from pipelines.inputs import Kind
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig
from pipelines.staging import staged
from pipelines.tables import rewrite_table
from pipelines.video import anonymize_video

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer

AT_ONCE = min(8, 1 + (os.cpu_count() or 1))
"""Photographs that are decoded and encoded while the networks look at one."""


def anonymize(jobs: Iterable[Job], anonymizer: Anonymizer, output: OutputConfig) -> Generator[Result, None, None]:
    """Do ``jobs``, which may come one by one, wherever their files lie; results come in their order, a few jobs on."""
    return staged(jobs, lambda local: _anonymize(local, anonymizer, output))


def _anonymize(jobs: Iterable[Job], anonymizer: Anonymizer, output: OutputConfig) -> Generator[Result, None, None]:
    """Do ``jobs`` on files of this machine; results come at most ``AT_ONCE`` jobs later."""
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1) as networks, ThreadPoolExecutor(AT_ONCE) as files:
        for job in jobs:
            if job.source.kind is Kind.PHOTO:
                running.append(files.submit(anonymize_photo, job, anonymizer, networks, output))
            elif job.source.kind is Kind.FILE:
                running.append(files.submit(copy, job, output.copy))
            else:  # alone, as it uses all that there is
                yield from _finished(running)
                yield _signed(_large(job, anonymizer, output))
            if len(running) == AT_ONCE:
                yield _signed(running.popleft().result())
        yield from _finished(running)


def _signed(result: Result) -> Result:
    if not result.job.source.depth:  # members are gone when their archive is written
        result.sign()
    return result


def _finished(running: deque[Future[Result]]) -> Iterator[Result]:
    while running:
        yield _signed(running.popleft().result())


def _large(job: Job, anonymizer: Anonymizer, output: OutputConfig) -> Result:
    if job.source.kind is Kind.VIDEO:
        return anonymize_video(job, anonymizer, output)
    rewrite = rewrite_archive if job.source.kind is Kind.ARCHIVE else rewrite_table
    return rewrite(job, partial(anonymize, anonymizer=anonymizer, output=output))
