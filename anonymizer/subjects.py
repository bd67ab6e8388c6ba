"""Who is who in all files that are worked on with one key: subjects, who keep their personas.

A subject is known by embeddings, which tell its number. The persona is drawn from the number and the key: it depends on
nothing that was measured on the face, but for the coarse traits of ``--match``, as they were read first. So there is no
``audition``: personas of two keys that were both chosen to be unlike one face would be a little alike.

Who is linked is decided by ``People``, by means of six crops a face, with limits of their own. Measured by
``tests/bench/linking.py`` on 384 people of Labeled Faces in the Wild, two photographs each, in ten random orders, with
the photographs as they are and, in brackets, reduced to faces of 41 pixels: none (none) of the photographs get the
subject of another person, and 12% (14%) of the people two subjects. With ``LINK`` at 0.76 it would be 0.10% (0.09%) and
9% (11%), at 0.78 1.1% (1.4%) and 7% (9%).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Protocol

from torch import Tensor

from anonymizer.batches import Faces, Frames
from anonymizer.envelope import Envelope
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.generate.seeds import derive_seed
from anonymizer.identity import clearness
from anonymizer.jury import Jury
from anonymizer.people import People

LINK = 0.74  # distance of two views, see ``Jury.views``, below which they may be of one subject
MARGIN = 0.05  # by which all others must be further away


class Casting(Protocol):
    """Gives subjects their personas.

    Attributes:
        key: tells the key from others, and nothing about it.
        personas: of which each subject has one; empty if each has one alone.
        envelope: for what has to be kept of people on the way.
    """

    key: str
    personas: tuple[Persona, ...]
    envelope: Envelope

    def cast(
        self, views: Mapping[int, Tensor], met: Collection[tuple[int, int]], looks: Mapping[int, Look]
    ) -> dict[int, Persona]:
        """Link people with subjects; who is in doubt becomes a new one.

        Args:
            views: of all people of a photograph or a video who can be told, by number: ``(K, 256)``.
            met: pairs of numbers, of those who were seen at the same time.
            looks: by number, what people seem like; used if they are new.

        Returns:
            The persona of each, by number.

        Raises:
            AnonymizerError: it cannot be known who they are.
        """
        ...


def cast_stills(
    subjects: Casting, jury: Jury, frames: Frames, faces: Faces, looks: Sequence[Look]
) -> dict[int, Persona]:
    """The personas of those in independent pictures who can be told, by row of ``faces``."""
    clear = (clearness(faces) > 0).nonzero()[:, 0]
    embeddings = jury.views(frames, faces[clear])
    told = {row: view[None] for row, view in zip(clear.tolist(), embeddings, strict=True) if view.isfinite().all()}
    personas: dict[int, Persona] = {}
    for frame in sorted({int(faces.frame[row]) for row in told}):
        views = {row: view for row, view in told.items() if faces.frame[row] == frame}
        personas |= subjects.cast(views, set(combinations(sorted(views), 2)), dict(enumerate(looks)))
    return personas


@dataclass(frozen=True)
class Subject:
    """What is known of somebody, besides embeddings.

    Attributes:
        first, last: days on which files that show the subject were worked on.
        look: what personas are drawn to suit: of the first file.
    """

    first: datetime.date
    last: datetime.date
    look: Look


def nobody(known: Mapping[int, Tensor] | None = None) -> People:
    """The people of a registry: all are remembered, at first those who are ``known`` by embeddings."""
    return People(LINK, MARGIN, math.inf, known)


@dataclass(frozen=True)
class Subjects:
    """All subjects of one key, in memory.

    Attributes:
        name: random bytes, so that personas of another registry with the same key are others.
        people: their embeddings, who of them met, and how many numbers were given.
        known: what else is known of each, by number.
    """

    name: bytes
    people: People = field(default_factory=nobody)
    known: dict[int, Subject] = field(default_factory=dict)

    @property
    def state(self) -> object:
        """Differs from what it was if there is anything new."""
        return (
            self.known.copy(),
            {number: len(views) for number, views in self.people.embeddings.items()},
            self.people.met.copy(),
        )

    def link(
        self,
        views: Mapping[int, Tensor],
        met: Collection[tuple[int, int]],
        looks: Mapping[int, Look],
        today: datetime.date,
    ) -> dict[int, int]:
        """The subject of each; see ``Casting.cast``. What is new is learnt."""
        views = {number: view.half().float() for number, view in views.items()}  # as the registry keeps them
        together = {number: {other for pair in met if number in pair for other in pair} - {number} for number in views}
        table: dict[int, int] = {}
        for number in views:
            known = self.people.tell(number, views, table, together)
            subject = self.people.stranger() if known is None else known
            seen = self.known.get(subject, Subject(today, today, looks.get(number, Look())))
            self.known[subject] = replace(seen, last=max(seen.last, today))
            table[number] = subject
        self.people.learn(views, table, together)
        return table

    def persona(self, key: bytes, subject: int, personas: Sequence[Persona] = ()) -> Persona:
        """Whom a subject is replaced by: the same with the same key; by turns if there are only a few."""
        if personas:
            return personas[subject % len(personas)]
        return Persona(derive_seed(key, self.name, subject), self.known[subject].look.attributes)

    def forget(self, numbers: Iterable[int]) -> None:
        """Remember nothing of these subjects; their numbers are never given again.

        Raises:
            KeyError: there is no such subject.
        """
        for number in numbers:
            del self.known[number]
            self.people.forget(number)
