"""Videos and detectors whose faces, misses and false alarms are written down, for tests of the tracker."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

import torch
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.config import Config, DetectConfig, TrackConfig
from anonymizer.geometry import box_iou
from anonymizer.identity import SIZE, TEMPLATE
from anonymizer.jury import Jury
from anonymizer.track import follow

HEIGHT, WIDTH = 240, 320
RATE = 25
HIGH, LOW = 0.35, 0.2
CONFIG = Config(detect=DetectConfig(threshold=HIGH, low=LOW), track=TrackConfig(stride=4, window=16))
EVERY = Config(detect=CONFIG.detect, track=TrackConfig(stride=1, window=16))

Box = tuple[float, float, float, float]
Script = Callable[[int], Mapping[Box, float]]


def square(x: float, y: float, size: float = 40) -> Box:
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


class Scripted:
    """Sees in frame ``n`` the boxes, with their scores, that the script has for ``n``; notes where it looked.

    In pictures of half the size, at which it glances, only what is at least ``smallest`` pixels high.
    """

    smallest = 10

    def __init__(self, script: Script) -> None:
        self._script = script
        self.looks: list[int] = []
        self.glances: list[int] = []

    def detect(self, frames: Frames) -> Faces:
        parts = [Faces.none()]
        scale = 0.5 if 2 * frames.size[0] == HEIGHT else 1.0
        for row, time in enumerate(frames.times):
            index = int(time * RATE)
            (self.looks if scale == 1 else self.glances).append(index)
            seen = {
                box: score for box, score in self._script(index).items() if (box[3] - box[1]) * scale >= self.smallest
            }
            boxes = torch.tensor(list(seen), dtype=torch.float32).reshape(-1, 4) * scale
            landmarks = boxes[:, None, :2] + TEMPLATE / SIZE * (boxes[:, 2:] - boxes[:, :2])[:, None]
            parts.append(
                Faces(
                    torch.full((len(seen),), row),
                    boxes,
                    landmarks,
                    torch.tensor(list(seen.values()), dtype=torch.float32),
                    torch.full((len(seen),), UNTRACKED),
                    torch.ones(len(seen), dtype=torch.bool),
                )
            )
        return Faces.cat(parts)


def video(pictures: Tensor, cuts: list[int]) -> Iterator[Frames]:
    """``pictures (N, 24, 32, 3)`` in batches that end at ``cuts``, blown up to the size of the video."""
    start = 0
    for stop in [*cuts, len(pictures)]:
        times = tuple(Fraction(index, RATE) for index in range(start, stop))
        yield Frames(pictures[start:stop].repeat_interleave(10, 1).repeat_interleave(10, 2), times)
        start = stop


def scene(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (24, 32, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def still(count: int) -> Tensor:
    return scene().expand(count, -1, -1, -1)


def flat(count: int) -> Tensor:
    """Optical flow finds nothing in it."""
    return torch.full((count, 24, 32, 3), 120, dtype=torch.uint8)


class Knowing(Jury):
    """Takes for one person, up to noise, all whom ``who`` gives one number: of a frame and a face's middle.

    Faces of number -1 show too little to be told.
    """

    def __init__(self, who: Callable[[int, float, float], int]) -> None:
        self._who = who
        self.asked: list[int] = []

    def views(self, frames: Frames, faces: Faces) -> Tensor:
        views = torch.full((len(faces), 256), torch.nan)
        for row, (x0, y0, x1, y1) in enumerate(faces.boxes.tolist()):
            index = int(frames.times[int(faces.frame[row])] * RATE)
            self.asked.append(index)
            if (person := self._who(index, (x0 + x1) / 2, (y0 + y1) / 2)) >= 0:
                views[row] = looks(person)
        return views


def looks(person: int) -> Tensor:
    """A view of ``person``, 1.4 from those of others."""
    view = torch.zeros(2, 128)
    view[:, person] = 0.5**0.5
    return view.flatten()


def run(
    script: Script,
    pictures: Tensor,
    config: Config = CONFIG,
    cuts: list[int] | None = None,
    jury: Jury | None = None,
) -> tuple[list[dict[int, Tensor]], Scripted]:
    """What is tracked in each frame, by number, and the detector. Checks that every frame comes out, once, in order."""
    detector = Scripted(script)
    batches = list(video(pictures, list(range(10, len(pictures), 10)) if cuts is None else cuts))
    tracked: list[dict[int, Tensor]] = []
    out = []
    for frames, faces in follow(iter(batches), detector, config, jury):
        out.append(frames)
        for row in range(len(frames)):
            here = faces[faces.frame == row]
            assert len(set(here.tracks.tolist())) == len(here)
            tracked.append(dict(zip(here.tracks.tolist(), here.boxes, strict=True)))
        assert (faces.frame.diff() >= 0).all()
        assert ((faces.scores >= 0) & (faces.scores <= 1)).all()
    assert [id(frames) for frames in out] == [id(frames) for frames in batches]
    assert len(detector.looks) == len(set(detector.looks))
    return tracked, detector


def covers(tracked: dict[int, Tensor], box: Box, overlap: float = 0.6) -> bool:
    boxes = torch.stack(list(tracked.values())) if tracked else torch.zeros(0, 4)
    return bool((box_iou(boxes, torch.tensor([box])) > overlap).any())


def frames_of(tracked: list[dict[int, Tensor]], number: int) -> list[int]:
    return [index for index, faces in enumerate(tracked) if number in faces]
