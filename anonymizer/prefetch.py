"""Runs an iterator on a thread of its own, so that decoding, networks and encoding overlap."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1


class _End:
    """What ends a queue: nothing more comes, because of ``error`` if there is one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Iterate over ``items`` on a thread that runs up to ``depth`` items ahead.

    An exception of ``items`` is raised here, after the items before it. The thread ends when this generator is
    closed early; it then closes ``items`` if that is a generator.
    """
    queue: Queue[T | _End] = Queue(depth)
    stopped = Event()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
            return True
        return False

    def produce() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as caught:
            error = caught
        finally:
            if isinstance(items, Generator):
                items.close()
            put(_End(error))

    thread = Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()
