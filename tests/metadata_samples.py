"""Photographs and videos that tell as much as files can: who, where, when, with what, and how it looked before."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fake_anonymizer import make_photo
from metadata_readers import EXIFTOOL
from photo_samples import exif, gamma, planted_jpeg, profile, save, xyz
from PIL import Image, TiffImagePlugin
from video_samples import FFMPEG, make_video

SECRET = "Jane Doe"
SCAN = planted_jpeg()[planted_jpeg().index(b"\xff\xda") + 14 :][:60]
"""Part of the preview that is planted everywhere; its bytes occur nowhere else."""

_NAMED = (
    *("EXIF:Make", "EXIF:Model", "EXIF:SerialNumber", "EXIF:LensSerialNumber", "EXIF:OwnerName", "EXIF:Artist"),
    *("EXIF:Copyright", "EXIF:UserComment", "EXIF:ImageDescription", "EXIF:ImageUniqueID", "EXIF:Software"),
    *("XMP-dc:Creator", "XMP-dc:Title", "XMP-photoshop:City", "XMP-iptcExt:PersonInImage", "XMP-xmpMM:DocumentID"),
    *("XMP-xmpMM:HistoryAction", "XMP-xmpMM:HistorySoftwareAgent", "XMP-aux:SerialNumber", "XMP-mwg-rs:RegionName"),
    *("IPTC:By-line", "IPTC:Caption-Abstract", "IPTC:City", "Photoshop:CopyrightFlag", "Comment", "PNG:Title"),
    *(
        "PNG:Author",
        "ItemList:Title",
        "ItemList:Artist",
        "UserData:Title",
        "UserData:Make",
        "Keys:Model",
        "Keys:Author",
    ),
)
_PLACED = (
    *("-EXIF:GPSLatitude=48.8584", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=2.2945", "-EXIF:GPSLongitudeRef=E"),
    *("-XMP-exif:GPSLatitude=48.8584", "-EXIF:DateTimeOriginal=2024:05:06 07:08:09", "-XMP-xmp:CreateDate=2024:05:06"),
    *("-Keys:GPSCoordinates=48.8584, 2.2945", "-UserData:GPSCoordinates=48.8584, 2.2945", "-CreateDate=2024:05:06"),
    *("-ItemList:GPSCoordinates=48.8584, 2.2945", "-TrackCreateDate=2024:05:06", "-MediaModifyDate=2024:05:06"),
)


def named_profile() -> bytes:
    """Of RGB with the primaries of sRGB, which names a person, her screen and a day."""
    text = b"text" + bytes(4) + SECRET.encode() + b"\0"
    description = b"desc" + bytes(4) + len(SECRET + " ").to_bytes(4) + SECRET.encode() + b"\0" + bytes(78)
    tags = {b"desc": description, b"cprt": text, b"mmod": text, b"dmnd": description, b"vcgt": text}
    tags |= {b"wtpt": xyz(0xF6D6, 0x10000, 0xD32D), b"rXYZ": xyz(0x6FA2, 0x38F5, 0x0390)}
    tags |= {b"gXYZ": xyz(0x6299, 0xB785, 0x18DA), b"bXYZ": xyz(0x24A0, 0x0F84, 0xB6CF)}
    made = bytearray(profile(b"RGB ", tags | {name: gamma(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")}))
    made[24:36] = b"".join(part.to_bytes(2) for part in (2024, 5, 6, 7, 8, 9))
    made[48:56] = b"JaneDoe!"
    return bytes(made)


def telling_photo(path: Path) -> Path:
    """A photograph of any format."""
    with Image.open(make_photo(path.with_name("plain.png"), (64, 48))) as plain:
        block = exif(planted_jpeg())
        options = {} if path.suffix in (".gif", ".bmp") else {"icc_profile": named_profile(), "exif": block}
        if path.suffix == ".tif":
            options = {"icc_profile": named_profile(), "tiffinfo": _private_tags()}
        plain.save(path, **options)
    if path.suffix == ".jpg":
        preview = save(path.with_name("preview.jpg"), planted_jpeg())
        _tell(path, f"-PhotoshopThumbnail<={preview}")
        path.write_bytes(path.read_bytes() + planted_jpeg())
    else:
        _tell(path)
    return path


def _private_tags() -> TiffImagePlugin.ImageFileDirectory_v2:
    """A private tag, and a preview in a directory below the first."""
    tags, below = TiffImagePlugin.ImageFileDirectory_v2(), TiffImagePlugin.ImageFileDirectory_v2()
    below[270] = SECRET
    below.tagtype[60002] = tags.tagtype[60001] = 7
    tags[60001] = below[60002] = planted_jpeg()
    tags[34665] = dict(below)  # as EXIF, the one that Pillow writes
    return tags


def telling_video(path: Path) -> Path:
    """A video with sound and subtitles, in any container: in its pictures too, where cameras put their settings."""
    plain = path.with_name("plain.mkv")
    make_video(plain, audio="libopus" if path.suffix == ".webm" else "aac", codec=_codec(path), secrets=True)
    text = save(path.with_name("text.srt"), b"1\n00:00:00,040 --> 00:00:00,200\nHello\n")
    command = [FFMPEG, "-v", "error", "-y", "-i", plain, "-i", text, "-map", "0:V", "-map", "0:a", "-map", "1"]
    command += [
        "-c",
        "copy",
        "-c:s",
        {".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt"}.get(path.suffix, "srt"),
    ]
    for where in ("", ":s:v", ":s:a", ":s:s"):
        command += [f"-metadata{where}", f"title={SECRET}", f"-metadata{where}", f"handler_name={SECRET}"]
    command += ["-metadata", "location=+48.8584+002.2945/", "-metadata", "creation_time=2024-05-06T07:08:09Z"]
    if _codec(path) == "libx264":
        command += ["-bsf:v", f"h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+{SECRET}"]
    command += ["-timecode", "01:02:03:04"] if path.suffix == ".mov" else []
    if path.suffix == ".mkv":
        preview = save(path.with_name("preview.jpg"), planted_jpeg())
        command += ["-attach", preview, "-metadata:s:t", "mimetype=image/jpeg", "-metadata:s:t", f"title={SECRET}"]
    subprocess.run([*command, path], check=True)
    if path.suffix in (".mp4", ".mov"):
        _tell(path)
    return path


def _codec(path: Path) -> str:
    return "libvpx-vp9" if path.suffix == ".webm" else "libx264"


def _tell(path: Path, *more: str) -> None:
    """Write whatever the format has a place for."""
    said = [f"-{name}={SECRET}" for name in _NAMED]
    command = [str(EXIFTOOL), "-q", "-q", "-m", "-overwrite_original", *said, *_PLACED, *more, str(path)]
    subprocess.run(command, check=True, capture_output=True)
