"""A whole run: find the files, plan, do what is left, and tell."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anonymizer.config import MACHINE, Config
from anonymizer.errors import ConfigError
from anonymizer.media.files import remove_partials
from pipelines.batch import anonymize_all, persistently
from pipelines.chain import HEAD, SIGNATURE, sealed
from pipelines.cluster import Cluster
from pipelines.inputs import Found, Kind, find
from pipelines.keep import References
from pipelines.keys import path_of
from pipelines.labels import LabelFiles
from pipelines.ledger import Ledger
from pipelines.ledger_files import files_of, ledger_of
from pipelines.page import save
from pipelines.places import Place
from pipelines.plan import Job, plan, root
from pipelines.progress import progress, say
from pipelines.report import Tally, as_dict, made_with
from pipelines.settings import SIGNING_KEY, OutputConfig
from pipelines.signature import Seal
from pipelines.split import folders, forget
from pipelines.whom import shared
from pipelines.workers import Alone, Load, Local, Workers

if TYPE_CHECKING:
    from anonymizer.credentials import Signer


@dataclass(frozen=True)
class Run:
    """What a run is asked to do.

    Attributes:
        inputs: files and folders, wherever they lie.
        output: a file or a folder; None for beside the inputs.
        reports: files to write, pages where the name ends in ``.html``.
        operator: who runs it, for reports and the ledger; empty if that is not said.
        force: make all anew, whatever exists.
        retry: try again what is in quarantine.
        workers: processes; 0 for this one alone, or as many as the cluster has room for.
        cluster: address of a Ray cluster.
        config: how faces are replaced.
        written: how outputs are written.
        key_file: where the key of the subjects is, whom ``config`` names the key of.
        references: of those who stay visible, if anybody does.

    Raises:
        ConfigError: subjects, or those who consented, cannot be known on a cluster.
    """

    inputs: Sequence[Place]
    output: Place | None = None
    reports: Sequence[Path] = ()
    operator: str = ""
    force: bool = False
    retry: bool = False
    workers: int = 0
    cluster: str | None = None
    config: Config = field(default_factory=Config)
    written: OutputConfig = field(default_factory=OutputConfig)
    key_file: Path | None = None
    references: References | None = None

    def __post_init__(self) -> None:
        if self.key_file and self.cluster is not None:
            cause = "--key-file works on one machine, as its registry of subjects does: say --workers, not --cluster"
            raise ConfigError(cause)
        if self.references and self.cluster is not None:
            cause = "--keep works on one machine, so that what consenting people look like stays there: say --workers"
            raise ConfigError(cause)

    def dry(self) -> bool:
        """Say what would be done; whether nothing stands against it."""
        self._check_signer()
        found = self._find()
        begun = self._root is not None and ledger_of(self._root).exists()
        with closing(self._ledger(self._root if begun else None)) as ledger:
            jobs = plan(found, self.inputs, self.output, self.reports, may_replace=self._may_replace(ledger))
            for job in jobs if self.force else ledger.left(jobs, found.failures, retry=self.retry, dry=True):
                click.echo(f"would {job.source.kind.verb} the {job.source.kind} {job.source.name} -> {job.result}")
            _tell([*found.as_lines(), *ledger.notes])
        return not found.failures

    def run(self, load: Load) -> bool:
        """Do it; whether all is done."""
        start = time.perf_counter()
        self._check_signer()
        self._check_registry()
        given = self._given()
        found, tally = self._find(), Tally()
        with closing(self._ledger(self._root, force=self.force)) as ledger:
            labels = LabelFiles(found)
            jobs = [replace(job, labels=labels.of(job.source)) for job in self._plan(found, ledger)]
            left = ledger.left(jobs, found.failures, retry=self.retry)
            _tell([*found.as_lines(), *ledger.notes])
            self._work(left, ledger, tally, partial(load, **given) if given else load)
            _tell(labels.as_lines() if self.written.labels == "use" else ())
            failures = len(found.failures) + ledger.failures()
            seconds = time.perf_counter() - start
            click.echo(tally.as_line(ledger.done, failures, seconds))
            self._report(found, ledger, labels, seconds)
        return not failures

    def _check_signer(self) -> None:
        """
        Raises:
            ConfigError: results, or records, cannot be signed.
        """
        if self._signer:
            self._signer.check()
            assert self._seal

    @cached_property
    def _signer(self) -> Signer | None:
        if not self.written.sign:
            return None
        from anonymizer.credentials import Signer

        return Signer.read(*self.written.sign)

    @cached_property
    def _seal(self) -> Seal | None:
        return Seal(self._signer) if self._signer else None

    def _ledger(self, root: Place | None, *, force: bool = False) -> Ledger:
        return Ledger(root, self._settings(), force=force, operator=self.operator, seal=self._seal)

    @cached_property
    def _root(self) -> Place | None:
        return root(self.inputs, self.output)

    def _find(self) -> Found:
        output = self._root or self.output
        own = [self.key_file, path_of(self.key_file)] if self.key_file else []
        own += [self.references.folder] if self.references else []
        return find(self.inputs, [*own, output, *files_of(output)] if output else own)

    def _check_registry(self) -> None:
        """Raise what the registry of subjects would, before any work; and say so if there is none yet."""
        if self.key_file:
            from pipelines.registry import Registry

            if not Registry(self.key_file).read().known:
                _tell([f"{path_of(self.key_file)}: nobody is known yet with this key"])

    def _given(self) -> dict[str, Any]:
        """What an anonymizer needs besides settings; raises whatever is wrong with it, before any work."""
        given: dict[str, Any] = {}
        if self.key_file:
            from pipelines.registry import Registry

            given["subjects"] = Registry(self.key_file, self.config.generate.personas)
        if self.references:
            given["consents"] = self.references.consents(self.config.device)
            for person in self.references.expired(datetime.date.today()):
                _tell([f"{person.name}: the consent expired on {person.until}: is replaced like everybody else"])
        return given

    def _settings(self) -> dict[str, object]:
        """All that decides how outputs look."""
        config = {name: value for name, value in self.config.as_dict().items() if name not in MACHINE}
        return {**config, "output": self._written(), **self._made_with()}

    def _written(self) -> dict[str, Any]:
        """How results are written; instead of the files of the key that signs, what tells it from others."""
        told = {name: value for name, value in asdict(self.written).items() if name != "sign"}
        return {**told, SIGNING_KEY: self._seal.key if self._seal else None}

    def _made_with(self) -> dict[str, Any]:
        return made_with(signs=self._seal is not None)

    def _plan(self, found: Found, ledger: Ledger) -> list[Job]:
        jobs = plan(found, self.inputs, self.output, self.reports, may_replace=self._may_replace(ledger))
        for job in jobs if self.force else ():
            forget(job.target)
        if ledger.begun:
            self._remove_partials()
        return jobs

    def _may_replace(self, ledger: Ledger) -> Callable[[Path], bool]:
        """Whether a file may be replaced; a run may have been killed just when a long video was done."""
        return lambda target: self.force or ledger.is_ours(target) or bool(folders(target))

    @contextmanager
    def _left_tidy(self) -> Iterator[None]:
        """Workers may have died, and those of a cluster cannot be asked to end, only killed."""
        try:
            yield
        finally:
            self._remove_partials()

    def _remove_partials(self) -> None:
        """What was left by processes that were killed. Nobody else works there, as the ledger is held."""
        if isinstance(self._root, Path):
            remove_partials(self._root)

    def _work(self, jobs: Sequence[Job], ledger: Ledger, tally: Tally, load: Load) -> None:
        """Do ``jobs``; without any, no networks are loaded."""
        if not jobs:
            return
        shared = any(job.source.kind is Kind.VIDEO for job in jobs)  # many workers may share one
        count = self.workers if shared else min(self.workers, len(jobs))
        with (
            self._left_tidy(),
            closing(self._hire(load, ledger, count)) as workers,
            progress("files", len(jobs), "files") as advance,
        ):
            for result in persistently(jobs, partial(anonymize_all, workers, self.config, self.written)):
                ledger.record(result)
                tally.add(result)
                for line in result.as_lines():
                    say(line, err=not result.ok)
                advance(1)

    def _report(self, found: Found, ledger: Ledger, labels: LabelFiles, seconds: float) -> None:
        if not self.reports:
            return
        settings = {**self.config.as_dict(), "output": self._written()}
        results = as_dict(settings, self._made_with(), found, ledger.results(), seconds)
        results |= {"labels": labels.as_dict()}
        if self.references:
            results["consents"] = self.references.as_dict()
        if count := self.config.generate.personas:
            results["personas"] = shared(count, results["inputs"])
        told = sealed({"operator": self.operator or None, **results})
        if self._seal:
            told[SIGNATURE] = self._seal.sign(told[HEAD])
        for path in self.reports:
            ledger.reports_to(path)
            save(path, told)
            ledger.reported(path)
        click.echo(f"the report ends with {told[HEAD]}")

    def _hire(self, load: Load, ledger: Ledger, count: int) -> Workers:
        generate = self.config.generate
        seeded = replace(generate, seed=ledger.secret if generate.seed is None else generate.seed)
        config = replace(self.config, generate=seeded)
        if self.cluster is not None:
            return Cluster(load, config, self.cluster, count)
        return Local(load, config, count) if count else Alone(load, config)


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line, err=True)
