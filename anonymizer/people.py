"""Numbers the people of a video: a person who comes back has the same number.

What is known of people is personal data: it lives in memory, as long as the video that it comes from; of a long video
that is done in segments also in files that are deleted with them, see ``sightings``; for longer, if a user asks for
that, in a registry of ``subjects``.

How strict ``LINK`` and ``MARGIN`` are, measured by ``tests/bench/linking.py`` on 384 people of Labeled Faces in the
Wild and, in brackets, on the 322 who are still clear if faces are reduced to 41 pixels: none of 147,072 (103,362) pairs
of different people are nearer than ``LINK``, so nobody is taken for somebody else, among 20 others or among all. The
price: of two photographs of a person, mostly years apart, 19% (24%) are not linked. Within a video most are: of pairs
of clear views in seven clips of one person each 100%. Of pairs of strangers 0.02% are nearer than ``OTHER``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer.batches import UNTRACKED, Frames
from anonymizer.config import Config
from anonymizer.generate.looks import Look
from anonymizer.identity import clearness
from anonymizer.jury import Jury
from anonymizer.motion import Sight, Track, as_faces, near
from anonymizer.traits import UNKNOWN, TraitReader

LINK = 0.72  # distance of two views, see ``Jury.views``, below which they may be of one person
MARGIN = 0.08  # by which everybody else must be further away
OTHER = 0.82  # distance above which two faces of successive frames are of two people
KEPT = 4  # embeddings a person: the first ones, so that one mistake does not lead to the next
PEOPLE = 400  # who are remembered; then those are forgotten who were not seen for longest

Pictures = Callable[[Sequence[int]], Frames]  # of the frames with these numbers, sorted
Together = Mapping[int, set[int]]  # by number, who was seen at the same time


class People:
    """Who was seen in a video. Two people are never taken for one knowingly: who is in doubt is somebody new.

    So a person may have got several numbers; then the first one goes on.

    Args:
        link, margin: of two views; see ``recognize``.
        most: how many are remembered; then those are forgotten who were not seen for longest.
        known: views ``(K, 256)`` of those who are remembered already, by number.

    Attributes:
        looks: what those seem like who were seen, by number, when they came; for the choice of personas.
        doubtful: the numbers of faces of which nobody was sure, but somebody may have been before the first frame.
        met: pairs of numbers, the smaller first, of those who were seen at the same time, and so are two people.
        count: numbers that were given.
    """

    def __init__(
        self,
        link: float = LINK,
        margin: float = MARGIN,
        most: float = PEOPLE,
        known: Mapping[int, Tensor] | None = None,
    ) -> None:
        self.looks: dict[int, Look] = {}
        self.doubtful: set[int] = set()
        self.met: set[tuple[int, int]] = set()
        self.count = 0
        self._link, self._margin, self._most = link, margin, most
        self._known: OrderedDict[int, Tensor] = OrderedDict(known or {})  # who was seen last is last

    def stranger(self) -> int:
        """The number of somebody new."""
        self.count += 1
        return self.count - 1

    @property
    def embeddings(self) -> dict[int, Tensor]:
        """Of those who are remembered: by number, views ``(K, 256)``."""
        return dict(self._known)

    def recognize(self, embeddings: Tensor, present: Sequence[Collection[int]]) -> list[int | None]:
        """Whose faces ``embeddings (N, 256)`` are, which are seen at the same time: a number, or None if in doubt.

        Only as many are told as there are entries of ``present``.

        A face is that of a person if it is nearer than ``link``, and by ``margin`` nearer than to everybody else and
        than all other faces, and if the person is not among those ``present`` elsewhere while this face is. Several
        who are all nearer than ``link``, and never met, are one person.
        """
        if not self._known:
            return [None] * len(embeddings)
        away = self._away(embeddings)
        return [self._whose(row, away, others) for row, others in enumerate(present)]

    def _away(self, embeddings: Tensor) -> Tensor:
        """How far faces are from people, each from the nearest of the embeddings: ``(N, K)``."""
        known = list(self._known.values())
        apart = torch.cdist(embeddings, torch.cat(known), compute_mode="donot_use_mm_for_euclid_dist")
        owner = torch.arange(len(known)).repeat_interleave(torch.tensor([len(views) for views in known]))
        away = torch.full((len(embeddings), len(known)), torch.inf)
        return away.scatter_reduce(1, owner.expand(len(embeddings), -1), apart, "amin")

    def _whose(self, row: int, away: Tensor, present: Collection[int]) -> int | None:
        """The person of one face; ``away (N, K)`` are the distances of all from those who are known."""
        nearest = away[row].min()
        if not nearest < self._link:
            return None
        close = away <= nearest + self._margin
        people = list(self._known)
        numbers = [people[place] for place in close[row].nonzero()[:, 0].tolist()]
        alone = close[:, close[row]].any(1).sum() == 1 and not set(numbers) & set(present)
        one = (away[row, close[row]] < self._link).all() and self.met.isdisjoint(combinations(sorted(numbers), 2))
        return min(numbers) if alone and one else None

    def tell(
        self, number: int, views: Mapping[int, Tensor], table: Mapping[int, int], together: Together
    ) -> int | None:
        """Who somebody is whom others have given a ``number``; None if in doubt.

        Args:
            views: ``(K, 256)``, by the numbers of the others.
            table: who those are of whom that is known.
            together: who of them were seen at the same time.
        """
        present = {table[other] for other in together[number] if other in table}
        others = [views[other] for other in sorted(together[number] & views.keys())]
        answers = set()
        for view in views.get(number, ()):
            faces = torch.cat([view[None], *others])
            answers |= {*self.recognize(faces, [present])}  # of the first only; the others are compared with it
        known = answers - {None}
        return known.pop() if len(known) == 1 else None

    def learn(self, views: Mapping[int, Tensor], table: Mapping[int, int], together: Together) -> None:
        """Remember those who are in ``table``, and who of them met; see ``tell``."""
        for number, person in table.items():
            for view in views.get(number, ()):
                self.remember(person, view)
        here = together.keys() & table.keys()
        pairs = {(table[one], table[other]) for one in here for other in together[one] & here}
        self._keep_apart({(one, other) for one, other in pairs if one < other}, set(table.values()))

    def remember(self, number: int, embedding: Tensor) -> None:
        """Learn what the person ``number`` looks like."""
        known = self._known.setdefault(number, embedding[:0].reshape(0, len(embedding)))
        self._known.move_to_end(number)
        if len(known) < KEPT and not (known == embedding).all(1).any():
            self._known[number] = torch.cat([known, embedding[None]])
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self, number: int) -> None:
        """Remember nothing of the person ``number``. Nobody else ever gets it."""
        self._known.pop(number, None)
        self.met = {pair for pair in self.met if number not in pair}

    def meet(self, seen: Collection[int], present: Collection[int]) -> None:
        """``seen`` are seen at the same time, while these are ``present``: nobody of them is another one of them."""
        self._keep_apart(set(combinations(sorted(seen), 2)), present)

    def _keep_apart(self, pairs: set[tuple[int, int]], present: Collection[int]) -> None:
        if not pairs <= self.met:
            needed = self._known.keys() | present
            self.met = {pair for pair in self.met | pairs if needed >= set(pair)}


class Names:
    """Says who the faces of tracks are. One for each video.

    Args:
        config: ``detect.threshold`` and ``track.window``.
        jury: tells people apart; without it, everybody who comes is new.
        reader: tells what people seem like.
        people: nobody yet; those who are seen are added.
    """

    def __init__(self, config: Config, jury: Jury | None, reader: TraitReader | None, people: People) -> None:
        self._jury, self._reader, self._people = jury, reader, people
        self._high, self._window = config.detect.threshold, config.track.window

    def name(self, frame: int, tracks: Sequence[Track], pictures: Pictures) -> list[int]:
        """The numbers of all tracks of ``frame``; as before if the person is known.

        Where somebody left, a face is assumed for some frames, while the person may be seen in another place already.
        Of two such tracks the one whose sightings are nearer has the number, and the other is ``UNTRACKED``.
        """
        if self._jury:
            self._recognize(frame, tracks, self._jury, pictures)
        for track in tracks:
            if track.number == UNTRACKED:
                track.number = self._people.stranger()
        holders: dict[int, Track] = {}
        for track in sorted(tracks, key=lambda track: track.away(frame)):
            if holders.setdefault(track.number, track) is not track and not track.away(frame):
                track.number = self._people.stranger()  # both are really there
        if self._reader:
            self._look(frame, tracks, self._reader, pictures)
        self._people.doubtful |= {track.number for track in tracks if not track.sure}
        self._people.doubtful -= {track.number for track in tracks if track.sure}
        seen = {track.number for track in tracks if track.at(frame).seen}
        self._people.meet(seen, {track.number for track in tracks})
        return [track.number if holders.get(track.number, track) is track else UNTRACKED for track in tracks]

    def replaced(
        self, before: Sequence[Sight], after: Sequence[Sight], moved: NDArray[np.float32], pictures: Pictures
    ) -> bool:
        """Whether in the place of a face of one look, ``moved (2,)`` pixels on, there is somebody else in the next."""
        expected = [sight._replace(points=sight.points + moved) for sight in before]
        pairs = [(before[a], after[b]) for a, b in np.argwhere(near(expected, after))]
        if not self._jury or not pairs:
            return False
        frames = [pairs[0][0].frame, pairs[0][1].frame]
        faces = as_faces([[(sight, UNTRACKED) for sight in look] for look in zip(*pairs, strict=True)], self._high)
        embeddings = self._jury.views(pictures(frames), faces)
        embeddings[clearness(faces) == 0] = torch.nan
        one, other = embeddings.chunk(2)
        return bool(((one - other).norm(dim=1) > OTHER).any())

    def _recognize(self, frame: int, tracks: Sequence[Track], jury: Jury, pictures: Pictures) -> None:
        """Number new tracks of known people, and learn who the others are, now or, from a better view, later."""
        views = self._views(frame, [track for track in tracks if track.ask <= frame])
        if not views:
            return
        frames = sorted({sight.frame for _, sight in views})
        faces = as_faces([[(s, t.number) for t, s in views if s.frame == index] for index in frames], self._high)
        embeddings = jury.views(pictures(frames), faces)
        present = [{other.number for other in tracks if not other.is_over_before(track)} for track, _ in views]
        people = self._people.recognize(embeddings, present)
        for (track, _), embedding, person in zip(views, embeddings, people, strict=True):
            if embedding.isnan().any():
                continue
            track.ask = math.inf
            if track.number == UNTRACKED:
                track.number = self._people.stranger() if person is None else person
            if person in (None, track.number):
                self._people.remember(track.number, embedding)

    def _look(self, frame: int, tracks: Sequence[Track], reader: TraitReader, pictures: Pictures) -> None:
        """Learn what those seem like who come, from their largest sure sighting so far, once and for all."""
        new = {track.number: track for track in tracks if track.number not in self._people.looks}
        self._people.looks |= dict.fromkeys(new, UNKNOWN)
        sure = {
            number: [sight for sight in track.sights if sight.frame >= frame and sight.score >= self._high]
            for number, track in new.items()
        }
        views = [(max(sights, key=_height), number) for number, sights in sure.items() if sights]
        if views:
            frames = sorted({sight.frame for sight, _ in views})
            faces = as_faces([[view for view in views if view[0].frame == index] for index in frames], self._high)
            looks = reader.read(pictures(frames), faces)
            self._people.looks |= zip(faces.tracks.tolist(), looks, strict=True)

    def _views(self, frame: int, tracks: Sequence[Track]) -> list[tuple[Track, Sight]]:
        """The clearest sighting, from ``frame`` on, of each track that has a clear one; by frame."""
        sights = [(track, sight) for track in tracks for sight in track.sights if sight.frame >= frame]
        clear = clearness(as_faces([[(sight, track.number) for track, sight in sights]], self._high))
        best = dict(sights[row] for row in clear.argsort(stable=True).tolist() if clear[row] > 0)
        for track in tracks:
            track.ask = frame + self._window
        return sorted(((track, best[track]) for track in tracks if track in best), key=lambda view: view[1].frame)


def _height(sight: Sight) -> float:
    return float(sight.points[1, 1] - sight.points[0, 1])
