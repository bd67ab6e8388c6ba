"""What the audit did, in a few numbers that tell nothing about what anybody looks like. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any


@dataclass(frozen=True)
class AuditFigures:
    """Of some frames. A face that is drawn again is looked at again, and counts again.

    Attributes:
        by_detail: generated faces of which details were held against the real one.
        by_recognizer: those of which the recognizers were asked, too.
        redrawn: personas that were refused, and in whose place another one was drawn.
        nearest_own: least distance, see ``jury.apart``, of the new faces that it let through, to the real face of the
            same person; ``inf`` if none was measured.
        nearest_other: the same to the real face of anybody else in the picture or video.
    """

    by_detail: int = 0
    by_recognizer: int = 0
    redrawn: int = 0
    nearest_own: float = inf
    nearest_other: float = inf

    def __add__(self, other: AuditFigures) -> AuditFigures:
        return AuditFigures(
            self.by_detail + other.by_detail,
            self.by_recognizer + other.by_recognizer,
            self.redrawn + other.redrawn,
            min(self.nearest_own, other.nearest_own),
            min(self.nearest_other, other.nearest_other),
        )

    def as_dict(self) -> dict[str, Any]:
        """For the report: distances are rounded to four digits, and None if none was measured."""
        return {
            "by_detail": self.by_detail,
            "by_recognizer": self.by_recognizer,
            "redrawn": self.redrawn,
            "nearest_own": round(self.nearest_own, 4) if isfinite(self.nearest_own) else None,
            "nearest_other": round(self.nearest_other, 4) if isfinite(self.nearest_other) else None,
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> AuditFigures:
        """What ``as_dict`` made."""
        values: dict[str, Any] = {name: inf if value is None else value for name, value in told.items()}
        return cls(**values)


NOTHING = AuditFigures()
"""Nothing was looked at."""
