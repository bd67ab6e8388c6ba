"""Photographs: what cannot be read whole is refused in one clear line; what cannot be written leaves nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from photo_samples import (
    deep_scene,
    encoded,
    save,
    scene,
    through,
)

from anonymizer.errors import MediaError
from anonymizer.media.formats import is_photograph
from anonymizer.media.image import Image, read_image, write_image


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
        "motion jpeg": ("v.mjpeg", encoded(photo, "JPEG", progressive=True) * 12, "holds 12 pictures"),
        "padded motion jpeg": ("v.jpg", (encoded(photo, "JPEG") + bytes(7)) * 3, "holds 3 pictures"),
        "cut motion jpeg": ("v.jpg", (encoded(photo, "JPEG") * 2)[:-200], "holds 2 pictures"),
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


def appended() -> dict[str, bytes]:
    """What cameras put behind the end of a photograph."""
    photo, small = PIL.Image.fromarray(scene()), PIL.Image.fromarray(scene(24, 32))
    whole = encoded(photo, "JPEG")
    return {
        "nothing": whole,
        "zeros": whole + bytes(1000),
        "film": whole + b"\0\0\0\x18ftypmp42" + bytes(100) + whole,
        "preview": whole + encoded(small, "JPEG") + whole,
        "another one that is listed": encoded(photo, "MPO", save_all=True, append_images=[photo]),
        "no picture": whole + b"\xff\xd8\xff",
    }


@pytest.mark.parametrize("what", appended())
def test_what_cameras_append_is_dropped(tmp_path: Path, what: str) -> None:
    path = save(tmp_path / "in.jpg", appended()[what])
    first = read_image(save(tmp_path / "plain.jpg", appended()["nothing"]))
    assert np.abs(read_image(path).pixels.astype(int) - first.pixels).max() <= 8
    assert through(path).count(b"\xff\xd8\xff") == 1


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
    assert is_photograph(tmp_path / "bomb.png")


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
    monkeypatch.delitem(PIL.Image.OPEN, "HEIF")
    assert is_photograph(path)
    with pytest.raises(MediaError, match="pip install"):
        read_image(path)
    with pytest.raises(MediaError, match="known kind"):
        read_image(save(tmp_path / "a.png", b"no picture at all"))


def test_is_photograph(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF", "HEIF"):
        assert is_photograph(save(tmp_path / "x", encoded(PIL.Image.fromarray(scene()), kind))), kind
    assert not is_photograph(save(tmp_path / "x", b"\0\0\0\x20ftypisom" + bytes(100)))
    assert not is_photograph(save(tmp_path / "x", b""))
    assert not is_photograph(tmp_path / "none")


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


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file or folder"):
        write_image(tmp_path / "none" / "a.png", Image(scene()))


def test_with_pixels_checks_the_shape() -> None:
    image = Image(scene())
    assert image.with_pixels(scene(seed=3)).pixels is not image.pixels
    with pytest.raises(ValueError, match="must be"):
        image.with_pixels(scene(10, 10))
