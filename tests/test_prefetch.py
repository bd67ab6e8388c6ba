"""An iterator on its own thread: order, bounds, errors, and no thread that stays behind."""

import threading
import time
from collections.abc import Iterator

import pytest

from anonymizer.prefetch import prefetch


def threads() -> set[str]:
    """What still runs after a moment: a thread needs one to end once it has done its work."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        names = {thread.name for thread in threading.enumerate()} & {"prefetch"}
        if not names:
            break
        time.sleep(0.01)
    return names


class BrokenError(Exception):
    pass


def test_order_is_kept() -> None:
    assert list(prefetch(range(100), 3)) == list(range(100))
    assert not threads()


def test_it_runs_ahead_as_far_as_it_may() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    ahead = prefetch(items(), 3)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(taken) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(taken) == 5, "one was taken, three wait, one stands before the full queue"
    ahead.close()
    assert not threads()


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise BrokenError

    ahead = prefetch(items(), 5)
    assert next(ahead) == 1
    with pytest.raises(BrokenError):
        next(ahead)
    assert not threads()


def test_a_consumer_that_stops_ends_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    for item in prefetch(items(), 2):
        if item == 3:
            break
    assert closed.wait(5)
    assert not threads()


@pytest.mark.parametrize("began", [False, True], ids=["before it starts", "after it started"])
def test_an_interrupted_start_leaves_the_source_alone(began: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opened the source closes it next: that must not meet a thread that is still reading."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if began:
            start(thread)
        raise KeyboardInterrupt

    def items() -> Iterator[int]:
        for item in range(1000):
            time.sleep(0.01)
            yield item

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    source = items()
    with pytest.raises(KeyboardInterrupt):
        next(prefetch(source, 2))
    source.close()
    assert not threads()
