"""What a result says beyond its pictures and sound: tags, thumbnails, streams. Of any tool's results."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import av
import PIL.Image
from PIL import ExifTags

from anonymizer.errors import MediaError
from anonymizer.media.demux import FORMATS
from anonymizer.media.files import cause_of, check_readable, ffmpeg_name
from anonymizer.media.statement import Statement
from pipelines.inputs import Kind

HARMLESS = frozenset(
    {
        *("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe", "adobe_transform", "progressive"),
        *("progression", "icc_profile", "gamma", "srgb", "chromaticity", "transparency", "bits", "interlace"),
        *("background", "loop", "duration", "timestamp", "version", "compression"),
    }
)
"""What Pillow tells of a picture that says how it is to be shown."""

SAID = ("CreatorTool", "DigitalSourceType")
"""What may be said of how a file came to be; see ``anonymizer.provenance``."""

FRAMES = ("http://www.w3.org/1999/02/22-rdf-syntax-ns#", "adobe:ns:meta/")  # name spaces of what is around properties
ORIENTATION = ExifTags.Base.Orientation
STREAM_TAGS = frozenset(["language", "handler_name", "vendor_id", "encoder", "duration", "timecode_rate"])
TAGS = [name.lower() for name in Statement("-", "-").tags()]  # of Matroska, for the same
FILE_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration", *TAGS})


def remains(path: Path, kind: Kind) -> list[str]:
    """Names of what is there.

    Raises:
        MediaError: it cannot be told.
    """
    check_readable(path)
    try:
        return sorted(set(_of_photo(path) if kind is Kind.PHOTO else _of_video(path)))
    except (OSError, ValueError, SyntaxError, av.FFmpegError) as error:  # what damaged EXIF makes Pillow raise
        raise MediaError(f"what it says of itself cannot be read: {cause_of(error)}", path=path) from error


def _of_photo(path: Path) -> list[str]:
    with PIL.Image.open(path) as picture:
        found = [str(name) for name in picture.info if str(name).lower() not in HARMLESS | {"exif", "xmp"}]
        found += _of_xmp(picture.info.get("xmp", b""))
        exif = picture.getexif()
        found += [f"EXIF {ExifTags.TAGS.get(tag, tag)}" for tag in exif if tag != ORIENTATION]
        found += [f"EXIF {block.name}" for block in ExifTags.IFD if exif.get_ifd(block)]
    return found


def _of_xmp(packet: bytes) -> list[str]:
    """Names of properties."""
    if not (text := packet.strip(b"\0 \n")):
        return []
    try:
        elements = list(ElementTree.fromstring(text).iter())
    except ElementTree.ParseError:
        return ["XMP that is damaged"]
    names = {name for element in elements for name in (element.tag, *element.attrib)}
    properties = (name.strip("{").split("}", 1) for name in names if name.startswith("{"))
    return [f"XMP {name}" for space, name in properties if space not in FRAMES and name not in SAID]


def _of_video(path: Path) -> list[str]:
    options = {"format_whitelist": FORMATS, "export_xmp": "1"}
    with av.open(ffmpeg_name(path), options=options, metadata_errors="ignore") as container:
        named = {name.lower(): value for name, value in container.metadata.items()}
        found = _of_xmp(named.pop("xmp", "").encode()) + [name for name in named if name not in FILE_TAGS]
        found += ["another stream of video"] * (len(container.streams.video) > 1)  # or a picture of its cover
        for stream in container.streams:
            found += [f"{stream.type} {name}" for name in stream.metadata if name.lower() not in STREAM_TAGS]
            found += [f"stream of {stream.type}"] if stream.type not in ("video", "audio", "subtitle") else []
    return found
