"""Who replaces whom, in pictures and in videos."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch

from anonymizer.audition import Audition
from anonymizer.batches import Faces, Frames
from anonymizer.foreseen import Found
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.generate.seeds import derive_seed, digest
from anonymizer.jury import Jury
from anonymizer.people import People
from anonymizer.subjects import Casting, cast_stills
from anonymizer.traits import UNKNOWN
from anonymizer.troupe import Troupe, draw, together


class Director:
    """Gives people their personas.

    Args:
        secret: what they are drawn from.
        count: of the personas of all; None for one a person.
        subjects: have theirs in all files.
        audition: chooses those that last in a video, see ``Audit`` for others; there is none for subjects. Without it,
            people get the first that there is.
    """

    def __init__(
        self, secret: int, count: int | None, subjects: Casting | None, audition: Audition | None = None
    ) -> None:
        self._secret, self._subjects, self._audition = secret, subjects, audition
        self.few = subjects.personas if subjects else draw(secret, count)

    def pictures(
        self, jury: Jury | None, frames: Frames, faces: Faces, looks: Sequence[Look]
    ) -> tuple[list[Persona], Troupe | None]:
        """Of all faces of independent pictures, row by row, and who has them if they are few.

        With which one of these each picture begins is drawn from the secret; those that are known come first.
        """
        known: dict[int, Persona] = {}
        if self._subjects and jury:
            known = cast_stills(self._subjects, jury, frames, faces, looks)
        sources = [digest(picture) for picture in frames.pixels]
        places = [int((faces.frame[:row] == frame).sum()) for row, frame in enumerate(faces.frame)]
        rows = list(enumerate(zip(faces.frame.tolist(), places, looks, strict=True)))
        if not self.few:
            drawn = {
                row: Persona(derive_seed(self._secret, sources[frame], place), look.attributes)
                for row, (frame, place, look) in rows
            }
            return [known.get(row) or drawn[row] for row in drawn], None
        wanted = {row: self._first(sources[frame]) + place for row, (frame, place, _) in rows}
        named = replace(faces, tracks=torch.arange(len(faces)))
        troupe = Troupe(self.few, self._wanted(known, wanted), together([named]))
        return [troupe.persona(row) for row, _ in rows], troupe

    def people(self, people: People, without: Collection[int] = ()) -> dict[int, Persona]:
        """Of those who were seen in a video, by number, as far as they are subjects.

        Args:
            without: numbers of those who are none.
        """
        views = {who: views for who, views in people.embeddings.items() if who not in without}
        if not self._subjects or not views:
            return {}
        return self._subjects.cast(views, people.met, people.looks)

    def parts(self, people: People, looks: Mapping[int, Look], secret: int, source: bytes) -> dict[int, Persona]:
        """Of those who can be told in a video that is rendered in parts, by number; of the others see ``cast_frames``,
        with the same ``secret``, ``source`` and ``looks``.
        """
        views = people.embeddings
        if self.few or not self._audition:
            return self.people(people)
        first = {who: _drawn(secret, source, who, looks) for who in views}
        return {who: first[who].another(tries) for who, tries in self._audition.choose(first, views).items()}

    def video(self, source: bytes, found: Sequence[Found], known: Mapping[int, Persona]) -> Troupe | None:
        """Who has which persona in all of a video, if they are few; see ``pictures``.

        Args:
            source: names the video.
            known: of those who are subjects, by number.
        """
        if not self.few:
            return None
        numbers = sorted({who for *_, faces in found for who in faces.tracks.tolist()})
        wanted = {who: self._first(source) + who for who in numbers}
        return Troupe(self.few, self._wanted(known, wanted), together(faces for *_, faces in found))

    def _first(self, source: bytes) -> int:
        return derive_seed(self._secret, source, 0)

    def _wanted(self, known: Mapping[int, Persona], others: Mapping[int, int]) -> dict[int, int]:
        wanted = {who: self.few.index(persona) for who, persona in known.items()}
        return wanted | {who: number % len(self.few) for who, number in others.items() if who not in wanted}


def cast_frames(
    secret: int, source: bytes, faces: Faces, looks: Mapping[int, Look], known: Mapping[int, Persona]
) -> list[Persona]:
    """Personas for some faces of a video, row by row.

    Args:
        secret: what they are drawn from.
        source: names the video.
        looks: what people seem like, by number.
        known: of those who have one, by number.
    """
    return [known.get(who) or _drawn(secret, source, who, looks) for who in faces.tracks.tolist()]


def _drawn(secret: int, source: bytes, who: int, looks: Mapping[int, Look]) -> Persona:
    return Persona(derive_seed(secret, source, who), looks.get(who, UNKNOWN).attributes)
