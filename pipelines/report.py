"""What a run did: one result a file, the lines that people read and the report that programs read."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anonymizer.config import Config
from anonymizer.errors import AnonymizerError, LeakError
from pipelines.inputs import Kind
from pipelines.plan import Job
from pipelines.settings import OutputConfig

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymized
    from pipelines.inputs import Found

log = logging.getLogger(__name__)


@dataclass
class Result:
    """What happened to one file.

    Attributes:
        frames: pictures written; 1 for a photograph.
        faces: how many faces had which outcome, summed over the frames.
        stages: seconds that single stages took; in a video they overlap.
        seconds: from start to end of a video, all stages of a photograph.
        members: of an archive or a table: what was written of it.
        missing: lines about members that are left out, as they failed.
        notes: lines about what is to be known, though nothing failed.
        error: the one line that was told; None if the output is there.
    """

    job: Job
    frames: int = 0
    faces: Counter[str] = field(default_factory=Counter)
    stages: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds: float = 0.0
    members: int = 0
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the output is there, and nothing is left out of it."""
        return self.error is None and not self.missing

    def include(self, member: Result) -> None:
        """Count a member."""
        self.frames += member.frames
        self.faces.update(member.faces)
        self.members += member.members if member.members else member.error is None
        self.missing += [member.error] if member.error else member.missing
        self.notes += member.notes

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever goes wrong inside ends this file, with a line, and no other."""
        try:
            yield
        except Exception as error:
            self.error = one_line(error, self.job.source.path)
            log.debug("%s", self.error, exc_info=True)

    @contextmanager
    def clock(self, stage: str) -> Iterator[None]:
        """Add the time inside to a stage."""
        start = time.perf_counter()
        yield
        self.stages[stage] += time.perf_counter() - start

    def add(self, done: Anonymized) -> None:
        """Count frames that are about to be written.

        Raises:
            LeakError: a face was found that nothing became of.
        """
        if len(done.outcomes) != len(done.faces):
            raise LeakError(f"{len(done.faces)} faces were found, but {len(done.outcomes)} dealt with")
        self.frames += len(done.frames)
        self.faces.update(done.outcomes)

    def as_lines(self) -> Iterator[str]:
        """``a.mp4 -> b.mp4: 12 frames, 24 faces: 24 generated (3.1 s)``, after what failed; nothing of mere copies."""
        yield from (f"Error: {line}" for line in self.missing)
        if self.error:
            yield f"Error: {self.error}"
        elif self.job.source.kind is not Kind.FILE:
            members = f"{self.members} members, " if self.members else ""
            frames = f"{self.frames} frames, " if self.frames != 1 else ""
            what = f"{members}{frames}{describe(self.faces)} ({self.seconds:.1f} s)"
            yield f"{self.job.source.path} -> {self.job.target}: {what}"
            yield from (f"{self.job.source.path}: {line}" for line in self.notes)

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "input": str(self.job.source.path),
            "output": None if self.error else str(self.job.target),
            "kind": self.job.source.kind,
            "members": self.members,
            "missing": self.missing,
            "notes": self.notes,
            "frames": self.frames,
            "faces": dict(self.faces),
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }


def one_line(error: Exception, path: Path | None = None) -> str:
    """An error as a user sees it: where and why, in one line."""
    if isinstance(error, AnonymizerError):
        error.path = error.path or path
        return str(error)
    where = f"{path}: " if path else ""
    cause = " ".join(f"{where}unexpected {type(error).__name__}: {error}".split())
    return f"{cause} (`anonymizer --debug ...` shows the traceback)"


def describe(faces: Counter[str]) -> str:
    """``5 faces: 4 generated, 1 covered (steep pose)``."""
    if not faces:
        return "no faces"
    plain = ("generated", "covered")
    parts = [f"{count} {why if why.startswith(plain) else f'covered ({why})'}" for why, count in sorted(faces.items())]
    return f"{faces.total()} {'face' if faces.total() == 1 else 'faces'}: {', '.join(parts)}"


def summary(results: Sequence[Result], failures: int, seconds: float) -> str:
    """The last line of a run."""
    done = [result for result in results if result.error is None]
    without = sum(not result.faces for result in done if result.job.source.kind is not Kind.FILE)
    parts = [f"{len(done)} written{f', {without} of them without a face' if without else ''}"]
    parts += [f"{failures} failed"] if failures else []
    parts += [describe(sum((result.faces for result in done), Counter[str]())), f"{seconds:.1f} s"]
    return "; ".join(parts)


def write(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON.

    Raises:
        MediaError: it cannot be written.
    """
    from anonymizer.media.files import replacing

    with replacing(path) as partial:
        partial.write_text(json.dumps(report, indent=2) + "\n")


def as_dict(
    config: Config, output: OutputConfig, found: Found, results: Sequence[Result], seconds: float
) -> dict[str, Any]:
    """A run, for ``--report``. It holds no pictures, and no seed unless the user gave it."""
    from anonymizer.models import MODELS

    failures = [{"input": str(error.path), "output": None, "error": str(error)} for error in found.failures]
    return {
        "settings": {**config.as_dict(), "output": asdict(output)},
        "versions": {name: version(name) for name in ("anonymizer", "torch")},
        "weights": {name: model.sha256 for name, model in MODELS.items()},
        "inputs": [*(result.as_dict() for result in results), *failures],
        "skipped": [{"path": str(skipped.path), "why": skipped.why} for skipped in found.skipped],
        "seconds": round(seconds, 3),
    }
