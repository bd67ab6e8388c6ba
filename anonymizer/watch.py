"""Finds those parts of a video in which a face is surely that of somebody who consented.

No frame depends on a view that is long ago: a face stays only between two views of it, at most ``GAP`` apart, that both
say that it is this person, and if it was followed without a jump from one to the other. Views are taken where the
detector looked, every ``EVERY`` at most; one that is not clear, or says anything else, ends what stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import groupby, pairwise

import torch
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.consent import Consents, Decision, Judgment, Verdict, is_kept, judge_pictures
from anonymizer.geometry import box_iou
from anonymizer.jury import Jury

EVERY = Fraction(1, 5)  # seconds between two views of a face, at least
GAP = Fraction(6, 5)  # seconds between two views, at most: a little more than 16 frames at 14 a second
STEADY = 0.4  # intersection over union with the frame before, below which a face may be another one


@dataclass
class _View:
    """What was seen of a face in one frame, and whether it stays from the view before up to this one, and after."""

    frame: int
    time: Fraction
    judgment: Judgment | None
    before: bool = False
    after: bool = False

    def agrees(self, other: _View) -> bool:
        """Whether the face stays between this view and a later one."""
        if not (self.judgment and other.judgment and is_kept(self.judgment) and is_kept(other.judgment)):
            return False
        return self.judgment.who == other.judgment.who and other.time - self.time <= GAP


@dataclass
class _Run:
    """A face that was followed without a jump: its number, where it was last, when it was last viewed."""

    track: int
    box: Tensor
    viewed: Fraction | None = None
    views: list[_View] = field(default_factory=list)

    def is_due(self, time: Fraction) -> bool:
        return self.viewed is None or time - self.viewed >= EVERY


@dataclass(frozen=True)
class Watched:
    """What was found.

    Attributes:
        tracks: by number of the frame, the numbers of the faces that stay.
        decisions: which parts stay, and which nearly did, in the order of time.
    """

    tracks: Mapping[int, set[int]]
    decisions: tuple[Decision, ...]


class Watch:
    """Looks at the faces of one video. What it finds does not depend on how the frames are cut into batches.

    Args:
        consents: of those who stay.
        jury: tells people apart.
    """

    def __init__(self, consents: Consents, jury: Jury) -> None:
        day = consents.today()  # one for all of the video
        self._consents, self._jury = replace(consents, today=lambda: day), jury
        self._runs: list[_Run] = []
        self._open: dict[int, _Run] = {}  # by track
        self._count = 0  # frames that went by

    def look(self, frames: Frames, faces: Faces) -> None:
        """Take views of the faces in the next frames."""
        followed = [self._follow(time, faces[faces.frame == frame]) for frame, time in enumerate(frames.times)]
        due = torch.tensor([frame for frame, runs in enumerate(followed) if runs], dtype=torch.int64)
        shown = faces[torch.isin(faces.frame, due)]
        judged = judge_pictures(self._consents, self._jury, frames, shown, shown.seen)
        for frame, track, judgment in zip(shown.frame.tolist(), shown.tracks.tolist(), judged, strict=True):
            if run := followed[frame].get(track):
                run.views.append(_View(self._count + frame, frames.times[frame], judgment))
        self._count += len(frames)

    def _follow(self, time: Fraction, faces: Faces) -> dict[int, _Run]:
        """Go on to the next frame; the runs of its faces if it is time for views of them, otherwise none."""
        alone = {track for track, count in Counter(faces.tracks.tolist()).items() if count == 1} - {UNTRACKED}
        runs: dict[int, _Run] = {}
        due = False
        for track, box, seen in zip(faces.tracks.tolist(), faces.boxes, faces.seen.tolist(), strict=True):
            if track not in alone:
                continue
            run = self._open.get(track)
            if run is None or not box_iou(run.box[None], box[None]) >= STEADY:
                run = _Run(track, box)
                self._runs.append(run)
            run.box, runs[track] = box, run
            due |= seen and run.is_due(time)
        self._open = runs
        for run in runs.values() if due else ():
            run.viewed = time
        return runs if due else {}

    def finish(self) -> Watched:
        """Decide, when all frames went by."""
        tracks: dict[int, set[int]] = defaultdict(set)
        decisions: list[Decision] = []
        for run in self._runs:
            for one, other in pairwise(run.views):
                one.after = other.before = one.agrees(other)
                for frame in range(one.frame, other.frame + 1) if one.after else ():
                    tracks[frame].add(run.track)
            decisions += _told(run.views)
        return Watched(tracks, tuple(sorted(decisions, key=lambda told: told.frames or (0, 0))))


def _told(views: Sequence[_View]) -> Iterator[Decision]:
    """What is told of one face, part by part; nothing where nobody was near."""
    chain, told = 0, []
    for view in views:
        chain += not view.before
        if view.judgment and (view.before or view.after):
            told.append((chain, view.judgment, view))
        elif view.judgment:
            alone = is_kept(view.judgment)
            judgment = view.judgment._replace(verdict=Verdict.ALONE) if alone else view.judgment
            told.append((0, judgment, view))
    for (stays, _, _), group in groupby(told, key=lambda entry: (entry[0], entry[1].who, entry[1].verdict)):
        part = list(group)
        worst = (max if stays else min)((judgment for _, judgment, _ in part), key=lambda judgment: judgment.distance)
        first, last = part[0][2], part[-1][2]
        yield Decision(worst, (first.frame, last.frame), (first.time, last.time))
