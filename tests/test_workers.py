"""Workers: one contract for this process, several, and a cluster."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_anonymizer import FakeAnonymizer

from anonymizer.config import Config
from pipelines.cluster import HERE, Cluster
from pipelines.workers import Alone, Event, Local, Workers, share


@dataclass(frozen=True)
class Count:
    """Yields some numbers, and in whose process."""

    name: int
    stop: int
    wait: float = 0.0

    def perform(self, anonymizer: FakeAnonymizer) -> Iterator[tuple[int, int]]:
        for number in range(self.stop):
            time.sleep(self.wait)
            yield number, os.getpid()


@dataclass(frozen=True)
class Die:
    """Kills the process that works on it, after a first value; at later tries, there is a mark, it does not."""

    mark: str

    def perform(self, anonymizer: FakeAnonymizer) -> Iterator[tuple[int, int]]:
        yield 0, os.getpid()
        if not os.path.exists(self.mark):  # noqa: PTH110
            Path(self.mark).touch()
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        yield 1, os.getpid()


def hire(kind: str, load: object = FakeAnonymizer) -> Workers:
    config = Config()
    match kind:
        case "alone":
            return Alone(load, config)  # type: ignore[arg-type]
        case "local":
            return Local(load, config, 2)  # type: ignore[arg-type]
        case _:
            return Cluster(load, config, HERE, 2)  # type: ignore[arg-type]


@pytest.fixture(params=["alone", "local", "cluster"], scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "cluster":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def workers(kind: str) -> Iterator[Workers]:
    with closing(hire(kind)) as hired:
        yield hired


def values(events: list[Event]) -> dict[object, list[int]]:
    """What each task yielded, in order."""
    found: dict[object, list[int]] = {}
    for event in events:
        assert not event.lost
        found.setdefault(event.task, []).append(event.value[0])
    return found


def test_each_task_is_done_once_and_in_its_order(workers: Workers) -> None:
    tasks = [Count(name, name % 4) for name in range(12)]
    assert values(list(workers.run(tasks))) == {task: list(range(task.stop)) for task in tasks if task.stop}


def test_values_come_before_the_task_is_done(workers: Workers) -> None:
    start = time.monotonic()
    next(events := workers.run([Count(0, 4, 0.5)]))
    assert time.monotonic() - start < 1.9
    assert len(list(events)) == 3


def test_work_is_pulled(workers: Workers) -> None:
    pulled = []

    def tasks() -> Iterator[Count]:
        for name in range(100):
            pulled.append(name)
            yield Count(name, 1, 0.01)

    events = workers.run(tasks())
    next(events)
    assert len(pulled) <= 1 + 3 * workers.count
    assert len(list(events)) == 99


def test_all_work(workers: Workers) -> None:
    processes = {event.value[1] for event in workers.run([Count(name, 2, 0.2) for name in range(8)])}
    assert len(processes) == workers.count
    assert (os.getpid() in processes) is (workers.count == 1)


def test_nothing_to_do(workers: Workers) -> None:
    assert list(workers.run([])) == []


def test_a_worker_that_dies_is_replaced(workers: Workers, tmp_path: Path) -> None:
    if workers.count == 1:
        pytest.skip("there is nobody else")
    deadly, others = Die(str(tmp_path / "mark")), [Count(name, 3, 0.05) for name in range(9)]
    events = list(workers.run([*others[:3], deadly, *others[3:]]))
    assert [event.task for event in events if event.lost] == [deadly]
    assert values([event for event in events if event.task != deadly]) == {task: [0, 1, 2] for task in others}
    assert values(list(workers.run([deadly]))) == {deadly: [0, 1]}


@pytest.mark.parametrize(("count", "pieces", "most", "sizes"), [(100, 8, 32, [12] * 8 + [4]), (3, 16, 32, [1] * 3)])
def test_share(count: int, pieces: int, most: int, sizes: list[int]) -> None:
    assert [len(piece) for piece in share(range(count), pieces, most)] == sizes
