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

PATIENCE = 300.0  # seconds until the cluster must have room for a worker, and that must have loaded its networks


class _Actor:
    """Lives on some machine of the cluster, and holds the networks."""

    def __init__(self, load: Load, config: Config) -> None:
        self._load, self._config = load, config
        self._anonymizer: Anonymizer | None = None

    def prepare(self) -> AnonymizerError | None:
        """Load the networks; returns the error that ends the whole run, if they cannot be loaded."""
        try:
            self._anonymizer = self._load(self._config)
        except AnonymizerError as error:
            return error
        return None

    def perform(self, task: Task) -> Iterator[Any]:
        """Yield what the task yields, or the error that ends the whole run."""
        assert self._anonymizer
        try:
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
        self._new: Callable[[], Any] = lambda: actor.remote(load, config)
        self._deaths = 0
        self._idle: list[Any] = []
        self._coming: dict[Any, Any] = {}  # by what tells that it is ready: an actor that the cluster finds a place for
        self._busy: dict[Any, tuple[Any, Task]] = {}  # by what it yields: an actor and its task
        for _ in range(self.count):
            self._start()

    def run(self, tasks: Iterable[Task]) -> Iterator[Event]:
        left = iter(tasks)
        task = next(left, None)
        while task or self._busy:
            while task and self._idle:
                actor = self._idle.pop()
                self._busy[actor.perform.options(num_returns="streaming").remote(task)] = actor, task
                task = next(left, None)
            patience = None if self._busy else PATIENCE
            heard = self._ray.wait([*self._busy, *self._coming], fetch_local=False, timeout=patience)[0]
            if not heard:
                raise AnonymizerError(f"the cluster has had no room for a worker for {PATIENCE:.0f} seconds")
            for source in heard:
                if source in self._coming:
                    self._arrive(source)
                else:
                    yield from self._listen(source)

    def close(self) -> None:
        for actor in (*self._idle, *self._coming.values(), *(actor for actor, _ in self._busy.values())):
            self._ray.kill(actor)
        self._ray.shutdown()

    def _start(self) -> None:
        actor = self._new()
        self._coming[actor.prepare.remote()] = actor

    def _arrive(self, ready: Any) -> None:
        actor = self._coming.pop(ready)
        try:
            if error := self._ray.get(ready):
                raise error
        except self._ray.exceptions.RayActorError as error:
            self._deaths += 1
            if self._deaths >= HOPELESS * self.count:
                raise AnonymizerError("workers of the cluster die one after the other") from error
            self._start()
        else:
            self._deaths = 0
            self._idle.append(actor)

    def _listen(self, stream: Any) -> Iterator[Event]:
        actor, task = self._busy[stream]
        try:
            value = self._ray.get(next(stream))
            if isinstance(value, AnonymizerError):
                raise value
            yield Event(task, value)
        except StopIteration:
            del self._busy[stream]
            self._idle.append(actor)
        except self._ray.exceptions.RayActorError:
            del self._busy[stream]
            self._start()
            yield Event(task, lost="the worker of the cluster that worked on it died")
