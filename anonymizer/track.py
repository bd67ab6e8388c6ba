"""Follows faces over time: the only stage with a memory.

Detections are linked frame by frame to the tracks that expect them (at constant velocity, where they were, or moved
with the whole picture in a pan; Hungarian assignment). A track is real if one of its detections is sure; the others
only need to be likely (hysteresis, as in ByteTrack, https://arxiv.org/abs/2110.06864). Because frames wait until
``window`` more have been seen, a face is covered from the frame in which it appears, and gaps are filled, before
anything is passed on. Faces that the border may cut are carried on, and back, by optical flow, see ``flow``.

Tracks end at cuts and where a face stays away for longer. When a track is first passed on, the clearest of its
sightings so far is compared with the people who were seen before; so a person who comes back has the same number.

The detector does not look at every frame: it looks at every ``stride``-th, where the picture changes, and at all
frames in between wherever a face begins, ends, jumps or comes near another one; elsewhere it only glances, see
``lookout``. A face that is visible only between looks and glances in an otherwise steady picture is not seen; with
``stride=1`` every frame is looked at.
"""

import bisect
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from anonymizer.batches import Faces, Frames
from anonymizer.config import Config, TrackConfig
from anonymizer.detect import Detector
from anonymizer.flow import carry, grey, likeness, part_around
from anonymizer.geometry import box_iou, box_share
from anonymizer.jury import Jury
from anonymizer.lookout import Lookout
from anonymizer.motion import Sight, Track, as_faces, assign, boxes_of, cost, is_calm, near, stack
from anonymizer.people import Names, People
from anonymizer.scenes import CUT, FLASH
from anonymizer.traits import TraitReader

GATE = 1.0  # cost from which two sightings are not of the same face: about its own size away
MAYBE_CUT = 0.2  # unlikeness from which there is a cut if people change
STALE = 0.2  # cost of a track that is a window old: who was seen last is likelier to be seen again
OVERLAP = 0.6  # intersection over union from which an assumed face is one that is better known
FLOW = 2  # frames between pictures whose optical flow is asked for
CARRIED = 96  # frames for which a face is carried that is not seen any more
INSIDE = 0.8  # share of an assumed face inside another from which that covers it too


