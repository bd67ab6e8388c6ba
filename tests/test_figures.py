"""How often people are recognized, where the right answer is known."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines import figures
from pipelines.figures import Array

few = settings(max_examples=15, deadline=None)  # each draws people a thousand times
values = st.integers(0, 50).map(float)


@st.composite
def matrices(draw: st.DrawFn) -> Array:
    """Distances of some people, many of them equal."""
    count = draw(st.integers(2, 8))
    return draw(arrays(np.float64, (count, count), elements=values))


def apart(own: list[float], others: float) -> Array:
    found = np.full((len(own), len(own)), others)
    np.fill_diagonal(found, own)
    return found


def test_distances_are_euclidean() -> None:
    found = figures.distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))
    assert found.tolist() == [[0, 3, 4], [5, 4, 3]]


def test_strangers_are_all_but_the_diagonal() -> None:
    assert figures.strangers(np.arange(9.0).reshape(3, 3)).tolist() == [1, 2, 3, 5, 6, 7]


def test_rank_one_counts_who_is_named_first() -> None:
    found = np.array([[1.0, 2, 3], [1, 2, 3], [5, 5, 4]])
    assert figures.first(found).tolist() == [1, 0, 1]
    assert figures.rank_one(found).value == pytest.approx(2 / 3)


def test_who_ties_shares_the_first_place() -> None:
    """Where all look alike, such as under a solid cover, the chance is that of a guess."""
    assert figures.rank_one(np.ones((8, 8))).value == pytest.approx(1 / 8)


@pytest.mark.parametrize(("far", "passing"), [(1, 10), (0.5, 5), (0.3, 3), (0.29, 2), (0.1, 1)])
def test_limit_lets_as_many_strangers_pass_as_it_may(far: float, passing: int) -> None:
    impostors = np.arange(10.0)[::-1]
    assert (impostors < figures.limit(impostors, far)).sum() == passing


def test_too_few_strangers_tell_no_rate() -> None:
    with pytest.raises(ValueError, match="999 pairs"):
        figures.limit(np.arange(999.0), 1e-3)
    figures.limit(np.arange(1000.0), 1e-3)
    assert figures.accepted(np.zeros(5), np.ones((5, 5)), 0.04) is None
    assert figures.roc(np.zeros(5), np.ones((5, 5)), (0.04, 0.05)) == [None, 1.0]


@given(arrays(np.float64, st.integers(1, 60), elements=values), st.sampled_from([0.02, 0.1, 0.25, 0.5, 1.0]))
def test_no_more_strangers_pass_than_the_rate_says(impostors: Array, far: float) -> None:
    if not figures.enough(len(impostors), far):
        return
    limit = figures.limit(impostors, far)
    assert (impostors < limit).mean() <= far
    assert limit == np.inf or (impostors <= limit).mean() > far  # a larger limit would let too many pass


@few
@given(matrices(), st.randoms(use_true_random=False))
def test_the_order_of_people_does_not_matter(found: Array, chance: Random) -> None:
    order = chance.sample(range(len(found)), len(found))
    mixed = found[order][:, order]
    assert figures.rank_one(mixed).value == pytest.approx(figures.rank_one(found).value)
    one, two = (figures.accepted(matrix.diagonal(), matrix, 0.5) for matrix in (found, mixed))
    assert one
    assert two
    assert one.value == pytest.approx(two.value)


@few
@given(matrices(), st.floats(0.1, 10))
def test_the_unit_of_distances_does_not_matter(found: Array, unit: float) -> None:
    scaled = figures.accepted(found.diagonal() * unit, found * unit, 0.5)
    assert scaled == figures.accepted(found.diagonal(), found, 0.5)
    assert figures.rank_one(found * unit) == figures.rank_one(found)


@few
@given(matrices())
def test_intervals_hold_their_value_and_shares_grow_with_the_rate(found: Array) -> None:
    shares = [figures.accepted(found.diagonal(), found, far) for far in (0.5, 0.75, 1.0)]
    for share in (figures.rank_one(found), *shares):
        assert share
        assert 0 <= share.low <= share.value <= share.high <= 1
    curve = figures.roc(found.diagonal(), found, (0.5, 0.75, 1.0))
    assert curve == sorted(curve)  # type: ignore[type-var]
    assert curve == [share.value for share in shares if share]


def test_people_who_are_told_apart_are_all_accepted() -> None:
    share = figures.accepted(np.ones(40), apart([1.0] * 40, 2.0), 1e-3)
    assert share
    assert share.value == share.high == 1
    assert share.low == pytest.approx(0.025 ** (1 / 40))  # exact: of a true share of 91%, 40 of 40 hit in 2.5% of cases


def test_who_is_hidden_is_not_accepted() -> None:
    share = figures.accepted(np.full(40, 3.0), apart([1.0] * 40, 2.0), 1e-3)
    assert share
    assert share.value == share.low == 0
    assert share.high == pytest.approx(1 - 0.025 ** (1 / 40))


def test_the_interval_of_a_share_is_that_of_the_binomial_distribution() -> None:
    found = apart([1.0] * 100 + [3.0] * 300, 2.0)
    share = figures.rank_one(found)
    spread = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert share.value == 0.25
    assert (share.low, share.high) == pytest.approx((0.25 - spread, 0.25 + spread), abs=0.008)


def test_the_threshold_is_drawn_anew_with_the_people() -> None:
    """Two people whom a few strangers resemble make the threshold unsure, and with it everybody's acceptance."""
    generator = np.random.default_rng(2)
    reference = generator.normal(2, 0.3, (60, 60))
    own = np.full(60, figures.limit(figures.strangers(reference), 1e-3) - 1e-6)
    share = figures.accepted(own, reference, 1e-3)
    assert share
    assert share.value == 1
    assert share.low < 0.1


def test_separation_is_that_of_two_normal_distributions() -> None:
    generator = np.random.default_rng(0)
    found = generator.normal(3.0, 1.0, (300, 300))
    np.fill_diagonal(found, generator.normal(1.0, 1.0, 300))
    assert figures.separation(found) == pytest.approx(2.0, abs=0.2)
