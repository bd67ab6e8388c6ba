"""Files that lie elsewhere: the same contract for every store, S3 by a server that speaks it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fake_anonymizer import BOX, invoke, make_photo, make_video
from PIL import Image
from stores import S3, Store, photo

from pipelines import storage
from pipelines.places import place

pytestmark = pytest.mark.usefixtures("scratch")


def store(kind: str, name: str, request: pytest.FixtureRequest) -> Store:
    if kind == "s3":
        return S3(f"s3://{name}/a/tree", request.getfixturevalue("client"))
    if kind == "memory":
        fsspec.filesystem("memory").store.clear()
        return Store(f"memory://{name}/a/tree")
    return Store(f"file://{request.getfixturevalue('tmp_path')}/{name}")


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
def test_the_same_command_again_does_only_what_is_left(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    given, made = store(kind, "given", request), store(kind, "made", request)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        given.put(name, photo(tmp_path))
    made.put("d.jpg", b"precious")
    invoke("run", given.root, "-o", made.root, code=1)
    before = made.tree()
    given.put("a.jpg", make_photo(tmp_path / "other.jpg", (64, 64)).read_bytes())
    made.put("b.jpg", b"damaged")
    result = invoke("run", given.root, "-o", made.root, code=1)
    assert f"{given.root}/a.jpg: is done again: the input " in result.stderr
    assert f"{given.root}/b.jpg: is done again: its output was changed" in result.stderr
    assert "2 written; 1 done before; 1 failed" in result.stdout
    after = made.tree()
    assert {name for name in after if after[name] == before[name]} == {"b.jpg", "c.jpg", "d.jpg"}
    assert after["d.jpg"] == b"precious"


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
    monkeypatch.setattr("pipelines.batch.PAUSE", 0)
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
    for name in ("a/", "a/../b.jpg", "/c.jpg", "a//d.jpg", "e\\f.jpg", "g\t.jpg", "./h.jpg"):
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
    assert "s3://other/: there is no such file, prefix or bucket" in result.stderr
    invoke("run", "s3://given/none", "-o", tmp_path, code=1)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///tmp/x", b"/tmp/x"),
        ("file://localhost/tmp/x", b"/tmp/x"),
        ("FILE://LocalHost/tmp/a%20b%25/%C3%BC%FF", b"/tmp/a b%/\xc3\xbc\xff"),
        ("file:///tmp/a?b#c", b"/tmp/a?b#c"),
        ("/tmp/a%20b", b"/tmp/a%20b"),
    ],
)
def test_paths_of_this_machine(url: str, path: bytes) -> None:
    assert place(url) == Path(os.fsdecode(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory://in"], "say with -o where"),
        (["nope://in", "-o", "out"], "no such kind of store"),
        (["s3://me:hidden-word@in/a", "-o", "out"], "no password"),
        (["https://host/a.jpg?signature=hidden-word", "-o", "out"], "no password"),
        (["a.jpg", "-o", "http://host/out"], "half done"),
        (["a.jpg", "-o", "file://host/out"], "a path of this machine"),
        (["file://", "-o", "out"], "a path of this machine"),
        (["file:///a%00b", "-o", "out"], "a path of this machine"),
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
