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
    "text": (lambda data: base64.b64encode(data).decode(), pa.string(), "row 2: holds what may be a picture as text"),
    "large text": (lambda data: data.hex(), pa.large_string(), "row 2: holds what may be a picture as text"),
    "text in a view": (lambda data: data.hex(), pa.string_view(), "row 2: holds what may be a picture as text"),
    "text in a list": (lambda data: ["a", base64.b64encode(data).decode()], pa.list_(pa.string()), "row 2: holds"),
    "text in a struct": (lambda data: {"a": data.hex()}, pa.struct([("a", pa.string())]), "column x.a, row 2: holds"),
    "text in a map": (lambda data: [("a", data.hex())], pa.map_(pa.string(), pa.string()), "column x.value, row 2: ho"),
    "map": (lambda data: [("a", data)], pa.map_(pa.string(), pa.binary()), "a type that is not read"),
    "pixels": (lambda data: list(data[:500]), pa.list_(pa.uint8()), "bare pixels"),
    "pixels in rows": (lambda data: [list(data[300:320])] * 20, pa.list_(pa.list_(pa.uint8(), 20)), "bare pixels"),
    "bytes as numbers": (lambda data: [byte % 128 for byte in data[:500]], pa.list_(pa.int8()), "bare pixels"),
    "whole numbers": (lambda data: list(data[:500]), pa.list_(pa.float64()), "bare pixels"),
    "from 0 to 1": (
        lambda data: [[byte / 255 for byte in data[300:320]]] * 20,
        pa.large_list(pa.list_(pa.float32())),
        "bare pixels",
    ),
    "pixels in structs": (
        lambda data: [{"a": byte} for byte in data[:500]],
        pa.list_(pa.struct([("a", pa.uint8())])),
        "column x.a, row 2 may hold a picture as bare pixels",
    ),
    "pixels in a map": (
        lambda data: list(enumerate(data[:500])),
        pa.map_(pa.int32(), pa.uint8()),
        "column x.value, row 2 may hold a picture as bare pixels",
    ),
    "short lists": (lambda data: [[byte] for byte in data[:500]], pa.list_(pa.list_(pa.int64())), "bare pixels"),
    "with a label before": (lambda data: [-1, 900, *data[:500]], pa.list_(pa.int64()), "bare pixels"),
    "with what is no number": (lambda data: [float("nan"), *data[:500]], pa.list_(pa.float32()), "bare pixels"),
    "shares in one list": (lambda data: [byte / 255 for byte in data[:500]], pa.list_(pa.float32()), "bare pixels"),
    "signed": (lambda data: [byte - 256 * (byte > 127) for byte in data[:500]], pa.list_(pa.int32()), "bare pixels"),
    "words": (
        lambda data: [str(byte) for byte in data[:500]],
        pa.list_(pa.string()),
        "column x, row 2: holds what may",
    ),
    "lines": (
        lambda data: [" ".join(map(str, data[at : at + 40])) for at in range(300, 900, 40)],
        pa.list_(pa.string()),
        "column x, row 2: holds what may be pixels",
    ),
    "base64 in lines": (
        lambda data: base64.encodebytes(data).decode().split(),
        pa.list_(pa.string()),
        "column x, row 2: holds what may be a picture as text",
    ),
    "bytes in lines": (
        lambda data: [data[at : at + 48] for at in range(0, 960, 48)],
        pa.list_(pa.binary()),
        "column x, row 2 may hold a picture in pieces",
    ),
    "document": (lambda data: "%!PS-Adobe " + "text " * 30, pa.string(), "column x, row 2: is a document"),
    "word of a dictionary": (
        lambda data: data.hex(),
        pa.dictionary(pa.int32(), pa.string()),
        "column x, word 0: holds what may",
    ),
    "tensor": (
        lambda data: list(data[300:700]),
        pa.fixed_shape_tensor(pa.float32(), (20, 20)),
        "bare pixels",
    ),
    "path": (
        lambda data: {"bytes": b"", "path": data.hex()},
        PICTURE,
        "column x.path, row 2: holds what may be a picture as text",
    ),
}


@pytest.mark.parametrize("case", HIDDEN)
@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_hidden_pictures_fail_the_table(tmp_path: Path, media: dict[str, bytes], name: str, case: str) -> None:
    hide, kind, why = HIDDEN[case]
    path = write(pa.table({"x": pa.array([None, None, hide(media["a.jpg"])], kind)}), tmp_path / name)
    result = rewrite(path)
    assert why in str(result.error)
    assert list((tmp_path / "out").iterdir()) == []


