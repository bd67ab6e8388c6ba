"""Readers that share no code with this program's writers: ExifTool, Exiv2, MediaInfo, and FFmpeg's reader of XMP."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import exiv2
import pytest
from PIL import Image
from pymediainfo import MediaInfo

EXIFTOOL = shutil.which("exiftool")

needs_exiftool = pytest.mark.skipif(EXIFTOOL is None, reason="no ExifTool (Debian: libimage-exiftool-perl)")

XMP, IPTC = (
    "{http://ns.adobe.com/xap/1.0/}CreatorTool",
    "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType",
)


def exiftool(path: Path, *options: str) -> dict[str, Any]:
    """All that ExifTool finds in a file, unknown and embedded things too, by group and name."""
    command = [str(EXIFTOOL), "-json", "-a", "-u", "-ee", "-G1", *options, str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    own = ("SourceFile", "ExifTool:", "System:", "Composite:")
    return {name: value for name, value in found.items() if not name.startswith(own)}


def said(path: Path) -> tuple[str, str]:
    """Tool and digital source type, by another reader; empty where the file does not say."""
    if path.suffix in (".mkv", ".webm"):
        tags = MediaInfo.parse(path).general_tracks[0].to_data()
        return tags.get("creator_tool", ""), tags.get("digital_source_type", "")
    if path.suffix in (".mp4", ".mov"):
        with av.open(str(path), options={"export_xmp": "1"}) as container:
            return _properties(container.metadata.get("xmp", ""))
    if path.suffix == ".gif":
        with Image.open(path) as picture:
            name, start = picture.info.get("extension", (b"", 0))
        packet = path.read_bytes()[start:].partition(b"\x01\xff\xfe")[0]
        return _properties(packet.decode() if name == b"XMP DataXMP" else "")
    picture = exiv2.ImageFactory.open(str(path))
    picture.readMetadata()
    found = {datum.key(): datum.toString() for datum in picture.xmpData()}
    assert len(found) <= 2, found
    return found.get("Xmp.xmp.CreatorTool", ""), found.get("Xmp.iptcExt.DigitalSourceType", "")


def _properties(packet: str) -> tuple[str, str]:
    attributes: dict[str, str] = {}
    for element in ElementTree.fromstring(packet.strip("\0\ufeff")).iter() if packet else ():
        attributes |= element.attrib
    return attributes.get(XMP, ""), attributes.get(IPTC, "")
