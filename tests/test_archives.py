"""Archives of all formats: the same members, in which photographs and videos are others."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import numpy as np
import pytest
from archive_samples import NAMES, Entry, entries_of, is_covered, make, rewrite, with_unicode_path
from fake_anonymizer import FakeAnonymizer, Run, Unable
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from pipelines.archives import rewrite_archive
from pipelines.inputs import Kind, Source, kind_of
from pipelines.jobs import AT_ONCE, anonymize
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig

pytestmark = pytest.mark.usefixtures("scratch")


def some(media: dict[str, bytes]) -> list[Entry]:
    return [
        Entry("./set", None, 0o755),
        Entry("./set/0001.jpg", media["a.jpg"], 0o640, "1600000000.123456789"),
        Entry("./set/0001.cls", b"7"),
        Entry("labels.json", b'{"set/0001.jpg": [1, 2, 3, 4]}' * 1000, 0o600),
        Entry("empty", None, 0o700),
        Entry("z/jürgen – 日本.png", media["a.png"], 0o644, "1500000000"),
        Entry("a/clip.mp4", media["a.mp4"]),
        Entry("nothing.txt", b""),
        Entry("last", None, 0o755),
    ]


# What stays


@pytest.mark.parametrize("name", NAMES)
def test_members_stay_and_photographs_are_others(tmp_path: Path, media: dict[str, bytes], name: str) -> None:
    before = entries_of(make(tmp_path / name, some(media)))
    result = rewrite(tmp_path / name)
    assert (result.error, result.missing) == (None, [])
    assert (result.members, result.frames, result.faces) == (6, 7, {"covered": 7})
    after = entries_of(result.job.target)
    for old, new in zip(before, after, strict=True):
        assert (old.name, old.mode, old.time, old.folder) == (new.name, new.mode, new.time, new.folder)
        if old.name.endswith((".jpg", ".png")):
            assert is_covered(new.content or b"")
        elif old.name.endswith(".mp4"):
            assert new.content not in (old.content, None)
        else:
            assert new.content == old.content
    assert b"Jane" not in result.job.target.read_bytes()
    assert kind_of(result.job.target) is Kind.ARCHIVE


@pytest.mark.parametrize("name", NAMES)
def test_members_that_fail_are_left_out_and_told(tmp_path: Path, media: dict[str, bytes], name: str) -> None:
    entries = [
        Entry("a.jpg", media["a.jpg"]),
        Entry("damaged.jpg", media["a.jpg"][:300]),
        Entry("damaged.cls", b"of a sample that is not whole any more"),
        Entry("array.npy", b"\x93NUMPY" + bytes(100)),
        Entry("no\nline.jpg", b""),
        Entry("square.jpg", media["square.jpg"]),
        Entry("b.txt", b"b"),
    ]
    path = make(tmp_path / name, entries)
    result = rewrite(path, Unable)
    assert result.error is None
    assert not result.ok
    assert [entry.name for entry in entries_of(result.job.target)] == ["a.jpg", "damaged.cls", "b.txt"]
    damaged, array, line, square = result.missing
    assert damaged.startswith(f"{path}: damaged.jpg: is damaged")
    assert array.startswith(f"{path}: array.npy: is not copied")
    assert line == f"{path}: 'no\\nline.jpg': the file is empty"
    assert square == f"{path}: square.jpg: no faces for squares"


def test_archive_is_tried_again_where_a_member_fails_for_what_may_pass(tmp_path: Path, media: dict[str, bytes]) -> None:
    class Full(FakeAnonymizer):
        def stills(self, frames, evidence=None):  # type: ignore[no-untyped-def]
            raise OSError(errno.ENOSPC, "full")

    result = rewrite(make(tmp_path / "a.zip", [Entry("a.jpg", media["a.jpg"]), Entry("b.txt", b"b")]), Full)
    assert result.passing
    assert "is not whole" in str(result.error)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["deflated.zip", "a.tar", "a.tar.zst"])
def test_interrupted_leaves_nothing(tmp_path: Path, media: dict[str, bytes], name: str) -> None:
    class Interrupted(FakeAnonymizer):
        def stills(self, frames, evidence=None):  # type: ignore[no-untyped-def]
            if self.timings["detect"] > 0.002:
                raise KeyboardInterrupt
            return super().stills(frames, evidence)

    path = make(tmp_path / name, [Entry(f"{number}.jpg", media["a.jpg"]) for number in range(20)])
    with pytest.raises(KeyboardInterrupt):
        rewrite(path, Interrupted)
    assert list((tmp_path / "out").iterdir()) == []


def test_webdataset_shard_keeps_keys_and_order(tmp_path: Path, media: dict[str, bytes]) -> None:
    entries = []
    for number in range(12):
        key = f"shard/{number:06}"
        entries += [Entry(f"{key}.input.jpg", media["a.jpg"]), Entry(f"{key}.cls", b"%d" % number)]
        entries += [Entry(f"{key}.json", b'{"key": %d}' % number)]
    result = rewrite(make(tmp_path / "000000.tar", entries))
    after = entries_of(result.job.target)
    assert [entry.name for entry in after] == [entry.name for entry in entries]
    assert all(new.content == old.content for old, new in zip(entries, after, strict=True) if ".jpg" not in old.name)
    assert all(is_covered(new.content or b"") for new in after if ".jpg" in new.name)


def test_few_members_lie_on_the_disk_at_a_time(tmp_path: Path, scratch: Path, media: dict[str, bytes]) -> None:
    most = 0

    class Looking(FakeAnonymizer):
        def stills(self, frames, evidence=None):  # type: ignore[no-untyped-def]
            nonlocal most
            (folder,) = scratch.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            most = max(most, len(list(folder.glob("?*.jpg"))))
            return super().stills(frames, evidence)

    path = make(tmp_path / "a.tar", [Entry(f"{number}.jpg", media["a.jpg"]) for number in range(40)])
    assert rewrite(path, Looking).members == 40
    assert 1 <= most <= AT_ONCE + 1  # and the one that is being unpacked


def test_photograph_keeps_its_format_whatever_its_name_says(tmp_path: Path, media: dict[str, bytes]) -> None:
    result = rewrite(make(tmp_path / "a.tar", [Entry("a.dat", media["a.png"]), Entry("b.jpg", media["a.png"])]))
    for entry in entries_of(result.job.target):
        with Image.open(io.BytesIO(entry.content or b"")) as picture:
            assert picture.format == "PNG"


def test_video_whose_container_cannot_be_written_changes_its_suffix(
    tmp_path: Path, media: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [Entry("a.avi", media["a.avi"]), Entry("b.AVI", media["a.avi"]), Entry("b.mkv", b"no film")]
    result = rewrite(make(tmp_path / "a.zip", entries))
    assert [entry.name for entry in entries_of(result.job.target)] == ["a.mkv"]
    taken, damaged = result.missing
    assert "b.AVI: its result would take the place of b.mkv" in taken
    assert "b.mkv: " in damaged
    assert "a.avi: becomes a.mkv" in capsys.readouterr().err


def test_names_in_old_code_pages_stay(tmp_path: Path) -> None:
    for number, raw in enumerate((b"caf\x82.txt", "кот.txt".encode("cp866"), "猫.txt".encode("gbk"))):
        path = make(tmp_path / f"{number}.zip", [Entry("x" * len(raw), b"a")])
        path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
        result = rewrite(path)
        assert result.ok
        assert result.job.target.read_bytes().count(raw) == 2


def test_names_in_no_code_page_stay(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9/\xff.txt")
    result = rewrite(make(tmp_path / "a.tar.gz", [Entry(name, b"a")]))
    assert result.ok
    assert [entry.name for entry in entries_of(result.job.target)] == [name]


def test_name_in_utf8_beside_one_in_an_old_code_page_stays(tmp_path: Path) -> None:
    result = rewrite(with_unicode_path(tmp_path, "кот.txt"))
    assert [entry.name for entry in entries_of(result.job.target)] == ["кот.txt"]


def test_document_is_an_archive(tmp_path: Path, media: dict[str, bytes]) -> None:
    path = make(tmp_path / "a.docx", [Entry("word/document.xml", b"<w/>"), Entry("word/media/1.jpg", media["a.jpg"])])
    assert kind_of(path) is Kind.ARCHIVE
    assert is_covered(entries_of(rewrite(path).job.target)[1].content or b"")


def old_tar(data: bytes) -> bytes:
    """Without the mark by which the content tells that it is one."""
    file = io.BytesIO(data)
    out = bytearray(data)
    with tarfile.open(fileobj=file) as archive:
        for info in archive:
            at = info.offset_data - 512
            header = out[at : at + 512]
            header[257:265], header[148:156] = bytes(8), b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            out[at : at + 512] = header
    return bytes(out)


def test_old_tar_is_an_archive_by_its_name(tmp_path: Path, media: dict[str, bytes]) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = len(media["a.jpg"])
        archive.addfile(info, io.BytesIO(media["a.jpg"]))
    path.write_bytes(old_tar(path.read_bytes()))
    assert b"ustar" not in path.read_bytes()
    assert kind_of(path) is Kind.ARCHIVE
    assert is_covered(entries_of(rewrite(path).job.target)[0].content or b"")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_what_only_claims_to_be_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no archive at all, but of some length" * 100)
    assert kind_of(path) is Kind.ARCHIVE
    assert rewrite(path).error
    assert not (tmp_path / "out").exists()


safe_names = st.lists(
    st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda part: part not in (".", "..") and part[1:2] != ":"
    ),
    min_size=1,
    max_size=5,
).map("/".join)


@settings(max_examples=30, deadline=None)
@given(st.lists(safe_names, unique=True, min_size=1, max_size=4), st.sampled_from(["a.zip", "a.tar.gz"]))
def test_any_safe_name_stays(names: list[str], archive: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder, archive), [Entry(name, ascii(name).encode()) for name in names])
        result = rewrite(path)
        assert {entry.name: entry.content for entry in entries_of(result.job.target)} == {
            name: ascii(name).encode() for name in names
        }


@pytest.mark.parametrize(
    "lose", [lambda results: results[1:], lambda results: results[:-1], lambda results: results[::-1]]
)
def test_results_of_others_are_refused(tmp_path: Path, lose: Callable[[list[Result]], list[Result]]) -> None:
    def work(jobs: Iterable[Job]) -> Generator[Result, None, None]:
        yield from lose(list(anonymize(jobs, FakeAnonymizer(), OutputConfig())))  # type: ignore[arg-type]

    path = make(tmp_path / "a.tar", [Entry("a.txt", b"a"), Entry("b.txt", b"b"), Entry("c", None)])
    result = rewrite_archive(Job(Source(path, Kind.ARCHIVE), tmp_path / "out" / "a.tar"), work)
    assert "next one" in str(result.error) or "nothing became of" in str(result.error)
    assert list((tmp_path / "out").iterdir()) == []


# The command


def test_command_rewrites_archives(run: Run, media: dict[str, bytes]) -> None:
    make(Path("in.tar.gz"), some(media))
    assert "in.tar.gz -> in_anonymized.tar.gz: 6 members, 7 frames, 7 faces" in run("run", "in.tar.gz").stdout
    assert len(entries_of(Path("in_anonymized.tar.gz"))) == 9
    make(Path("bad.zip"), [Entry("a.jpg", b"\xff\xd8"), Entry("b.txt", b"b")])
    assert "Error: bad.zip: a.jpg: " in run("run", "bad.zip", code=1).stderr
    assert [entry.name for entry in entries_of(Path("bad_anonymized.zip"))] == ["b.txt"]


def test_inspect_does_not_look_into_archives(run: Run, media: dict[str, bytes]) -> None:
    make(Path("in/a.zip"), some(media))
    Path("in/a.txt").write_text("a")
    assert "a.zip: archives and tables are not looked into" in run("inspect", "in", code=1).stderr


def test_real_networks(run: Run, picture: Tensor) -> None:
    png = io.BytesIO()
    Image.fromarray(picture.numpy()).save(png, "PNG")
    make(Path("a.tar.zst"), [Entry("people.png", png.getvalue()), Entry("people.cls", b"2")])
    assert "2 members, 2 faces: 2 generated" in run("run", "a.tar.zst", "--seed", 7, load=None).stdout
    after, sidecar = entries_of(Path("a_anonymized.tar.zst"))
    assert sidecar.content == b"2"
    with Image.open(io.BytesIO(after.content or b"")) as drawn:
        changed = (np.asarray(drawn) != picture.numpy()).any(-1)
    assert changed[150:250, 120:220].mean() > 0.9  # the face on the left
    assert not changed[:40].any()