class _Follower:
    """What is remembered: looks, cuts, tracks.

    All decisions are made at fixed frames of the video, whatever batches it arrives in.
    """

    def __init__(
        self,
        detector: Detector,
        config: Config,
        jury: Jury | None = None,
        reader: TraitReader | None = None,
        people: People | None = None,
        lead: int = 0,
    ) -> None:
        self._lookout = Lookout(detector, config.detect)
        self._names = Names(config, jury, reader, people or People())
        self._lead = lead
        self._high = config.detect.threshold
        self._stride, self._window = config.track.stride, config.track.window
        self._span = config.track.span
        self._faces: deque[list[tuple[Sight, int]]] = deque()  # of the decided frames that wait: face, track number
        self._tracks: list[Track] = []
        self._looks: list[int] = []
        self._cuts: list[int] = []
        self._moves: dict[int, np.ndarray] = {}  # frames in which the whole picture moved: how far, in its size
        self._done = -1  # last frame up to which sightings are linked; it was looked at
        self._done_sights: list[Sight] = []
        self._lost: list[Sight] = []  # sure faces that a later look did not find
        self._decided = 0  # frames whose faces are final

    def push(self, batch: Frames) -> Iterator[tuple[Frames, Faces]]:
        self._lookout.push(batch)
        while (stop := self._next_stop()) + FLASH < self._lookout.count:
            self._advance(stop)
            self._decide(stop - self._window)
        yield from self._ready()

    def flush(self) -> Iterator[tuple[Frames, Faces]]:
        while self._done < self._lookout.count - 1:
            self._advance(min(self._next_stop(), self._lookout.count - 1))
        self._decide(self._lookout.count - 1)
        yield from self._ready()

    def _next_stop(self) -> int:
        return (self._done // self._span + 1) * self._span

    def _advance(self, stop: int) -> None:
        """Look at the frames up to ``stop``, which is one of them, and link what is found."""
        frames = range(self._done + 1, stop + 1)
        lookout = self._lookout
        changes = [frame for frame in frames if lookout.changes(frame)]
        self._moves |= {frame: move for frame in changes if (move := lookout.movement(frame)) is not None}
        cuts = [frame for frame in changes if lookout.jump(frame) > MAYBE_CUT]
        parts = {frame: part for frame in changes if (part := lookout.part(frame))}
        regular = [frame for frame in frames if frame % self._stride == 0 or frame == stop]
        all_over = set(changes) - parts.keys()
        keys = sorted({*regular, *all_over, *(cut - 1 for cut in cuts if cut > frames.start)})
        found = {self._done: self._done_sights, **lookout.look(keys)}
        self._cuts += [cut for cut in cuts if self._is_cut(cut, found[cut - 1], found[cut])]
        found = dict(sorted({**found, **lookout.look(lookout.strange(found, parts))}.items()))
        found = dict(sorted({**found, **lookout.look(lookout.halfway(found))}.items()))
        found |= lookout.look([frame for a, b in pairwise(found) for frame in self._between(found, a, b)])
        del found[self._done]
        for frame in sorted(found):
            self._looks.append(frame)
            self._link(frame, found[frame])
        self._done, self._done_sights = stop, found[stop]

    def _between(self, found: dict[int, list[Sight]], a: int, b: int) -> range:
        """Frames between two looks that must be looked at too; a face that was lost is looked for in all."""
        lost = [sight for sight in self._lost if sight.frame >= max(self._scene(b)[0], b - self._window)]
        before = [sight for sight in found[a] if sight.score >= self._high] + lost
        self._lost = [sight for sight, same in zip(before, near(before, found[b]), strict=True) if not same.any()]
        return range(0) if not lost and is_calm(found[a], found[b], self._high) else range(a + 1, b)

    def _is_cut(self, frame: int, before: Sequence[Sight], after: Sequence[Sight]) -> bool:
        """A picture that moved is no other scene, unless there are other people in it."""
        if self._lookout.jump(frame) > CUT and frame not in self._moves:
            return True
        return self._names.replaced(before, after, self._moved(frame - 1, frame), self._lookout.pictures)

    def _link(self, frame: int, sights: list[Sight]) -> None:
        """Give each sighting to the track that expects it, or begin a new track with it."""
        oldest = max(self._scene(frame)[0], frame - self._window)
        tracks = [track for track in self._tracks if track.places[-1].frame >= oldest]
        doubt = np.array([(1 - sight.score) / 2 for sight in sights])
        moving, resting = ([track.at(frame) for track in tracks], [track.places[-1] for track in tracks])
        panned = [sight._replace(points=sight.points + self._moved(sight.frame, frame)) for sight in resting]
        costs = np.min([cost(stack(places), stack(sights)) for places in (moving, resting, panned)], axis=0)
        age = np.array([STALE * (frame - sight.frame) / self._window for sight in resting])
        costs = np.minimum(costs + doubt + age[:, None], GATE)
        owners = {b: tracks[a] for a, b in assign(costs) if costs[a, b] < GATE}
        for index, track in list(owners.items()):
            if not track.places[-1].seen and self._stays(track, frame, sights[index]):
                del owners[index]
        for index, sight in enumerate(sights):
            if index not in owners:
                self._tracks.append(owners.setdefault(index, Track(self._lookout.size, self._looks)))
            track = owners[index]
            track.add(sight)
            begins = not (track.sure or track.assumed)
            track.sure |= sight.score >= self._high
            track.assumed |= frame < self._lead
            if begins and (track.sure or track.assumed):
                self._carry_back(track)
        for track in tracks:
            if track.places[-1].frame < frame:
                self._carry_on(track, frame)

    def _stays(self, track: Track, frame: int, sight: Sight) -> bool:
        """Whether a face that is carried is still where it was, beside one that is seen; then it is carried on."""
        self._carry_on(track, frame)
        if track.places[-1].frame < frame:
            return False
        if _is_same(track.places[-1], sight):
            track.places.pop()
            return False
        return True

    def _carry_on(self, track: Track, frame: int) -> None:
        """Carry a face that the border may cut, and that was not seen, to ``frame``; not for ever: it may be none."""
        last = track.places[-1]
        if track.is_at_border(last.frame) and frame - track.seen[1] <= CARRIED:
            frames = sorted({last.frame, *range(max(self._looks[-2], last.frame), frame, FLOW), frame})
            track.places += self._carry(track, last, frames)

    def _carry_back(self, track: Track) -> None:
        """Carry a face that the border may cut to where it was before it was first seen."""
        first = track.places[0]
        oldest = max(self._scene(first.frame)[0], first.frame - self._window, self._decided)
        if oldest < first.frame and track.is_at_border(first.frame):
            frames = sorted({*range(oldest, first.frame, FLOW), first.frame})
            track.places[:0] = self._carry(track, first, frames[::-1])[::-1]

    def _carry(self, track: Track, place: Sight, frames: Sequence[int]) -> list[Sight]:
        """Where a face is that is in ``place`` in the first of ``frames``, in those of the others where it is found."""
        part = part_around(place.points[:2], self._lookout.size)
        pictures = [grey(picture) for picture in self._lookout.cut(frames, part)]
        box = place.points[:2] - np.array(part[:2], np.float32)
        if place.seen:
            track.likeness = likeness(pictures[0], box)
        ways = zip(frames[1:], carry(pictures, box, track.likeness), strict=True)
        return [Sight(n, place.points + way, 0.0, seen=False) for n, way in ways if way is not None]

    def _moved(self, first: int, last: int) -> np.ndarray:
        """How far the whole picture moved between two frames, in pixels."""
        moves = (move for frame, move in self._moves.items() if first < frame <= last)
        return sum(moves, start=np.zeros(2, np.float32)) * np.array(self._lookout.size[::-1], np.float32)

    def _scene(self, frame: int) -> tuple[int, int]:
        """First and last frame, as far as known, of the scene that ``frame`` belongs to."""
        index = bisect.bisect_right(self._cuts, frame)
        first = self._cuts[index - 1] if index else 0
        return first, (self._cuts[index] if index < len(self._cuts) else self._lookout.count) - 1

    def _extent(self, track: Track) -> tuple[int, int]:
        """First and last frame in which the face is assumed: it lingers, and at least reaches to the next look."""
        first, last = track.places[0].frame, track.places[-1].frame
        before, after = bisect.bisect_left(self._looks, first), bisect.bisect_right(self._looks, last)
        unseen_from = self._looks[before - 1] + 1 if before else 0
        unseen_to = self._looks[after] - 1 if after < len(self._looks) else self._lookout.count - 1
        start, end = track.span()
        return max(min(start, unseen_from), self._scene(first)[0]), min(max(end, unseen_to), self._scene(last)[1])

    def _decide(self, last: int) -> None:
        """Decide on the faces of all frames up to ``last`` and forget what is no longer needed."""
        for frame in range(self._decided, last + 1):
            self._faces.append(self._faces_in(frame))
        self._decided = max(self._decided, last + 1)
        horizon = last - 2 * self._window
        self._tracks = [track for track in self._tracks if track.places[-1].frame >= horizon]
        for track in self._tracks:
            track.places = [place for place in track.places if place.frame >= horizon]
        del self._looks[: bisect.bisect_left(self._looks, horizon)]  # which tracks know
        self._cuts = [frame for frame in self._cuts if frame >= horizon]
        self._moves = {frame: move for frame, move in self._moves.items() if frame >= horizon}
        self._lookout.forget(self._done)

    def _faces_in(self, frame: int) -> list[tuple[Sight, int]]:
        extents = [(track, *self._extent(track)) for track in self._tracks if track.sure or track.assumed]
        here = [t for t, start, end in extents if start <= frame <= end and not t.has_left(frame, self._moved)]
        numbers = self._names.name(frame, here, self._lookout.pictures)
        faces = [(self._at(frame, track), number) for track, number in zip(here, numbers, strict=True)]
        boxes = boxes_of([sight for sight, _ in faces])
        known = torch.tensor([sight.score > 0 for sight, _ in faces], dtype=torch.bool)
        there = (box_iou(boxes, boxes) > OVERLAP) | (box_share(boxes, boxes) > INSIDE)
        twice = (there & ~known[:, None] & known).any(1).tolist()
        return [face for face, known_too in zip(faces, twice, strict=True) if not known_too]

    def _at(self, frame: int, track: Track) -> Sight:
        """Where a face is; only assumed if the detector looked and did not see it, and it may have left the frame."""
        sight = track.at(frame)
        unknown = not sight.seen and (sight.score == 0 or frame in self._looks)
        return track.anywhere(frame, self._moved) if unknown and track.may_have_left(frame) else sight

    def _ready(self) -> Iterator[tuple[Frames, Faces]]:
        while (batch := self._lookout.pop(self._decided)) is not None:
            yield batch, as_faces([self._faces.popleft() for _ in range(len(batch))], self._high)


def _is_same(place: Sight, sight: Sight) -> bool:
    """Whether the face in a place is one that is seen."""
    one, other = boxes_of([place]), boxes_of([sight])
    return bool((box_iou(one, other) > OVERLAP) | (box_share(one, other) > INSIDE))


def ahead(config: TrackConfig) -> int:
    """Frames from a multiple of ``config.span`` on that are seen before the faces of those before it are decided on."""
    return -(-(config.window - 1) // config.span) * config.span + FLASH + 1


def follow(
    batches: Iterable[Frames],
    detector: Detector,
    config: Config,
    jury: Jury | None = None,
    reader: TraitReader | None = None,
    people: People | None = None,
    lead: int = 0,
) -> Iterator[tuple[Frames, Faces]]:
    """Detect and track the faces of a video.

    Args:
        batches: its frames in order, all of one size; how they are cut into batches changes nothing.
        detector: what looks at single frames.
        config: ``detect.threshold``, which one sighting of a face must reach, at most ``track.window`` frames later;
            ``track.stride``, how often to look.
        jury: tells whose faces they are; without it, a person who comes back has a new number.
        reader: tells what people seem like who come; without it, nothing is known of that.
        people: to be told who is seen; nobody yet.
        lead: frames at the start that only lead up to those that matter. What is seen in them and nobody is sure of
            counts as faces, as earlier frames may be sure of them; ``people.doubtful`` tells these.

    Yields:
        each batch as it came, with its faces, by frame; the score is 0 where a face is only assumed: before its
        first and after its last sighting, in longer gaps, and where it was not seen and may have left the frame.
        Waiting are at most two windows of frames and a batch.

    Raises:
        DetectionError: from the detector.
    """
    follower = _Follower(detector, config, jury, reader, people, lead)
    for batch in batches:
        yield from follower.push(batch)
    yield from follower.flush()
