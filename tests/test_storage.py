"""Files that lie elsewhere: the same contract for every store, S3 by a server that speaks it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import fsspec
import numpy as np
import pytest
import s3fs
from fake_anonymizer import BOX, invoke, make_photo, make_video
from moto.server import ThreadedMotoServer
from PIL import Image
from torch import Tensor
from unreliable_server import UnreliableServer

from anonymizer.errors import ConfigError, MediaError, PassingError
from pipelines import staging, storage
from pipelines.inputs import Kind, Source
from pipelines.plan import Job
from pipelines.report import Result

MIB = 1 << 20


class Store:
    """A place to put files and to see what is there; the names of its files are relative to ``root``."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._files, self._top = fsspec.core.url_to_fs(root)

    def put(self, name: str, content: bytes) -> str:
        self._files.makedirs(f"{self._top}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(f"{self._top}/{name}", content)
        return f"{self.root}/{name}"

    def tree(self) -> dict[str, bytes]:
        self._files.invalidate_cache()
        names = self._files.find(self._top)
        return {name.removeprefix(f"{self._top}/"): self._files.cat_file(name) for name in names}


class S3(Store):
    def __init__(self, root: str, client: Any) -> None:
        self.root, self.client = root, client
        self._bucket, _, self._top = root.removeprefix("s3://").partition("/")
        client.create_bucket(Bucket=self._bucket)

    def put(self, name: str, content: bytes) -> str:
        self.client.put_object(Bucket=self._bucket, Key=f"{self._top}/{name}", Body=content)
        return f"{self.root}/{name}"

    def tree(self) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._top}/").get("Contents", [])
        names = [entry["Key"] for entry in found]
        return {
            name.removeprefix(f"{self._top}/"): self.client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
            for name in names
        }

    def uploads(self) -> int:
        return len(self.client.list_multipart_uploads(Bucket=self._bucket).get("Uploads", ()))

    def etag(self, name: str) -> str:
        return str(self.client.head_object(Bucket=self._bucket, Key=f"{self._top}/{name}")["ETag"])


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def server(moto: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnreliableServer]:
    """The one between this program and S3; a new S3 for every test."""
    server = UnreliableServer(moto)
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    yield server
    server.stop()


@pytest.fixture
def client(server: UnreliableServer) -> Any:
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.behind}")
    for bucket in client.list_buckets()["Buckets"]:
        for entry in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            client.delete_object(Bucket=bucket["Name"], Key=entry["Key"])
    return client


