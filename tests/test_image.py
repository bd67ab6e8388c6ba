"""Photographs: the pixels that go in come out."""

import struct
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from photo_samples import (
    SRGB,
    chunk,
    cmyk_profile,
    deep_scene,
    encoded,
    grey_profile,
    save,
    scene,
    through,
)

from anonymizer.errors import MediaError
from anonymizer.media.icc import plain_profile
from anonymizer.media.image import Image, read_image, write_image
from anonymizer.media.orientation import orientation_of, stored_size, turned, turned_back, turned_box

EVERY = [".jpg", ".png", ".tif", ".webp", ".bmp", ".gif", ".avif", ".heic"]


@pytest.mark.parametrize("suffix", EVERY)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    original = Image(scene())
    write_image(tmp_path / f"a{suffix}", original)
    again = read_image(tmp_path / f"a{suffix}")
    assert again.pixels.dtype == np.uint8
    assert again.pixels.flags.writeable
    assert again.alpha is None
    limit = 0 if suffix in (".png", ".tif", ".bmp") else 12 if suffix == ".gif" else 4
    assert np.abs(again.pixels.astype(int) - original.pixels).mean() <= limit


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("transparent", [False, True])
def test_deep_round_trip(tmp_path: Path, suffix: str, transparent: bool) -> None:
    pixels = deep_scene()
    alpha = deep_scene()[..., 1] if transparent else None
    path = tmp_path / f"a{suffix}"
    write_image(path, Image(pixels, alpha, SRGB))
    again = read_image(path)
    assert (again.pixels == pixels).all()
    assert (again.alpha is None) == (alpha is None)
    if alpha is not None:
        assert (again.alpha == alpha).all()
    assert again.profile == plain_profile(SRGB)
    with PIL.Image.open(path) as other:  # an independent reader, at 8 bits
        other.load()
        shown = np.asarray(other.convert("RGB"))
    assert np.abs(shown.astype(int) - (pixels >> 8)).max() <= 1


def test_deep_grey(tmp_path: Path) -> None:
    levels = deep_scene()[..., 0]
    path = save(tmp_path / "in.png", encoded(PIL.Image.fromarray(levels), "PNG"))
    assert (read_image(path).pixels == levels[..., None]).all()


def modes() -> dict[str, tuple[PIL.Image.Image, np.ndarray]]:
    colour = PIL.Image.fromarray(scene())
    palette = colour.quantize(16)
    grey = colour.convert("L")
    bits = grey.convert("1")
    return {
        "grey": (grey, np.asarray(grey.convert("RGB"))),
        "black and white": (bits, np.asarray(bits.convert("RGB"))),
        "palette": (palette, np.asarray(palette.convert("RGB"))),
        "colour": (colour, scene()),
    }


@pytest.mark.parametrize("name", modes())
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_modes_become_rgb(tmp_path: Path, name: str, suffix: str) -> None:
    picture, expected = modes()[name]
    path = save(tmp_path / f"in{suffix}", encoded(picture, "PNG" if suffix == ".png" else "TIFF"))
    through(path)
    assert (read_image(tmp_path / f"out{suffix}").pixels == expected).all()


def test_transparency(tmp_path: Path) -> None:
    alpha = scene()[..., 0]
    whole = PIL.Image.fromarray(np.dstack([scene(), alpha]))
    for kind, suffix in (("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif")):
        options = {"lossless": True} if kind == "WEBP" else {}
        through(save(tmp_path / f"in{suffix}", encoded(whole, kind, **options)))
        assert (read_image(tmp_path / f"out{suffix}").alpha == alpha).all(), kind
    keyed = save(tmp_path / "key.png", encoded(PIL.Image.new("L", (4, 4), 9), "PNG", transparency=9))
    assert (read_image(keyed).alpha == 0).all()
    with pytest.raises(MediaError, match="transparency"):
        write_image(tmp_path / "a.jpg", Image(scene(), alpha))
    write_image(tmp_path / "a.jpg", Image(scene(), np.full((48, 64), 255, np.uint8)))


def test_cmyk_goes_through_its_profile(tmp_path: Path) -> None:
    cyan = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    plain = read_image(save(tmp_path / "plain.jpg", encoded(cyan, "JPEG", quality=95))).pixels[8, 8]
    assert plain[0] < 40 < 200 < min(plain[1:])
    data = encoded(cyan, "JPEG", quality=95, icc_profile=cmyk_profile())
    image = read_image(save(tmp_path / "profile.jpg", data))
    assert image.pixels[8, 8, 0] > 100 > 50 > max(image.pixels[8, 8, 1:]), "the printer's cyan is red"
    assert image.profile == b""


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_goes_through_its_profile(tmp_path: Path, depth: int) -> None:
    level = 128 if depth == 8 else 128 * 257
    grey = np.full((8, 8), level, np.uint8 if depth == 8 else np.uint16)
    data = encoded(PIL.Image.fromarray(grey), "PNG", icc_profile=grey_profile(1.0))
    image = read_image(save(tmp_path / "linear.png", data))
    shown = image.pixels[0, 0, 0] / np.iinfo(image.pixels.dtype).max
    assert abs(shown - 188 / 255) < 0.01, "half the light is 188 in sRGB"
    assert image.profile == b""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "deep PNG", "deep TIFF"])
