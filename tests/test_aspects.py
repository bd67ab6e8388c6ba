"""Which portraits a face in a video is made of."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.aspects import CELL, DISSOLVE, SETTLED, Chooser
from anonymizer.batches import Faces
from anonymizer.trust import Aspects, Belief

YAWS = st.lists(st.floats(-60, 60), min_size=1, max_size=40)


def belief(conditions: list[tuple[float, ...]], track: int = 0) -> Belief:
    """One face in each of so many frames."""
    count = len(conditions)
    faces = Faces(
        torch.arange(count),
        torch.zeros(count, 4),
        torch.zeros(count, 5, 2),
        torch.ones(count),
        torch.full((count,), track),
        torch.ones(count, dtype=torch.bool),
    )
    usable = torch.ones(count, dtype=torch.bool)
    return replace(Belief.blind(faces), usable=usable, conditions=torch.tensor(conditions).reshape(count, 4))


def turning(yaws: list[float]) -> list[tuple[float, ...]]:
    return [(yaw, 0.0, 0.0, 0.9) for yaw in yaws]


def choose(conditions: list[tuple[float, ...]], size: int) -> list[Aspects]:
    """In batches of a size."""
    chooser, parts = Chooser(), [conditions[start : start + size] for start in range(0, len(conditions), size)]
    return [aspects for part in parts for aspects in chooser.choose(belief(part), len(part)).aspects]


@given(YAWS)
def test_shares_are_whole_and_change_without_a_jump(yaws: list[float]) -> None:
    chosen = choose(turning(yaws), 8)
    for aspects in chosen:
        assert abs(sum(aspects.values()) - 1) < 1e-6
        assert all(share > 0 for share in aspects.values())
    for before, after, away in zip(chosen, chosen[1:], yaws[1:], strict=False):
        gone = sum(max(0.0, share - after.get(condition, 0.0)) for condition, share in before.items())
        mean = sum(share * condition[0] for condition, share in before.items())
        assert gone <= max(1.0, abs(away - mean) / CELL[0]) ** 2 / DISSOLVE + 0.1


@given(YAWS, st.integers(1, 9))
def test_how_a_video_is_cut_into_batches_changes_nothing(yaws: list[float], size: int) -> None:
    assert choose(turning(yaws), size) == choose(turning(yaws), len(yaws))


@given(YAWS, YAWS, st.floats(-60, 60))
def test_after_a_fresh_choice_it_does_not_matter_what_was_before_a_rest(
    before: list[float], other: list[float], yaw: float
) -> None:
    shown = []
    for past in (before, other):
        chooser, wanted = Chooser({len(past)}), turning([*past, *[yaw] * SETTLED])
        shown.append(chooser.choose(belief(wanted), len(wanted)).aspects[-1])
    assert shown[0] == shown[1]


def test_a_head_that_rests_near_the_middle_between_two_portraits_keeps_one() -> None:
    wavering = [7.0 if frame % 2 else 8.0 for frame in range(30)]
    assert len({tuple(aspects) for aspects in choose(turning(wavering), 8)}) == 1


def test_a_head_that_has_turned_is_made_of_the_portrait_there_alone() -> None:
    chosen = choose(turning([0.0] * 5 + [30.0] * 30), 8)
    assert [[round(condition[0]) for condition in aspects] for aspects in (chosen[4], chosen[-1])] == [[0], [30]]


def test_a_face_that_comes_back_begins_anew() -> None:
    chooser = Chooser()
    chooser.choose(belief(turning([0.0] * 3)), 10)
    (aspects,) = chooser.choose(belief(turning([45.0])), 1).aspects
    assert list(aspects.values()) == [1.0]


def test_a_face_that_is_covered_for_a_moment_goes_on_as_before() -> None:
    turned = turning([0.0] * 5 + [15.0] * 15)
    found = belief(turned)
    usable = torch.ones(20, dtype=torch.bool)
    usable[8] = False
    aspects = Chooser().choose(replace(found, usable=usable), 20).aspects
    assert aspects[8] == {}
    assert len(aspects[7]) == len(aspects[9]) == 2
    assert aspects[9] == choose(turned, 20)[8]


def test_a_video_may_begin_with_a_face_that_is_covered() -> None:
    found = belief(turning([7.0] * 3))
    usable = torch.tensor([False, True, True])
    aspects = Chooser().choose(replace(found, usable=usable), 3).aspects
    assert aspects[0] == {}
    assert [list(one.values()) for one in aspects[1:]] == [[1.0], [1.0]]
