"""Archives of all formats: the same members, in which photographs and videos are others."""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from archive_samples import DATE, NAMES, Entry, entries_of, make, packed, tar_bytes
from fake_anonymizer import BOX, FakeAnonymizer, Run, Unable, invoke, make_photo, make_video
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from pipelines import archives, members, zips
from pipelines.archives import rewrite_archive
from pipelines.inputs import Kind, Source, kind_of
from pipelines.jobs import AT_ONCE, anonymize
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path, None, None]:
    """Where originals lie for a while; nothing may stay."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("media")
    paths = [make_photo(folder / "a.jpg"), make_photo(folder / "a.png"), make_photo(folder / "square.jpg", (32, 32))]
    paths += [
        make_video(folder / "a.mp4", range(0, 500, 100)),
        make_video(folder / "a.avi", range(0, 500, 100), "mpeg4"),
    ]
    return {path.name: path.read_bytes() for path in paths}


def rewrite(path: Path, anonymizer: type[FakeAnonymizer] = FakeAnonymizer, **settings: object) -> Result:
    """Into a folder ``out`` beside it."""
    work = partial(anonymize, anonymizer=anonymizer(), output=OutputConfig())  # type: ignore[arg-type]
    return rewrite_archive(Job(Source(path, Kind.ARCHIVE, **settings), path.parent / "out" / path.name), work)  # type: ignore[arg-type]


def is_covered(data: bytes) -> bool:
    x0, y0, x1, y1 = BOX
    with Image.open(io.BytesIO(data)) as picture:
        box = picture.convert("L").crop((x0 + 2, y0 + 2, x1 - 2, y1 - 2))
        return box.getextrema()[1] < 48  # type: ignore[operator]


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
        Entry("array.npy", b"\x93NUMPY"),
        Entry("no\nline.jpg", b""),
        Entry("square.jpg", media["square.jpg"]),
        Entry("b.txt", b"b"),
    ]
    path = make(tmp_path / name, entries)
    result = rewrite(path, Unable)
    assert result.error is None
    assert not result.ok
    assert [entry.name for entry in entries_of(result.job.target)] == ["a.jpg", "b.txt"]
    damaged, array, line, square = result.missing
    assert damaged.startswith(f"{path}: damaged.jpg: is damaged")
    assert array.startswith(f"{path}: array.npy: is not copied")
    assert line == f"{path}: 'no\\nline.jpg': the file is empty"
    assert square == f"{path}: square.jpg: no faces for squares"


@pytest.mark.parametrize("name", ["deflated.zip", "a.tar", "a.tar.zst"])
def test_interrupted_leaves_nothing(tmp_path: Path, media: dict[str, bytes], name: str) -> None:
    class Interrupted(FakeAnonymizer):
        def stills(self, frames):  # type: ignore[no-untyped-def]
            if self.timings["detect"] > 0.002:
                raise KeyboardInterrupt
            return super().stills(frames)

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
        def stills(self, frames):  # type: ignore[no-untyped-def]
            nonlocal most
            (folder,) = scratch.iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            most = max(most, len(list(folder.glob("?*.jpg"))))
            return super().stills(frames)

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
        path = make(Path(folder, archive), [Entry(name, name.encode()) for name in names])
        result = rewrite(path)
        assert {entry.name: entry.content for entry in entries_of(result.job.target)} == {
            name: name.encode() for name in names
        }


# Archives in archives


def nest(tmp_path: Path, entry: Entry, depth: int) -> Path:
    """A file in ``depth`` archives, of formats in turn."""
    names = ["a.zip", "b.tar.gz", "c.tar", "d.tar.zst"]
    for level in range(depth):
        path = make(tmp_path / "nest" / names[level % 4], [entry, Entry("note.txt", b"here")])
        entry = Entry(path.name, path.read_bytes())
    return path


def test_archives_in_archives(tmp_path: Path, media: dict[str, bytes]) -> None:
    path = nest(tmp_path, Entry("a.jpg", media["a.jpg"]), archives.DEPTH + 1)
    result = rewrite(path)
    assert (result.ok, result.frames, result.members) == (True, 1, archives.DEPTH + 2)
    for level in range(archives.DEPTH + 1):
        inner, note = entries_of(path := result.job.target if level == 0 else tmp_path / f"{level}{path.suffix}")
        assert note.content == b"here"
        path = Path(inner.name)
        (tmp_path / f"{level + 1}{path.suffix}").write_bytes(inner.content or b"")
    assert is_covered(inner.content or b"")


def test_archives_too_deep_are_left_out(tmp_path: Path, media: dict[str, bytes]) -> None:
    result = rewrite(nest(tmp_path, Entry("a.jpg", media["a.jpg"]), archives.DEPTH + 2))
    assert result.members == archives.DEPTH + 1
    (line,) = result.missing
    assert line.startswith(
        f"{tmp_path / 'nest' / 'a.zip'}: d.tar.zst: c.tar: b.tar.gz: a.zip: is not opened: lies in 4"
    )


def test_hostile_archive_in_an_archive_is_left_out(tmp_path: Path) -> None:
    inner = make(tmp_path / "inner.zip", [Entry("../a.txt", b"a")])
    result = rewrite(make(tmp_path / "a.tar", [Entry("inner.zip", inner.read_bytes()), Entry("b.txt", b"b")]))
    assert [entry.name for entry in entries_of(result.job.target)] == ["b.txt"]
    assert "inner.zip: is refused: ../a.txt points out of the archive" in result.missing[0]


# What is refused


def in_tar(name: str = "a.txt", **fields: object) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / "a.tar"
        path.write_bytes(tar_bytes([Entry("b.txt", b"b"), Entry(name)], partial(spoil, name, fields)))
        return path

    return build


def spoil(name: str, fields: dict[str, object], info: tarfile.TarInfo) -> None:
    for field, value in fields.items() if info.name == name else ():
        setattr(info, field, value)


def in_zip(*names: str, **fields: object) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            for name in ("b.txt", *names):
                info = zipfile.ZipInfo(name, DATE)
                for field, value in fields.items():
                    setattr(info, field, value)
                archive.writestr(info, "b.txt")
        return folder / "a.zip"

    return build


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = make(folder / name, [Entry("a.txt", b"some text " * 500), Entry("b.txt", os.urandom(5000))])
        path.write_bytes(change(path.read_bytes()))
        return path

    return build


def tarred(change: Callable[[bytes], bytes], name: str = "a.tar") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        data = tar_bytes([Entry("a.txt", b"some text " * 500), Entry("b.txt", bytes(5000))])
        (folder / name).write_bytes(packed(folder / name, change(data)))
        return folder / name

    return build


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def encrypted(data: bytes) -> bytes:
    return flip(data, data.index(b"PK\x01\x02") + 8)


def sparse(data: bytes) -> bytes:
    """A header of GNU tar's, with its checksum."""
    header = bytearray(data[1024:1536])  # after the headers that extend it
    header[156:157] = b"S"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:1024] + bytes(header) + data[1536:]


