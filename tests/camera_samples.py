"""Files as cameras lay them out: notes of makers, previews behind the picture, and tracks that are no pictures."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from fake_anonymizer import make_photo, make_video
from metadata_samples import SECRET
from photo_samples import planted_jpeg, segment, with_segments
from video_samples import FFMPEG

TEXT, LONG, ANY = 2, 4, 7
"""Types of values of TIFF."""

Entry = tuple[int, int, bytes]


def directory(at: int, *entries: Entry) -> bytes:
    """A directory of TIFF (little-endian) that lies ``at`` bytes behind the start, with its values behind it."""
    sizes = {TEXT: 1, LONG: 4, ANY: 1}
    end, table, values = at + 2 + 12 * len(entries) + 4, b"", b""
    for tag, kind, value in entries:
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", end + len(values))
        table += struct.pack("<HHI4s", tag, kind, len(value) // sizes[kind], place)
        values += value if len(value) > 4 else b""
    return struct.pack("<H", len(entries)) + table + bytes(4) + values


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def canon(at: int) -> bytes:
    """A directory: firmware and owner."""
    return directory(at, (0x0007, TEXT, text("Firmware 1.0")), (0x0009, TEXT, text(SECRET)))


def nikon(at: int) -> bytes:
    """A whole TIFF file: serial number, and a preview in a directory below."""
    start = b"Nikon\0\x02\x10\0\0II*\0\x08\0\0\0"
    table = 8 + 2 + 3 * 12 + 4 + len(text(SECRET))
    preview = planted_jpeg()
    data = table + 2 + 2 * 12 + 4
    numbers = [struct.pack("<I", number) for number in (table, data, len(preview))]
    first = directory(8, (0x0001, ANY, b"0211"), (0x001D, TEXT, text(SECRET)), (0x0011, LONG, numbers[0]))
    return start + first + directory(table, (0x0201, LONG, numbers[1]), (0x0202, LONG, numbers[2])) + preview


def sony(at: int) -> bytes:
    """A name, then a directory: a style, and a preview as a value."""
    name = b"SONY DSC \0\0\0"
    return name + directory(at + len(name), (0x2001, ANY, planted_jpeg()), (0xB020, TEXT, text(SECRET)))


MAKERS = {"Canon": canon, "NIKON CORPORATION": nikon, "SONY": sony}


def noted_photo(path: Path, maker: str) -> Path:
    """A JPEG photograph with the notes of a camera's maker."""
    named = [(0x010F, TEXT, text(maker)), (0x0110, TEXT, text(f"{maker} model"))]
    below = 8 + len(directory(8, *named, (0x8769, LONG, bytes(4))))
    head = directory(8, *named, (0x8769, LONG, struct.pack("<I", below)))
    notes = MAKERS[maker](below + 2 + 12 + 4)
    block = b"Exif\0\0II*\0\x08\0\0\0" + head + directory(below, (0x927C, ANY, notes))
    path.write_bytes(with_segments(make_photo(path, (64, 48)).read_bytes(), segment(0xE1, block)))
    return path


def previewed_photo(path: Path) -> Path:
    """A JPEG photograph, its preview behind it as CIPA's multi-picture format has it, and behind that a short video."""
    make_photo(path, (64, 48))
    picture, preview = path.read_bytes(), planted_jpeg()
    size = len(segment(0xE2, _pictures(0, 0, 0)))
    start = 2 + 4 + len(b"MPF\0")  # from where places count
    whole = with_segments(
        picture, segment(0xE2, _pictures(len(picture) + size, len(preview), len(picture) + size - start))
    )
    path.write_bytes(whole + preview + make_video(path.with_name("motion.mp4")).read_bytes() + SECRET.encode())
    return path


def _pictures(size: int, preview: int, place: int) -> bytes:
    listed = struct.pack("<IIIHH", 0x00030000, size, 0, 0, 0) + struct.pack("<IIIHH", 0x00010001, preview, place, 0, 0)
    entries = (0xB000, ANY, b"0100"), (0xB001, LONG, struct.pack("<I", 2)), (0xB002, ANY, listed)
    return b"MPF\0II*\0\x08\0\0\0" + directory(8, *entries)


def tracked_video(path: Path) -> Path:
    """A video with a track of telemetry, as action cameras have it (``gpmd``), a preview in a box of its own, and a
    text in one that is said to be free."""
    plain, telemetry = make_video(path.with_name(f"plain{path.suffix}")), path.with_name("telemetry.srt")
    telemetry.write_text(f"1\n00:00:00,040 --> 00:00:02,000\n{SECRET} GPS5 48.8584 2.2945\n")
    command = [
        FFMPEG,
        "-v",
        "error",
        "-y",
        "-i",
        plain,
        "-i",
        telemetry,
        "-c",
        "copy",
        "-c:s",
        "mov_text",
        "-f",
        "mp4",
        path,
    ]
    subprocess.run(command, check=True)
    data = path.read_bytes()  # the libraries write no such track: rename one of text
    for old, new in ((b"sbtl", b"meta"), (b"tx3g", b"gpmd")):
        assert old in data
        data = data.replace(old, new)
    for kind, content in ((b"free", SECRET.encode()), (b"uuid", bytes(16) + planted_jpeg())):
        data += struct.pack(">I4s", len(content) + 8, kind) + content
    path.write_bytes(data)
    return path
