"""Files that are neither photograph nor video: copied bit for bit, unless they may hold a picture.

A face can hide in what is no picture by name: in labels that hold the picture as text, in documents, raw photographs,
arrays. So every file is searched for pictures inside, and kinds of files that hold pictures compressed, or as bare
pixels, are not copied unless the user says so.
"""

from __future__ import annotations

import mmap
import re
import shutil
import zlib
from collections.abc import Collection
from io import BytesIO
from pathlib import Path

import PIL.Image

from anonymizer.errors import MediaError
from anonymizer.media.files import cause_of, replacing
from pipelines.plan import Job
from pipelines.report import Result

_OPAQUE = """
    3fr 7z ai arw avro bag bdb bz2 cab cdr ckpt cr2 cr3 crw db db3 dcm dds djvu dng doc ds_store emf eps erf exr
    fff flif gpr gz h5 hdf hdf5 iiq joblib jxl kdc ktx lmdb lz lz4 lzma mat mcap mdb mef mos mrw msgpack nef
    nii npy nrrd nrw onnx orc orf pack pcx pdf pef pickle pkl ppt ps psb psd r3d raf rar raw rw2 rwl
    safetensors sqlite sqlite3 sr2 srf srw svgz swf sz tfrecord tfrecords tga wmf x3f xcf xls xz y4m yuv z zst
"""
OPAQUE = frozenset(f".{name}" for name in _OPAQUE.split())
"""Suffixes of files that may hold pictures of which nothing is to be seen from outside."""

_BEGINNINGS = {
    ".npy": re.compile(rb"\x93NUMPY"),
    ".gz": re.compile(rb"\x1f\x8b\x08"),
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd"),
    ".xz": re.compile(rb"\xfd7zXZ\0"),
    ".bz2": re.compile(rb"BZh[1-9]1AY&SY"),
    ".pickle": re.compile(rb"\x80(?:[\x02\x03][\]})(cBCXUKG]|[\x04\x05]\x95)"),
}
"""How some of them begin, whatever their name."""

HEADER = 1 << 20  # bytes from which a picture is told

_PICTURE = re.compile(
    rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF[\0-\xff]{4}WEBP|II\*\x00|MM\x00\*|\x00\x00\x00\x0cjP  "
)
_OTHER = {
    "a film or picture": re.compile(rb"ftyp(?:isom|iso[2-9]|mp4[12]|avc1|qt  |heic|heix|mif1|avif|M4V |dash|3gp)"),
    "a document": re.compile(rb"%PDF-1|%PDF-2"),
    "a compressed part": re.compile(rb"PK\x03\x04[\x0a-\x3f]\x00|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c"),
    "a picture as text": re.compile(
        rb"data:(?:image|video)/|/9j/[2-4]|iVBORw0KGgo|R0lGOD[dl]h|UklGR[\w+/]{4,6}V0VCUF|(?i:ffd8ffe[0-9a-f]|89504e470d0a)"
    ),
}


def copy(job: Job, allowed: Collection[str] = ()) -> Result:
    """Copy a file as it is, whole or not at all; see ``why_not``."""
    result = Result(job)
    with result.guarded(), result.clock("copy"):
        if reason := why_not(job.source.path, allowed):
            raise MediaError(f"is not copied: it {reason}", path=job.source.path)
        job.make_folder()
        with replacing(job.target) as partial:
            shutil.copyfile(job.source.path, partial)
    result.seconds = sum(result.stages.values())
    return result


def why_not(path: Path, allowed: Collection[str] = ()) -> str:
    """Why a file must not be copied, as a sentence without its subject; empty if it may.

    Args:
        path: any regular file.
        allowed: suffixes, such as ``.npy``, of files that may be copied whatever they hold.

    Raises:
        MediaError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            suffixes = {*(suffix.lower() for suffix in path.suffixes), _suffix_of(file.read(HEADER))}
            if suffixes & set(allowed):
                return ""
            if known := sorted(suffixes & OPAQUE):
                return (
                    f"may hold pictures that cannot be looked into (--copy {known[0]} copies such files all the same)"
                )
            if not file.seek(0, 2):
                return ""
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return inside(data)
    except OSError as error:
        raise MediaError(cause_of(error), path=path) from error


def _suffix_of(start: bytes) -> str:
    """The suffix that suits what a file begins with, where that cannot be looked into."""
    for suffix, pattern in _BEGINNINGS.items():
        if pattern.match(start):
            return suffix
    try:
        return ".z" if zlib.decompressobj().decompress(start, 1) else ""
    except zlib.error:
        return ""


def inside(data: mmap.mmap | memoryview) -> str:
    """The reason for ``why_not`` that lies in the content; empty if there is none."""
    for kind, pattern in _OTHER.items():
        if pattern.search(data):
            return f"holds {kind} inside"
    for start in _PICTURE.finditer(data):  # what begins like a picture is one, though it may be damaged
        if start.start() == 0 or _is_picture(bytes(data[start.start() : start.start() + HEADER])):
            return "holds a picture inside"
    return ""


def _is_picture(data: bytes) -> bool:
    """Whether a picture begins here: three bytes of its mark come up by chance in any large file."""
    try:
        with PIL.Image.open(BytesIO(data)) as picture:
            return min(picture.size) > 0
    except Exception:  # plugins raise all kinds of errors on what is no picture
        return False
