"""Workers on the machines of a Ray cluster: the extra ``ray``.

Inputs and outputs must have the same names on all machines: a shared folder, or URLs.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from anonymizer.config import Config
from anonymizer.errors import AnonymizerError, ConfigError
from pipelines.workers import HOPELESS, Event, Load, Task

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer

HERE = "local"
"""The address of a cluster that is started for this run alone, on this machine."""

CORES = 4
"""Of a worker without a GPU: as many as a video has stages."""


class _Actor:
    """Lives on some machine of the cluster, and holds the networks."""

    def __init__(self, load: Load, config: Config) -> None:
        self._load, self._config = load, config
        self._anonymizer: Anonymizer | None = None

    def perform(self, task: Task) -> Iterator[Any]:
        """Yield what the task yields, or the error that ends the whole run."""
        try:
            self._anonymizer = self._anonymizer or self._load(self._config)
            yield from task.perform(self._anonymizer)
        except AnonymizerError as error:
            yield error


class Cluster:
    """One long-lived actor a GPU or, where there are none, a group of cores. A ``Workers``.

    Args:
        load: makes an anonymizer; must be importable on all machines.
        config: all settings.
        address: of a cluster, ``auto`` for the one that this machine belongs to, or ``HERE``.
        count: of actors; 0 for as many as the cluster has room for.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, load: Load, config: Config, address: str, count: int = 0) -> None:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as Ray 3 will do, and without a warning
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--cluster needs Ray: pip install 'anonymizer[ray]'") from error
        self._ray: Any = ray
        try:
            ray.init(
                None if address == HERE else address,
                include_dashboard=False if address == HERE else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}} if address == HERE else None,
            )
        except ConnectionError as error:
            raise ConfigError(f"no Ray cluster answers at {address}") from error
        total = ray.cluster_resources()
        gpus, cores = int(total.get("GPU", 0)), int(total.get("CPU", 1))
        self.count = count or gpus or max(1, cores // CORES)
        share = cores / self.count
        actor = ray.remote(_Actor).options(
            num_cpus=int(share) if share >= 2 else 0.5,
            num_gpus=min(1.0, gpus / self.count),
            scheduling_strategy="SPREAD",
        )
        self._start: Callable[[], Any] = lambda: actor.remote(load, config)
        self._actors = [self._start() for _ in range(self.count)]

    def run(self, tasks: Iterable[Task]) -> Iterator[Event]:
        left, deaths = iter(tasks), 0
        busy: dict[Any, tuple[Any, Task]] = {}  # by what an actor yields: the actor and its task
        idle: list[Any] = list(self._actors)
        while True:
            while idle and (task := next(left, None)) is not None:
                actor = idle.pop()
                busy[actor.perform.options(num_returns="streaming").remote(task)] = actor, task
            if not busy:
                return
            for stream in self._ray.wait(list(busy), fetch_local=False)[0]:
                actor, task = busy[stream]
                try:
                    value = self._ray.get(next(stream))
                    if isinstance(value, AnonymizerError):
                        raise value
                    deaths = 0
                    yield Event(task, value)
                    continue
                except StopIteration:
                    pass
                except self._ray.exceptions.RayActorError as error:
                    deaths += 1
                    if deaths >= HOPELESS * self.count:
                        raise AnonymizerError("workers of the cluster die one after the other") from error
                    yield Event(task, lost="the worker of the cluster that worked on it died")
                    self._actors.remove(actor)
                    actor = self._start()
                    self._actors.append(actor)
                del busy[stream]
                idle.append(actor)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._ray.shutdown()
