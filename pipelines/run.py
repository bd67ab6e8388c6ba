"""A whole run: find the files, plan, do what is left, and tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import click

from anonymizer.config import MACHINE, Config
from anonymizer.media.files import remove_partials
from pipelines.batch import anonymize_all, persistently
from pipelines.cluster import Cluster
from pipelines.inputs import Found, Kind, find
from pipelines.labels import LabelFiles
from pipelines.ledger import Ledger, files_of
from pipelines.page import save
from pipelines.places import Place
from pipelines.plan import Job, plan, root
from pipelines.progress import progress, say
from pipelines.report import Tally, as_dict, made_with
from pipelines.settings import OutputConfig
from pipelines.split import folders, forget
from pipelines.workers import Alone, Load, Local, Workers


@dataclass(frozen=True)
class Run:
    """What a run is asked to do.

    Attributes:
        inputs: files and folders, wherever they lie.
        output: a file or a folder; None for beside the inputs.
        reports: files to write, pages where the name ends in ``.html``.
        force: make all anew, whatever exists.
        retry: try again what is in quarantine.
        workers: processes; 0 for this one alone, or as many as the cluster has room for.
        cluster: address of a Ray cluster.
        config: how faces are replaced.
        written: how outputs are written.
    """

    inputs: Sequence[Place]
    output: Place | None = None
    reports: Sequence[Path] = ()
    force: bool = False
    retry: bool = False
    workers: int = 0
    cluster: str | None = None
    config: Config = field(default_factory=Config)
    written: OutputConfig = field(default_factory=OutputConfig)

    def dry(self) -> bool:
        """Say what would be done; whether nothing stands against it."""
        found = self._find()
        for job in plan(found, self.inputs, self.output, self.reports, may_replace=lambda target: self.force):
            click.echo(f"would {job.source.kind.verb} the {job.source.kind} {job.source.name} -> {job.result}")
        _tell(found)
        return not found.failures

    def run(self, load: Load) -> bool:
        """Do it; whether all is done."""
        start = time.perf_counter()
        found, tally = self._find(), Tally()
        with closing(Ledger(self._root, self._settings(), force=self.force)) as ledger:
            jobs = self._plan(found, ledger)
            left = ledger.left(jobs, retry=self.retry)
            for line in ledger.notes:
                click.echo(line, err=True)
            labels = LabelFiles(found)
            self._work([replace(job, labels=labels.of(job.source)) for job in left], ledger, tally, load)
            for line in labels.as_lines() if self.written.labels == "use" else ():
                click.echo(line, err=True)
            failures = len(found.failures) + ledger.failures()
            seconds = time.perf_counter() - start
            click.echo(tally.as_line(len(jobs) - len(left), failures, seconds))
            self._report(found, ledger, labels, seconds)
        return not failures

    @cached_property
    def _root(self) -> Place | None:
        return root(self.inputs, self.output)

    def _find(self) -> Found:
        output = self._root or self.output
        return find(self.inputs, [output, *files_of(output)] if output else ())

    def _settings(self) -> dict[str, object]:
        """All that decides how outputs look."""
        config = {name: value for name, value in self.config.as_dict().items() if name not in MACHINE}
        return {**config, "output": asdict(self.written), **made_with()}

    def _plan(self, found: Found, ledger: Ledger) -> list[Job]:

        def may_replace(target: Path) -> bool:  # a run may have been killed just when a long video was done
            return self.force or ledger.is_ours(target) or bool(folders(target))

        jobs = plan(found, self.inputs, self.output, self.reports, may_replace=may_replace)
        _tell(found)
        for job in jobs if self.force else ():
            forget(job.target)
        if isinstance(self._root, Path) and not ledger.is_new():
            remove_partials(self._root)
        return jobs

    def _work(self, jobs: Sequence[Job], ledger: Ledger, tally: Tally, load: Load) -> None:
        """Do ``jobs``; without any, no networks are loaded."""
        if not jobs:
            return
        shared = any(job.source.kind is Kind.VIDEO for job in jobs)  # many workers may share one
        count = self.workers if shared else min(self.workers, len(jobs))
        with (
            closing(self._hire(load, ledger.secret, count)) as workers,
            progress("files", len(jobs), "files") as advance,
        ):
            for result in persistently(jobs, lambda some: anonymize_all(some, workers, self.config, self.written)):
                ledger.record(result)
                tally.add(result)
                for line in result.as_lines():
                    say(line, err=not result.ok)
                advance(1)

    def _report(self, found: Found, ledger: Ledger, labels: LabelFiles, seconds: float) -> None:
        for path in self.reports:
            ledger.reports_to(path)
            results = as_dict(self.config, self.written, found, ledger.results(), seconds)
            save(path, results | {"labels": labels.as_dict()})

    def _hire(self, load: Load, secret: int, count: int) -> Workers:
        generate = self.config.generate
        seeded = replace(generate, seed=secret if generate.seed is None else generate.seed)
        config = replace(self.config, generate=seeded)
        if self.cluster is not None:
            return Cluster(load, config, self.cluster, count)
        return Local(load, config, count) if count else Alone(load, config)


def _tell(found: Found) -> None:
    for line in found.as_lines():
        click.echo(line, err=True)
