"""Watches a video: notices where it changes, and asks the detector for as little as will do.

Where only a part of a large picture changes, it glances at that part, and halfway between two looks that are far apart
at a smaller picture. Frames in which a glance shows what both looks around it do not know are looked at.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from anonymizer.batches import Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import Detector
from anonymizer.detect.base import resize
from anonymizer.motion import Sight, expected, is_calm, is_known
from anonymizer.scenes import CHANGE, FLASH, Part, changed_part, differs, movement, thumbnails, unlikeness

SLOW = Fraction(1, 14)  # seconds between frames from which each is looked at
FAR = 8  # frames between two looks from which there is a glance halfway
GLANCE = 640  # longest side of its picture; of smaller ones all is looked at

Looks = dict[int, list[Sight]]
"""By number of the frame, the faces that were seen."""


class Lookout:
    """Keeps the frames that wait, and looks at them.

    Args:
        detector: what looks at single frames.
        config: how it does.

    Attributes:
        count: frames that came in.
    """

    def __init__(self, detector: Detector, config: DetectConfig) -> None:
        self._detector, self._high, self._side = detector, config.threshold, config.side
        self._waiting: deque[tuple[int, Frames]] = deque()  # index of the first frame, batch
        self._thumbnails: dict[int, np.ndarray] = {}
        self._slow: set[int] = set()  # frames that come long after the one before
        self._time = Fraction(0)  # of the last frame that came in
        self.count = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, of which some wait."""
        return self._waiting[0][1].size

    def push(self, batch: Frames) -> None:
        """Take the next frames."""
        self._waiting.append((self.count, batch))
        self._thumbnails.update(enumerate(thumbnails(batch), start=self.count))
        for number, time in enumerate(batch.times, start=self.count):
            if time - self._time > SLOW:
                self._slow.add(number)
            self._time = time
        self.count += len(batch)

    def pop(self, stop: int) -> Frames | None:
        """The batch that waits longest, if all of it comes before ``stop``."""
        if not self._waiting or self._waiting[0][0] + len(self._waiting[0][1]) > stop:
            return None
        return self._waiting.popleft()[1]

    def forget(self, last: int) -> None:
        """What changed up to a frame will not be asked any more."""
        self._slow = {frame for frame in self._slow if frame > last}
        self._thumbnails = {frame: small for frame, small in self._thumbnails.items() if frame >= last - FLASH}

    def pictures(self, frames: Sequence[int]) -> Frames:
        """Of frames that wait; sorted, at least one."""
        chosen = [
            batch[torch.tensor(rows)]
            for start, batch in self._waiting
            if (rows := [frame - start for frame in frames if 0 <= frame - start < len(batch)])
        ]
        return Frames.cat(chosen)

    def cut(self, frames: Sequence[int], part: Part) -> list[Tensor]:
        """A part of each of some frames that wait, ``(h, w, 3)``; nothing is copied."""
        x, y, w, h = part
        batches = {start + row: batch.pixels[row] for start, batch in self._waiting for row in range(len(batch))}
        return [batches[frame][y : y + h, x : x + w] for frame in frames]

    def changes(self, frame: int) -> bool:
        """Whether something happened, or may have, since the frame before."""
        return frame in self._slow or differs(*self._since(frame))

    def movement(self, frame: int) -> np.ndarray | None:
        """How far the whole picture moved, see ``scenes.movement``; None if it did not, or is another one."""
        return movement(*self._since(frame)) if self._unlike(frame - 1, frame) > CHANGE else None

    def jump(self, frame: int) -> float:
        """Unlikeness of a frame to what is near before it; small where a flash begins or ends."""
        before = frame - 1
        pairs = [(before, frame), (before, frame + FLASH), (before - FLASH, frame)]
        return min(self._unlike(*pair) for pair in pairs)

    def part(self, frame: int) -> Part | None:
        """The part of a large picture in which something changed, if that is all."""
        if frame in self._slow or max(self.size) <= GLANCE:
            return None
        return changed_part(*self._since(frame), self.size)

    def look(self, frames: list[int]) -> Looks:
        """At all of ``frames``, which are sorted."""
        return self._see(frames, 1.0)

    def strange(self, found: Looks, parts: dict[int, Part]) -> list[int]:
        """Frames of which a part changed, unless a glance there shows only what the looks before and after know."""
        looks = sorted(found)
        after = {frame: bisect.bisect(looks, frame) for frame in parts if frame not in found}
        around = {frame: (found[looks[index - 1]], found[looks[index]]) for frame, index in after.items()}
        return self._unknown(around, parts, min(1.0, self._side / max(self.size)))

    def halfway(self, found: Looks) -> list[int]:
        """Frames halfway between looks that are far apart, unless a glance there shows only what both looks know."""
        around = {(a + b) // 2: (found[a], found[b]) for a, b in pairwise(found) if b - a > FAR}
        if max(self.size) <= GLANCE:
            return list(around)
        return self._unknown(around, {}, GLANCE / max(self.size))

    def _unknown(
        self, around: dict[int, tuple[list[Sight], list[Sight]]], parts: dict[int, Part], scale: float
    ) -> list[int]:
        """Frames, with the looks before and after, unless a glance at all or a part shows only what both looks know."""
        calm = [frame for frame, looks in around.items() if is_calm(*looks, self._high)]
        glances = self._see(calm, scale, parts)
        whole, known = (0, 0, self.size[1], self.size[0]), set()
        for frame in calm:
            faces, part = expected(*around[frame], frame), parts.get(frame, whole)
            if is_known(glances[frame], faces, part, self.size, self._high):
                known.add(frame)
        return sorted(around.keys() - known)

    def _see(self, frames: list[int], scale: float, parts: dict[int, Part] | None = None) -> Looks:
        """Ask the detector, once for all of ``frames``, which are sorted, or for parts of one size, at a scale."""
        sights: Looks = {frame: [] for frame in frames}
        if not frames:
            return sights
        pictures = self.pictures(frames)
        pixels, corners = pictures.pixels, np.zeros((len(frames), 2), np.float32)
        if parts:
            places = [parts[frame] for frame in frames]
            pixels = torch.stack([pixels[row, y : y + h, x : x + w] for row, (x, y, w, h) in enumerate(places)])
            corners = np.array([place[:2] for place in places], np.float32)
        faces = self._detector.detect(Frames(resize(pixels, scale), pictures.times))
        points = torch.cat([faces.boxes.reshape(-1, 2, 2), faces.landmarks], dim=1).numpy() / np.float32(scale)
        for row, (index, score) in enumerate(zip(faces.frame.tolist(), faces.scores.tolist(), strict=True)):
            sights[frames[index]].append(Sight(frames[index], points[row] + corners[index], score, seen=True))
        return sights

    def _since(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Thumbnails of the frame before, and of this one."""
        return self._thumbnails[max(frame - 1, 0)], self._thumbnails[frame]

    def _unlike(self, a: int, b: int) -> float:
        """Unlikeness of two frames, or of the first and the last that there are."""
        return unlikeness(self._thumbnails[max(a, 0)], self._thumbnails[min(b, self.count - 1)])
