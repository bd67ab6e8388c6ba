"""Where the result of each file goes, decided for all files before the first is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.encoders import CONTAINERS
from anonymizer.media.files import cause_of
from pipelines.inputs import COMPRESSED, SUFFIXES, Found, Kind, Source, is_folder
from pipelines.label_formats import Labels
from pipelines.places import Place, joined
from pipelines.storage import Stored, identity, listing
from pipelines.stores import check_writable

MARK = "_anonymized"

VIDEO_SUFFIX = ".mkv"
"""Of results whose original has a container that cannot be written; Matroska holds every kind of sound."""


@dataclass(frozen=True)
class Job:
    """One file to anonymize, and what is known of it.

    Attributes:
        target: where the result is written on this machine; a name only until a place for it is found there, if
            ``destination`` is given.
        destination: the URL at which the result is published; empty if that is ``target``.
        published: what lies there already.
        labels: what people said that the picture shows.
    """

    source: Source
    target: Path
    destination: str = ""
    published: Stored | None = None
    labels: tuple[Labels, ...] = ()

    @property
    def result(self) -> str:
        """What people know the result by: its path or URL."""
        return self.destination or str(self.target)

    def size(self) -> int | None:
        """Of the result of a run before, in bytes; None if there is none."""
        if self.destination:
            return self.published.size if self.published else None
        return self.target.stat().st_size if self.target.is_file() else None

    def make_folder(self) -> None:
        """Make the folder of ``target``.

        Raises:
            MediaError: it cannot be made.
        """
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"the folder cannot be made: {cause_of(error)}", path=self.target.parent) from error


def root(inputs: Sequence[Place], output: Place | None) -> Place | None:
    """The folder that holds all results, if there is one: of several inputs, or of a folder.

    Raises:
        ConfigError: ``output`` is a file all the same, or is needed but not given.
        MediaError: a store cannot be asked.
    """
    if output is None and any(isinstance(given, str) for given in inputs):
        raise ConfigError("say with -o where the results of remote files go")
    if len(inputs) == 1 and not is_folder(inputs[0]):
        return None
    if output is None:
        return _marked(Path(inputs[0])) if len(inputs) == 1 else None
    named = not str(output).endswith("/") and Path(output).suffix.lower() in SUFFIXES
    if named or (isinstance(output, Path) and output.is_file()):
        raise ConfigError(f"several files cannot be written to one; name a folder instead of {output}")
    return output


def plan(
    found: Found,
    inputs: Sequence[Place],
    output: Place | None,
    reports: Sequence[Path] = (),
    *,
    may_replace: Callable[[Path], bool] = lambda target: False,
) -> list[Job]:
    """Decide where each result goes; files whose result must not be written join ``found.failures``.

    Args:
        found: the files behind ``inputs``.
        output: a file for one input file, otherwise a folder, which then holds the trees of the input folders. By
            default results lie beside their inputs with ``MARK`` in the name, if those are on this machine.
        reports: other files that are to be written.
        may_replace: whether a file that exists may be replaced; inputs never are.

    Raises:
        ConfigError: ``output`` is a file but there are several inputs or a folder, it is needed but not given, or a
            report is in the way.
        MediaError: ``output`` cannot be looked at.
    """
    folder = root(inputs, output)
    if output is None:
        jobs = [Job(source, _beside(source)) for source in found.sources]
    elif folder or is_folder(output) or str(output).endswith("/") or not Path(output).suffix:
        jobs = [Job(source, _within(source, Path(output), alone=len(inputs) == 1)) for source in found.sources]
    else:
        jobs = [Job(source, Path(output)) for source in found.sources]
    if isinstance(output, str):
        check_writable(output)
        published = listing(output)
        jobs = [_published(job, output, published) for job in jobs]
    _check_reports(reports, jobs, may_replace)
    return _safe(found, jobs, may_replace)


def _published(job: Job, output: str, published: Mapping[str, Stored]) -> Job:
    name = job.target.relative_to(Path(output)).as_posix()
    if name == ".":
        return replace(job, destination=output, published=published.get(""))
    return replace(job, destination=joined(output, name), published=published.get(name))


def _beside(source: Source) -> Path:
    """Beside the input: ``photos/a.jpg`` in ``photos_anonymized/a.jpg``, alone in ``photos/a_anonymized.jpg``."""
    if source.folder is None:
        name = source.path.name
        end = next((end for end in COMPRESSED if name.lower().endswith(end)), source.path.suffix)
        cut = len(name) - len(end)
        return writable(source.path.with_name(f"{name[:cut]}{MARK}{name[cut:]}"), source.kind)
    return writable(_marked(source.folder) / source.path.relative_to(source.folder), source.kind)


def _marked(folder: Path) -> Path:
    folder = folder.resolve() if folder.name in ("", "..") else folder
    return folder.with_name(folder.name + MARK)


def _within(source: Source, output: Path, *, alone: bool) -> Path:
    """In the folder ``output``, which stands for the input folder if that is ``alone`` and holds it otherwise."""
    top = source.path.parent if source.folder is None else source.folder if alone else source.folder.parent
    return writable(output / source.path.relative_to(top), source.kind)


def writable(target: Path, kind: Kind) -> Path:
    """The target, or one of another suffix where that of a video names a container that cannot be written."""
    if kind is Kind.REMOTE:  # nothing but its name is known
        kind = SUFFIXES.get(target.suffix.lower(), kind)
    if kind is not Kind.VIDEO or target.suffix.lower() in CONTAINERS:
        return target
    return target.with_suffix(VIDEO_SUFFIX)


def _check_reports(reports: Sequence[Path], jobs: Sequence[Job], may_replace: Callable[[Path], bool]) -> None:
    """
    Raises:
        ConfigError: a report would take the place of another file.
    """
    taken = {path.resolve() for job in jobs for path in (job.source.path, job.target)} if reports else set()
    for report in reports:
        if report.resolve() in taken:
            raise ConfigError(f"the report must not take the place of an input or a result: {report}")
        if not report.parent.is_dir():
            raise ConfigError(f"there is no folder for the report: {report}")
        if report.exists() and not may_replace(report):
            raise ConfigError(f"the report exists: {report}; --force replaces it")


def _safe(found: Found, jobs: Sequence[Job], may_replace: Callable[[Path], bool]) -> list[Job]:
    """The jobs whose result destroys nothing; for the others, a failure is noted in ``found``."""
    inputs = {_identity(job.source.name if job.source.origin else job.source.path) for job in jobs}
    writers: dict[Path, Job] = {}
    safe = []
    for job in jobs:
        first = writers.setdefault(job.target.resolve(), job)
        exists = bool(job.published) if job.destination else job.target.exists()
        if exists and _identity(job.destination or job.target) in inputs:
            cause = f"its result would take the place of an input: {job.result}"
        elif first is not job:
            cause = f"its result would take the place of that of {first.source.name}: {job.result}"
        elif exists and not may_replace(job.target):
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
    try:
        status = place.stat()
    except OSError:  # it is gone by now
        return str(place)
    return status.st_dev, status.st_ino
