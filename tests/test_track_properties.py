"""Tracking: what holds for every way of a face, whatever the detector misses."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_faces import (
    CONFIG,
    EVERY,
    HEIGHT,
    WIDTH,
    Box,
    Knowing,
    covers,
    frames_of,
    run,
    scene,
    square,
    still,
)
from torch import Tensor

from anonymizer.config import Config
from anonymizer.motion import LINGER

walks = st.lists(st.tuples(st.floats(-4, 4), st.floats(-3, 3)), min_size=8, max_size=8)


def same(one: list[dict[int, Tensor]], other: list[dict[int, Tensor]]) -> bool:
    """Whether two runs found the same."""
    return all(
        list(a) == list(b) and all(torch.equal(a[number], b[number]) for number in a)
        for a, b in zip(one, other, strict=True)
    )


def walk(steps: list[tuple[float, float]], n: int, count: int) -> Box:
    """A smooth path inside the picture with a new velocity every ``count / 8`` frames."""
    x, y = 160.0, 120.0
    for index in range(n):
        dx, dy = steps[min(index * len(steps) // count, len(steps) - 1)]
        x, y = min(max(x + dx, 20), WIDTH - 20), min(max(y + dy, 20), HEIGHT - 20)
    return square(x, y)


@settings(max_examples=40, deadline=None)
@given(steps=walks, missed=st.sets(st.integers(0, 79)), config=st.sampled_from([CONFIG, EVERY]))
def test_a_face_with_random_misses_is_one_track_in_every_frame(
    steps: list[tuple[float, float]], missed: set[int], config: Config
) -> None:
    count, run_length = 80, 0
    seen = set()
    for n in range(count):  # never more than three in a row
        run_length = run_length + 1 if n in missed else 0
        if run_length in (0, 4):
            run_length = 0
            seen.add(n)
    tracked, detector = run(lambda n: {walk(steps, n, count): 0.9} if n in seen else {}, still(count), config)
    found = seen.intersection(detector.looks)
    first, last = min(found), max(found)
    assert frames_of(tracked, 0) == list(range(max(0, first - LINGER), min(count, last + 1 + LINGER)))
    assert all(set(faces) <= {0} for faces in tracked)
    assert all(covers(tracked[n], walk(steps, n, count), 0.3) for n in range(first, last + 1))


@settings(max_examples=40, deadline=None)
@given(
    here=st.lists(st.tuples(st.integers(0, 55), st.integers(1, 40)), min_size=1, max_size=4),
    data=st.data(),
)
def test_every_visible_face_is_covered_and_batches_do_not_matter(
    here: list[tuple[int, int]], data: st.DataObject
) -> None:
    count = 60

    def script(n: int) -> dict[Box, float]:
        return {
            square(40 + 75 * row + (n - start), 120): 0.9
            for row, (start, length) in enumerate(here)
            if start <= n < start + length
        }

    cuts = sorted(data.draw(st.sets(st.integers(1, count - 1))))
    tracked, detector = run(script, still(count), EVERY, cuts)
    assert all(covers(tracked[n], box) for n in range(count) for box in script(n))
    sparse, detector = run(script, still(count), CONFIG, cuts)
    assert all(covers(sparse[n], box) for n in detector.looks for box in script(n))
    whole, _ = run(script, still(count), CONFIG, [])
    assert same(sparse, whole)


@settings(max_examples=40, deadline=None)
@given(
    here=st.lists(st.tuples(st.integers(0, 55), st.integers(1, 40), st.integers(-1, 2)), min_size=1, max_size=6),
    shots=st.sets(st.integers(1, 99), max_size=4),
    cuts=st.sets(st.integers(1, 99)),
    config=st.sampled_from([CONFIG, EVERY]),
)
def test_people_have_one_face_at_a_time_and_batches_do_not_matter(
    here: list[tuple[int, int, int]], shots: set[int], cuts: set[int], config: Config
) -> None:
    count = 100
    starts = sorted({0, *shots})
    pictures = torch.stack([scene(sum(start <= n for start in starts) % 3) for n in range(count)])

    def script(n: int) -> dict[Box, float]:
        return {
            square(50 + 110 * (row % 3), 60 + 120 * (row // 3), 60): 0.9
            for row, (start, length, _) in enumerate(here)
            if start <= n % 60 < start + length
        }

    def who(n: int, x: float, y: float) -> int:
        return here[min(len(here) - 1, round((x - 50) / 110) + 3 * (y > 120))][2]

    one, _ = run(script, pictures, config, sorted(cuts), Knowing(who))  # checks that numbers differ in each frame
    other, _ = run(script, pictures, config, [], Knowing(who))
    assert same(one, other)
