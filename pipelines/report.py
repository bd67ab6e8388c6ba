"""What a run did: one result a file, the lines that people read and the report that programs read."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anonymizer.audit_figures import NOTHING, AuditFigures
from anonymizer.errors import LeakError, MediaError
from pipelines.chain import chained
from pipelines.failures import may_pass, one_line
from pipelines.inputs import Kind
from pipelines.plan import Job
from pipelines.whom import Whom

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymized
    from pipelines.inputs import Found

log = logging.getLogger(__name__)

_DRAWING = ("anonymizer", "torch", "openvino", "av", "numpy", "opencv-python-headless", "pillow")
VERSIONS = {name: version(name) for name in _DRAWING}
"""Of the programs that decide how results look."""

SIGNING = ("c2pa-python", "cryptography", "pyjwt")
"""Those that decide how they are signed, of which one need not be installed."""


@dataclass
class Result:
    """What happened to one file.

    Attributes:
        kind: what the file turned out to be.
        frames: pictures written; 1 for a photograph.
        faces: how many faces had which outcome, summed over the frames.
        whom: who stays visible, and how many share a persona.
        audit: what the audit did.
        stages: seconds that single stages took; in a video they overlap.
        seconds: from start to end of a video, all stages of a photograph.
        members: of an archive or a table: what was written of it.
        missing: lines about members that are left out, as they failed.
        unpacked: bytes that were read from an archive and those in it.
        notes: lines about what is to be known, though nothing failed.
        error: the one line that was told; None if the output is there.
        passing: whether the error may pass: no space, a lost connection, a worker that died.
        tries: how often it was tried in this run.
        hash_in, hash_out: SHA-256 of the files.
        size_out: of the output, in bytes.
        time_out: of its last change, in nanoseconds; None if it is not on this machine.
    """

    job: Job
    kind: Kind = field(init=False)
    frames: int = 0
    faces: Counter[str] = field(default_factory=Counter)
    whom: Whom = field(default_factory=Whom)
    audit: AuditFigures = NOTHING
    stages: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    seconds: float = 0.0
    members: int = 0
    missing: list[str] = field(default_factory=list)
    unpacked: int = 0
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    passing: bool = False
    tries: int = 1
    hash_in: str | None = None
    hash_out: str | None = None
    size_out: int | None = None
    time_out: int | None = None

    def __post_init__(self) -> None:
        self.kind = self.job.source.kind

    @property
    def ok(self) -> bool:
        """Whether the output is there, and nothing is left out of it."""
        return self.error is None and not self.missing

    def include(self, member: Result) -> None:
        """Count a member.

        Raises:
            MediaError: it failed for a reason that may pass, so that the whole is to be tried again.
        """
        if member.passing:
            self.passing = True
            raise MediaError(f"is not whole: {member.error}")
        self.frames += member.frames
        self.faces.update(member.faces)
        self.audit += member.audit
        if member.error is None:
            self.whom.include(member.whom, member.job.source.name)
        self.members += member.members if member.members else member.error is None
        self.missing += [member.error] if member.error else member.missing
        self.notes += member.notes

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever goes wrong inside ends this file, with a line, and no other."""
        try:
            yield
        except Exception as error:
            self.error, self.passing = one_line(error, self.job.source.name), self.passing or may_pass(error)
            log.debug("%s", self.error, exc_info=True)

    def rename(self, old: str, new: str) -> None:
        """Speak of ``new`` instead of ``old`` in what went wrong."""
        self.error = self.error and self.error.replace(old, new)
        self.missing = [line.replace(old, new) for line in self.missing]

    def sign(self) -> None:
        """Note what the output, if it is there, was made of: size and hashes."""
        with self.guarded():
            self.hash_in = fingerprint(self.job.source.path)
            if self.error is None:
                self.hash_out = fingerprint(self.job.target)
                status = self.job.target.stat()
                self.size_out = status.st_size
                self.time_out = None if self.job.destination else status.st_mtime_ns

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
        self.audit += done.audit
        self.whom.add(done, moving=self.kind is Kind.VIDEO)

    def as_lines(self) -> Iterator[str]:
        """``a.mp4 -> b.mp4: 12 frames, 24 faces: 24 generated (3.1 s)``, after what failed; nothing of mere copies."""
        yield from (f"Error: {line}" for line in self.missing)
        if self.error:
            yield f"Error: {self.error}"
        elif self.kind is not Kind.FILE:
            members = f"{self.members} members, " if self.members else ""
            frames = f"{self.frames} frames, " if self.frames != 1 else ""
            what = f"{members}{frames}{describe(self.faces)} ({self.seconds:.1f} s)"
            yield f"{self.job.source.name} -> {self.job.result}: {what}"
            yield from (f"{self.job.source.name}: {line}" for line in self.notes)

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "input": self.job.source.name,
            "output": None if self.error else self.job.result,
            "kind": self.kind,
            "members": self.members,
            "missing": self.missing,
            "notes": self.notes,
            "frames": self.frames,
            "faces": dict(self.faces),
            **self.whom.as_dict(),
            "audit": self.audit.as_dict(),
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "tries": self.tries,
            "sha256": {"input": self.hash_in, "output": self.hash_out},
        }


