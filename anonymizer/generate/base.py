"""What every generator does: faces in, new pixels for them out."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from anonymizer.batches import Frames, Patches
from anonymizer.generate.condition import ATTRIBUTES, Wanted
from anonymizer.generate.seeds import derive_seed
from anonymizer.trust import Belief


class Outcome(StrEnum):
    """What became of a face."""

    GENERATED = "generated"
    AVERAGE = "generated in average shape"  # where there is no mesh: neutral, in the pose of the five landmarks
    COVERED = "covered"  # as was asked for
    NO_MESH = "no mesh"
    STEEP_POSE = "steep pose"
    FAILED = "generation failed"
    UNCHANGED = "not changed"  # the audit saw the real face in the result
    SIMILAR = "too similar"  # the audit took the new face for the real one, or for somebody else who is there
    KEPT = "kept"  # the person consented to stay visible
    LABELLED = "labelled"  # nobody found the face, but a label says that there is one
    NOT_SEEN = "not seen"  # only expected: before a face comes, after it goes, in long gaps; or a part only


ANY: Wanted = (None,) * len(ATTRIBUTES)


class Persona(NamedTuple):
    """Somebody who does not exist, drawn from ``seed``: with these ``ATTRIBUTES``; then the same person with others."""

    seed: int
    attributes: Wanted = ANY
    changes: Wanted = ANY

    def another(self, tries: int) -> Persona:
        """Who is drawn in place of this one after so many tries: somebody else each time, as the seed says."""
        return self._replace(seed=derive_seed(self.seed, b"another", tries)) if tries else self


MADE = (Outcome.GENERATED, Outcome.AVERAGE)
"""The outcomes for which a new face is shown."""

FAILURES = (Outcome.NO_MESH, Outcome.STEEP_POSE, Outcome.FAILED, Outcome.UNCHANGED, Outcome.SIMILAR)
"""The outcomes for which a face is covered solid."""


class Generator(Protocol):
    """Makes the pixels that replace faces."""

    def generate(
        self, frames: Frames, belief: Belief, personas: Sequence[Persona]
    ) -> tuple[list[Patches], list[Outcome]]:
        """New pixels for faces, and one outcome a row of ``belief``.

        Together the patches hide every face, in any order and in groups of equal size; a face that cannot be generated
        gets a solid patch and one of ``FAILURES``. Where nobody saw one, what is around it is continued.
        ``personas`` say who replaces each face; faces with a track are parts of a video, where the same person is
        drawn again and again.
        """
        ...
