"""Photographs: pixels in, pixels out, and nothing else."""

import base64
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from photo_samples import (
    SECRET,
    chunk,
    cmyk_profile,
    deep_scene,
    encoded,
    exif,
    grey_profile,
    planted_jpeg,
    scene,
    segment,
    with_segments,
)
from PIL import ImageCms, TiffImagePlugin

from anonymizer.errors import MediaError
from anonymizer.media import image as image_module
from anonymizer.media.image import Image, is_image, read_image, write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LOSSLESS = [".png", ".tif", ".bmp", ".webp"]
EVERY = [".jpg", ".png", ".tif", ".webp", ".bmp", ".gif", ".avif", ".heic"]


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def through(path: Path) -> bytes:
    """The bytes that are written for a file that is read."""
    target = path.with_name("out" + path.suffix)
    write_image(target, read_image(path))
    return target.read_bytes()


def assert_clean(output: bytes, *planted: bytes) -> None:
    """No picture within the picture, and no part of what was planted."""
    assert b"\xff\xd8\xff" not in output[2:], "an embedded JPEG"
    for secret in (SECRET, *planted):
        if secret.startswith(b"\xff\xd8"):
            secret = secret[secret.index(b"\xff\xda") + 14 :]  # its tables are everybody's
        for start in range(0, len(secret) - 12, 12):
            assert secret[start : start + 12] not in output, f"planted bytes from {start}"


# ------------------------------------------------------------------------------------- what is dropped


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
            assert output.info["icc_profile"] == SRGB, kind


# ------------------------------------------------------------------------------------------- pixels


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
    assert again.profile == SRGB
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
    back = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    stored = image_module._turned(upright, back)
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


# ------------------------------------------------------------------------------------------ quality


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


# ---------------------------------------------------------------------------------------- bad input


def bad_files() -> dict[str, tuple[str, bytes, str]]:
    photo = PIL.Image.fromarray(scene())
    pages = {"save_all": True, "append_images": [PIL.Image.fromarray(scene(seed=2))]}
    return {
        "empty": ("a.jpg", b"", "empty"),
        "text": ("a.jpg", b"hello " * 100, "not a picture"),
        "cut jpeg": ("a.jpg", encoded(photo, "JPEG")[:-200], "damaged"),
        "cut png": ("a.png", encoded(photo, "PNG")[:-500], "damaged"),
        "cut webp": ("a.webp", encoded(photo, "WEBP")[:-50], "damaged|not a picture"),
        "cut tiff": ("a.tif", encoded(photo, "TIFF", compression="tiff_lzw")[:-3000], "damaged|not a picture"),
        "cut avif": ("a.avif", encoded(photo, "AVIF")[:-100], "damaged"),
        "cut heic": ("a.heic", encoded(photo, "HEIF")[:-100], "damaged"),
        "altered png": ("a.png", encoded(photo, "PNG").replace(b"IDAT", b"IDAT\xff", 1), "damaged"),
        "animation": ("a.gif", encoded(photo, "GIF", **pages), "holds 2 pictures"),
        "animated png": ("a.png", encoded(photo, "PNG", **pages), "holds 2 pictures"),
        "animated webp": ("a.webp", encoded(photo, "WEBP", **pages), "holds 2 pictures"),
        "pages": ("a.tif", encoded(photo, "TIFF", **pages), "holds 2 pictures"),
        "floating point": ("a.tif", encoded(PIL.Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "supported"),
    }


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize("name", bad_files())
def test_bad_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    filename, data, cause = bad_files()[name]
    path = save(tmp_path / filename, data)
    with pytest.raises(MediaError, match=cause) as caught:
        read_image(path)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


def test_cut_deep_files(tmp_path: Path) -> None:
    for suffix in (".png", ".tif"):
        write_image(tmp_path / f"whole{suffix}", Image(deep_scene()))
        path = save(tmp_path / f"cut{suffix}", (tmp_path / f"whole{suffix}").read_bytes()[:-3000])
        with pytest.raises(MediaError, match="damaged"):
            read_image(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    data = encoded(PIL.Image.fromarray(scene()), "JPEG", quality=80)
    for length in range(1, len(data) - 2, 37):
        with pytest.raises(MediaError):
            read_image(save(tmp_path / "cut.jpg", data[:length]))


def test_missing_folder_and_bomb(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(MediaError, match="is a folder"):
        read_image(tmp_path)
    bomb = encoded(PIL.Image.new("1", (20000, 20000)), "PNG")
    with pytest.raises(MediaError, match="million pixels"):
        read_image(save(tmp_path / "bomb.png", bomb))
    assert is_image(tmp_path / "bomb.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", encoded(PIL.Image.fromarray(scene()), "PNG"))
    path.chmod(0)
    with pytest.raises(MediaError, match="permission denied"):
        read_image(path)


def test_wrong_suffix(tmp_path: Path) -> None:
    jpeg_called_png = save(tmp_path / "in.png", encoded(PIL.Image.fromarray(scene()), "JPEG"))
    assert read_image(jpeg_called_png).format == "JPEG"
    assert through(jpeg_called_png).startswith(b"\x89PNG")
    nameless = save(tmp_path / "in.dat", encoded(PIL.Image.fromarray(scene()), "JPEG"))
    assert through(nameless).startswith(b"\xff\xd8")
    with pytest.raises(MediaError, match="16 bits"):
        write_image(tmp_path / "deep.jpg", Image(deep_scene()))


def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.heic", encoded(PIL.Image.fromarray(scene()), "HEIF"))
    without = {name: form for name, form in image_module.FORMATS.items() if name != "HEIF"}
    monkeypatch.setattr(image_module, "FORMATS", without)
    assert is_image(path)
    with pytest.raises(MediaError, match="pip install"):
        read_image(path)


def test_is_image(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF", "HEIF"):
        assert is_image(save(tmp_path / "x", encoded(PIL.Image.fromarray(scene()), kind))), kind
    assert not is_image(save(tmp_path / "x", b"\0\0\0\x20ftypisom" + bytes(100)))
    assert not is_image(save(tmp_path / "x", b""))
    with pytest.raises(MediaError, match="no such file"):
        is_image(tmp_path / "none")


# ------------------------------------------------------------------------------------------ writing

FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from anonymizer.errors import MediaError
from anonymizer.media.image import Image, write_image
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_image(Path(sys.argv[1]), Image(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)))
except MediaError as error:
    print(error)
"""


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, target], capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"{target}: cannot be written: ")
    assert run.stdout.count("\n") == 1
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file or folder"):
        write_image(tmp_path / "none" / "a.png", Image(scene()))


def test_with_pixels_checks_the_shape() -> None:
    image = Image(scene())
    assert image.with_pixels(scene(seed=3)).pixels is not image.pixels
    with pytest.raises(ValueError, match="must be"):
        image.with_pixels(scene(10, 10))