@pytest.fixture
def s3(client: Any) -> S3:
    return S3("s3://results/of/this", client)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where files lie in between: nothing may be left there."""
    path = tmp_path / "scratch"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    assert list(path.iterdir()) == []


def store(kind: str, name: str, request: pytest.FixtureRequest) -> Store:
    if kind == "s3":
        return S3(f"s3://{name}/a/tree", request.getfixturevalue("client"))
    if kind == "memory":
        fsspec.filesystem("memory").store.clear()
        return Store(f"memory://{name}/a/tree")
    return Store(f"file://{request.getfixturevalue('tmp_path')}/{name}")


def photo(folder: Path) -> bytes:
    return make_photo(folder / "photo.jpg").read_bytes()


def is_anonymized(content: bytes, folder: Path) -> bool:
    x0, y0, x1, y1 = BOX
    path = folder / "result"
    path.write_bytes(content)
    with Image.open(path) as picture:
        return bool(np.asarray(picture)[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].max() < 48)


# Every store


@pytest.mark.parametrize(
    ("there", "here"),
    [("memory", "file"), ("file", "memory"), ("memory", "memory"), ("s3", "file"), ("file", "s3"), ("s3", "s3")],
)
def test_tree_in_tree_out(there: str, here: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    given, made = store(there, "given", request), store(here, "made", request)
    strange = "b/ü ?#%20*" + (there == "s3") * "::" + "/"
    names = [f"{folder}{number}.jpg" for folder in ("", "b/", strange) for number in range(9)]
    for name in names:
        given.put(name, photo(tmp_path))
    given.put("b/clip.mp4", make_video(tmp_path / "clip.mp4").read_bytes())
    given.put("labels.csv", b"name,x\n")
    given.put(".hidden/a.jpg", photo(tmp_path))
    report = tmp_path / "report.json"
    result = invoke("run", given.root, "-o", made.root, "--report", report)
    tree = made.tree()
    assert sorted(tree) == sorted([*names, "b/clip.mp4", "labels.csv"])
    assert tree["labels.csv"] == b"name,x\n"
    assert all(is_anonymized(tree[name], tmp_path) for name in names)
    first, last = (f"{root.removeprefix('file://')}/0.jpg" for root in (given.root, made.root))
    assert f"{first} -> {last}: 1 face: 1 covered" in result.stdout
    assert "b/clip.mp4: 30 frames, 30 faces: 30 covered" in result.stdout
    assert ".hidden" in result.stderr
    written = json.loads(report.read_text())["inputs"]
    assert {"input": first, "output": last}.items() <= written[0].items()
    assert {row["kind"] for row in written} == {"photograph", "video", "file"}


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_single_files(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    files = store(kind, "files", request)
    url = files.put("a.jpg", photo(tmp_path))
    invoke("run", url, "-o", f"{files.root}/b.jpg")
    invoke("run", url, "-o", f"{files.root}/folder/")
    invoke("run", url, "-o", tmp_path / "c.jpg")
    invoke("run", tmp_path / "photo.jpg", "-o", f"{files.root}/d.jpg")
    tree = files.tree()
    assert sorted(tree) == ["a.jpg", "b.jpg", "d.jpg", "folder/a.jpg"]
    assert tree["b.jpg"] == tree["d.jpg"] == tree["folder/a.jpg"] == (tmp_path / "c.jpg").read_bytes()
    assert json.loads(invoke("inspect", url).stdout)["path"] == url


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_what_exists_is_not_replaced_and_inputs_never(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    given, made = store(kind, "given", request), store(kind, "made", request)
    original = photo(tmp_path)
    given.put("a.jpg", original)
    given.put("b.avi", original)
    given.put("b.mkv", original)
    made.put("a.jpg", b"precious")
    result = invoke("run", given.root, "-o", made.root, code=1)
    assert f"{given.root}/a.jpg: its result exists: {made.root}/a.jpg; --force" in result.stderr
    assert f"b.mkv: its result would take the place of that of {given.root}/b.avi" in result.stderr
    assert made.tree()["a.jpg"] == b"precious"
    invoke("run", f"{given.root}/a.jpg", "-o", f"{made.root}/a.jpg", "--force")
    assert is_anonymized(made.tree()["a.jpg"], tmp_path)
    same = given.root.replace("s3://", "s3a://")
    assert "take the place of an input" in invoke("run", given.root, "-o", same, "--force", code=1).stderr
    assert given.tree()["a.jpg"] == original


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_a_result_that_does_not_arrive_whole_is_not_there(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = store(kind, "files", request)
    source = make_photo(tmp_path / "a.jpg")
    library = fsspec.filesystem(kind)
    library = library if library.async_impl else type(library)  # of others, every thread has one of its own
    whole = library.put_file

    def half(*args: Any, **options: Any) -> None:
        Path(args[-2]).write_bytes(bytes(100))
        whole(*args)
        Path(args[-2]).write_bytes(bytes(200))

    monkeypatch.setattr(library, "put_file", half)
    result = invoke("run", source, "-o", f"{files.root}/a.jpg", code=1)
    assert result.stderr == f"Error: {files.root}/a.jpg: 100 of 200 bytes were written\n"
    assert files.tree() == {}


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_inputs_that_fail_keep_no_others_from_being_done(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = store(kind, "files", request)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.txt", "e.mp4"):
        files.put(name, photo(tmp_path))
    files.put("b.jpg", b"damaged")
    files.put("e.mp4", b"damaged")
    listing = storage.listing

    def before_a_change(url: str) -> dict[str, storage.Stored]:
        listed = listing(url)
        if "a.jpg" in listed:
            files.put("a.jpg", b"something else")
        return listed

    monkeypatch.setattr("pipelines.inputs.listing", before_a_change)
    result = invoke("run", files.root, "-o", tmp_path / "out", code=1)
    errors = {line.split(": ")[1]: line for line in result.stderr.splitlines()}
    assert list(errors) == [f"{files.root}/{name}" for name in ("a.jpg", "b.jpg", "e.mp4")]
    assert "has changed since it was listed" in errors[f"{files.root}/a.jpg"]
    assert [line.split(" -> ")[0] for line in result.stdout.splitlines()[:2]] == [
        f"{files.root}/c.jpg",
        f"{files.root}/d.txt",
    ]


# Names and URLs


def test_names_that_are_no_names_of_files(client: Any, tmp_path: Path) -> None:
    given = S3("s3://given/in", client)
    for name in ("a/", "a/../b.jpg", "/c.jpg", "a//d.jpg", "e\\f.jpg", "g\n.jpg", "./h.jpg"):
        given.put(name, b"" if name == "a/" else photo(tmp_path))
    given.put("i", b"a file and a folder")
    given.put("i/j.jpg", photo(tmp_path))
    given.put("k.jpg", photo(tmp_path))
    result = invoke("run", "s3://given/in", "-o", tmp_path / "out", code=1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    for name, why in {"a/../b.jpg": "..", "/c.jpg": "empty", "a//d.jpg": "empty", "e\\f.jpg": "backslash"}.items():
        assert any(f"{given.root}/{name}: it has" in error and why in error for error in errors), name
    assert len(errors) == 7
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert made in (["i", "k.jpg"], ["i/j.jpg", "k.jpg"])


def test_dry_run_and_results_inside_the_input(client: Any, tmp_path: Path) -> None:
    given = S3("s3://given/in", client)
    given.put("a.avi", photo(tmp_path))
    given.put("out/a.mkv", photo(tmp_path))
    result = invoke("run", "s3://given/in/", "-o", "s3://given/in/out", "--dry-run", code=1)
    assert "holds the results: 1 (s3://given/in/out/a.mkv)" in result.stderr
    assert "its result exists: s3://given/in/out/a.mkv" in result.stderr
    result = invoke("run", "s3://given/in", "-o", "s3://other", "--dry-run", code=1)
    assert "s3://other: there is no such file, prefix or bucket" in result.stderr
    invoke("run", "s3://given/none", "-o", tmp_path, code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory://in"], "say with -o where"),
        (["nope://in", "-o", "out"], "no such kind of store"),
        (["s3://me:hidden-word@in/a", "-o", "out"], "no password"),
        (["https://host/a.jpg?signature=hidden-word", "-o", "out"], "no password"),
        (["a.jpg", "-o", "http://host/out"], "half done"),
        (["gs://in", "-o", "out"], 'pip install "anonymizer[gcs]"'),
    ],
)
def test_urls_that_are_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    make_photo(Path("a.jpg"))
    result = invoke("run", *arguments, code=2)
    assert message in " ".join(result.stderr.split())
    assert "hidden-word" not in result.output


# Large objects and networks that fail


def put_large(folder: Path) -> Path:
    path = folder / "large.bin"
    path.write_bytes(np.random.default_rng(0).bytes(11 * MIB))
    return path


def test_large_objects_go_in_parts(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PART", 5 * MIB)
    path = put_large(tmp_path)
    storage.publish(path, f"{s3.root}/a.bin", Event())
    assert s3.etag("a.bin").endswith('-3"')
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
    assert result.stderr.startswith(f"Error: {s3.root}/large.bin: ")
    assert (s3.tree(), s3.uploads()) == ({}, 0)
    stop = Event()
    stop.set()
    server.fault = lambda method, path: None
    with pytest.raises(storage.StoppedError):
        storage.publish(path, f"{s3.root}/large.bin", stop)
    assert (s3.tree(), s3.uploads()) == ({}, 0)


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
    script = "\n".join(line.strip() for line in lines.splitlines())
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE
    )
    with process:
        assert server.hanging.wait(60)
        process.send_signal(signal.SIGKILL)
    assert (s3.tree(), s3.uploads()) == ({}, 1)
    assert len(list(scratch.iterdir())) == 1
    server.fault = lambda method, path: None
    invoke("run", tmp_path / "in", "-o", s3.root)
    assert list(s3.tree()) == ["large.bin"]
    assert s3.uploads() == 0


@pytest.mark.parametrize(
    ("fault", "passing"), [(503, True), (500, True), ("cut", True), (403, False), (404, False), ("gone", True)]
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
