"""What every generator does: faces in, new pixels for them out."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from anonymizer.batches import Faces, Frames, Meshes, Patches


class Outcome(StrEnum):
    """What became of a face. All but the first two are failures: the face is covered solid."""

    GENERATED = "generated"
    COVERED = "covered"
    NO_MESH = "no mesh"
    STEEP_POSE = "steep pose"
    FAILED = "generation failed"


class Generator(Protocol):
    """Makes the pixels that replace faces."""

    def generate(
        self, frames: Frames, faces: Faces, meshes: Meshes, seeds: Sequence[int]
    ) -> tuple[list[Patches], list[Outcome]]:
        """New pixels for ``faces``, and one outcome a row.

        Together the patches hide every face, in any order and in groups of equal size; a face that cannot be
        generated gets a solid patch and an outcome that says why. ``seeds`` say who replaces each face; faces with a
        track are parts of a video, where the same person is drawn again and again.
        """
        ...
