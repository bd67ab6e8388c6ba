"""Jobs on files that lie elsewhere: fetched ahead of the work and published behind it, while other jobs are done.

A few files at a time lie in a private folder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from anonymizer.errors import LeakError, MediaError
from anonymizer.media.files import Closing
from pipelines.inputs import Source, recognized
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.scratch import PrivateFolder, Work
from pipelines.storage import fetch, publish

AHEAD = 8
AHEAD_BYTES = 4 << 30
BEHIND = 8
"""Files that are fetched before their turn, as far as they are not too large, and that wait to be published."""


def staged(jobs: Iterable[Job], work: Work) -> Generator[Result, None, None]:
    """Do ``jobs``, wherever their files lie, by ``work``; results come in their order."""
    with _Stage() as stage, closing(work(stage.fetched(jobs))) as results:
        yield from stage.published(results)


@contextmanager
def at_hand(source: Source) -> Iterator[Source]:
    """The file on this machine, as long as the block lasts.

    Raises:
        MediaError: it cannot be fetched.
    """
    with PrivateFolder() as files:
        yield source if source.origin is None else _fetched(source, files.name(source.path), Event())


@dataclass
class _Item:
    """A job on its way: as planned, and as it is done on this machine once its source has come."""

    planned: Job
    coming: Future[Source] | None
    local: Job
    failed: Result | None = None

    @property
    def bytes(self) -> int:
        origin = self.planned.source.origin
        return origin.size if origin else 0


class _Stage(Closing):
    """What is between the stores and the work."""

    def __init__(self) -> None:
        self._files = PrivateFolder()
        self._stop = Event()
        self._fetching = ThreadPoolExecutor(AHEAD, "fetch")
        self._publishing = ThreadPoolExecutor(BEHIND, "publish")
        self._order: deque[_Item] = deque()

    def close(self) -> None:
        """End transfers and remove what lies here."""
        self._stop.set()
        for pool in (self._fetching, self._publishing):
            pool.shutdown(cancel_futures=True)
        self._files.close()

    def fetched(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs as they are to be done on this machine; those that cannot be fetched are only noted."""
        ahead: deque[_Item] = deque()
        for job in jobs:
            ahead.append(self._begin(job))
            while ahead and (
                ahead[0].coming is None or len(ahead) > AHEAD or sum(item.bytes for item in ahead) > AHEAD_BYTES
            ):
                yield from self._arrived(ahead.popleft())
        while ahead:
            yield from self._arrived(ahead.popleft())

    def published(self, results: Iterator[Result]) -> Iterator[Result]:
        """The results, once they are where they belong, with those of jobs that could not be fetched in between."""
        waiting: deque[Future[Result]] = deque()
        for result in results:
            waiting.extend(self._failed())
            waiting.append(self._end(self._order.popleft(), result))
            while waiting and (len(waiting) > BEHIND or waiting[0].done()):
                yield waiting.popleft().result()
        waiting.extend(self._failed())
        while waiting:
            yield waiting.popleft().result()

    def _begin(self, job: Job) -> _Item:
        target = self._files.name(job.target) if job.destination else job.target
        if job.source.origin is None:
            return _Item(job, None, replace(job, target=target))
        path = self._files.name(job.source.path)
        coming = self._fetching.submit(_fetched, job.source, path, self._stop)
        return _Item(job, coming, Job(replace(job.source, path=path), target, job.destination))

    def _arrived(self, item: _Item) -> Iterator[Job]:
        self._order.append(item)
        if item.coming is not None:
            result = Result(item.planned)
            with result.guarded():
                item.local = replace(item.local, source=item.coming.result())
            if result.error:
                item.failed = result
                self._clear(item)
                return
        yield item.local

    def _failed(self) -> Iterator[Future[Result]]:
        """The jobs at the head of the order that could not be fetched."""
        while self._order and (failed := self._order[0].failed):
            self._order.popleft()
            yield _done(failed)

    def _end(self, item: _Item, result: Result) -> Future[Result]:
        if result.job != item.local:
            raise LeakError(f"the result of {result.job.source.name} came for that of {item.planned.source.name}")
        for path, name in ((item.local.source.path, item.local.source.name), (item.local.target, item.local.result)):
            result.rename(str(path), name)
        result.job = item.planned
        if result.error is None and item.planned.destination:
            return self._publishing.submit(self._publish, item, result)
        self._clear(item)
        return _done(result)

    def _publish(self, item: _Item, result: Result) -> Result:
        with result.guarded(), result.clock("publish"):
            publish(item.local.target, item.planned.destination, self._stop)
        self._clear(item)
        return result

    def _clear(self, item: _Item) -> None:
        if item.planned.source.origin:
            item.local.source.path.unlink(missing_ok=True)
        if item.planned.destination:
            item.local.target.unlink(missing_ok=True)


def _fetched(source: Source, path: Path, stop: Event) -> Source:
    """
    Raises:
        MediaError: it cannot be fetched, or is nothing to work on.
    """
    assert source.origin is not None
    fetch(source.origin, path, stop)
    try:
        return replace(source, path=path, kind=recognized(path, source.folder))
    except MediaError as error:
        error.path = source.name
        raise


def _done(result: Result) -> Future[Result]:
    future: Future[Result] = Future()
    future.set_result(result)
    return future