def fingerprint(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(faces: Counter[str]) -> str:
    """``5 faces: 4 generated, 1 covered (steep pose)``."""
    if not faces:
        return "no faces"
    plain = ("generated", "covered", "kept")
    parts = [f"{count} {why if why.startswith(plain) else f'covered ({why})'}" for why, count in sorted(faces.items())]
    return f"{faces.total()} {'face' if faces.total() == 1 else 'faces'}: {', '.join(parts)}"


@dataclass
class Tally:
    """What was done so far.

    Attributes:
        written: outputs.
        without: photographs and videos among them that show no face.
        faces: how many had which outcome.
    """

    written: int = 0
    without: int = 0
    faces: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count a result."""
        if result.error is None:
            self.written += 1
            self.without += not result.faces and result.kind is not Kind.FILE
            self.faces.update(result.faces)

    def as_line(self, before: int, failures: int, seconds: float) -> str:
        """The last line of a run; ``before`` counts what was done by runs before."""
        parts = [f"{self.written} written{f', {self.without} of them without a face' if self.without else ''}"]
        parts += [f"{before} done before"] if before else []
        parts += [f"{failures} failed"] if failures else []
        parts += [describe(self.faces)] if self.written or not before else []
        return "; ".join([*parts, f"{seconds:.1f} s"])


def write(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON.

    Raises:
        MediaError: it cannot be written.
    """
    from anonymizer.media.files import replacing

    with replacing(path) as partial:
        partial.write_text(json.dumps(report, indent=2) + "\n")


def made_with(*, signs: bool = False) -> dict[str, Any]:
    """Versions of the programs and networks that decide how results look, and are signed."""
    from anonymizer.models import MODELS

    return {
        "versions": VERSIONS | {name: version(name) for name in (SIGNING if signs else ())},
        "weights": {name: model.sha256 for name, model in MODELS.items()},
    }


def as_dict(
    settings: dict[str, Any], made: dict[str, Any], found: Found, results: Iterable[dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """A run, for ``--report``. It holds no pictures, and no seed unless the user gave it.

    Args:
        made: as ``made_with`` has it.
        results: of all items, those of runs before included, as ``Result.as_dict`` has them.
    """
    failures = [{"input": str(error.path), "output": None, "error": str(error)} for error in found.failures]
    return {
        "settings": settings,
        **made,
        "inputs": list(chained([*results, *failures])),
        "skipped": [{"path": str(skipped.path), "why": skipped.why} for skipped in found.skipped],
        "seconds": round(seconds, 3),
    }
