"""Files that are no pictures: copied bit for bit if they are text that holds none."""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import io
import json
import lzma
import pickle
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
import zstandard
from fake_anonymizer import make_photo, make_video
from PIL import Image

from pipelines import copies
from pipelines.copies import copy, inside, why_not
from pipelines.inputs import Kind, Source
from pipelines.plan import Job

RANDOM = np.random.default_rng(0)


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", data)
    return file.getvalue()


def as_(form: str, data: bytes) -> bytes:
    """A picture in another format."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        picture.convert("RGB").save(file, form)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("L").resize((48, 48)))


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def numbers(data: bytes, form: str, between: str) -> bytes:
    return between.join(form % value for value in pixels(data).ravel()).encode()


def decimals(values: np.ndarray, form: str, between: str) -> bytes:
    return between.join(form % value for value in values.ravel()).encode()


def saved(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savetxt(file, values)
    return file.getvalue()


def uuencoded(data: bytes) -> bytes:
    lines = (binascii.b2a_uu(data[start : start + 45]) for start in range(0, len(data), 45))
    return b"From: me\nbegin 644 a.jpg\n%b`\nend\n" % b"".join(lines)


NO_TEXT: dict[str, Callable[[bytes], bytes]] = {
    "a.ppm": lambda data: as_("PPM", data),
    "a.qoi": lambda data: b"qoif" + bytes([0, 0, 0, 48, 0, 0, 0, 48, 3, 0]) + pixels(data).tobytes(),
    "raw.gray": lambda data: pixels(data).tobytes(),
    "bright.raw": lambda data: b"".join(bytes([byte % 64 + 32, byte % 96 + 160]) for byte in data),
    "matrix.mat5": lambda data: b"MATLAB 5.0 MAT-file" + bytes(109) + data,
    "h5": lambda data: b"\x89HDF\r\n\x1a\n\0" + bytes(2000) + data,
    "cloud.bin": lambda data: RANDOM.random(1000, np.float32).tobytes(),
    "thumbs.cache": lambda data: bytes(700) + data,
    "cut.bin": lambda data: data[:100],
    "late.txt": lambda data: b"text " * 700_000 + data,
    "parts.bin": lambda data: b"head" + zipped(data),
    "array": lambda data: b"\x93NUMPY\1\0v\0" + data,
    "half.gz~": gzip.compress,
    "brain.nii.gz": gzip.compress,
    "packed.z": zlib.compress,
    "packed.zst": zstandard.compress,
    "packed.xz": lzma.compress,
    "packed.bz2": bz2.compress,
    "thing.pkl": pickle.dumps,
    "no.utf16": lambda data: b"\xff\xfe" + data,
    "utf32.txt": lambda data: "text".encode("utf-32") * 20,
}
AS_TEXT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "jpeg.json": (lambda data: json.dumps({"imageData": text64(data)}).encode(), "as text"),
    "png.json": (lambda data: json.dumps({"imageData": text64(as_("PNG", data))}).encode(), "as text"),
    "webp.json": (lambda data: json.dumps({"imageData": text64(as_("WEBP", data))}).encode(), "as text"),
    "escaped.json": (lambda data: json.dumps(text64(data)).replace("/", r"\/").encode(), "as text"),
    "net.json": (lambda data: json.dumps(text64(data)).replace("+", r"\u002B").encode(), "as text"),
    "lines.json": (lambda data: json.dumps(base64.encodebytes(data).decode()).encode(), "as text"),
    "urlsafe.csv": (lambda data: b"a.jpg;" + base64.urlsafe_b64encode(data), "as text"),
    "hex.txt": (lambda data: data.hex().encode(), "as text"),
    "c.h": (lambda data: "".join(rf"\x{byte:02x}" for byte in data).encode(), "as text"),
    "bytes.csv": (lambda data: f'a.jpg,"{data!r}"\n'.encode(), "as text"),
    "latin.json": (lambda data: json.dumps(data.decode("latin-1")).encode(), "as text"),
    "wrapped.txt": (base64.encodebytes, "as text"),
    "wrapped.yaml": (lambda data: b"".join(b'  - "%b",\r\n' % line for line in cut(data.hex().encode())), "as text"),
    "wide.txt": (lambda data: base64.encodebytes(data).decode().encode("utf-16"), "as text"),
    "mail.txt": (uuencoded, "as text"),
    "page.html": (lambda data: b'<img src="data:image/png;base64,AAAA"> and more, so that it is not small', "as text"),
    "head.ply": (lambda data: b"ply\nformat ascii 1.0\nelement vertex 9\nproperty float x\n" * 2, "or a scan"),
    "scan": (lambda data: b"%PDF-1.7 " + b"text " * 20, "a document"),
    "fer2013.csv": (lambda data: b"emotion,pixels,Usage\n0," + numbers(data, "%d", " ") + b",Training\n", "pixels"),
    "array.json": (lambda data: json.dumps(pixels(data).tolist(), indent=1).encode(), "pixels"),
    "array.c": (lambda data: b"unsigned char a[] = {" + numbers(data, "0x%02X", ", ") + b"};", "pixels"),
    "dump.txt": (lambda data: numbers(data, "%02x", " "), "pixels"),
    "plain.pgm": (lambda data: b"P2 48 48 65535\n" + numbers(data, "%3d", "\n"), "a document, a picture"),
    "counts.json": (lambda data: b'{"counts": [3, 2], "a": [' + numbers(data, "%d", ", ") + b"]}", "pixels"),
    "olivetti.csv": (lambda data: b"40," + decimals(pixels(data) / 255, "%.7f", ",") + b"\n41\n", "pixels"),
    "savetxt.txt": (lambda data: decimals(pixels(data), "%.18e", " "), "pixels"),
    "nested.json": (lambda data: json.dumps((pixels(data) / 255).tolist()).encode(), "pixels"),
    "lines.txt": (lambda data: saved(pixels(data)), "pixels"),
    "shares.txt": (lambda data: saved(pixels(data) / 255), "pixels"),
    "indented.json": (lambda data: json.dumps((pixels(data) / 255).tolist(), indent=1).encode(), "pixels"),
    "block.yaml": (lambda data: yaml.dump(pixels(data).tolist()).encode(), "pixels"),
    "keys.json": (
        lambda data: json.dumps({str(at): int(v) for at, v in enumerate(pixels(data).flat)}).encode(),
        "pixels",
    ),
    "svm.txt": (
        lambda data: b"1 " + b" ".join(b"%d:%.6f" % (at, v / 255) for at, v in enumerate(pixels(data).flat)),
        "pixels",
    ),
    "signed.json": (lambda data: json.dumps(pixels(data).astype(np.int8).ravel().tolist()).encode(), "pixels"),
    "bars.txt": (lambda data: numbers(data, "%d", "|"), "pixels"),
    "example.pbtxt": (lambda data: b"".join(b"\\%03o" % byte for byte in data), "as text"),
    "small.csv": (lambda data: b"7," + decimals(pixels(data)[:28, :28] / 255, "%.7f", ","), "pixels"),
    "late.csv": (lambda data: b"a,b\n" * 262_000 + numbers(data, "%d", " "), "pixels"),
}


def cut(data: bytes) -> list[bytes]:
    return [data[start : start + 60] for start in range(0, len(data), 60)]


@pytest.fixture
def photo(tmp_path: Path) -> bytes:
    return make_photo(tmp_path / "photo.jpg", (192, 192)).read_bytes()


def copied(path: Path, data: bytes, *allowed: str) -> str:
    """Why it is not."""
    path.write_bytes(data)
    job = Job(Source(path, Kind.FILE), path.parent / "out" / path.name)
    result = copy(job, allowed)
    assert job.target.exists() is (result.error is None)
    assert result.error or job.target.read_bytes() == data
    return result.error or ""


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text_is_not_copied(tmp_path: Path, photo: bytes, name: str) -> None:
    data = NO_TEXT[name](photo)
    why = copied(tmp_path / name, data)
    assert "is not copied: it is no text that is understood, and may hold pictures" in why
    suffix = Path(name).suffix
    assert (f"(--copy {suffix} copies" if suffix else "(--copy goes by suffixes, and it has none)") in why
    assert copied(tmp_path / (name if suffix else f"{name}.x"), data, suffix or ".x") == ""


@pytest.mark.parametrize("name", AS_TEXT)
def test_text_that_holds_a_picture_is_not_copied(tmp_path: Path, photo: bytes, name: str) -> None:
    wrap, why = AS_TEXT[name]
    assert why in copied(tmp_path / name, wrap(photo))


def test_raw_video_is_not_copied(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.h264")
    assert "--copy .264x" in copied(tmp_path / "a.264x", video.read_bytes())


def boxes() -> list[dict[str, object]]:
    """Outlines, and both ways in which COCO says what belongs to a thing."""
    polygon = [[round(value, 2) for value in RANDOM.uniform(0, 640, 900)]]
    runs = [int(value) for value in RANDOM.integers(0, 200, 3000)]
    packed = "".join(chr(48 + value % 64) for value in runs[:60]).replace("\\", "0")
    return [
        {"bbox": [1, 2, 30, 40], "segmentation": polygon},
        {"segmentation": {"counts": [272, *runs], "size": [48, 64]}, "iscrowd": 1},
        {"segmentation": {"size": [48, 64], "counts": packed}},
    ]


INNOCENT: dict[str, bytes] = {
    "empty.bin": b"",
    "small.bin": bytes(range(64)),
    "yolo.txt": b"".join(b"%d %.6f %.6f %.6f %.6f\n" % (row % 9, *RANDOM.random(4)) for row in range(500)),
    "celeba.txt": b"".join(b"%06d.jpg -1  1  1 %d\n" % (row, row % 3) for row in range(500)),
    "celeba.csv": b"".join(b"%06d.jpg,69,109,106,113,77,142,73,152,108,154\n" % row for row in range(500)),
    "voc.xml": b"<annotation><object><name>face</name><bndbox><xmin>1</xmin></bndbox></object></annotation>\n" * 99,
    "coco.json": json.dumps({"annotations": boxes() * 20}).encode(),
    "pretty.json": json.dumps({"annotations": boxes() * 20}, indent=2).encode(),
    "lines.jsonl": b'{"file_name": "a.jpg", "objects": {"bbox": [[302, 109, 73, 52]], "label": [0, 1]}}\n' * 999,
    "calib.yaml": b"%YAML:1.0\nK: !!opencv-matrix\n   data: [" + b"5.1e+02, 0., 1., " * 300 + b"]\n",
    "calib.xml": b"<data>" + b"1.25 0. 3.5e-01\n " * 300 + b"</data>",
    "embedding.csv": decimals(RANDOM.normal(size=2048), "%.6f", ","),
    "outline.txt": b"0 " + decimals(RANDOM.random(900), "%.6f", " "),
    "track.csv": decimals(RANDOM.random(4000) * 640, "%.2f", ","),
    "calib.txt": b"P0: 7.215377e+02 0.000000e+00\n" * 300,
    "ids.csv": b"id,label\n" + b"".join(b"%d,%d\n" % (row, row % 7) for row in range(255)),
    "classes.txt": b"".join(b"%d\n" % (row % 10) for row in range(2000)),
    "labels.json": json.dumps({"labels": [row % 8 for row in range(2000)]}).encode(),
    "hot.csv": b"".join(b"%06d.jpg,0,1,0,0,1\n" % row for row in range(500)),
    "yolo2.txt": b"".join(b"%d %.4f %.4f %.4f %.4f\n" % (row % 9, *RANDOM.random(4)) for row in range(500)),
    "links.csv": b"".join(b"https://a.b/c.jpg?X-Goog-Signature=" + b"0f" * 256 + b"\n" for row in range(20)),
    "wider.txt": b"".join(b"0--Parade/0_%d.jpg\n1\n449 330 122 149 0 0 0 0 0 0 \n" % row for row in range(300)),
    "log.txt": b"\x1b[32mINFO\x1b[0m all is well\n" * 99,
    "train.txt": b"".join(b"%06d\n" % row for row in range(2000)),
    "voc.txt": b"".join(b"2008_%06d -1\n" % row for row in range(2000)),
    "boxes.csv": b"".join(b"%d,1,912,484,97,109,0,7,1\n" % row for row in range(2000)),
    "requirements.txt": b"numpy==2.0 --hash=sha256:" + b"0f" * 32 + b"\n",
    "readme.md": b"# Faces\n\n| a | b |\n|---|---|\n" + b"-" * 900 + b"\n" + (b"=" * 60 + b"\n") * 30,
    "LICENSE": b"Permission is hereby granted, free of charge, to any person obtaining a copy of this software\n" * 99,
    "names.csv": "name;x\nJürgen;3\nGünther;4\n".encode("cp1252") * 99,
    "wide.csv": "name;x\nJürgen;3\n".encode("utf-16") * 1 + "日本;4\n".encode("utf-16-le") * 99,
    "asian.json": json.dumps(["你好世界" * 200]).encode() + ("你好世界" * 200).encode(),
    "bom.srt": b"\xef\xbb\xbf1\r\n00:00:01,000 --> 00:00:02,000\r\nHello.\r\n\r\n" * 1 + b"2\r\n00:01:01,000\r\n" * 99,
    "paths.txt": rb"C:\data\faces\0001\x00.jpg" * 30,
}


@pytest.mark.parametrize("name", INNOCENT)
def test_what_datasets_hold_is_copied(tmp_path: Path, name: str) -> None:
    assert copied(tmp_path / name, INNOCENT[name]) == ""


def test_letters_are_looked_at_across_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for start in (0, copies.PIECE - 3000, copies.PIECE - 300, 2 * copies.PIECE - 400):
        path.write_bytes(b"a b " * (start // 4) + b'"' + b"aB3/" * 150 + b'"')
        assert "as text" in why_not(path)
    counts = b'{"counts": [300, %b], "a": 3.5}' % b", ".join([b"7"] * 60_000)
    path.write_bytes(b"a b " * (copies.PIECE // 4 - 10_000) + counts + b"a b " * copies.PIECE)
    assert why_not(path) == ""


@pytest.mark.parametrize(
    "text",
    [
        b"1 ",
        b"256 ",
        b"1 " * 399 + b"256 ",
        b"a\n",
        b"\n",
        b"\\/",
        b"\\x0",
        b'"counts": [',
        b"a" * 499 + b" ",
        (b"a" * 20 + b"b" * 20 + b"\n") * 11 + b"\n",
        b"begin 644",
        b"0.5 ",
        b"1.e+-",
        b"0.5 " * 999 + b"\n",
        b"\xff\xd8\xff\xe1\x00\x04ab",
    ],
)
def test_no_text_takes_long(text: bytes) -> None:
    start = time.perf_counter()
    inside(text * (2_000_000 // len(text)))
    assert time.perf_counter() - start < 2
