"""Faces and covers do not alternate."""

from anonymizer.generate.base import Outcome
from anonymizer.generate.steady import HOLD, Steady

GOOD, BAD = Outcome.GENERATED, Outcome.FAILED


def test_a_face_stays_covered_for_a_while_after_a_failure() -> None:
    steady = Steady()
    assert steady.hold([1] * 3, [GOOD, BAD, GOOD]) == [GOOD, BAD, BAD]
    assert steady.hold([1] * HOLD, [GOOD] * HOLD) == [BAD] * (HOLD - 1) + [GOOD]


def test_a_later_failure_begins_anew_and_gives_its_own_reason() -> None:
    steady = Steady()
    steady.hold([1] * HOLD, [BAD, *[GOOD] * (HOLD - 1)])
    assert steady.hold([1, 1], [Outcome.STEEP_POSE, GOOD]) == [Outcome.STEEP_POSE] * 2


def test_faces_do_not_hold_each_other() -> None:
    assert Steady().hold([1, 2, 1, 2], [BAD, GOOD, GOOD, GOOD]) == [BAD, GOOD, BAD, GOOD]