INNOCENT: dict[str, tuple[object, pa.DataType]] = {
    "boxes": ([[index, 300.5, 20, 30] for index in range(2000)], pa.list_(pa.list_(pa.float32(), 4))),
    "outlines": ([[[5.5, 600.25] * 100, [1.0, 2.0]]] * 3, pa.list_(pa.list_(pa.list_(pa.float64())))),
    "embedding": ([value / 512 - 0.5 for value in range(512)], pa.list_(pa.float32())),
    "sound": ([value * 7 - 900 for value in range(512)], pa.list_(pa.int16())),
    "words": (list(range(1000)), pa.list_(pa.int64())),
    "mask of words": ([1] * 400 + [0] * 112, pa.list_(pa.int8())),
    "mask": ([[True, False] * 100] * 20, pa.list_(pa.list_(pa.bool_()))),
    "few": (list(range(255)), pa.list_(pa.uint8())),
    "classes": ([value % 9 for value in range(600)], pa.list_(pa.int64())),
    "normalised boxes": (
        [[index / 300, 0.25, 0.125, 0.5] for index in range(300)],
        pa.list_(pa.list_(pa.float32(), 4)),
    ),
    "boxes in structs": (
        [{"box": [index / 300, 0.25, 0.125, 0.5]} for index in range(300)],
        pa.list_(pa.struct([("box", pa.list_(pa.float32()))])),
    ),
    "text": ("A man, a plan, a canal. " * 100, pa.string()),
}


@pytest.mark.parametrize("case", INNOCENT)
def test_other_numbers_and_text_stay(tmp_path: Path, case: str) -> None:
    value, kind = INNOCENT[case]
    path = write(pa.table({"x": pa.array([None, value], kind)}), tmp_path / "a.parquet")
    result = rewrite(path)
    assert result.ok, result.error
    assert read(result.job.target)[0].equals(read(path)[0])


def test_pixels_in_columns_fail_the_table(tmp_path: Path, media: dict[str, bytes]) -> None:
    data = np.frombuffer(media["a.jpg"], np.uint8)[300 : 300 + 576].reshape(24, 24)
    flat = {f"p{number}": pa.array([int(value)]) for number, value in enumerate(data.ravel())}
    assert "row 0 may hold a picture, a pixel a column" in str(
        rewrite(write(pa.table(flat), tmp_path / "a.parquet")).error
    )
    itself = {str(number): pa.array(column) for number, column in enumerate(data.T)}
    assert "may be a picture: has 16 columns" in str(
        rewrite(write(pa.table(itself), tmp_path / "b" / "a.parquet")).error
    )
    features = {f"f{number}": pa.array([number * 1.7 - 300]) for number in range(600)}
    assert rewrite(write(pa.table(features), tmp_path / "c" / "a.parquet")).ok


NO_PHOTOGRAPHS: dict[str, Callable[[bytes], bytes]] = {
    "picture inside": lambda data: bytes(500) + data,
    "array": numpy_bytes,
    "pickle": lambda data: b"\x80\x04\x95" + bytes(100),
    "compressed": gzip.compress,
    "sound": lambda data: b"RIFF\x64\0\0\0WAVEfmt " + data,
    "pixels": lambda data: " ".join(map(str, data[:500])).encode(),
}


@pytest.mark.parametrize("case", NO_PHOTOGRAPHS)
def test_bytes_that_may_hold_a_picture_become_null(tmp_path: Path, media: dict[str, bytes], case: str) -> None:
    hidden = NO_PHOTOGRAPHS[case](media["a.jpg"])
    result = rewrite(write(pa.table({"x": [b"sound" * 50, hidden]}), tmp_path / "a.parquet"))
    assert "column x, row 1: is not copied: it" in result.missing[0]
    assert read(result.job.target)[0]["x"].to_pylist() == [b"sound" * 50, None]


@pytest.mark.parametrize(("mark", "why"), [(b"PARE", "encrypted"), (b"FEA1", "Feather")])
def test_tables_that_are_not_read_say_why(tmp_path: Path, mark: bytes, why: str) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(mark + bytes(100) + mark)
    assert why in str(rewrite(path).error)


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
    assert "its metadata holds what may be a picture as text" in str(
        rewrite(write(table, tmp_path / "a.parquet")).error
    )