def test_orientation(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = scene() if not kind.startswith("deep") else deep_scene()
    stored = turned_back(upright, orientation)
    deep = kind.startswith("deep")
    path = tmp_path / ("in.jpg" if kind == "JPEG" else "in.png" if "PNG" in kind else "in.tif")
    tag = PIL.Image.Exif()
    tag[0x0112] = orientation
    if deep:
        cv2.imwrite(str(path), stored[..., ::-1])
        data = path.read_bytes()
        if "PNG" in kind:
            data = data[:33] + chunk(b"eXIf", tag.tobytes()[6:]) + data[33:]
        else:
            data = with_orientation(data, orientation)
        path.write_bytes(data)
    else:
        options = {"quality": 97, "subsampling": 0} if kind == "JPEG" else {}
        save(path, encoded(PIL.Image.fromarray(stored), kind, exif=tag, **options))
    assert np.abs(read_image(path).pixels.astype(int) - upright).mean() <= (2 if kind == "JPEG" else 0)
    through(path)
    with PIL.Image.open(tmp_path / f"out{path.suffix}") as output:
        assert output.getexif().get(0x0112, 1) == 1


def with_orientation(tiff: bytes, orientation: int) -> bytes:
    """A little-endian TIFF of one page with its orientation tag set or, in place of its resolution, added."""
    assert tiff[:4] == b"II*\0"
    start = struct.unpack_from("<I", tiff, 4)[0]
    count = struct.unpack_from("<H", tiff, start)[0]
    entries = [tiff[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    entries = [entry for entry in entries if struct.unpack_from("<H", entry)[0] != 0x0112]
    entries.append(struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    table = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + table


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_quality_is_kept(tmp_path: Path, quality: int, subsampling: int) -> None:
    data = encoded(PIL.Image.fromarray(scene()), "JPEG", quality=quality, subsampling=subsampling)
    before = read_image(save(tmp_path / "in.jpg", data))
    assert before.encoding.quality == quality
    through(tmp_path / "in.jpg")
    after = read_image(tmp_path / "out.jpg")
    assert after.encoding == before.encoding
    assert before.encoding.subsampling == subsampling
    write_image(tmp_path / "out.jpg", before, quality=60)
    assert read_image(tmp_path / "out.jpg").encoding.quality == 60


def test_webp_stays_lossless(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for lossless in (True, False):
        data = encoded(PIL.Image.fromarray(pixels), "WEBP", lossless=lossless, quality=80)
        path = save(tmp_path / "in.webp", data)
        before = read_image(path)
        through(path)
        assert (read_image(tmp_path / "out.webp").pixels == before.pixels).all() == lossless


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pixels_and_boxes_agree(orientation: int) -> None:
    stored = np.zeros((30, 40), np.uint8)
    stored[5:12, 8:30] = 1
    upright = turned(stored, orientation)
    assert (turned_back(upright, orientation) == stored).all()
    size = stored_size((40, 30), orientation)
    assert upright.shape == size[::-1]
    x0, y0, x1, y1 = map(int, turned_box((8, 5, 30, 12), orientation, size))
    assert upright[y0:y1, x0:x1].all()
    assert upright.sum() == stored.sum() == (y1 - y0) * (x1 - x0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", EVERY)
def test_orientation_that_is_kept(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = scene()
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    if suffix in (".bmp", ".gif", ".heic") and orientation > 1:
        with pytest.raises(MediaError, match="orientation"):
            write_image(first, Image(upright, orientation=orientation))
        assert not list(tmp_path.iterdir())
        return
    write_image(first, Image(upright, orientation=orientation), quality=95)
    image = read_image(first, keep_orientation=True)
    assert image.orientation == orientation
    limit = 0 if suffix in (".png", ".tif", ".bmp") else 12 if suffix == ".gif" else 4
    assert np.abs(image.pixels.astype(int) - upright).mean() <= limit
    write_image(second, image)
    with PIL.Image.open(first) as before, PIL.Image.open(second) as after:
        assert (after.size, orientation_of(after)) == (before.size, orientation_of(before))
    write_image(second, read_image(first))
    with PIL.Image.open(second) as after:
        assert (after.size, orientation_of(after)) == ((64, 48), 1)


def test_orientation_that_a_picture_of_16_bits_cannot_keep(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="orientation 6"):
        write_image(tmp_path / "a.png", Image(deep_scene(), orientation=6))
    assert not list(tmp_path.iterdir())
