"""Photographs: nothing leaves but pixels and profile."""

import base64
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from photo_samples import (
    SECRET,
    SRGB,
    chunk,
    encoded,
    exif,
    planted_jpeg,
    save,
    scene,
    segment,
    through,
    with_segments,
)
from PIL import TiffImagePlugin

from anonymizer.media.icc import plain_profile
from anonymizer.media.image import read_image


def assert_clean(output: bytes, *planted: bytes) -> None:
    """No picture within the picture, and no part of what was planted."""
    assert b"\xff\xd8\xff" not in output[2:], "an embedded JPEG"
    for secret in (SECRET, *planted):
        if secret.startswith(b"\xff\xd8"):
            secret = secret[secret.index(b"\xff\xda") + 14 :]  # its tables are everybody's
        for start in range(0, len(secret) - 12, 12):
            assert secret[start : start + 12] not in output, f"planted bytes from {start}"


def jpeg_plants(preview: bytes) -> dict[str, bytes]:
    plain = encoded(PIL.Image.fromarray(scene()), "JPEG", quality=90)
    small = scene(20, 24, seed=7)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><xmpGImg:image>" + base64.b64encode(preview) + b"</x:xmpmeta>"
    resource_1036 = b"8BIM" + struct.pack(">HHI", 1036, 0, len(preview) + 28) + bytes(28) + preview
    index = b"MPF\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 3)
    index += struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, 2)
    index += struct.pack("<HHII", 0xB002, 7, 32, 50) + struct.pack("<I", 0)
    entries = struct.pack("<IIIHH", 0x20030000, len(plain), 0, 0, 0)
    entries += struct.pack("<IIIHH", 0, len(preview), len(plain) + 120 - 12, 0, 0)
    return {
        "exif thumbnail": with_segments(plain, segment(0xE1, exif(preview))),
        "xmp thumbnail": with_segments(plain, segment(0xE1, xmp)),
        "jfxx thumbnail": with_segments(plain, segment(0xE0, b"JFXX\0\x10" + preview)),
        "jfif thumbnail": with_segments(
            plain, segment(0xE0, b"JFIF\0\x01\x02\0\0\x01\0\x01" + bytes((24, 20)) + small.tobytes())
        ),
        "photoshop thumbnail": with_segments(plain, segment(0xED, b"Photoshop 3.0\0" + resource_1036)),
        "comment": with_segments(plain, segment(0xFE, SECRET)),
        "junk as a profile": with_segments(plain, segment(0xE2, b"ICC_PROFILE\0\x01\x01" + preview)),
        "profile with a tail": with_segments(plain, segment(0xE2, b"ICC_PROFILE\0\x01\x01" + SRGB + preview)),
        "second picture": with_segments(plain, segment(0xE2, index + entries)) + preview,
        "bytes after the end": plain + preview + SECRET,
    }


@pytest.mark.parametrize("plant", jpeg_plants(b""))
def test_jpeg_metadata_is_dropped(tmp_path: Path, plant: str) -> None:
    preview = planted_jpeg()
    data = jpeg_plants(preview)[plant]
    output = through(save(tmp_path / "in.jpg", data))
    assert_clean(output, preview, scene(20, 24, seed=7).tobytes())
    assert np.abs(read_image(tmp_path / "out.jpg").pixels.astype(int) - scene()).mean() < 3


def test_multi_picture_file_keeps_the_first(tmp_path: Path) -> None:
    first, second = PIL.Image.fromarray(scene()), PIL.Image.fromarray(scene(seed=7))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    output = through(save(tmp_path / "in.jpg", data))
    assert_clean(output)
    assert np.abs(read_image(tmp_path / "out.jpg").pixels.astype(int) - scene()).mean() < 4


def test_png_metadata_is_dropped(tmp_path: Path) -> None:
    preview = planted_jpeg()
    plain = encoded(PIL.Image.fromarray(scene()), "PNG")
    chunks = (
        chunk(b"tEXt", b"Comment\0" + SECRET),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + base64.b64encode(preview)),
        chunk(b"eXIf", exif(preview)[6:]),
        chunk(b"prIv", preview),
        chunk(b"iCCP", b"x\0\0" + b"no profile at all"),
    )
    data = plain[:33] + b"".join(chunks) + plain[33:] + preview
    output = through(save(tmp_path / "in.png", data))
    assert_clean(output, preview, base64.b64encode(preview))
    assert (read_image(tmp_path / "out.png").pixels == scene()).all()


def test_webp_metadata_is_dropped(tmp_path: Path) -> None:
    preview = planted_jpeg()
    picture = PIL.Image.fromarray(scene())
    data = encoded(picture, "WEBP", lossless=True, exif=exif(preview), xmp=preview)
    assert preview in data
    assert_clean(through(save(tmp_path / "in.webp", data)), preview)


def test_tiff_metadata_is_dropped(tmp_path: Path) -> None:
    preview = planted_jpeg()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = SECRET.decode()
    for tag in (700, 33723, 65000):  # XMP, IPTC, a private one
        tags.tagtype[tag] = 7
        tags[tag] = preview
    page = PIL.Image.fromarray(scene(24, 32, seed=7))
    reduced = TiffImagePlugin.ImageFileDirectory_v2()
    reduced[254] = 1
    page.encoderinfo = {"tiffinfo": reduced}
    data = encoded(PIL.Image.fromarray(scene()), "TIFF", tiffinfo=tags, save_all=True, append_images=[page])
    assert preview in data
    output = through(save(tmp_path / "in.tif", data))
    assert_clean(output, preview, page.tobytes())
    assert (read_image(tmp_path / "out.tif").pixels == scene()).all()


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_heif_metadata_is_dropped(tmp_path: Path, suffix: str) -> None:
    preview = planted_jpeg()
    kind = {".heic": "HEIF", ".avif": "AVIF"}[suffix]
    data = encoded(PIL.Image.fromarray(scene()), kind, quality=90, exif=exif(preview)[6:], xmp=preview)
    assert preview in data
    assert_clean(through(save(tmp_path / f"in{suffix}", data)), preview)


def test_profile_is_kept(tmp_path: Path) -> None:
    for suffix, kind in ((".jpg", "JPEG"), (".png", "PNG"), (".tif", "TIFF"), (".webp", "WEBP"), (".heic", "HEIF")):
        data = encoded(PIL.Image.fromarray(scene()), kind, icc_profile=SRGB)
        through(save(tmp_path / f"in{suffix}", data))
        with PIL.Image.open(tmp_path / f"out{suffix}") as output:
            assert output.info["icc_profile"] == plain_profile(SRGB), kind
