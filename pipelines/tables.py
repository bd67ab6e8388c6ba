"""Tables."""

from pipelines.plan import Job
from pipelines.report import Result
from pipelines.scratch import Work


def rewrite_table(job: Job, work: Work) -> Result:
    raise NotImplementedError
