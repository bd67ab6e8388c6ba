"""Where the result of each file goes, decided for all files before the first is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.encoders import CONTAINERS
from anonymizer.media.files import cause_of
from pipelines.inputs import SUFFIXES, Found, Kind, Source, is_folder
from pipelines.storage import Place, identity, joined, listing
from pipelines.stores import check_writable

MARK = "_anonymized"

VIDEO_SUFFIX = ".mkv"
"""Of results whose original has a container that cannot be written; Matroska holds every kind of sound."""


@dataclass(frozen=True)
class Job:
    """One file to anonymize.

    Attributes:
        target: where the result is written on this machine; a name only until a place for it is found there, if
            ``destination`` is given.
        destination: the URL at which the result is published; empty if that is ``target``.
    """

    source: Source
    target: Path
    destination: str = ""

    @property
    def result(self) -> str:
        """What people know the result by: its path or URL."""
        return self.destination or str(self.target)

    def make_folder(self) -> None:
        """Make the folder of ``target``.

        Raises:
            MediaError: it cannot be made.
        """
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"the folder cannot be made: {cause_of(error)}", path=self.target.parent) from error


def plan(
    found: Found, inputs: Sequence[Place], output: Place | None, report: Path | None = None, *, force: bool = False
) -> list[Job]:
    """Decide where each result goes; files whose result must not be written join ``found.failures``.

    Args:
        found: the files behind ``inputs``.
        output: a file for one input file, otherwise a folder, which then holds the trees of the input folders. By
            default results lie beside their inputs with ``MARK`` in the name, if those are on this machine.
        report: another file that is to be written.
        force: whether existing files may be replaced; inputs never are.

    Raises:
        ConfigError: ``output`` is a file but there are several inputs or a folder, it is needed but not given, or the
            report is in the way.
        MediaError: ``output`` cannot be looked at.
    """
    if output is None and any(isinstance(given, str) for given in inputs):
        raise ConfigError("say with -o where the results of remote files go")
    root = None if output is None else Path(output)
    folder = root is not None and (str(output).endswith("/") or root.is_dir() or not root.suffix)
    several = (
        len(inputs) > 1
        or any(source.folder for source in found.sources)
        or any(is_folder(given) for given in inputs if isinstance(given, Path))
    )
    if root is not None and several and (root.is_file() or root.suffix.lower() in SUFFIXES):
        raise ConfigError(f"several files cannot be written to one; name a folder instead of {output}")
    if root is None:
        jobs = [Job(source, _beside(source)) for source in found.sources]
    elif several or folder:
        jobs = [Job(source, _within(source, root, alone=len(inputs) == 1)) for source in found.sources]
    else:
        jobs = [Job(source, root) for source in found.sources]
    _check_report(report, jobs, force)
    if not isinstance(output, str):
        return _safe(found, jobs, force)
    check_writable(output)
    taken = set() if force else {stored.url for stored in listing(output).values()}
    return _safe(found, [_published(job, output) for job in jobs], force, taken)


def _published(job: Job, output: str) -> Job:
    name = job.target.relative_to(Path(output)).as_posix()
    return replace(job, destination=output if name == "." else joined(output, name))


def _beside(source: Source) -> Path:
    """Beside the input: ``photos/a.jpg`` in ``photos_anonymized/a.jpg``, alone in ``photos/a_anonymized.jpg``."""
    if source.folder is None:
        return _writable(source.path.with_stem(source.path.stem + MARK), source.kind)
    root = source.folder.with_name(source.folder.name + MARK)
    return _writable(root / source.path.relative_to(source.folder), source.kind)


def _within(source: Source, output: Path, *, alone: bool) -> Path:
    """In the folder ``output``, which stands for the input folder if that is ``alone`` and holds it otherwise."""
    top = source.path.parent if source.folder is None else source.folder if alone else source.folder.parent
    return _writable(output / source.path.relative_to(top), source.kind)


def _writable(target: Path, kind: Kind) -> Path:
    if kind is Kind.REMOTE:  # nothing but its name is known
        kind = SUFFIXES.get(target.suffix.lower(), kind)
    if kind is not Kind.VIDEO or target.suffix.lower() in CONTAINERS:
        return target
    return target.with_suffix(VIDEO_SUFFIX)


def _check_report(report: Path | None, jobs: Sequence[Job], force: bool) -> None:
    """
    Raises:
        ConfigError: the report would take the place of another file.
    """
    if report is None:
        return
    if report.resolve() in {path.resolve() for job in jobs for path in (job.source.path, job.target)}:
        raise ConfigError(f"the report must not take the place of an input or a result: {report}")
    if report.exists() and not force:
        raise ConfigError(f"the report exists: {report}; --force replaces it")


def _safe(found: Found, jobs: Sequence[Job], force: bool, taken: Collection[str] = ()) -> list[Job]:
    """The jobs whose result destroys nothing; for the others, a failure is noted in ``found``.

    Args:
        taken: URLs of files that lie where results are to be published.
    """
    inputs = {_identity(job.source.name if job.source.origin else job.source.path) for job in jobs}
    writers: dict[Path, Job] = {}
    safe = []
    for job in jobs:
        first = writers.setdefault(job.target.resolve(), job)
        exists = job.destination in taken if job.destination else job.target.exists()
        if (job.destination or exists) and _identity(job.destination or job.target) in inputs:
            cause = f"its result would take the place of an input: {job.result}"
        elif first is not job:
            cause = f"its result would take the place of that of {first.source.name}: {job.result}"
        elif exists and not force:
            cause = f"its result exists: {job.result}; --force replaces it"
        else:
            safe.append(job)
            continue
        found.failures.append(MediaError(cause, path=job.source.name))
    return safe


def _identity(place: Place) -> object:
    """The file itself, whatever its name."""
    if isinstance(place, str):
        return identity(place)
    status = place.stat()
    return status.st_dev, status.st_ino
