"""Files that are no pictures: copied bit for bit, unless a picture may be inside."""

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zstandard
from PIL import Image

from pipelines.copies import copy, why_not
from pipelines.inputs import Kind, Source
from pipelines.plan import Job


def picture(folder: Path) -> bytes:
    Image.new("RGB", (64, 48), "red").save(folder / "picture.jpg")
    return (folder / "picture.jpg").read_bytes()


def npy(data: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.frombuffer(data, np.uint8))
    return file.getvalue()


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", data)
    return file.getvalue()


def test_what_datasets_hold_is_copied(tmp_path: Path) -> None:
    contents = {
        "labels.csv": b"name,x\na.jpg,3\n",
        "calib.yaml": b"focal: 1\n",
        "boxes.json": json.dumps({"images": [{"file_name": "a.jpg"}]}).encode(),
        "cloud.bin": np.random.default_rng(0).random(500_000, np.float32).tobytes(),
        "noise.dat": np.random.default_rng(1).bytes(8_000_000),
        "empty.txt": b"",
    }
    for name, data in contents.items():
        path = tmp_path / name
        path.write_bytes(data)
        result = copy(Job(Source(path, Kind.FILE), tmp_path / "out" / name))
        assert result.error is None
        assert (tmp_path / "out" / name).read_bytes() == data


@pytest.mark.parametrize(
    ("name", "wrap", "why"),
    [
        ("labelme.json", lambda data: json.dumps({"imageData": base64.b64encode(data).decode()}).encode(), "as text"),
        ("page.html", lambda data: b'<img src="data:image/png;base64,AAAA">', "as text"),
        ("thumbs.cache", lambda data: bytes(700) + data, "holds a picture inside"),
        ("damaged.bin", lambda data: data[:100], "holds a picture inside"),
        ("late.bin", lambda data: bytes((1 << 24) - 100) + data + bytes(1 << 22), "holds a picture inside"),
        ("hex.txt", lambda data: data.hex().encode(), "as text"),
        ("parts.bin", lambda data: b"head" + zipped(data), "a compressed part"),
        ("scan.bin", lambda data: b"%PDF-1.7 ...", "a document"),
        ("array.npy", lambda data: b"anything", "--copy .npy"),
        ("array", npy, "--copy .npy"),
        ("half.gz~", gzip.compress, "--copy .gz"),
        ("packed", zlib.compress, "--copy .z "),
        ("packed", zstandard.compress, "--copy .zst"),
        ("packed", lzma.compress, "--copy .xz"),
        ("packed", bz2.compress, "--copy .bz2"),
        *(("thing", partial(pickle.dumps, protocol=number), "--copy .pickle") for number in range(2, 6)),
        ("brain.nii.gz", lambda data: b"anything", "may hold pictures"),
    ],
)
def test_what_may_hold_a_picture_is_not(tmp_path: Path, name: str, wrap, why: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / name
    path.write_bytes(wrap(picture(tmp_path)))
    assert why in why_not(path)
    result = copy(Job(Source(path, Kind.FILE), tmp_path / "out" / name))
    assert why in str(result.error)
    assert not (tmp_path / "out").exists()
    allowed = re.search(r"--copy (\.\w+)", why_not(path))
    suffix = allowed[1] if allowed else path.suffix
    assert copy(Job(Source(path, Kind.FILE), tmp_path / "out" / name), [suffix]).error is None
    assert (tmp_path / "out" / name).read_bytes() == path.read_bytes()
