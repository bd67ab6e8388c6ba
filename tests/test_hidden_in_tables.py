"""Pictures where none are expected in a table: it fails, or they become null."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from table_samples import PICTURE, form_if_covered, read, rewrite, write

pytestmark = pytest.mark.usefixtures("scratch")


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
