"""By what a ledger knows inputs and outputs: where they lie, and what differs when their content does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pipelines.inputs import Source
from pipelines.plan import Job


def place_of(source: Source) -> str:
    """The place of a file, however it was named."""
    return source.origin.url if source.origin else as_text(source.path.resolve())


def identity_of(job: Job) -> str:
    """What differs when the content of a file, or what labels say of it, does; of a file that is gone, nothing."""
    said = sorted((label.boxes, label.size or (), label.shares) for label in job.labels)
    labels = f" {hashlib.sha256(repr(said).encode()).hexdigest()[:16]}" if said else ""
    if job.source.origin:
        return f"{job.source.origin.size} {job.source.origin.version}{labels}"
    try:
        status = job.source.path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}{labels}"


def as_text(path: Path) -> str:
    """A path as text that can be kept: names need not be UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")
