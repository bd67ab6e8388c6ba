"""All files of a run, in order: one that fails does not keep the others from being done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from pipelines.images import anonymize_photos
from pipelines.inputs import Kind
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig
from pipelines.video import anonymize_video

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer


def anonymize(jobs: Iterable[Job], anonymizer: Anonymizer, output: OutputConfig) -> Iterator[Result]:
    """Do ``jobs``; a result comes as soon as its file is written or has failed."""
    for kind, group in groupby(jobs, key=lambda job: job.source.kind):
        if kind is Kind.PHOTO:
            yield from anonymize_photos(list(group), anonymizer, output)
        else:
            yield from (anonymize_video(job, anonymizer, output) for job in group)
