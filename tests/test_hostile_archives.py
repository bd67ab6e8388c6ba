"""Archives that are hostile or damaged are refused as a whole, with a reason, and nothing is written."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from archive_samples import DATE, Entry, entries_of, make, packed, rewrite, tar_bytes, with_unicode_path

from pipelines import members, zips

pytestmark = pytest.mark.usefixtures("scratch")


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
    "zip, behind a program": (
        changed("deflated.zip", lambda data: b"MZ" + bytes(5000) + data),
        "is a zip archive with other bytes before it",
    ),
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
    inner = make(tmp_path / "inner.zip", [Entry("blanks.txt", b" " * 300_000)]).read_bytes()
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