def with_unicode_path(folder: Path, name: str) -> Path:
    info = zipfile.ZipInfo("a.txt", DATE)
    field = struct.pack("<BI", 1, zlib.crc32(b"a.txt")) + name.encode()
    info.extra = struct.pack("<HH", 0x7075, len(field)) + field
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr(info, "a")
    return folder / "a.zip"


def duplicate(folder: Path) -> Path:
    return make(folder / "a.tar.gz", [Entry("a.txt", b"a"), Entry("./a.txt", b"b")])


HOSTILE = {
    "tar, absolute": (in_tar("/etc/passwd"), "/etc/passwd has an absolute name"),
    "tar, up": (in_tar("a/../../b"), "points out"),
    "tar, backslash": (in_tar("a\\..\\b"), "backslash"),
    "tar, drive": (in_tar("C:a.txt"), "absolute"),
    "tar, symbolic link": (in_tar(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a.txt is a link"),
    "tar, hard link": (in_tar(type=tarfile.LNKTYPE, linkname="b.txt"), "a.txt is a link"),
    "tar, device": (in_tar(type=tarfile.CHRTYPE), "a.txt is a link, or no file"),
    "tar, pipe": (in_tar(type=tarfile.FIFOTYPE), "a.txt is a link, or no file"),
    "tar, unknown": (in_tar(type=b"V"), "a.txt is a link, or no file"),
    "tar, sparse": (tarred(sparse), "a.txt is sparse"),
    "tar, sparse by pax": (in_tar(pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": "9"}), "a.txt is sparse"),
    "tar, long header": (in_tar(pax_headers={"comment": "x" * (1 << 21)}), "header of great size"),
    "tar, twice": (duplicate, "./a.txt is there twice"),
    "tar, cut in a member": (tarred(lambda data: data[:4000]), "cut off"),
    "tar, cut in a header": (tarred(lambda data: data[:700]), "cut off"),
    "tar, cut between members": (tarred(lambda data: data.rstrip(b"\0")[: -len(data) % 512 or None]), "cut off"),
    "tar, no end": (tarred(lambda data: data[: 512 * 24]), "cut off"),
    "tar, damaged header": (tarred(lambda data: flip(data, 1030)), "damaged"),
    "tar, data after its end": (tarred(lambda data: data + b"face"), "after its end"),
    "tar, two in one": (tarred(lambda data: data * 2, "a.tar.zst"), "after its end"),
    "zip, absolute": (in_zip("/etc/passwd"), "absolute"),
    "zip, up": (in_zip("../a.txt"), "points out"),
    "zip, backslash": (in_zip("..\\a.txt"), "backslash"),
    "zip, drive": (in_zip("c:\\a.txt"), "absolute"),
    "zip, link": (in_zip("a.txt", external_attr=0o120777 << 16), "is a link"),
    "zip, pipe": (in_zip("a.txt", external_attr=0o010644 << 16), "is a link, or no file"),
    "zip, full folder": (in_zip("a/"), "folder with content"),
    "zip, other name in UTF-8": (partial(with_unicode_path, name="../a.txt"), "../a.txt points out"),
    "zip, encrypted": (changed("deflated.zip", encrypted), "encrypted"),
    "zip, cut": (changed("deflated.zip", lambda data: data[:-30]), "cut off"),
    "zip, damaged": (changed("deflated.zip", lambda data: flip(data, 60)), "damaged"),
    "zip, wrong sum": (changed("stored.zip", lambda data: flip(data, 60)), "damaged"),
    "zip, two names": (changed("stored.zip", lambda data: data.replace(b"a.txt", b"c.txt", 1)), "differ"),
    "zip, name with a hidden part": (
        changed("stored.zip", lambda data: data.replace(b"a.txt", b"a\0txt")),
        "hides a part of its name",
    ),
    "zip, unknown packing": (
        changed("deflated.zip", lambda data: data.replace(b"\x14\0\0\0\x08\0", b"\x14\0\0\0\x09\0")),
        "not read",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, case: str) -> None:
    build, why = HOSTILE[case]
    path = build(tmp_path)
    result = rewrite(path)
    assert why in str(result.error)
    assert str(result.error).startswith(f"{path}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    assert "twice" in str(rewrite(in_zip("a.txt", "a.txt")(tmp_path)).error)


@pytest.mark.parametrize("name", ["deflated.zip", "bzip2.zip", "lzma.zip", "a.tar.gz", "a.tar.xz", "a.tar.zst"])
def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(members, "FREE", 1 << 20)
    path = make(tmp_path / name, [Entry("zeros.txt", bytes(8 << 20))])
    result = rewrite(path)
    assert "like a bomb" in str(result.error)
    assert result.unpacked < 4 << 20
    assert not (tmp_path / "out").exists()


def test_bomb_of_archives_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "FREE", 1 << 20)
    inner = make(tmp_path / "inner.zip", [Entry("zeros.txt", bytes(300_000))]).read_bytes()
    assert rewrite(make(tmp_path / "good.zip", [Entry("0.zip", inner), Entry("1.zip", inner)])).ok
    result = rewrite(make(tmp_path / "a.zip", [Entry(f"{number}.zip", inner) for number in range(9)]))
    assert "like a bomb" in str(result.error)
    assert not (tmp_path / "out" / "a.zip").exists()


@pytest.mark.parametrize("name", ["deflated.zip", "a.tar"])
def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(members, "MEMBERS", 9)
    path = make(tmp_path / name, [Entry(f"{number}.txt", b"a") for number in range(10)])
    assert "more than 9 members" in str(rewrite(path).error)


def test_directory_of_great_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "DIRECTORY", 200)
    path = make(tmp_path / "a.zip", [Entry(f"{number}.txt", b"a") for number in range(9)])
    assert "too many members" in str(rewrite(path).error)


def test_bytes_that_no_member_holds_are_left_behind(tmp_path: Path, media: dict[str, bytes]) -> None:
    path = make(tmp_path / "a.zip", [Entry("a.txt", b"a"), Entry("b.txt", b"b")])
    data, face = path.read_bytes(), media["a.jpg"]
    with zipfile.ZipFile(path) as archive:
        second = archive.infolist()[1].header_offset
        start = archive.start_dir
    data = data[:second] + face + data[second:]  # between two members
    at = start + len(face)
    entry = data.rindex(b"PK\x01\x02") + 42
    data = data[:entry] + (second + len(face)).to_bytes(4, "little") + data[entry + 4 :]
    end = data.rindex(b"PK\x05\x06")
    path.write_bytes(data[: end + 16] + at.to_bytes(4, "little") + data[end + 20 :])
    result = rewrite(path)
    assert [entry.content for entry in entries_of(result.job.target)] == [b"a", b"b"]
    assert face[:50] in path.read_bytes()
    assert face[:50] not in result.job.target.read_bytes()


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


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return invoke


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
