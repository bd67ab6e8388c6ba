"""Files that lie elsewhere, when something goes wrong: networks, servers and processes that end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from archive_samples import Entry, make
from fake_anonymizer import invoke
from PIL import Image
from pyarrow import parquet
from stores import S3, Store, photo
from torch import Tensor
from unreliable_server import UnreliableServer

from anonymizer.errors import ConfigError, MediaError, PassingError
from pipelines import staging, storage
from pipelines.inputs import Kind, Source
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.scratch import PrivateFolder

pytestmark = pytest.mark.usefixtures("scratch")

MIB = 1 << 20


# Large objects and networks that fail


def put_large(folder: Path) -> Path:
    path = folder / "large.txt"
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(11 * MIB // 8)))
    return path


def test_large_objects_go_in_parts(
    s3: S3, server: UnreliableServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PART", 5 * MIB)
    path = put_large(tmp_path)
    storage.publish(path, f"{s3.root}/a.bin", Event())
    assert s3.etag("a.bin").endswith('-3"')
    assert server.checked == [True] * 3
    storage.fetch(storage.listing(s3.root)["a.bin"], tmp_path / "b.bin", Event())
    assert (tmp_path / "b.bin").read_bytes() == path.read_bytes()


def second_part(method: str, path: str) -> bool:
    return method == "PUT" and "partNumber=2" in path


def test_an_upload_that_fails_leaves_nothing(
    s3: S3, server: UnreliableServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PART", 5 * MIB)
    path = put_large(tmp_path)
    server.fault = lambda method, path: 403 if second_part(method, path) else None
    result = invoke("run", path.parent, "-o", s3.root, code=1)
    assert result.stderr.startswith(f"Error: {s3.root}/large.txt: ")
    assert (s3.tree(), s3.uploads()) == ({}, 0)
    stop = Event()
    stop.set()
    server.fault = lambda method, path: None
    with pytest.raises(storage.StoppedError):
        storage.publish(path, f"{s3.root}/large.txt", stop)
    assert (s3.tree(), s3.uploads()) == ({}, 0)


def started(lines: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process that runs a script."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(lines)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
    )


def test_a_process_that_is_killed_while_it_publishes_leaves_nothing(
    s3: S3, server: UnreliableServer, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PART", 5 * MIB)
    (tmp_path / "in").mkdir()
    put_large(tmp_path / "in")
    server.fault = lambda method, path: "hang" if second_part(method, path) else None
    lines = f"""
        from fake_anonymizer import FakeAnonymizer
        from pipelines import cli, storage
        storage.PART = {5 * MIB}
        cli.main(["run", "in", "-o", {s3.root!r}], obj=FakeAnonymizer)
    """
    with started(lines, tmp_path) as process:
        assert server.hanging.wait(60)
        process.send_signal(signal.SIGKILL)
    assert (s3.tree(), s3.uploads()) == ({}, 1)
    assert len(list(scratch.iterdir())) == 1
    server.fault = lambda method, path: None
    invoke("run", tmp_path / "in", "-o", s3.root)
    assert list(s3.tree()) == ["large.txt"]
    assert s3.uploads() == 0


@pytest.mark.parametrize(
    ("fault", "passing"), [(502, True), (503, True), ("cut", True), (403, False), (404, False), ("gone", True)]
)
def test_errors_of_the_network(
    fault: Any, passing: bool, s3: S3, server: UnreliableServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = storage.Stored(s3.put("a.jpg", photo(tmp_path)), len(photo(tmp_path)), "")
    source = Source(Path("a.jpg"), Kind.REMOTE, origin=stored)
    if fault == "gone":
        server.stop()
    server.fault = lambda method, path: fault if method == "GET" and path.endswith("a.jpg") else None
    (result,) = staging.staged([Job(source, tmp_path / "out.jpg")], lambda jobs: (Result(job) for job in jobs))
    assert result.error is not None
    assert result.error.startswith(f"{stored.url}: ")
    assert "\n" not in result.error
    assert "secret" not in result.error
    assert result.passing is passing, result.error


# What lies between


@pytest.mark.parametrize("kind", ["zip", "parquet"])
def test_originals_of_a_killed_process_go_with_the_next_run(scratch: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        make(path, [Entry("a.jpg", photo(tmp_path))])
    else:
        parquet.write_table(pa.table({"image": [photo(tmp_path)]}), path)
    lines = f"""
        import os
        from fake_anonymizer import FakeAnonymizer
        from pipelines import cli
        class Killed(FakeAnonymizer):
            def stills(self, frames, evidence=None):
                os.kill(os.getpid(), {signal.SIGKILL:d})
        cli.main(["run", {path.name!r}], obj=Killed)
    """
    with started(lines, tmp_path) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert [left.read_bytes() for left in scratch.glob("*/*")] == [photo(tmp_path)]
    with PrivateFolder() as held:
        held.name(Path("a.jpg")).write_bytes(b"of another run")
        invoke("run", tmp_path / "photo.jpg", "-o", tmp_path / "b.jpg")
        assert [left.read_bytes() for left in scratch.glob("*/*")] == [b"of another run"]


def test_few_files_lie_here_at_a_time(scratch: Path, tmp_path: Path) -> None:
    files = Store("memory://many")
    for number in range(60):
        files.put(f"{number:02}.txt", b"content")
    found = storage.listing(files.root)
    jobs = [
        Job(Source(Path(name), Kind.REMOTE, Path(), origin=stored), Path(name), f"memory://done/{name}")
        for name, stored in found.items()
    ]
    most = 0

    def work(local: Any) -> Any:
        nonlocal most
        for job in local:
            assert job.source.path.parent.stat().st_mode & 0o777 == 0o700
            job.target.write_bytes(job.source.path.read_bytes())
            most = max(most, sum(1 for _ in scratch.rglob("*.txt")))
            yield Result(job)

    results = list(staging.staged(jobs, work))
    assert [result.job.source.name for result in results] == [stored.url for stored in found.values()]
    assert all(result.ok for result in results)
    assert len(Store("memory://done").tree()) == 60
    assert 3 <= most <= staging.AHEAD + staging.BEHIND * 2 + 4


def test_a_result_of_another_job_is_never_published(tmp_path: Path) -> None:
    jobs = [Job(Source(tmp_path, Kind.FILE), Path(name), f"memory://mixed/{name}") for name in "ab"]
    with pytest.raises(Exception, match="came for that of"):
        list(staging.staged(jobs, lambda local: (Result(replace(job, target=tmp_path)) for job in local)))
    assert Store("memory://mixed").tree() == {}


def test_a_file_is_at_hand_while_it_is_needed(scratch: Path, tmp_path: Path) -> None:
    url = Store("memory://one").put("a.tar.gz", b"archive")
    source = Source(Path("a.tar.gz"), Kind.REMOTE, origin=storage.listing(url)[""])
    with staging.at_hand(source) as here:
        assert here.path.read_bytes() == b"archive"
        assert (here.kind, here.name, here.path.suffixes) == (Kind.ARCHIVE, url, [".tar", ".gz"])
    assert not here.path.exists()
    nothing = Store("memory://one").put("a.xyz", b"nothing")
    with (
        pytest.raises(MediaError, match=r"^memory://one/a\.xyz: is neither"),
        staging.at_hand(replace(source, path=Path("a.xyz"), origin=storage.listing(nothing)[""])),
    ):
        pass


def test_a_checksum_that_the_store_tells_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = type(fsspec.filesystem("memory"))
    info = library.info
    monkeypatch.setattr(library, "info", lambda *args: {**info(*args), "md5Hash": "rL0Y20zC+Fzt72VPzMSk2A=="})  # of foo
    path = tmp_path / "a.txt"
    path.write_bytes(b"foo")
    storage.publish(path, "memory://checked/a.txt", Event())
    path.write_bytes(b"bar")
    with pytest.raises(PassingError, match="checksum"):
        storage.publish(path, "memory://checked/b.txt", Event())
    assert Store("memory://checked").tree() == {"a.txt": b"foo"}


def test_only_files_of_stores_that_show_whole_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="half done"):
        storage.publish(tmp_path, "ftp://host/a", Event())


# The real command


def test_the_real_command(s3: S3, picture: Tensor, tmp_path: Path) -> None:
    Image.fromarray(picture.numpy()).save(tmp_path / "people.png")
    s3.put("in/people.png", (tmp_path / "people.png").read_bytes())
    command = [sys.executable, "-m", "pipelines.cli", "run", f"{s3.root}/in", "-o", f"{s3.root}/out"]
    done = subprocess.run(
        [*command, "--method", "solid"], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"{s3.root}/in/people.png -> {s3.root}/out/people.png: 2 faces: 2 covered" in done.stdout
    (tmp_path / "result.png").write_bytes(s3.tree()["out/people.png"])
    with Image.open(tmp_path / "result.png") as result:
        changed = (np.asarray(result) != picture.numpy()).any(-1)
    assert changed[60:316, 40:296].mean() > 0.2
    assert changed[60:316, 344:600].mean() > 0.2
    assert not changed[:, :20].any()
