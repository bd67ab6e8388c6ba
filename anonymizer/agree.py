"""Gives the people of all segments of a video one number each, as if it had been tracked as a whole.

Segments overlap. A face that two of them saw in the same place of the same frames is of one person; who else is the
same is told by embeddings, with the rules of ``People``: two who were seen together are never one, in doubt there are
two. Numbers are given in the order in which people come.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch

from anonymizer.batches import UNTRACKED, Faces
from anonymizer.errors import SeekError
from anonymizer.generate.looks import Look
from anonymizer.geometry import box_iou
from anonymizer.people import People, Together
from anonymizer.sightings import NOBODY, Sightings

SAME = 0.5  # intersection over union from which two boxes in one frame are of the same face
NEAR = 0.3  # the same from which they may be

Numbers = dict[int, int]  # of a segment: its own number of a person to that of the whole video


@dataclass(frozen=True)
class Agreement:
    """What the segments of a video agree on.

    Attributes:
        tables: for each segment new numbers of all of its people, ``NOBODY`` for what is no face.
        looks: by new number, what people seem like, as the first segment knows that saw them.
        source: the digest of the first picture with a face, which names the video; empty if there is none.
        people: all, as far as they are remembered.
    """

    tables: list[Numbers]
    looks: dict[int, Look]
    source: str
    people: People


def agree(segments: Iterable[Sightings], own: Sequence[range]) -> Agreement:
    """Who is who in all segments.

    Args:
        segments: in order; each overlaps with the next.
        own: the frames that each is for; the others it has for the sake of its neighbours.

    Raises:
        SeekError: two segments saw other pictures in the same frame.
    """
    talks = _Talks()
    source = ""
    for segment, frames in zip(segments, own, strict=True):
        talks.add(segment, frames)
        source = source or segment.source
    tables = talks.finish()
    looks = talks.people.looks
    for table, seen in zip(tables, talks.looks, strict=True):
        for number, look in seen.items():
            looks.setdefault(table[number], look)
    return Agreement(tables, looks, source, talks.people)


class _Talks:
    def __init__(self) -> None:
        self.people = People()
        self._tables: list[Numbers] = []
        self._numbers: list[set[int]] = []  # of all who are seen in each segment
        self._last: Sightings | None = None
        self.looks: list[Mapping[int, Look]] = []  # of those, as each segment knows them

    def add(self, segment: Sightings, own: range) -> None:
        """Number the people of the next segment who are seen in its own frames, and the others as far as known."""
        table: Numbers = {}
        together = _together(segment.faces)
        if self._last is not None:
            links, near = _compare(self._last, segment, self._tables[-1])
            table |= dict.fromkeys(segment.doubtful - near, NOBODY)
            _follow(table, [(self._tables[-1].get(old), new) for old, new in links], together)
        here = set(segment.between(own.start, own.stop).tracks.tolist()) - {UNTRACKED}
        for number in sorted(here - table.keys() - segment.doubtful):  # the order in which they came
            person = self.people.tell(number, segment.people, table, together)
            table[number] = self.people.stranger() if person is None else person
        if self._last is not None:  # those of whom the segment before only saw that they come
            later = [(table.get(new), old) for old, new in links]
            _follow(self._tables[-1], later, _together(self._last.faces))
        sure = {number: person for number, person in table.items() if person != NOBODY}
        self.people.learn(segment.people, sure, together)
        self._tables.append(table)
        self._numbers.append(set(segment.faces.tracks.tolist()) - {UNTRACKED})
        self._last = segment
        self.looks.append({number: look for number, look in segment.looks.items() if number in self._numbers[-1]})

    def finish(self) -> list[Numbers]:
        """All numbers; whom nobody was sure of, or who is in no frame that is anybody's own, is somebody else."""
        for table, numbers in zip(self._tables, self._numbers, strict=True):
            for number in sorted(numbers - table.keys()):
                table[number] = self.people.stranger()
        return self._tables


def _follow(table: Numbers, links: Iterable[tuple[int | None, int]], together: Together) -> None:
    """Give numbers that have no person yet those that they are linked with, unless those are seen at the same time."""
    for person, number in links:
        taken = {table.get(other) for other in together[number]}
        if person not in (None, NOBODY) and number not in table and person not in taken:
            table[number] = person


def _compare(before: Sightings, after: Sightings, table: Numbers) -> tuple[list[tuple[int, int]], set[int]]:
    """Pairs of numbers with the same face, the most frequent first, and numbers of ``after`` where ``before`` saw any.

    Args:
        table: of ``before``, as far as known.
    """
    start, stop = max(before.first, after.first), min(segment.first + len(segment.times) for segment in (before, after))
    known = before.pictures.keys() & after.pictures.keys()
    if not known or any(before.pictures[frame] != after.pictures[frame] for frame in known):
        raise SeekError("read from the middle, it shows other pictures")
    old, new = before.between(start, stop), after.between(start, stop)
    old = old[torch.tensor([table.get(number) != NOBODY for number in old.tracks.tolist()], dtype=torch.bool)]
    overlap = box_iou(old.boxes, new.boxes) * (old.frame[:, None] == new.frame)
    sure = ((old.scores > 0) & (old.tracks != UNTRACKED))[:, None] & (new.scores > 0) & (new.tracks != UNTRACKED)
    pairs = ((overlap > SAME) & sure).nonzero()
    votes = Counter(zip(old.tracks[pairs[:, 0]].tolist(), new.tracks[pairs[:, 1]].tolist(), strict=True))
    near = set(new.tracks[(overlap > NEAR).any(0)].tolist())
    return sorted(votes, key=lambda link: (-votes[link], link)), near


def _together(faces: Faces) -> Together:
    """Who is seen at the same time as whom; what is only assumed does not count."""
    known = faces[(faces.scores > 0) & (faces.tracks != UNTRACKED)]
    frames: dict[int, set[int]] = defaultdict(set)
    for frame, number in zip(known.frame.tolist(), known.tracks.tolist(), strict=True):
        frames[frame].add(number)
    others: dict[int, set[int]] = defaultdict(set)
    for here in {frozenset(numbers) for numbers in frames.values()}:
        for one, other in permutations(here, 2):
            others[one].add(other)
    return others
