"""Tables of Parquet and Arrow: the same rows, in which pictures are others."""

from __future__ import annotations

import base64
import gzip
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_anonymizer import BOX, FakeAnonymizer, Run, Unable, invoke, make_photo, make_video
from PIL import Image

from pipelines import members
from pipelines.inputs import Kind, Source, kind_of
from pipelines.jobs import anonymize
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig
from pipelines.tables import rewrite_table

HF = {b"huggingface": b'{"info": {"features": {"image": {"_type": "Image"}}}}'}
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


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
    paths.append(make_video(folder / "a.mp4", range(0, 500, 100)))
    return {path.name: path.read_bytes() for path in paths}


def write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=4, compression="zstd", use_dictionary=["label"])


def write_arrow(table: pa.Table, path: Path, made: Callable[..., pa.RecordBatchWriter], codec: str | None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with made(str(path), table.schema, options=options) as writer:
        for batch in table.to_batches(max_chunksize=4):
            writer.write_batch(batch)


FORMATS: dict[str, Callable[[pa.Table, Path], None]] = {
    "a.parquet": write_parquet,
    "file.arrow": partial(write_arrow, made=pa.ipc.new_file, codec=None),
    "lz4.feather": partial(write_arrow, made=pa.ipc.new_file, codec="lz4"),
    "stream.arrow": partial(write_arrow, made=pa.ipc.new_stream, codec=None),
    "zstd.arrows": partial(write_arrow, made=pa.ipc.new_stream, codec="zstd"),
}


def write(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    FORMATS[path.name](table, path)
    return path


def read(path: Path) -> tuple[pa.Table, list[int], set[str | None]]:
    """The table, the sizes of its groups of rows, its compression."""
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        codecs = {group.column(number).compression for group in groups for number in range(group.num_columns)}
        return file.read(), [group.num_rows for group in groups], codecs
    data = path.read_bytes()
    stream = pa.ipc.open_file(data) if data.startswith(b"ARROW1") else pa.ipc.open_stream(data)
    table = stream.read_all()
    codec = "lz4" if b"\x04\x22\x4d\x18" in data else "zstd" if b"\x28\xb5\x2f\xfd" in data else None
    return table, [len(chunk) for chunk in table.column(0).chunks], {codec}


def rewrite(path: Path, anonymizer: type[FakeAnonymizer] = FakeAnonymizer) -> Result:
    """Into a folder ``out`` beside it."""
    assert kind_of(path) is Kind.TABLE
    work = partial(anonymize, anonymizer=anonymizer(), output=OutputConfig())  # type: ignore[arg-type]
    return rewrite_table(Job(Source(path, Kind.TABLE), path.parent / "out" / path.name), work)


def form_if_covered(data: bytes) -> str | None:
    x0, y0, x1, y1 = BOX
    with Image.open(io.BytesIO(data)) as picture:
        box = picture.convert("L").crop((x0 + 2, y0 + 2, x1 - 2, y1 - 2))
        assert box.getextrema()[1] < 48  # type: ignore[operator]
        return picture.format


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


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", data)
    return file.getvalue()


def numpy_bytes(_: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(100))
    return file.getvalue()


HIDDEN: dict[str, tuple[Callable[[bytes], object], pa.DataType, str]] = {
    "text": (lambda data: base64.b64encode(data).decode(), pa.string(), "row 2: holds a picture as text"),
    "large text": (lambda data: data.hex(), pa.large_string(), "row 2: holds a picture as text"),
    "text in a view": (lambda data: data.hex(), pa.string_view(), "row 2: holds a picture as text"),
    "text in a list": (lambda data: ["a", base64.b64encode(data).decode()], pa.list_(pa.string()), "row 2: holds"),
    "text in a struct": (lambda data: {"a": data.hex()}, pa.struct([("a", pa.string())]), "column x.a, row 2: holds"),
    "text in a map": (lambda data: [("a", data.hex())], pa.map_(pa.string(), pa.string()), "column x, row -1: holds"),
    "map": (lambda data: [("a", data)], pa.map_(pa.string(), pa.binary()), "a type that is not read"),
    "pixels": (lambda data: list(data[:300]), pa.list_(pa.uint8()), "bare pixels"),
    "pixels in rows": (lambda data: [list(data[:20])] * 20, pa.list_(pa.list_(pa.uint8(), 20)), "bare pixels"),
    "bytes as numbers": (
        lambda data: [byte - 256 * (byte > 127) for byte in data],
        pa.list_(pa.int8()),
        "column x: holds a",
    ),
    "path": (lambda data: {"bytes": b"", "path": data.hex()}, PICTURE, "column x.path, row 2: holds a picture as text"),
}


@pytest.mark.parametrize("case", HIDDEN)
@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_hidden_pictures_fail_the_table(tmp_path: Path, media: dict[str, bytes], name: str, case: str) -> None:
    hide, kind, why = HIDDEN[case]
    path = write(pa.table({"x": pa.array([None, None, hide(media["a.jpg"])], kind)}), tmp_path / name)
    result = rewrite(path)
    assert why in str(result.error)
    assert list((tmp_path / "out").iterdir()) == []


CELLS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "picture inside": (lambda data: bytes(500) + data, "holds a picture inside"),
    "damaged picture": (lambda data: data[:200], "holds a picture inside"),
    "array": (numpy_bytes, "--copy .npy"),
    "pickle": (lambda data: b"\x80\x04\x95" + bytes(100), "--copy .pickle"),
    "compressed": (gzip.compress, "--copy .gz"),
}


@pytest.mark.parametrize("case", CELLS)
def test_bytes_that_may_hold_a_picture_become_null(tmp_path: Path, media: dict[str, bytes], case: str) -> None:
    hide, why = CELLS[case]
    result = rewrite(write(pa.table({"x": [b"sound" * 50, hide(media["a.jpg"])]}), tmp_path / "a.parquet"))
    assert why in result.missing[0]
    assert read(result.job.target)[0]["x"].to_pylist() == [b"sound" * 50, None]


def test_archive_in_a_cell(tmp_path: Path, media: dict[str, bytes]) -> None:
    result = rewrite(write(pa.table({"x": [zipped(media["a.jpg"])]}), tmp_path / "a.parquet"))
    assert result.ok
    with zipfile.ZipFile(io.BytesIO(read(result.job.target)[0]["x"][0].as_py())) as archive:
        assert form_if_covered(archive.read("a.jpg")) == "JPEG"


def test_picture_behind_a_null_is_left_behind(tmp_path: Path, media: dict[str, bytes]) -> None:
    jpeg = media["a.jpg"]
    hidden = pa.array([jpeg, b"shown" * 20])
    masked = pa.StructArray.from_arrays(
        [hidden, pa.array(["a", "b"])], fields=list(PICTURE), mask=pa.array([True, False])
    )
    bits = pa.py_buffer(b"\2")
    null = pa.Array.from_buffers(pa.binary(), 2, [bits, *hidden.buffers()[1:]])
    path = write(pa.table({"masked": masked, "null": null}), tmp_path / "file.arrow")
    assert path.read_bytes().count(jpeg) == 2
    result = rewrite(path)
    assert result.ok
    assert jpeg[:50] not in result.job.target.read_bytes()
    assert read(result.job.target)[0].equals(read(path)[0])


def test_picture_in_the_metadata_fails_the_table(tmp_path: Path, media: dict[str, bytes]) -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"cover": base64.b64encode(media["a.jpg"])})
    assert "its metadata holds a picture as text" in str(rewrite(write(table, tmp_path / "a.parquet")).error)


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
        def stills(self, frames):  # type: ignore[no-untyped-def]
            if self.timings["detect"] > 0.002:
                raise KeyboardInterrupt
            return super().stills(frames)

    path = write(pa.table({"x": [media["a.jpg"]] * 9}), tmp_path / "a.parquet")
    with pytest.raises(KeyboardInterrupt):
        rewrite(path, Interrupted)
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(pa.table({"x": [1]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'anonymizer[parquet]'" in str(rewrite(path).error)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return invoke


def test_command_rewrites_tables(run: Run, media: dict[str, bytes]) -> None:
    write(pictures(media), Path("a.parquet"))
    assert "a.parquet -> a_anonymized.parquet: 22 members, 26 frames, 26 faces" in run("run", "a.parquet").stdout
