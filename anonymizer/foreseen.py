"""What was found in a whole video before any of it is rendered: so that who its people are is known from the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import zip_longest

import torch

from anonymizer.batches import Faces, Frames
from anonymizer.consent import Decision
from anonymizer.errors import LeakError
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.generate.seeds import digest
from anonymizer.troupe import Troupe
from anonymizer.watch import Watch, Watched

Found = tuple[tuple[Fraction, ...], bytes, Faces]
SPARSE = slice(None, None, 16)  # of the rows and columns of pictures, by which they are known again


@dataclass(frozen=True)
class Foreseen:
    """The faces of a video and who they are.

    Attributes:
        found: for each batch, when its frames are shown, what they are known by, and the faces that are to be replaced.
        looks: what people seem like, by number.
        personas: of those who have one in all videos, by number.
        troupe: has the personas of all, if there are only a few.
        kept: the faces that stay visible, with the numbers of their frames in the video, in order.
        decisions: on these, and on those that nearly stayed.
    """

    found: Sequence[Found]
    looks: Mapping[int, Look]
    personas: Mapping[int, Persona]
    troupe: Troupe | None = None
    kept: Faces = field(default_factory=Faces.none)
    decisions: tuple[Decision, ...] = ()

    def paired(self, batches: Iterable[Frames]) -> Iterator[tuple[Frames, Faces]]:
        """The same batches again, each with its faces.

        Raises:
            LeakError: they are not the same.
        """
        for frames, (times, known, faces) in zip_longest(batches, self.found, fillvalue=((), b"", None)):
            if not isinstance(frames, Frames) or faces is None or (frames.times, _mark(frames)) != (times, known):
                raise LeakError("the video is not the one that was looked at before")
            yield frames, faces


def look_at(tracked: Iterable[tuple[Frames, Faces]], watch: Watch | None) -> tuple[list[Found], Watched, bytes]:
    """All that is found in a video; which faces stay, if anybody's may; and what names the video."""
    found: list[Found] = []
    source = b""
    for frames, faces in tracked:
        if watch:
            watch.look(frames, faces)
        source = source or (digest(frames.pixels[faces.frame[0]]) if len(faces) else b"")
        found.append((frames.times, _mark(frames), faces))
    return found, watch.finish() if watch else Watched({}, ()), source


def set_apart(found: Iterable[Found], tracks: Mapping[int, set[int]]) -> tuple[list[Found], Faces]:
    """What was found without the faces that stay, and those.

    Args:
        tracks: by number of the frame in the video, the numbers of the faces that stay.
    """
    others, kept, start = [], [Faces.none()], 0
    for times, mark, faces in found:
        rows = zip(faces.frame.tolist(), faces.tracks.tolist(), strict=True)
        stays = torch.tensor([track in tracks.get(start + frame, ()) for frame, track in rows], dtype=torch.bool)
        others.append((times, mark, faces[~stays]))
        kept.append(replace(faces[stays], frame=faces.frame[stays] + start))
        start += len(times)
    every = Faces.cat(kept)
    return others, every[every.frame.argsort(stable=True)]


def between(faces: Faces, start: int, stop: int) -> Faces:
    """Those of ``faces``, which are in order, that are in these frames, as one batch that begins with ``start``."""
    first, last = torch.searchsorted(faces.frame, torch.tensor([start, stop])).tolist()
    part = faces[first:last]
    return replace(part, frame=part.frame - start)


def _mark(frames: Frames) -> bytes:
    """What these frames are known by."""
    return digest(frames.pixels[:, SPARSE, SPARSE])
