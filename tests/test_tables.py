"""Tables of Parquet and Arrow: the same rows, in which pictures are others."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_anonymizer import FakeAnonymizer, Run, Unable
from table_samples import FORMATS, HF, PICTURE, form_if_covered, read, rewrite, write

from pipelines import members

pytestmark = pytest.mark.usefixtures("scratch")


def pictures(media: dict[str, bytes]) -> pa.Table:
    """Ten rows with pictures as Hugging Face stores them, as bare bytes and in lists, and with much else."""
    jpeg, png = media["a.jpg"], media["a.png"]
    columns = {
        "image": pa.array(
            [{"bytes": jpeg, "path": "a.jpg"}, None, {"bytes": None, "path": "far.jpg"}] * 3 + [None], PICTURE
        ),
        "png": pa.array([png, None] * 5, pa.large_binary()),
        "list": pa.array([[{"bytes": png, "path": None}] * 2, [], None, [None], []] * 2, pa.list_(PICTURE)),
        "large": pa.array([[jpeg], None] * 5, pa.large_list(pa.binary())),
        "pair": pa.array([[jpeg, png], None, None, None, [None, None]] * 2, pa.list_(pa.binary(), 2)),
        "video": pa.array([{"bytes": media["a.mp4"], "path": "a.mp4"}] + [None] * 9, PICTURE),
        "label": pa.array(["cat", None, "dög", "", "x"] * 2),
        "class": pa.array(["cat", "dog"] * 5).dictionary_encode(),
        "digest": pa.array([bytes([number] * 32) for number in range(10)], pa.binary(32)),
        "boxes": pa.array([[[1.5, 2, 3, 4]] * number for number in range(10)]),
        "embedding": pa.array(np.random.default_rng(0).random((10, 512)).tolist(), pa.list_(pa.float32())),
        "objects": pa.array([{"id": [1, 2], "name": ["a", "b"]}, None] * 5),
        "tags": pa.array([[("a", "b")], None] * 5, pa.map_(pa.string(), pa.string())),
        "price": pa.array([Decimal("1.50"), None] * 5),
        "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * 10, pa.binary(16))),
        "time": pa.array([0] * 10, pa.timestamp("us", "UTC")),
        "flag": pa.array([True, None] * 5),
        "none": pa.nulls(10),
    }
    fields = [pa.field(name, column.type, metadata={b"note": name.encode()}) for name, column in columns.items()]
    return pa.table(list(columns.values()), schema=pa.schema(fields, metadata=HF))


PICTURES = ("image", "png", "list", "large", "pair", "video")

FORMS = {"image": "JPEG", "png": "PNG", "list": "PNG", "large": "JPEG"}


def flat(value: object) -> list[bytes]:
    """All bytes in a value."""
    if isinstance(value, dict):
        return flat(value["bytes"])
    if isinstance(value, list):
        return [data for item in value for data in flat(item)]
    return [value] if isinstance(value, bytes) else []


@pytest.mark.parametrize("name", FORMATS)
def test_rows_stay_and_pictures_are_others(tmp_path: Path, media: dict[str, bytes], name: str) -> None:
    path = write(pictures(media), tmp_path / name)
    result = rewrite(path)
    assert (result.error, result.missing) == (None, [])
    assert result.faces == {"covered": 3 + 5 + 4 + 5 + 4 + 5}
    (before, groups, codecs), (after, *others) = read(path), read(result.job.target)
    assert others == [groups, codecs]
    assert groups == [4, 4, 2]
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.drop_columns(PICTURES).equals(before.drop_columns(PICTURES))
    for column in PICTURES:
        old, new = before[column].to_pylist(), after[column].to_pylist()
        assert [value is None for value in old] == [value is None for value in new]
        assert [len(flat(value)) for value in old] == [len(flat(value)) for value in new]
        if form := FORMS.get(column):
            assert {form_if_covered(data) for value in new for data in flat(value)} == {form}
    assert [form_if_covered(data) for data in after["pair"][0].as_py()] == ["JPEG", "PNG"]
    assert [value and value["path"] for value in after["image"].to_pylist()] == ["a.jpg", None, "far.jpg"] * 3 + [None]
    for secret in media.values():
        assert secret[-200:] not in result.job.target.read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_pictures_that_fail_become_null_and_are_told(tmp_path: Path, media: dict[str, bytes], name: str) -> None:
    bad = {"bytes": media["a.jpg"][:300], "path": "bad.jpg"}
    good = {"bytes": media["a.jpg"], "path": "good.jpg"}
    images = pa.array([good] * 5 + [bad] + [good] * 4, PICTURE)
    squares = pa.array([None, [media["a.png"], media["square.jpg"]]] * 5)
    path = write(pa.table({"image": images, "squares": squares}), tmp_path / name)
    result = rewrite(path, Unable)
    assert result.error is None
    assert not result.ok
    table = read(result.job.target)[0]
    assert [value is None for value in table["image"].to_pylist()] == [number == 5 for number in range(10)]
    assert [len(value or []) for value in table["squares"].to_pylist()] == [0, 2] * 5
    assert table["squares"][1].as_py()[1] is None
    assert any(line.startswith(f"{path}: column image.bytes, row 5: is damaged") for line in result.missing)
    assert f"{path}: column squares, row 9: no faces for squares" in result.missing
    assert len(result.missing) == 6


@pytest.mark.parametrize("name", FORMATS)
def test_table_fails_where_nulls_are_not_allowed(tmp_path: Path, media: dict[str, bytes], name: str) -> None:
    schema = pa.schema([pa.field("image", pa.binary(), nullable=False)])
    path = write(pa.table([[media["a.jpg"]] * 6 + [media["a.jpg"][:-100]]], schema), tmp_path / name)
    result = rewrite(path)
    assert "one failed" in str(result.error)
    assert "column image, row 6: is damaged" in str(result.error)
    assert list((tmp_path / "out").iterdir()) == []


def test_encoding_of_each_column_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    codecs = {"a": "SNAPPY", "b.c": "NONE", "b.d": "GZIP", "e": "LZ4", "f": "BROTLI"}
    table = pa.table({"a": ["x"] * 9, "b": [{"c": 1, "d": "y"}] * 9, "e": [1] * 9, "f": [2] * 9})
    pq.write_table(table, path, compression=codecs, use_dictionary=["b.d"], write_page_index=True)

    def columns(path: Path) -> list[tuple[object, ...]]:
        group = pq.ParquetFile(path).metadata.row_group(0)
        every = [group.column(number) for number in range(group.num_columns)]
        return [(c.path_in_schema, c.compression, c.has_dictionary_page, c.has_column_index) for c in every]

    assert columns(rewrite(path).job.target) == columns(path)


@pytest.mark.parametrize("name", FORMATS)
def test_table_without_rows(tmp_path: Path, name: str) -> None:
    result = rewrite(write(pa.table({"image": pa.array([], PICTURE)}), tmp_path / name))
    assert result.ok
    assert len(read(result.job.target)[0]) == 0


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("cut", [1, 9, 300])
def test_cut_tables_are_refused(tmp_path: Path, media: dict[str, bytes], name: str, cut: int) -> None:
    path = write(pictures(media), tmp_path / name)
    path.write_bytes(path.read_bytes()[:-cut])
    assert rewrite(path).error
    assert list((tmp_path / "out").iterdir()) == []


def test_offsets_out_of_the_memory_are_refused(tmp_path: Path) -> None:
    path = write(pa.table({"x": ["a" * 5, "b" * 12340]}), tmp_path / "file.arrow")
    right, wrong = (np.array([0, 5, end], np.int32).tobytes() for end in (12345, 1 << 30))
    assert path.read_bytes().count(right) == 1
    path.write_bytes(path.read_bytes().replace(right, wrong))
    assert rewrite(path).error
    assert list((tmp_path / "out").iterdir()) == []


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "FREE", 1 << 20)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": ["x" * 1000] * 100_000}), path, compression="zstd")
    result = rewrite(path)
    assert "like a bomb" in str(result.error)
    assert result.unpacked < 4 << 20


def test_interrupted_leaves_nothing(tmp_path: Path, media: dict[str, bytes]) -> None:
    class Interrupted(FakeAnonymizer):
        def stills(self, frames, evidence=None):  # type: ignore[no-untyped-def]
            if self.timings["detect"] > 0.002:
                raise KeyboardInterrupt
            return super().stills(frames, evidence)

    path = write(pa.table({"x": [media["a.jpg"]] * 9}), tmp_path / "a.parquet")
    with pytest.raises(KeyboardInterrupt):
        rewrite(path, Interrupted)
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(pa.table({"x": [1]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'anonymizer[parquet]'" in str(rewrite(path).error)


def test_command_rewrites_tables(run: Run, media: dict[str, bytes]) -> None:
    write(pictures(media), Path("a.parquet"))
    assert "a.parquet -> a_anonymized.parquet: 22 members, 26 frames, 26 faces" in run("run", "a.parquet").stdout
