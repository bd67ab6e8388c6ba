"""Work on other threads through bounded queues, so that decoding, networks and encoding overlap."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

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


class Background(Generic[T]):
    """Calls ``work`` on a thread of its own with each pushed item, in order, at most ``depth`` of them waiting.

    A context manager. An exception of ``work`` is raised by the next ``push`` or by ``close``, and later items
    are dropped. Leaving the context by an exception drops what waits, without raising another.
    """

    def __init__(self, work: Callable[[T], None], depth: int) -> None:
        self._work = work
        self._queue: Queue[T | _End] = Queue(depth)
        self._error: BaseException | None = None
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="background", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not isinstance(item := self._queue.get(), _End):
            if self._stopped.is_set():
                continue
            try:
                self._work(item)
            except BaseException as caught:
                self._error = caught
                self._stopped.set()

    def push(self, item: T) -> None:
        """Queue ``item``; waits while the queue is full."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def close(self) -> None:
        """Wait until all items are worked off."""
        self._queue.put(_End())
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._stopped.set()
            self._queue.put(_End())
            self._thread.join()
