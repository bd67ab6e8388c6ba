"""Who consented to stay visible, and whether a face is surely theirs. In doubt it is not, and is replaced.

A face is that of a person if it is nearer than ``LINK`` to one of the reference photographs, by ``MARGIN`` nearer than
to those of everybody else who consented, and if no other face of the same picture is as near: the rules of
``people.People``, stricter, on averages of several crops, as for ``subjects``.

How strict that is, measured by ``tests/bench/keeping.py`` on people of Labeled Faces in the Wild, one reference
photograph each, with the photographs as they are and, in brackets, reduced to faces of 41 pixels: of 147,072 (103,362)
pairs of photographs of different people none is nearer than ``LINK``, so no stranger stayed of 76,800 (64,400) who were
held against one person who consented, and none of 23,040 (19,320) against 20 of them. The price: of photographs of the
right person, mostly years apart, 71% (60%) stay. More reference photographs raise both.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from anonymizer.batches import Faces, Frames
from anonymizer.identity import clearness
from anonymizer.jury import Jury

LINK = 0.66  # distance of two views, see ``Jury.views``, below which they may be of one person
MARGIN = 0.08  # by which all others must be further away
NEAR = 0.78  # distance below which it is told who was nearest


class Verdict(StrEnum):
    """Whether a face stays, or why not."""

    KEPT = "kept"
    FAR = "too far"
    UNCLEAR = "not seen clearly"
    EXPIRED = "consent has expired"
    DOUBT = "in doubt between two people"
    TWICE = "another face is as near"
    ALONE = "not seen clearly again within a second"


class Judgment(NamedTuple):
    """Of one view of a face: ``who`` is nearest, at what distance, and whether it is surely them."""

    who: str
    distance: float
    verdict: Verdict


class Decision(NamedTuple):
    """What is told about faces that stayed, or nearly did.

    Attributes:
        judgment: of a kept face of a video that with the largest distance, of others that with the least.
        frames: in a video, the numbers of the first and of the last frame that it is about.
        times: of these, in seconds.
    """

    judgment: Judgment
    frames: tuple[int, int] | None = None
    times: tuple[Fraction, Fraction] | None = None


class Person(NamedTuple):
    """Somebody who consented, for ever or up to the day before ``until``; ``views (K, 256)``, see ``Jury``."""

    name: str
    until: datetime.date | None
    views: Tensor


@dataclass(frozen=True, eq=False)
class Consents:
    """Everybody who consented.

    Attributes:
        name: tells these consents from others; see ``Config.keep``.
        people: at least one, each with at least one view.
        today: tells the day, by which consents have expired or not: that on which a file is worked on.
    """

    name: str
    people: tuple[Person, ...]
    today: Callable[[], datetime.date] = datetime.date.today

    def judge(self, views: Tensor, clear: Tensor) -> list[Judgment | None]:
        """Whose faces these are, of one picture, all of them.

        Args:
            views: ``(N, 256)``, NaN where too little is to be seen.
            clear: ``(N,)`` bool, which faces may stay; the others only put them in doubt.

        Returns:
            row by row; None where nobody is ``NEAR``.
        """
        away, today = self._away(views), self.today()
        return [self._judge(row, away, bool(clear[row]), today) for row in range(len(away))]

    def _away(self, faces: Tensor) -> Tensor:
        """How far views of faces are from people, each from the nearest of theirs: ``(N, P)``."""
        apart = [
            torch.cdist(faces, person.views, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
            for person in self.people
        ]
        return torch.stack(apart, dim=1).nan_to_num(torch.inf)

    def _judge(self, row: int, away: Tensor, clear: bool, today: datetime.date) -> Judgment | None:
        nearest = int(away[row].argmin())
        distance, person = float(away[row, nearest]), self.people[nearest]
        if not distance < NEAR:
            return None
        others = [away[row, place] for place in range(len(self.people)) if place != nearest]
        faces = [away[face, nearest] for face in range(len(away)) if face != row]
        reasons = {
            Verdict.FAR: not distance < LINK,
            Verdict.UNCLEAR: not clear,
            Verdict.EXPIRED: has_expired(person.until, today),
            Verdict.DOUBT: any(not other > distance + MARGIN for other in others),
            Verdict.TWICE: any(not other > distance + MARGIN for other in faces),
        }
        verdict = next((why for why, holds in reasons.items() if holds), Verdict.KEPT)
        return Judgment(person.name, round(distance, 4), verdict)


def has_expired(until: datetime.date | None, today: datetime.date) -> bool:
    """Whether a consent holds no more on a day."""
    return until is not None and today >= until


def judge_pictures(consents: Consents, jury: Jury, frames: Frames, faces: Faces, seen: Tensor) -> list[Judgment | None]:
    """Whose faces these are, row by row; each picture on its own.

    Args:
        faces: all that were found in ``frames``.
        seen: ``(N,)`` bool, which of them are where they are said to be.
    """
    judged: list[Judgment | None] = [None] * len(faces)
    if not len(faces):
        return judged
    views, clear = jury.views(frames, faces), (clearness(faces) > 0) & seen
    for frame in faces.frame.unique().tolist():
        rows = (faces.frame == frame).nonzero()[:, 0]
        for row, judgment in zip(rows.tolist(), consents.judge(views[rows], clear[rows]), strict=True):
            judged[row] = judgment
    return judged


def is_kept(judgment: Judgment | None) -> bool:
    """Whether a view is surely of somebody who stays."""
    return judgment is not None and judgment.verdict is Verdict.KEPT
