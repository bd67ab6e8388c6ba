"""Runs an iterator on a thread of its own, so that decoding, networks and encoding overlap."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from queue import Full, Queue
from threading import Event, Lock, Thread
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1


class _End:
    """What ends a queue: nothing more comes, because of ``error`` if there is one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Iterate over ``items`` on a thread that runs up to ``depth`` items ahead.

    An exception of ``items`` is raised here, after the items before it, unless this generator was closed by then.
    Once it is closed, the thread does not touch ``items`` any more; it has closed them if they are a generator that it
    began.
    """
    queue: Queue[T | _End] = Queue(depth)
    stopped, working = Event(), Lock()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
            return True
        return False

    def produce() -> None:
        with working:
            if not stopped.is_set():
                put(_exhaust(items, put))

    try:
        Thread(target=produce, name="prefetch", daemon=True).start()
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        # Not join(): when Ctrl-C comes while the thread starts, there is nothing yet to be joined.
        with working:
            pass


def _exhaust(items: Iterable[T], put: Callable[[T], bool]) -> _End:
    try:
        try:
            for item in items:
                if not put(item):
                    break
        finally:
            if isinstance(items, Generator):
                items.close()
    except BaseException as error:
        return _End(error)
    return _End()
