"""Reads and writes photographs. What leaves is pixels and, if it is one of RGB, the colours of the profile: nothing
else, but for the orientation where that is asked for, and a ``Statement`` of how the picture came to be.

Pictures are decoded and encoded anew, so EXIF, XMP, IPTC, comments, thumbnails and previews of every kind, depth
and gain maps, and bytes after the end stay behind without being looked for.
"""

from __future__ import annotations

import dataclasses
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageOps, PngImagePlugin, TiffImagePlugin

from anonymizer.errors import MediaError
from anonymizer.media.deep import PNG_XMP, deep_png, deep_tiff, read_deep
from anonymizer.media.files import cause_of, check_readable, replacing
from anonymizer.media.formats import DEFAULT, FORMATS, Encoding, encoding_of, format_of, installed, is_heif, jpegs_in
from anonymizer.media.icc import cmyk_to_rgb, grey_curve, plain_profile
from anonymizer.media.orientation import UPRIGHT, exif_of, orientation_of, stored_size, turned, turned_back
from anonymizer.media.statement import SILENT, Statement

try:
    import pillow_heif
except ImportError:
    pass
else:
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

warnings.filterwarnings("ignore", module=r"PIL\.")  # they concern metadata, which is dropped, and large pictures

Pixels = NDArray[Any]


_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
)
"""What Pillow and its plugins raise on damaged files."""


@dataclass(frozen=True, eq=False)
class Image:
    """A photograph, upright. Pictures in grey, with a palette or in CMYK are RGB here, and so when written.

    Attributes:
        pixels: ``(H, W, 3)`` RGB, uint8, or uint16 with white at 65535.
        alpha: ``(H, W)`` of the same type, 0 where transparent; ``None`` if all is opaque.
        profile: ICC profile of the pixels, in which nothing is named; empty for sRGB.
        format: a key of ``FORMATS``, by what the file held, not by its name.
        encoding: how it was encoded.
        orientation: how it is stored when it is written: turned back, with EXIF's number for it; 1 is upright.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    profile: bytes = b""
    format: str = "PNG"
    encoding: Encoding = DEFAULT
    orientation: int = UPRIGHT

    def with_pixels(self, pixels: Pixels) -> Image:
        """The same photograph with other pixels of the same shape and type."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            raise ValueError(
                f"pixels must be {self.pixels.shape} {self.pixels.dtype}, not {pixels.shape} {pixels.dtype}"
            )
        return dataclasses.replace(self, pixels=pixels)


