"""A few personas for all, so that each stands for many people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from anonymizer.batches import Faces
from anonymizer.generate.base import Persona
from anonymizer.generate.seeds import derive_seed


def draw(secret: int | bytes, count: int | None) -> tuple[Persona, ...]:
    """The personas of a run, or of a key; none if there is no ``count`` of them."""
    return tuple(Persona(derive_seed(secret, b"personas", number)) for number in range(count or 0))


class Troupe:
    """Who has which persona, in one video or in some pictures.

    Two people who are seen together have different ones, as long as there are enough; whoever comes first in
    ``wanted`` is the last to get another one than that.

    Args:
        personas: all that there are, at least one.
        wanted: by person, the number of the persona.
        together: by person, who is seen at the same time.
    """

    def __init__(
        self, personas: Sequence[Persona], wanted: Mapping[int, int], together: Mapping[int, Collection[int]]
    ) -> None:
        self._personas, self._together = personas, together
        self._had: dict[int, set[int]] = defaultdict(set)
        self._worn: dict[int, int] = {}
        for who, number in wanted.items():
            free = self._free(who, number)
            self._wear(who, free[0] if free else number)

    def number(self, who: int) -> int:
        """Of the persona of somebody."""
        return self._worn[who]

    def persona(self, who: int) -> Persona:
        """Of somebody."""
        return self._personas[self._worn[who]]

    def recast(self, who: int) -> bool:
        """Give somebody a persona that they did not have yet; whether there is one that nobody near has."""
        free = self._free(who, self._worn[who])
        if free:
            self._wear(who, free[0])
        return bool(free)

    def _free(self, who: int, first: int) -> list[int]:
        """Personas that somebody did not have, nor has anybody who is seen with them: ``first``, and those after it."""
        taken = {self._worn[other] for other in self._together.get(who, ()) if other in self._worn and other != who}
        count = len(self._personas)
        return [
            number
            for number in ((first + step) % count for step in range(count))
            if number not in taken | self._had[who]
        ]

    def _wear(self, who: int, number: int) -> None:
        self._worn[who] = number
        self._had[who].add(number)


def together(parts: Iterable[Faces]) -> dict[int, set[int]]:
    """By number of a person, who is in the same frames; each of ``parts`` has frames of its own."""
    near: dict[int, set[int]] = defaultdict(set)
    for faces in parts:
        for frame in faces.frame.unique():
            here = set(faces.tracks[faces.frame == frame].tolist())
            for who in here:
                near[who] |= here - {who}
    return near
