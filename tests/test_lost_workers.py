"""Workers that die, cannot begin, or are not there."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fake_anonymizer import FakeAnonymizer, Run, files, make_photo
from test_workers import Count, hire

from anonymizer.config import Config
from anonymizer.errors import AnonymizerError, ConfigError, WeightsError
from pipelines.cluster import HERE, Cluster


def no_weights(config: Config) -> FakeAnonymizer:
    raise WeightsError("there are none", path="networks")


def deadly(config: Config) -> FakeAnonymizer:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.parametrize("kind", ["alone", "local", "cluster"])
def test_without_networks_there_is_one_error(kind: str) -> None:
    with pytest.raises(WeightsError, match="there are none"), closing(hire(kind, no_weights)) as hired:
        list(hired.run([Count(0, 1)]))


def test_who_always_dies_is_not_replaced_for_ever() -> None:
    with pytest.raises(AnonymizerError, match="one after the other"), closing(hire("local", deadly)) as hired:
        list(hired.run([Count(name, 1) for name in range(100)]))


def test_no_cluster() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.raises(ConfigError, match="no Ray cluster"):
        Cluster(FakeAnonymizer, Config(), "auto")  # type: ignore[arg-type]


# The command


class Mortal(FakeAnonymizer):
    """Dies at the first picture that is as high as it is wide, once."""

    def stills(self, frames, evidence=None):  # type: ignore[no-untyped-def]
        if frames.size[0] == frames.size[1] and not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().stills(frames, evidence)


@pytest.mark.parametrize("spread", [["--workers", "2"], ["--cluster", HERE, "--workers", "2"]])
def test_a_lost_worker_loses_nothing(run: Run, spread: list[str]) -> None:
    if "--cluster" in spread:
        pytest.importorskip("ray", reason="the extra ray is not installed")
    for number in range(40):
        make_photo(Path(f"in/{number}.jpg"), (32, 32) if number == 17 else (48, 32))
    result = run("run", "in", "-o", "out", *spread, load=Mortal)
    assert Path("died").exists()
    assert "40 written" in result.stdout
    assert sorted(Path(file).name for file in files() if file.startswith("out")) == sorted(os.listdir("in"))  # noqa: PTH208
    lines = [line for line in result.stdout.splitlines() if " -> " in line]
    assert len(lines) == len(set(lines)) == 40  # nothing twice
    with closing(sqlite3.connect("out.ledger")) as base:
        states = base.execute(
            "SELECT state, MAX(entry ->> '$.item.result.tries') FROM items JOIN records ON number = record GROUP BY 1"
        ).fetchall()
    assert states == [("done", 2)]


def test_workers_for_whom_there_is_no_room_are_not_waited_for() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with closing(Cluster(FakeAnonymizer, Config(), HERE, 50)) as hired:  # type: ignore[arg-type]
        events = list(hired.run([Count(name, 2) for name in range(60)]))
    assert len(events) == 120
