"""Reads what a file, of any program, says about itself: the counterpart of ``statement``."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import av
import PIL.Image

from anonymizer.errors import MediaError
from anonymizer.media.demux import FORMATS
from anonymizer.media.files import cause_of, check_readable, ffmpeg_name
from anonymizer.media.formats import installed, is_photograph
from anonymizer.media.statement import Statement

_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "export_xmp": "1"}
_TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
_SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
_END_IN_GIF = b"\x01\xff\xfe\xfd"


def read_statement(path: Path) -> tuple[Statement, str]:
    """What a photograph or video says, and Pillow's or FFmpeg's name of its format.

    Raises:
        MediaError: it is neither, or cannot be read.
    """
    check_readable(path)
    if is_photograph(path):
        with PIL.Image.open(path, formats=installed()) as picture:
            kind = "JPEG" if picture.format == "MPO" else str(picture.format)
            packet = _packet_of_gif(picture, path) if kind == "GIF" else picture.info.get("xmp", b"")
        return _statement(packet, path), kind
    try:
        with av.open(ffmpeg_name(path), options=_OPTIONS, metadata_errors="ignore") as container:
            names, tags = container.format.name, {name.lower(): value for name, value in container.metadata.items()}
    except av.FFmpegError as error:
        raise MediaError(f"is neither a photograph nor a video: {cause_of(error)}", path=path) from error
    if "mp4" in names.split(","):
        return _statement(tags.get("xmp", "").encode(), path), "mov" if "qt" in tags.get("major_brand", "") else "mp4"
    return Statement(tags.get("creator_tool", ""), tags.get("digital_source_type", "")), names


def _packet_of_gif(picture: PIL.Image.Image, path: Path) -> bytes:
    """The packet of an extension before the first picture."""
    name, start = picture.info.get("extension", (b"", 0))
    return path.read_bytes()[start:].partition(_END_IN_GIF)[0] if name == b"XMP DataXMP" else b""


def _statement(packet: bytes, path: Path) -> Statement:
    """Of an XMP packet, in which a property is an attribute or an element."""
    if not packet.strip(b"\0 \n"):
        return Statement()
    try:
        found: dict[str, str] = {}
        for element in ElementTree.fromstring(packet.strip(b"\0 \n")).iter():
            found |= element.attrib | {element.tag: (element.text or "").strip()}
    except ElementTree.ParseError as error:
        raise MediaError(f"its XMP is damaged: {error}", path=path) from error
    return Statement(found.get(_TOOL, ""), found.get(_SOURCE_TYPE, ""))
