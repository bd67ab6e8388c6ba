"""Holds what is about to leave against what came in: no real face is left, and nobody is shown who is really there.

It looks at the two pictures, whatever made the second one:

- In every face that is said to be generated, details of the real face must be gone: of the middle of the face, cell by
  cell, what is finer than light and shade must not follow the same pattern, but where something that stands before
  the face was kept. A face of which three cells or more are the same is covered in that frame.
- To neither of the two recognizers of a ``jury`` may the new face be the real one or anybody else of the same picture
  or video. In videos faces are sampled, as that takes time: each person when first seen well enough, then every few
  seconds, and when more or less of the face is hidden than before.

Before anything is drawn, an ``audition`` chooses personas for those who can be told, unless there is a key. Who is too
similar all the same in a picture, or when a video first shows them, gets another one, one that is left if there are
only a few, some times over. At first they must even be unlike, and if some tries do not lead to that, the least alike
of these is taken: whom one recognizer finds a little alike, another one may take for the same. Later in a video they
keep their persona, and are covered where they are far too similar. Those whose personas last, in all files of a key or
in all segments of a video, never get another one: they are covered where they are too similar at first.

That is a safety net: privacy comes from what new faces do not take from the real ones, and other recognizers see other
things.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry
from anonymizer.audit_figures import NOTHING, AuditFigures
from anonymizer.audition import CANDIDATES, Audition
from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.generate.base import MADE, Outcome, Persona
from anonymizer.identity import SMALLEST, clearness
from anonymizer.jury import Jury, apart, seen
from anonymizer.networks.occlusion_net import SIZE
from anonymizer.occlusion import hidden_share, to_crop_of, visible
from anonymizer.troupe import Troupe
from anonymizer.trust import Belief

SAME = 0.6  # distance, see ``jury.apart``, below which two faces are taken for one person
FAR_TOO_NEAR = 0.5  # the same for everybody else, as among many people somebody always is a little alike, and later on
TRIES = 8  # personas after the first one
UNLIKE, WISHES = 0.72, 6  # distance below which another persona is tried though this one would do, at most so often
EVERY, SOON = Fraction(4), Fraction(1, 2)  # seconds after which a face is looked at again; where it could not be seen
COVERED = 0.15  # share of a face that comes to be hidden, or to be seen, when it is looked at again at once
KEPT = -2  # in pictures, the number of the first face that stays; others have smaller ones

GRID, HEIGHT = 48, 0.75  # pixels along the side of the square that is compared, and this over the height of the face
COLUMNS = slice(8, 40)  # of the square, from eye to eye
ROWS, ACROSS = 4, 4  # cells
LIGHT = 5  # pixels: what is larger is light and shade
DETAIL = 0.004  # of 1, standard deviation of what is finer, from which a cell tells anything
ALIKE, CELLS = 0.96, 3  # correlation from which a cell is the same, and how many of them are one too many
HIDDEN = 0.1  # of 1, how much of what stands before the face may show in a cell that tells anything

REFUSED = (Outcome.UNCHANGED, Outcome.SIMILAR)


@dataclass
class _Person:
    """What is known of somebody.

    Attributes:
        real: the embeddings ``(256,)`` of the real face, once it could be told.
        scene: what that was seen in: the number of a picture, 0 in videos.
        due: when the face is looked at again, in seconds; at once if that is None.
        hidden: the share of it that was, when it was looked at.
        worn: who is drawn.
        tries: personas after the first one.
        best: the least alike of these, and how far that is.
        met: whether the real face could be told before a new one was shown.
        settled: whether a new one was shown.
    """

    real: Tensor | None = None
    scene: int = 0
    due: Fraction | None = None
    hidden: float = 0.0
    worn: Persona | None = None
    tries: int = 0
    best: tuple[float, Persona] | None = None
    met: bool = False
    settled: bool = False


class Audit:
    """Remembers what real people look like, and whose personas are settled. One for each video or batch of pictures.

    Args:
        jury: tells people apart.
        moving: whether the pictures are a video; otherwise people of different pictures are not compared.
        lasting: whether people have the same personas elsewhere, too: these are settled.
        troupe: has the personas, if there are only a few for all.
        audition: chooses the personas of everybody else; without it, they get the first that there is.
    """

    def __init__(
        self,
        jury: Jury,
        *,
        moving: bool,
        lasting: bool = False,
        troupe: Troupe | None = None,
        audition: Audition | None = None,
    ) -> None:
        self._jury, self._moving, self._lasting, self.troupe = jury, moving, lasting, troupe
        self._audition = audition
        self._people: defaultdict[int, _Person] = defaultdict(_Person)

    def named(self, belief: Belief) -> Belief:
        """Faces with the numbers by which this knows people: in pictures, their rows."""
        if self._moving:
            return belief
        return replace(belief, faces=replace(belief.faces, tracks=torch.arange(len(belief.faces))))

    def cast(self, frames: Frames, faces: Faces, personas: Sequence[Persona]) -> list[Persona]:
        """The personas that are to be drawn for ``named`` faces: others for those whom they are like."""
        people = faces.tracks.tolist()
        if self.troupe:
            return [self.troupe.persona(who) for who in people]
        if self._lasting:
            return list(personas)
        self._meet(frames, faces)
        first = dict(zip(people, personas, strict=True))
        known = {who: self._people[who] for who in first}
        new = {who: first[who].another(CANDIDATES * person.tries) for who, person in known.items() if not person.worn}
        for who, persona in self._auditioned(new).items():
            known[who].worn = persona
        return [known[who].worn or first[who] for who in people]

    def know(self, frames: Frames, kept: Faces) -> None:
        """Remember what people look like whose faces stay: nobody else may look like them either."""
        if not len(kept):
            return
        if not self._moving:
            kept = replace(kept, tracks=KEPT - torch.arange(len(kept)))
        faces = kept[_clearest(kept, self._due(frames, kept, torch.zeros(len(kept))))]
        for who, frame, told in zip(
            faces.tracks.tolist(), faces.frame.tolist(), self._learn(frames, faces), strict=True
        ):
            self._people[who].due = frames.times[frame] + (EVERY if told else SOON)

    def judge(
        self, frames: Frames, done: Frames, belief: Belief, outcomes: Sequence[Outcome]
    ) -> tuple[list[Outcome], Tensor, AuditFigures]:
        """Look at faces that were replaced.

        Args:
            frames: as they came in.
            done: the same with new faces.
            belief: these faces, ``named``.
            outcomes: what became of each.

        Returns:
            the outcomes, with one of ``REFUSED`` for generated faces that must not be shown; and which of these,
            ``(N,)`` bool, may be tried again with what ``cast`` says then. The others have to be covered. Last, what
            was looked at.
        """
        people = belief.faces.tracks.tolist()
        made = torch.tensor([outcome in MADE for outcome in outcomes], dtype=torch.bool)
        same = made & unchanged(frames, done, belief)
        similar, seen = self._similar(frames, done, belief, made & ~same)
        again = {who for who in similar if self._recast(who)}
        refused = made & torch.tensor([who in similar for who in people], dtype=torch.bool)
        for row in (made & ~same & ~refused).nonzero()[:, 0].tolist():
            self._people[people[row]].settled = True
        judged = [
            Outcome.UNCHANGED if is_same else Outcome.SIMILAR if is_refused else outcome
            for outcome, is_same, is_refused in zip(outcomes, same.tolist(), refused.tolist(), strict=True)
        ]
        figures = seen + AuditFigures(by_detail=int(made.sum()), redrawn=len(again))
        return judged, refused & ~same & torch.tensor([who in again for who in people], dtype=torch.bool), figures

    def _meet(self, frames: Frames, faces: Faces) -> None:
        """Learn what those look like who can be told for the first time, and were not shown yet."""
        known = [self._people[who] for who in faces.tracks.tolist()]
        new = torch.tensor([not person.met and not person.settled for person in known], dtype=torch.bool)
        seen = faces[_clearest(faces, faces.seen & new)]
        for who, told in zip(seen.tracks.tolist(), self._learn(frames, seen), strict=True):
            if told:
                self._people[who].met, self._people[who].worn = True, None

    def _auditioned(self, personas: Mapping[int, Persona]) -> dict[int, Persona]:
        """These, by person, or others where they are like people who were met."""
        people = {who: self._people[who] for who in personas}
        views = {who: one.real[None] for who, one in people.items() if one.met and one.real is not None}
        tries = self._audition.choose({who: personas[who] for who in views}, views) if self._audition else {}
        return {who: persona.another(tries.get(who, 0)) for who, persona in personas.items()}

    def _recast(self, who: int) -> bool:
        """Give somebody another persona, or in the end the least alike of them; whether there is one to be drawn."""
        person = self._people[who]
        if self._lasting or person.settled or person.tries >= TRIES:
            return False
        if self.troupe is None and person.tries == WISHES and person.best and person.best[0] >= SAME:
            person.tries, person.worn = TRIES, person.best[1]
            return True
        person.tries, person.worn = person.tries + 1, None
        return self.troupe is None or self.troupe.recast(who)

    def _similar(self, frames: Frames, done: Frames, belief: Belief, made: Tensor) -> tuple[set[int], AuditFigures]:
        """Whose new faces look like them, or like somebody else who is there; and how near the others are."""
        hidden = hidden_share(belief)
        rows = _clearest(belief.faces, made & self._due(frames, belief.faces, hidden))
        if not len(rows):
            return set(), NOTHING
        faces = belief.faces[rows]
        known = [self._people[who] for who in faces.tracks.tolist()]
        for person, share in zip(known, hidden[rows].tolist(), strict=True):
            person.hidden = share
        # of those who were just met, what they look like is known
        self._learn(frames, faces[torch.tensor([person.settled or not person.met for person in known])])
        new = self._jury.embed(done, faces)
        found, figures = set(), AuditFigures(by_recognizer=len(faces))
        for person, who, embedding, frame in zip(known, faces.tracks.tolist(), new, faces.frame.tolist(), strict=True):
            own, other = self._nearest(who, self._scene(frame), embedding)
            if other >= FAR_TOO_NEAR and person.worn and own > (person.best[0] if person.best else 0):
                person.best = own, person.worn
            if own < self._limit(person) or other < FAR_TOO_NEAR:
                found.add(who)
                person.due = None
            else:
                figures += AuditFigures(nearest_own=own, nearest_other=other)
                clear = bool(seen(embedding[None])) and person.real is not None
                person.due = frames.times[frame] + (EVERY if clear else SOON)
        return found, figures

    def _limit(self, person: _Person) -> float:
        """The distance to the real face below which a new one is refused."""
        if person.settled:
            # of who is half hidden recognizers see little that could differ: they are less sure
            return SAME if person.hidden > COVERED else FAR_TOO_NEAR
        wishes = self.troupe is None and not self._lasting and person.tries <= WISHES
        return UNLIKE if wishes else SAME

    def _learn(self, frames: Frames, faces: Faces) -> list[bool]:
        """Remember what real people look like; of which faces it can be told."""
        if not len(faces):
            return []
        embeddings = self._jury.embed(frames, faces)
        told = seen(embeddings).tolist()
        for who, frame, real, known in zip(faces.tracks.tolist(), faces.frame.tolist(), embeddings, told, strict=True):
            if known:
                self._people[who].scene, self._people[who].real = self._scene(frame), real
        return told

    def _scene(self, frame: int) -> int:
        """What tells those apart who are not seen together."""
        return 0 if self._moving else frame

    def _due(self, frames: Frames, faces: Faces, hidden: Tensor) -> Tensor:
        """Whose turn it is, ``(N,)`` bool; of each face a share is ``hidden``."""
        known = [self._people[who] for who in faces.tracks.tolist()]
        times = [frames.times[frame] for frame in faces.frame.tolist()]
        now = [person.due is None or time >= person.due for person, time in zip(known, times, strict=True)]
        changed = (hidden - torch.tensor([person.hidden for person in known])).abs() > COVERED
        return torch.tensor(now, dtype=torch.bool) | changed

    def _nearest(self, who: int, scene: int, new: Tensor) -> tuple[float, float]:
        """How near a new face ``(256,)`` is to the real one, and to others of the scene; ``inf`` if nobody knows."""
        own, others = inf, inf
        for other, person in self._people.items() if seen(new[None]) else ():
            if person.real is not None and person.scene == scene:
                distance = float(apart(new, person.real))
                own, others = (distance, others) if other == who else (own, min(others, distance))
        return own, others


def _clearest(faces: Faces, which: Tensor) -> Tensor:
    """The clearest face of everybody, of those in ``which (N,)`` that can be recognized, rows."""
    chosen: dict[int, int] = {}
    clear, people = clearness(faces), faces.tracks.tolist()
    for row in (which & (faces.sizes.amin(1) >= SMALLEST) & (faces.tracks != UNTRACKED)).nonzero()[:, 0].tolist():
        if people[row] not in chosen or clear[row] > clear[chosen[people[row]]]:
            chosen[people[row]] = row
    return torch.tensor(list(chosen.values()), dtype=torch.int64)


def unchanged(frames: Frames, done: Frames, belief: Belief) -> Tensor:
    """In which faces ``(N,)`` details of ``frames`` are left in ``done``."""
    faces = belief.faces
    centre, side = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2, (HEIGHT * faces.sizes[:, 1]).clamp(min=1)
    to_patch = geometry.square_to_patch(centre, side, torch.zeros(len(faces)), GRID)
    before, after = (_details(pictures, faces.frame, to_patch) for pictures in (frames, done))
    likeness = (before * after).sum(2) / (before.norm(dim=2) * after.norm(dim=2)).clamp(min=1e-6)
    tells = before.square().mean(2).sqrt() >= DETAIL
    if belief.before.any():
        tells &= _cells(_hidden(belief, to_patch)).amax(2) < HIDDEN
    return ((likeness >= ALIKE) & tells).sum(1) >= CELLS


def _details(pictures: Frames, frame: Tensor, to_patch: Tensor) -> Tensor:
    """What is finer than light and shade, cell by cell: ``(N, ROWS * ACROSS, P)``, with a mean of 0."""
    grey = geometry.cut_patches(pictures.pixels, frame, to_patch, GRID).mean(1, keepdim=True).cpu()
    cells = _cells(grey - F.avg_pool2d(grey, LIGHT, 1, LIGHT // 2, count_include_pad=False))
    return cells - cells.mean(2, keepdim=True)


def _cells(pictures: Tensor) -> Tensor:
    """The middle of ``pictures (N, 1, GRID, GRID)`` in cells ``(N, ROWS * ACROSS, P)``."""
    parts = pictures[:, 0, :, COLUMNS].unflatten(2, (ACROSS, -1)).unflatten(1, (ROWS, -1))
    return parts.transpose(2, 3).flatten(3).flatten(1, 2)


def _hidden(belief: Belief, to_patch: Tensor) -> Tensor:
    """How much of what stands before faces shows in patches ``(N, 1, GRID, GRID)``."""
    to_crop = to_crop_of(belief.meshes.points.nan_to_num())
    line = torch.arange(GRID) + 0.5
    places = torch.cartesian_prod(line, line).flip(1).expand(len(to_patch), -1, -1)
    places = geometry.apply_affine(to_crop, geometry.apply_affine(geometry.invert_affine(to_patch), places))
    shown = visible(belief, torch.arange(len(belief.faces)))
    return geometry.sample(shown, places / SIZE)[:, 0].reshape(-1, 1, GRID, GRID)
