"""Puts new faces into pictures: drawn, held against the real ones, drawn again if refused, covered in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import accumulate, chain

import torch
from torch import Tensor

from anonymizer.audit import REFUSED, Audit
from anonymizer.audit_figures import NOTHING, AuditFigures
from anonymizer.batches import Faces, Frames, Patches
from anonymizer.blend import compose
from anonymizer.consent import Decision
from anonymizer.errors import LeakError
from anonymizer.generate.base import MADE, Generator, Outcome, Persona
from anonymizer.generate.cover import Cover
from anonymizer.generate.steady import Steady
from anonymizer.spare import spare
from anonymizer.troupe import Troupe
from anonymizer.trust import Belief

NOBODY = -1
"""In place of the number of a persona."""


@dataclass(frozen=True)
class Anonymized:
    """Frames without real faces, but for those that are to be kept.

    Attributes:
        frames: as many as came in, unchanged outside the faces.
        faces: the faces that were replaced, and those that were kept.
        outcomes: what became of each, one a row of ``faces``.
        personas: if all share a few, the number of each face's, or ``NOBODY``; otherwise empty.
        decisions: on who stays visible, in pictures; those on a video are in what was ``foreseen``.
        audit: what the audit did.
    """

    frames: Frames
    faces: Faces
    outcomes: tuple[Outcome, ...]
    personas: tuple[int, ...] = ()
    decisions: tuple[Decision, ...] = ()
    audit: AuditFigures = NOTHING

    @classmethod
    def cat(cls, parts: Sequence[Anonymized]) -> Anonymized:
        """One after the other; ``parts`` must not be empty."""
        starts = accumulate((len(part.frames) for part in parts), initial=0)
        faces = [
            replace(part.faces, frame=part.faces.frame + start) for part, start in zip(parts, starts, strict=False)
        ]
        return cls(
            Frames.cat([part.frames for part in parts]),
            Faces.cat(faces),
            tuple(chain.from_iterable(part.outcomes for part in parts)),
            tuple(chain.from_iterable(part.personas for part in parts)),
            tuple(chain.from_iterable(part.decisions for part in parts)),
            sum((part.audit for part in parts), NOTHING),
        )


class Painter:
    """Replaces faces by new ones.

    Args:
        generator: draws them.
        clock: counts the time that is spent inside for a stage.
    """

    def __init__(self, generator: Generator, clock: Callable[[str], AbstractContextManager[None]]) -> None:
        self.generator, self._clock = generator, clock

    def replace(
        self,
        frames: Frames,
        belief: Belief,
        personas: list[Persona],
        *,
        kept: Faces,
        audit: Audit | None,
        steady: Steady | None = None,
    ) -> Anonymized:
        """New faces for those of ``belief``, by ``personas``, one a row.

        Args:
            kept: other faces, which stay: the patches of their neighbours do not cover them.
            audit: refuses new faces; None if there are only covers.
            steady: of a video, covers who could not be drawn a moment ago.
        """
        faces, spared = belief.faces, spare(frames, kept, belief)
        if audit:
            done, outcomes, figures = self._audited(frames, belief, personas, audit, spared, kept)
        else:
            layers, outcomes = self._draw(frames, belief, personas)
            done, figures = self._lay(frames, layers, spared, len(faces)), NOTHING
        refused = torch.tensor([row for row, outcome in enumerate(outcomes) if outcome in REFUSED], dtype=torch.int64)
        covers, outcomes = steady.hold(frames, belief, outcomes) if steady else ([], outcomes)
        if covers := [*Cover("solid").cover(frames, *belief.spots(refused)), *covers]:
            done = compose(done, [*covers, *spared])
        every = (*outcomes, *[Outcome.KEPT] * len(kept))
        worn = _worn(audit.troupe, audit.named(belief).faces, every) if audit and audit.troupe else ()
        return Anonymized(done, Faces.cat([faces, kept]), every, worn, audit=figures)

    def _audited(
        self,
        frames: Frames,
        belief: Belief,
        personas: list[Persona],
        audit: Audit,
        spared: list[Patches],
        kept: Faces,
    ) -> tuple[Frames, list[Outcome], AuditFigures]:
        """New faces; those that the audit refuses are drawn again as somebody else."""
        named = audit.named(belief)
        audit.know(frames, kept)
        layers, outcomes = self._draw(frames, belief, self._cast(audit, frames, named.faces, personas))
        done = self._lay(frames, layers, spared, len(belief.faces))
        outcomes, again, figures = self._judge(audit, frames, done, named, outcomes)
        while again.any():
            rows = again.nonzero()[:, 0]
            part = named.of(rows)
            redrawn, redone = self._draw(
                frames,
                belief.of(rows),
                self._cast(audit, frames, part.faces, [personas[row] for row in rows.tolist()]),
            )
            layers = [patches[~torch.isin(patches.face, rows)] for patches in layers]
            layers += [replace(patches, face=rows[patches.face]) for patches in redrawn]
            done = self._lay(frames, layers, spared, len(belief.faces))
            redone, again[rows], more = self._judge(audit, frames, done, part, redone)
            figures += more
            for row, outcome in zip(rows.tolist(), redone, strict=True):
                outcomes[row] = outcome
        return done, outcomes, figures

    def _cast(self, audit: Audit, frames: Frames, faces: Faces, personas: list[Persona]) -> list[Persona]:
        with self._clock("audit"):
            return audit.cast(frames, faces, personas)

    def _judge(
        self, audit: Audit, frames: Frames, done: Frames, belief: Belief, outcomes: list[Outcome]
    ) -> tuple[list[Outcome], Tensor, AuditFigures]:
        with self._clock("audit"):
            return audit.judge(frames, done, belief, outcomes)

    def _draw(self, frames: Frames, belief: Belief, personas: list[Persona]) -> tuple[list[Patches], list[Outcome]]:
        with self._clock("generate"):
            return self.generator.generate(frames, belief, personas)

    def _lay(self, frames: Frames, layers: list[Patches], spared: list[Patches], count: int) -> Frames:
        """The frames with patches over all of the ``count`` faces that are replaced.

        Raises:
            LeakError: one has none.
        """
        hidden = torch.cat([torch.zeros(0, dtype=torch.int64), *(patches.face for patches in layers)])
        if not torch.isin(torch.arange(count), hidden).all():
            raise LeakError("a face was to be replaced, and nothing was drawn for it")
        with self._clock("blend"):
            return compose(frames, [*layers, *spared])


def _worn(troupe: Troupe, faces: Faces, every: Sequence[Outcome]) -> tuple[int, ...]:
    """The personas that are to be seen, one an outcome; ``faces`` come first."""
    numbers = [
        troupe.number(who) if outcome in MADE else NOBODY
        for who, outcome in zip(faces.tracks.tolist(), every, strict=False)
    ]
    return (*numbers, *[NOBODY] * (len(every) - len(faces)))


def cover(done: Anonymized, missed: Faces) -> Anonymized:
    """Cover faces, too, that labels tell of, and that nobody found."""
    frames = compose(done.frames, Cover("solid").cover(done.frames, missed))
    outcomes = (*done.outcomes, *[Outcome.LABELLED] * len(missed))
    personas = (*done.personas, *[NOBODY] * len(missed)) if done.personas else ()
    return replace(done, frames=frames, faces=Faces.cat([done.faces, missed]), outcomes=outcomes, personas=personas)
