"""What a report says of people: who stays visible, who nearly did, and how many share a persona. No embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymized
    from anonymizer.consent import Decision


@dataclass
class Whom:
    """Of one file.

    Attributes:
        decisions: on faces that stay or nearly did: ``who`` is nearest, at what ``distance``, the ``verdict``; in
            videos from and up to which frame and second; in archives and tables in which member.
        faces, appearances: by number of a persona, how many have it. Whoever is in several photographs or videos makes
            several appearances.
    """

    decisions: list[dict[str, Any]] = field(default_factory=list)
    faces: Counter[str] = field(default_factory=Counter)
    appearances: Counter[str] = field(default_factory=Counter)
    _met: set[tuple[int, int]] = field(default_factory=set)

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Add what was decided."""
        self.decisions += map(_as_dict, decisions)

    def add(self, done: Anonymized, *, moving: bool) -> None:
        """Count the personas of frames; ``moving`` if they are of a video, where people are numbered."""
        self.decide(done.decisions)
        for number, track in zip(done.personas, done.faces.tracks.tolist(), strict=False):
            if number < 0:
                continue
            self.faces[str(number)] += 1
            if not moving:
                self.appearances[str(number)] += 1
            elif track >= 0 and (number, track) not in self._met:
                self.appearances[str(number)] += 1
                self._met.add((number, track))

    def include(self, member: Whom, name: str) -> None:
        """Add those of a member."""
        self.decisions += [{"member": name, **decision} for decision in member.decisions]
        self.faces.update(member.faces)
        self.appearances.update(member.appearances)

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        kept = [decision for decision in self.decisions if decision["verdict"] == "kept"]
        missed = [decision for decision in self.decisions if decision["verdict"] != "kept"]
        personas = {
            number: {"faces": self.faces[number], "appearances": self.appearances[number]} for number in self.faces
        }
        return {"kept": kept, "near_misses": missed, "personas": personas}


def _as_dict(decision: Decision) -> dict[str, Any]:
    who, distance, verdict = decision.judgment
    told: dict[str, Any] = {"who": who, "distance": distance, "verdict": str(verdict)}
    if decision.frames and decision.times:
        told |= {"frames": list(decision.frames), "seconds": [round(float(time), 3) for time in decision.times]}
    return told


def shared(count: int, results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """How many faces and appearances of all files had which of ``count`` personas, and the least numbers of those."""
    totals: dict[str, Counter[str]] = {}
    for result in results:
        for number, counts in result.get("personas", {}).items():
            totals.setdefault(number, Counter()).update(counts)
    least = {what: min((counts[what] for counts in totals.values()), default=0) for what in ("faces", "appearances")}
    used = {number: dict(totals[number]) for number in sorted(totals, key=int)}
    return {"count": count, "used": used, "least": least}
