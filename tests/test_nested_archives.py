"""Archives in archives, to a stated depth."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive_samples import Entry, entries_of, is_covered, make, rewrite

from pipelines import archives

pytestmark = pytest.mark.usefixtures("scratch")


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
