"""What a result says beyond its pictures and sound: tags, thumbnails, streams. Of any tool's results."""

from __future__ import annotations

from pathlib import Path

import av
import PIL.Image
from PIL import ExifTags

from anonymizer.media.demux import FORMATS
from anonymizer.media.files import check_readable, ffmpeg_name
from pipelines.inputs import Kind

HARMLESS = frozenset(
    {
        *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe", "adobe_transform", "progressive"),
        *("progression", "icc_profile", "gamma", "srgb", "chromaticity", "transparency", "bits", "interlace"),
        *("background", "loop", "duration", "timestamp", "version", "compression"),
    }
)
"""What Pillow tells of a picture that says how it is to be shown."""

ORIENTATION = ExifTags.Base.Orientation
STREAM_TAGS = frozenset(["language", "handler_name", "vendor_id", "encoder", "duration", "timecode_rate"])
FILE_TAGS = frozenset(["major_brand", "minor_version", "compatible_brands", "encoder", "duration"])


def remains(path: Path, kind: Kind) -> list[str]:
    """Names of what is there."""
    check_readable(path)
    return sorted(set(_of_photo(path) if kind is Kind.PHOTO else _of_video(path)))


def _of_photo(path: Path) -> list[str]:
    with PIL.Image.open(path) as picture:
        found = [str(name) for name in picture.info if str(name).lower() not in HARMLESS | {"exif"}]
        exif = picture.getexif()
        found += [f"EXIF {ExifTags.TAGS.get(tag, tag)}" for tag in exif if tag != ORIENTATION]
        found += [f"EXIF {block.name}" for block in ExifTags.IFD if exif.get_ifd(block)]
    return found


def _of_video(path: Path) -> list[str]:
    with av.open(ffmpeg_name(path), options={"format_whitelist": FORMATS}, metadata_errors="ignore") as container:
        found = [name for name in container.metadata if name.lower() not in FILE_TAGS]
        for stream in container.streams:
            found += [f"{stream.type} {name}" for name in stream.metadata if name.lower() not in STREAM_TAGS]
            found += [f"stream of {stream.type}"] if stream.type not in ("video", "audio", "subtitle") else []
    return found
