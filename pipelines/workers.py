"""Who does the work: this process, or several of this machine; ``cluster`` has those of other machines.

A worker loads the networks once, and is given one piece of work after the other. What it yields comes back at once. If
it dies, what it had in hand comes back as lost, and another takes its place.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from anonymizer.config import Config
from anonymizer.errors import AnonymizerError

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer

Load = Callable[..., "Anonymizer"]  # of a Config, and of subjects if there are any

HOPELESS = 3  # times that every worker may die before one has its networks
PATIENCE = 10.0  # seconds in which a worker that is told to end removes what is unfinished


class Task(Protocol):
    """A piece of work that can be sent to another process."""

    def perform(self, anonymizer: Anonymizer) -> Iterator[Any]:
        """Do it; what is yielded comes back, one by one. Raises only what must end the whole run."""
        ...


class Event(NamedTuple):
    """What is heard of a task: something that it yielded, or why the worker that had it is gone."""

    task: Task
    value: Any = None
    lost: str = ""


class Workers(Protocol):
    """Any number of workers."""

    count: int

    def run(self, tasks: Iterable[Task]) -> Iterator[Event]:
        """Do all tasks, which are pulled as workers become free; in any order, each by one worker.

        Raises:
            AnonymizerError: the networks cannot be loaded.
        """
        ...

    def close(self) -> None:
        """End all workers."""
        ...


class Alone:
    """This process, with all cores. A ``Workers``."""

    count = 1

    def __init__(self, load: Load, config: Config) -> None:
        self._load, self._config = load, config
        self._anonymizer: Anonymizer | None = None

    def run(self, tasks: Iterable[Task]) -> Iterator[Event]:
        for task in tasks:
            self._anonymizer = self._anonymizer or self._load(self._config)
            for value in task.perform(self._anonymizer):
                yield Event(task, value)

    def close(self) -> None:
        self._anonymizer = None


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    connection: Connection
    ready: bool = False
    task: Task | None = None


class Local:
    """Processes of this machine, each with its share of the cores and with one of the GPUs. A ``Workers``.

    Args:
        load: makes an anonymizer; must be importable by name.
        config: all settings.
        count: of processes.
    """

    def __init__(self, load: Load, config: Config, count: int) -> None:
        self.count = count
        self._load, self._config = load, config
        self._deaths = 0
        self._workers: list[_Worker] = []
        try:
            for index in range(count):
                self._workers.append(self._start(index))
        except BaseException:
            self.close()
            raise

    def run(self, tasks: Iterable[Task]) -> Iterator[Event]:
        left = iter(tasks)
        for worker in self._workers:
            self._feed(worker, left)
        while busy := {worker.connection: worker for worker in self._workers if worker.task}:
            for ready in wait(list(busy)):
                yield from self._listen(busy[ready], left)  # type: ignore[index]

    def close(self) -> None:
        for worker in self._workers:
            worker.connection.close()  # ends those that wait
            if worker.task:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(PATIENCE)
            worker.process.kill()

    def _start(self, index: int) -> _Worker:
        context = get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(there, self._load, self._config, index, self.count),
            name=f"worker {index}",
            daemon=True,
        )
        process.start()
        there.close()  # so that the end of the process is the end of the connection
        return _Worker(process, here)

    def _feed(self, worker: _Worker, left: Iterator[Task]) -> None:
        worker.task = next(left, None)
        if worker.task:
            with suppress(OSError):  # it is gone, which is heard of next
                worker.connection.send(worker.task)

    def _listen(self, worker: _Worker, left: Iterator[Task]) -> Iterator[Event]:
        assert worker.task
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            yield Event(worker.task, lost=self._replace(worker, left))
            return
        if kind == "error":
            raise value
        worker.ready, self._deaths = True, 0
        if kind == "value":
            yield Event(worker.task, value)
        elif kind == "end":
            self._feed(worker, left)

    def _replace(self, worker: _Worker, left: Iterator[Task]) -> str:
        """Put another process in place of one that died; returns how it died."""
        worker.process.join()
        worker.connection.close()
        code = worker.process.exitcode or 0
        why = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._deaths += not worker.ready
        if self._deaths >= HOPELESS * self.count:
            raise AnonymizerError(f"workers die one after the other ({why})")
        place = self._workers.index(worker)
        self._workers[place] = self._start(place)
        self._feed(self._workers[place], left)
        return f"the process that worked on it died ({why})"


def _serve(connection: Connection, load: Load, config: Config, index: int, count: int) -> None:
    """A worker's life. It ends with the process that started it, however that ends."""
    Thread(target=_die_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the first process ends the others
    signal.signal(signal.SIGTERM, _unwind)
    cores = sorted(os.sched_getaffinity(0))
    if count <= len(cores):
        os.sched_setaffinity(0, cores[index::count])
    os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // 4))  # see cli
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            anonymizer = load(replace(config, device=_device(config.device, index)))
            connection.send(("ready", None))
            while True:
                for value in connection.recv().perform(anonymizer):
                    connection.send(("value", value))
                connection.send(("end", None))
        except AnonymizerError as error:
            connection.send(("error", error))


def _die_with_parent() -> None:
    """At once: the next run may be at work on the same files before this process would be done with its own."""
    parent = parent_process()
    assert parent
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)


def _unwind(number: int, frame: object) -> None:
    """End, but remove first what is unfinished."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _device(name: str, index: int) -> str:
    """One of several GPUs for each worker."""
    if name != "auto":
        return name
    import torch

    return f"cuda:{index % torch.cuda.device_count()}" if torch.cuda.is_available() else name


def share(items: Sequence[Any], pieces: int, most: int) -> Iterator[Sequence[Any]]:
    """Cut work so that each worker gets some pieces of it, none larger than ``most``."""
    size = max(1, min(most, len(items) // pieces))
    return (items[start : start + size] for start in range(0, len(items), size))
