"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30


@contextmanager
def progress(name: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield what is to be told of every number of things done, of ``total`` (0 if not known)."""
    if sys.stderr.isatty():
        with tqdm(total=total or None, desc=name, unit=f" {unit}", leave=False, dynamic_ncols=True) as bar:
            yield bar.update
    else:
        yield _Lines(name, total, unit).update


class _Lines:
    """Writes a line when the last one is long ago."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._done = 0
        self._start = self._told = time.monotonic()

    def update(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = now
        rate = self._done / (now - self._start)
        total = f" of {self._total}" if self._total else ""
        left = f", {max(self._total - self._done, 0) / rate:.0f} s left" if self._total else ""
        click.echo(f"{self._name}: {self._done}{total} {self._unit}, {rate:.1f}/s{left}", err=True)


def say(line: str, *, err: bool = False) -> None:
    """Print a line without tearing a bar apart."""
    with tqdm.external_write_mode(nolock=False):
        click.echo(line, err=err)
