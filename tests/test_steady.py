"""Faces and covers do not alternate."""

from fractions import Fraction

import torch

from anonymizer.batches import Faces, Frames
from anonymizer.generate.base import Outcome
from anonymizer.generate.steady import HOLD, Steady

GOOD, BAD = Outcome.GENERATED, Outcome.FAILED


def hold(steady: Steady, outcomes: list[Outcome], tracks: list[int] | None = None) -> list[Outcome]:
    """The outcomes of one face, or several, in successive frames."""
    count = len(outcomes)
    frames = Frames(torch.zeros(count, 60, 80, 3, dtype=torch.uint8), (Fraction(0),) * count)
    faces = Faces(
        torch.arange(count),
        torch.tensor([[20.0, 10, 50, 50]]).expand(count, -1),
        torch.zeros(count, 5, 2),
        torch.ones(count),
        torch.tensor(tracks or [7] * count),
        torch.ones(count, dtype=torch.bool),
    )
    covers, steadied = steady.hold(frames, faces, outcomes)
    changed = [row for row, (new, old) in enumerate(zip(steadied, outcomes, strict=True)) if new is not old]
    assert [row for cover in covers for row in cover.frame.tolist()] == changed
    return steadied


def test_a_face_stays_covered_for_a_while_after_a_failure() -> None:
    steady = Steady()
    assert hold(steady, [GOOD, BAD, GOOD]) == [GOOD, BAD, BAD]
    assert hold(steady, [GOOD] * HOLD) == [BAD] * (HOLD - 1) + [GOOD]


def test_a_later_failure_begins_anew_and_gives_its_own_reason() -> None:
    steady = Steady()
    hold(steady, [BAD, *[GOOD] * (HOLD - 1)])
    assert hold(steady, [Outcome.STEEP_POSE, GOOD]) == [Outcome.STEEP_POSE] * 2


def test_faces_do_not_hold_each_other() -> None:
    assert hold(Steady(), [BAD, GOOD, GOOD, GOOD], [1, 2, 1, 2]) == [BAD, GOOD, BAD, GOOD]


def test_what_was_only_expected_holds_nothing() -> None:
    steady = Steady()
    assert hold(steady, [Outcome.NOT_SEEN]) == [Outcome.NOT_SEEN]
    assert hold(steady, [GOOD]) == [GOOD]


def test_covers_are_no_failures() -> None:
    assert hold(Steady(), [Outcome.COVERED, GOOD]) == [Outcome.COVERED, GOOD]
