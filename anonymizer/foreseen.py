"""What was found in a whole video before any of it is rendered: so that who its people are is known from the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest

from anonymizer.batches import Faces, Frames
from anonymizer.errors import LeakError
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look


@dataclass(frozen=True)
class Foreseen:
    """The faces of a video and who they are.

    Attributes:
        found: for each batch, when its frames are shown, and the faces in them.
        looks: what people seem like, by number.
        personas: of those who have one in all videos, by number.
    """

    found: Sequence[tuple[tuple[Fraction, ...], Faces]]
    looks: Mapping[int, Look]
    personas: Mapping[int, Persona]

    def paired(self, batches: Iterable[Frames]) -> Iterator[tuple[Frames, Faces]]:
        """The same batches again, each with its faces.

        Raises:
            LeakError: they are not the same.
        """
        for frames, (times, faces) in zip_longest(batches, self.found, fillvalue=((), None)):
            if not isinstance(frames, Frames) or faces is None or frames.times != times:
                raise LeakError("the video is not the one that was looked at before")
            yield frames, faces
