"""Where the result of each file goes, decided for all files before the first is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.encoders import CONTAINERS
from anonymizer.media.files import cause_of
from pipelines.inputs import SUFFIXES, Found, Kind, Source, is_folder
from pipelines.label_formats import Labels

MARK = "_anonymized"

VIDEO_SUFFIX = ".mkv"
"""Of results whose original has a container that cannot be written; Matroska holds every kind of sound."""


@dataclass(frozen=True)
class Job:
    """One file to anonymize, and what is known of it."""

    source: Source
    target: Path
    labels: tuple[Labels, ...] = ()

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
    found: Found, inputs: Sequence[Path], output: Path | None, reports: Sequence[Path] = (), *, force: bool = False
) -> list[Job]:
    """Decide where each result goes; files whose result must not be written join ``found.failures``.

    Args:
        found: the files behind ``inputs``.
        output: a file for one input file, otherwise a folder, which then holds the trees of the input folders. By
            default results lie beside their inputs with ``MARK`` in the name.
        reports: other files that are to be written.
        force: whether existing files may be replaced; inputs never are.

    Raises:
        ConfigError: ``output`` is a file but there are several inputs or a folder, or a report is in the way.
    """
    several = len(inputs) > 1 or any(map(is_folder, inputs))
    if output is not None and several and (output.is_file() or output.suffix.lower() in SUFFIXES):
        raise ConfigError(f"several files cannot be written to one; name a folder instead of {output}")
    if output is None:
        jobs = [Job(source, _beside(source)) for source in found.sources]
    elif several or output.is_dir() or not output.suffix:
        jobs = [Job(source, _within(source, output, alone=len(inputs) == 1)) for source in found.sources]
    else:
        jobs = [Job(source, output) for source in found.sources]
    _check_reports(reports, jobs, force)
    return _safe(found, jobs, force)


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
    if kind is not Kind.VIDEO or target.suffix.lower() in CONTAINERS:
        return target
    return target.with_suffix(VIDEO_SUFFIX)


def _check_reports(reports: Sequence[Path], jobs: Sequence[Job], force: bool) -> None:
    """
    Raises:
        ConfigError: a report would take the place of another file.
    """
    taken = {path.resolve() for job in jobs for path in (job.source.path, job.target)} if reports else set()
    for report in reports:
        if report.resolve() in taken:
            raise ConfigError(f"the report must not take the place of an input or a result: {report}")
        if report.exists() and not force:
            raise ConfigError(f"the report exists: {report}; --force replaces it")


def _safe(found: Found, jobs: Sequence[Job], force: bool) -> list[Job]:
    """The jobs whose result destroys nothing; for the others, a failure is noted in ``found``."""
    inputs = {_identity(job.source.path) for job in jobs}
    writers: dict[Path, Path] = {}
    safe = []
    for job in jobs:
        first = writers.setdefault(job.target.resolve(), job.source.path)
        exists = job.target.exists()
        if exists and _identity(job.target) in inputs:
            cause = f"its result would take the place of an input: {job.target}"
        elif first is not job.source.path:
            cause = f"its result would take the place of that of {first}: {job.target}"
        elif exists and not force:
            cause = f"its result exists: {job.target}; --force replaces it"
        else:
            safe.append(job)
            continue
        found.failures.append(MediaError(cause, path=job.source.path))
    return safe


def _identity(path: Path) -> tuple[int, int]:
    """The file itself, whatever its name."""
    status = path.stat()
    return status.st_dev, status.st_ino
