"""Faces and covers do not alternate."""

from dataclasses import replace
from fractions import Fraction

import torch

from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.generate.base import Outcome
from anonymizer.generate.steady import HOLD, Steady
from anonymizer.trust import Belief

GOOD, BAD = Outcome.GENERATED, Outcome.FAILED


def hold(
    steady: Steady, outcomes: list[Outcome], tracks: list[int] | None = None, lefts: list[float] | None = None
) -> list[Outcome]:
    """The outcomes of one face, or several, in successive frames; how far they are from the border at the left."""
    count = len(outcomes)
    frames = Frames(torch.zeros(count, 60, 80, 3, dtype=torch.uint8), (Fraction(0),) * count)
    faces = Faces(
        torch.arange(count),
        torch.tensor([[left, 10, left + 30, 50] for left in lefts or [20.0] * count]).float(),
        torch.zeros(count, 5, 2),
        torch.ones(count),
        torch.tensor(tracks or [7] * count),
        torch.ones(count, dtype=torch.bool),
    )
    covers, steadied = steady.hold(frames, Belief.blind(faces), outcomes)
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


def test_faces_that_are_nobodys_do_not_hold_each_other() -> None:
    assert hold(Steady(), [BAD, GOOD], [UNTRACKED] * 2) == [BAD, GOOD]


def test_what_was_only_expected_holds_nothing() -> None:
    steady = Steady()
    assert hold(steady, [Outcome.NOT_SEEN]) == [Outcome.NOT_SEEN]
    assert hold(steady, [GOOD]) == [GOOD]


def test_covers_are_no_failures() -> None:
    assert hold(Steady(), [Outcome.COVERED, GOOD]) == [Outcome.COVERED, GOOD]


def test_a_face_that_failed_while_it_entered_is_free_when_it_is_whole() -> None:
    steady = Steady()
    assert hold(steady, [BAD, GOOD, GOOD, GOOD], lefts=[-15, 0, 5, 10]) == [BAD, BAD, GOOD, GOOD]
    assert hold(steady, [GOOD], lefts=[-15]) == [GOOD]


def test_a_face_that_failed_as_a_whole_is_not_freed_by_the_border() -> None:
    assert hold(Steady(), [BAD, GOOD, GOOD], lefts=[10, -15, 10]) == [BAD] * 3


def test_held_covers_hide_what_is_beside_a_box_that_jumps() -> None:
    frames = Frames(torch.zeros(2, 60, 80, 3, dtype=torch.uint8), (Fraction(0),) * 2)
    box, ones = torch.tensor([[20.0, 10, 50, 50]]).expand(2, -1), torch.ones(2)
    faces = Faces(torch.arange(2), box, torch.zeros(2, 5, 2), ones, torch.tensor([7, 7]), ones.bool())
    belief = replace(Belief.blind(faces), beside=box[:, None] + 10)
    (cover,), _ = Steady().hold(frames, belief, [BAD, GOOD])
    assert cover.frame.tolist() == [1, 1]
    assert not torch.equal(cover.to_patch[0], cover.to_patch[1])
