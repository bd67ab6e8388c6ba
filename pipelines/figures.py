"""How often people are recognized: pure functions of the distances between embeddings.

Row ``i`` of a matrix of distances is a probe, column ``i`` the same person in the gallery: the diagonal holds pairs of
one person, the rest pairs of strangers (impostors). Intervals are percentiles of a bootstrap that draws people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]

RESAMPLES = 1000
LEVEL = 0.95  # of the intervals
AHEAD = 50  # times as many of the nearest pairs as a false accept rate lets pass: in no resample lies its limit beyond


class Estimate(NamedTuple):
    """A share of people, 0..1, and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def distances(probes: NDArray[Any], gallery: NDArray[Any]) -> Array:
    """Euclidean, between every row of ``probes (N, D)`` and every row of ``gallery (M, D)``: ``(N, M)``."""
    found: Array = cdist(probes, gallery)
    return found


def strangers(found: NDArray[Any]) -> Array:
    """The distances ``(N * (N - 1),)`` of pairs of different people in ``found (N, N)``."""
    apart: Array = found[~np.eye(len(found), dtype=bool)]
    return apart


def first(found: NDArray[Any]) -> Array:
    """How far each probe of ``found (N, N)`` names its own person first ``(N,)``: 1, 0, or a share where some tie."""
    nearest = found == found.min(1, keepdims=True)
    named: Array = nearest.diagonal() / nearest.sum(1)
    return named


def limit(impostors: NDArray[Any], far: float) -> float:
    """The distance below which pairs pass for one person: the largest at which no more than ``far`` of
    ``impostors (P,)`` do.

    Raises:
        ValueError: there are fewer than ``1 / far`` impostors, so that the rate cannot be told.
    """
    if not enough(len(impostors), far):
        raise ValueError(f"{len(impostors)} pairs cannot tell a false accept rate of {far:g}")
    passing = int(far * len(impostors) + 1e-9)
    return float(np.partition(impostors, passing)[passing]) if passing < len(impostors) else np.inf


def enough(impostors: int, far: float) -> bool:
    """Whether so many pairs of strangers can tell a false accept rate."""
    return impostors * far >= 1 - 1e-9


def rank_one(found: NDArray[Any]) -> Estimate:
    """The share of probes whose nearest in the gallery is their own person, in ``found (N, N)``."""
    named = first(found)
    return _estimate(float(named.mean()), _draws(len(named)) @ named / len(named), len(named))


def accepted(own: NDArray[Any], reference: NDArray[Any], far: float) -> Estimate | None:
    """The share of ``own (N,)``, the distance of each person's pair, that passes at a false accept rate.

    Args:
        reference: ``(N, N)``, distances of the same people, whose strangers set the limit.

    Returns:
        None where there are too few strangers for that rate. The limit is drawn anew with every resample.
    """
    impostors = strangers(reference)
    if not enough(len(impostors), far):
        return None
    one, other = np.nonzero(~np.eye(len(own), dtype=bool))
    near = np.argsort(impostors, kind="stable")[: max(1000, int(AHEAD * far * len(impostors)))]
    ordered, one, other = np.append(impostors[near], np.inf), one[near], other[near]
    shares = []
    for drawn in _draws(len(own)):
        pairs = drawn.sum() ** 2 - np.square(drawn).sum()
        passing = np.searchsorted(np.cumsum(drawn[one] * drawn[other]), far * pairs + 1e-9, side="right")
        shares.append(drawn @ (own < ordered[passing]) / len(own))
    return _estimate(float((own < limit(impostors, far)).mean()), np.array(shares), len(own))


def roc(own: NDArray[Any], reference: NDArray[Any], fars: Sequence[float]) -> list[float | None]:
    """The share of ``own (N,)`` that passes at each of ``fars``; None where ``reference`` is too small for it."""
    impostors = strangers(reference)
    return [float((own < limit(impostors, far)).mean()) if enough(len(impostors), far) else None for far in fars]


def separation(found: NDArray[Any]) -> float:
    """How well people are told apart in ``found (N, N)``: d', the distance of two means in standard deviations."""
    own, others = found.diagonal(), strangers(found)
    return float((others.mean() - own.mean()) / np.sqrt((own.var() + others.var()) / 2 + 1e-12))


def _draws(count: int) -> Array:
    """How often each of ``count`` people comes in each resample: ``(RESAMPLES, count)``; the same every time."""
    shares = np.full(count, 1 / count)
    return np.random.default_rng(0).multinomial(count, shares, RESAMPLES).astype(np.float64)


def _estimate(value: float, shares: NDArray[Any], count: int) -> Estimate:
    """With an interval. Where none of ``count`` people, or all, hit, resampling tells nothing: there it is the exact
    one of the binomial distribution (Clopper and Pearson, 1934).
    """
    tail = (1 - LEVEL) / 2
    low, high = (float(end) for end in np.quantile(shares, (tail, 1 - tail)))
    exact = tail ** (1 / count)
    if value == 0:
        high = max(high, 1 - exact)
    if value == 1:
        low = min(low, exact)
    return Estimate(value, min(low, value), max(high, value))