def read_image(path: str | Path, *, keep_orientation: bool = False) -> Image:
    """Read a photograph, by content: turned upright, with 16 bits a colour if it has them.

    AVIF and HEIC of more than 8 bits are read as 8 bits. Further pictures inside a JPEG or HEIC (previews, gain
    maps, other views) are ignored, and so are reduced pages of a TIFF.

    Args:
        keep_orientation: whether it is to be stored as turned as it was, as coordinates of it may need.

    Raises:
        MediaError: no such file, empty, not a picture, damaged, too large, several pages or animated, or in a
            form that is not supported (floating point, HEIC without pillow-heif).
    """
    path = Path(path)
    check_readable(path)
    data = path.read_bytes()
    with _failures(path), PIL.Image.open(BytesIO(data), formats=installed()) as picture:
        if (pages := _pages(picture, data)) != 1:
            raise MediaError(f"holds {pages or 'only previews of'} pictures, not one", path=path)
        deep, encoding = _is_deep(picture, data), encoding_of(picture, data)
        orientation = orientation_of(picture) if keep_orientation else UPRIGHT
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)
        profile = picture.info.get("icc_profile") or b""
        if deep:
            pixels, alpha = _decode_deep(picture, data)
        else:
            pixels, alpha = _decode(picture, profile)
        curve = grey_curve(profile)
        if curve is not None:
            pixels = _through_curve(pixels, curve)
        return Image(pixels, alpha, plain_profile(profile), kind, encoding, orientation)


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Turn what Pillow and OpenCV raise into ``MediaError``."""
    try:
        yield
    except MediaError as error:
        raise MediaError(error.cause, path=path) from error
    except PIL.UnidentifiedImageError as error:
        with path.open("rb") as file:
            missing = is_heif(file.read(12))
        cause = "is HEIC or AVIF, for which a library is missing: pip install 'anonymizer[heif]'"
        raise MediaError(cause if missing else "is not a picture of a known kind, or is damaged", path=path) from error
    except PIL.Image.DecompressionBombError as error:
        limit = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise MediaError(f"has more than {limit} million pixels", path=path) from error
    except (*_DAMAGE, cv2.error) as error:
        raise MediaError(f"is damaged, or no picture of its kind: {cause_of(error)}", path=path) from error


def _pages(picture: PIL.Image.Image, data: bytes) -> int:
    """How many pictures a viewer shows; of those that a JPEG lists (MPO), the first."""
    if picture.format == "JPEG" and "mp" not in picture.info:
        return jpegs_in(data)
    if picture.format in ("JPEG", "MPO", "HEIF"):
        return 1
    count: int = getattr(picture, "n_frames", 1)
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return count
    reduced = 0
    for page in range(count):
        picture.seek(page)
        reduced += picture.tag_v2.get(254, 0) & 1
    picture.seek(0)
    return count - reduced


def _is_deep(picture: PIL.Image.Image, data: bytes) -> bool:
    if picture.mode in ("I", "F", "LAB", "HSV"):
        raise MediaError(f"is a picture in a form that is not supported ({picture.mode})")
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return max(picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) > 8
    return picture.format == "PNG" and data[24] == 16


def _decode(picture: PIL.Image.Image, profile: bytes) -> tuple[Pixels, Pixels | None]:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "CMYK":
        return np.array(cmyk_to_rgb(upright, profile)), None
    if not upright.has_transparency_data:
        return np.array(upright.convert("RGB")), None
    whole = np.array(upright.convert("RGBA"))
    return np.ascontiguousarray(whole[..., :3]), np.ascontiguousarray(whole[..., 3])


def _decode_deep(picture: PIL.Image.Image, data: bytes) -> tuple[Pixels, Pixels | None]:
    orientation = UPRIGHT if picture.format == "TIFF" else orientation_of(picture)  # OpenCV turns those itself
    picture.load()  # OpenCV returns what is left of a cut file; Pillow raises
    pixels, alpha = read_deep(data)
    return turned(pixels, orientation), None if alpha is None else turned(alpha, orientation)


def _through_curve(pixels: Pixels, curve: NDArray[np.uint8]) -> Pixels:
    """Apply a curve of 256 levels to a picture of either depth."""
    peak = np.iinfo(pixels.dtype).max
    levels = np.interp(pixels, np.linspace(0, peak, 256), curve * (peak / 255))
    return np.rint(levels).astype(pixels.dtype)


def write_image(path: str | Path, image: Image, *, quality: int | None = None, says: Statement = SILENT) -> None:
    """Write a photograph in the format that the suffix names or, for an unknown suffix, in the one it came in.

    Args:
        quality: 1..100, for JPEG, WebP, AVIF and HEIC; by default that of the original.
        says: what the file says about itself, as XMP; BMP has no place for it.

    Raises:
        MediaError: the format holds no transparency, no 16 bits or no orientation and the picture has them, or
            writing fails.
    """
    path = Path(path)
    kind = format_of(path, image.format)
    deep = image.pixels.dtype == np.uint16
    opaque = image.alpha is None or bool((image.alpha == np.iinfo(image.alpha.dtype).max).all())
    if deep and not FORMATS[kind].deep:
        raise MediaError(f"{kind} does not hold 16 bits a colour; write to .png or .tif", path=path)
    if not opaque and not FORMATS[kind].alpha:
        raise MediaError(f"{kind} does not hold transparency; write to .png, .tif or .webp", path=path)
    with _failures(path):
        if deep:
            encode = deep_png if kind == "PNG" else deep_tiff
            data = encode(image.pixels, None if opaque else image.alpha, image.profile, says.xmp())
        else:
            data = _encode(image, kind, opaque, quality, says.xmp())
        _check_geometry(data, image)
    with replacing(path) as partial:
        partial.write_bytes(data)
        if says.seal:
            says.seal(partial, kind)


def _check_geometry(data: bytes, image: Image) -> None:
    """Hold the file that is about to be written to the size and the orientation that it must have.

    Raises:
        MediaError: it has others, and coordinates of the original would not be valid any more.
    """
    height, width = image.pixels.shape[:2]
    with PIL.Image.open(BytesIO(data)) as written:
        orientation = orientation_of(written)  # Pillow turns TIFF itself
        upright = written.size if written.format == "TIFF" else stored_size(written.size, orientation)
    if upright != (width, height) or orientation != image.orientation:
        raise MediaError(f"cannot be stored with the EXIF orientation {image.orientation}, which its labels need")


def _encode(image: Image, kind: str, opaque: bool, quality: int | None, xmp: bytes) -> bytes:
    upright = image.pixels if opaque or image.alpha is None else np.dstack([image.pixels, image.alpha])
    samples = turned_back(upright, image.orientation)
    encoding = image.encoding
    options: dict[str, object] = {"quality": encoding.quality if quality is None else quality}
    match kind:
        case "JPEG":
            options["subsampling"] = encoding.subsampling
            if quality is None and encoding.tables:
                options = {"qtables": encoding.tables, "subsampling": encoding.subsampling}
        case "WEBP":
            options["lossless"] = encoding.lossless and quality is None
        case "TIFF":
            options = {"compression": "tiff_adobe_deflate"}
    if image.orientation != UPRIGHT:
        options["exif"] = exif_of(image.orientation)
    if image.profile:
        options["icc_profile"] = image.profile
    file = BytesIO()
    PIL.Image.fromarray(samples).save(file, kind, **options | (_place_for(xmp, kind) if xmp else {}))
    return _gif_with(xmp, file.getvalue()) if xmp and kind == "GIF" else file.getvalue()


def _place_for(xmp: bytes, kind: str) -> dict[str, object]:
    """Options with which Pillow and its plugins write an XMP packet."""
    match kind:
        case "PNG":
            info = PngImagePlugin.PngInfo()
            info.add_itxt(PNG_XMP, xmp.decode())
            return {"pnginfo": info}
        case "TIFF":
            return {"tiffinfo": {TiffImagePlugin.XMP: xmp}}
        case "BMP" | "GIF":
            return {}
    return {"xmp": xmp}


def _gif_with(xmp: bytes, data: bytes) -> bytes:
    """A GIF with an XMP packet behind its palette; 258 bytes lead readers out of it that take it for blocks of data."""
    palette = 3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0
    front = 13 + palette
    extension = b"\x21\xff\x0bXMP DataXMP" + xmp + b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return b"GIF89a" + data[6:front] + extension + data[front:]
