"""``anonymizer audit``: is any real face left in a result, of this or of any other program? File by file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from glob import escape
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import torch

from anonymizer.batches import Frames
from anonymizer.errors import AnonymizerError, MediaError
from anonymizer.media.demux import FORMATS
from anonymizer.media.files import cause_of, ffmpeg_name
from anonymizer.media.image import read_image
from anonymizer.media.video import VideoReader
from pipelines.comparison import Comparison, Seen, Verdict
from pipelines.failures import one_line
from pipelines.images import as_frames
from pipelines.inputs import Kind, Source, find
from pipelines.progress import progress
from pipelines.remains import remains

BATCH = 4  # frames that are compared together
SHAPE = 0.05  # logarithm of the ratio of two pictures' shapes up to which one was only resized


@dataclass
class Audited:
    """What was found in one file.

    Attributes:
        frames: pictures that were compared.
        faces: of the originals.
        wrong: those with a verdict.
        distances: of embeddings, of all that are clear.
        differs: what else is not as in the original: times, sound.
        remains: what the result says beyond its pictures and sound; see ``remains``.
        error: why it could not be compared.
    """

    original: str
    result: str
    frames: int = 0
    faces: int = 0
    wrong: list[Seen] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def clean(self) -> bool:
        """Whether surely no face is left and nothing is said that should not be."""
        return not (self.error or self.remains or self.wrong)

    def add(self, seen: Sequence[Seen], frames: int) -> None:
        """Count compared pictures."""
        self.frames += frames
        self.faces += len(seen)
        self.wrong += [face for face in seen if face.verdict]
        self.distances += [face.distance for face in seen if face.distance is not None]

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        distances = sorted(self.distances)
        return {
            **{name: value for name, value in asdict(self).items() if name not in ("wrong", "distances")},
            "clean": self.clean,
            "wrong": [{**asdict(face), "time": str(face.time)} for face in self.wrong],
            "distance": {"nearest": distances[0], "median": median(distances)} if distances else None,
        }

    def as_lines(self) -> Iterator[str]:
        """Where something is wrong."""
        for face in self.wrong:
            box = ", ".join(f"{side:.0f}" for side in face.box)
            yield f"{self.result}: frame {face.frame}, {float(face.time):.3f} s, box {box}: {face.verdict}"

    def as_row(self) -> list[str | int]:
        """For the table, under ``COLUMNS``."""
        counts = Counter(face.verdict for face in self.wrong)
        nearest = f"{min(self.distances):.2f}" if self.distances else "-"
        others = [self.error] if self.error else [*self.differs, *self.remains]
        return [self.result, self.frames, self.faces, *(counts[each] for each in Verdict), nearest, "; ".join(others)]


COLUMNS = ("file", "frames", "faces", *Verdict, "nearest", "besides")


def audit(original: Path, result: Path, step: int, device: str) -> Iterator[Audited]:
    """Compare two files, or two folders with files of the same names. What else there is in the second folder is named.

    Args:
        original: the photograph, video or folder that was anonymized.
        result: what came out.
        step: compare every n-th frame of videos.
        device: where the networks run.
    """
    comparison, seen = Comparison(device), set()
    for source, counterpart in pairs(original, result):
        seen.add(counterpart)
        yield _audited(source, counterpart, comparison, step)
    for source in find([result]).sources if result.is_dir() else ():
        if source.kind is not Kind.FILE and source.path not in seen:
            yield Audited("-", source.name, error="there is no original of it")


def pairs(original: Path, result: Path) -> Iterator[tuple[Source, Path | None]]:
    """Photographs, videos and what else holds pictures, each with its result; None if there is none.

    Raises:
        MediaError: it cannot be told what an original is.
    """
    found = find([original])
    for failure in found.failures:
        raise failure
    for source in found.sources:
        if source.kind is not Kind.FILE:
            yield source, _result_of(source, result) if source.folder else result


def _result_of(source: Source, folder: Path) -> Path | None:
    """The file in another folder with the same name, or with another suffix, as not every format can be written."""
    assert source.folder is not None
    path = folder / source.path.relative_to(source.folder)
    others = sorted(path.parent.glob(f"{escape(path.stem)}.*")) if path.parent.is_dir() else []
    return next((other for other in (path, *others) if other.is_file()), None)


def as_table(results: Sequence[Audited]) -> str:
    """A row a file."""
    rows = [COLUMNS, *(tuple(map(str, each.as_row())) for each in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _audited(source: Source, path: Path | None, comparison: Comparison, step: int) -> Audited:
    audited = Audited(source.name, str(path or "-"))
    try:
        if path is None:
            raise MediaError("has no result", path=source.path)
        if source.kind is Kind.PHOTO:
            _compare_photos(audited, source.path, path, comparison)
        elif source.kind is Kind.VIDEO:
            _compare_videos(audited, source.path, path, comparison, step)
        else:
            raise MediaError("archives and tables are not looked into: unpack both", path=source.path)
        audited.remains = remains(path, source.kind)
    except AnonymizerError as error:
        audited.error = one_line(error, source.path)
    return audited


def _compare_photos(audited: Audited, original: Path, result: Path, comparison: Comparison) -> None:
    before, after = as_frames(read_image(original)), as_frames(read_image(result))
    audited.add(comparison.compare(before, _fitted(after, before, audited)), 1)


def _compare_videos(audited: Audited, original: Path, result: Path, comparison: Comparison, step: int) -> None:
    times, number = True, 0
    with (
        VideoReader(original) as one,
        VideoReader(result) as two,
        progress(result.name, one.info.frames, "frames") as advance,
    ):
        for before, after in zip_longest(one.batches(BATCH * step), two.batches(BATCH * step)):
            if before is None or after is None or len(before) != len(after):
                raise MediaError(f"has another number of frames, from frame {number} on", path=result)
            times &= _alike(before.times, after.times)
            chosen = before[::step]
            audited.add(comparison.compare(chosen, _fitted(after[::step], chosen, audited), number, step), len(chosen))
            number += len(before)
            advance(len(before))
    audited.differs += [] if times else ["other times"]
    audited.differs += _other_sound(original, result)


def _fitted(frames: Frames, like: Frames, audited: Audited) -> Frames:
    """Pictures of the result in the size of the original's, which some programs change a little; that is noted.

    Raises:
        MediaError: they are of another shape.
    """
    if frames.size == like.size:
        return frames
    (height, width), (rows, columns) = frames.size, like.size
    said = f"has pictures of {width}x{height} instead of {columns}x{rows} pixels"
    if abs(math.log(width * rows / height / columns)) > SHAPE:
        raise MediaError(said, path=audited.result)
    audited.differs = [*(line for line in audited.differs if line != said), said]
    pixels = torch.stack([torch.from_numpy(cv2.resize(picture, (columns, rows))) for picture in frames.pixels.numpy()])
    return Frames(pixels, frames.times)


def _alike(times: Sequence[Fraction], others: Sequence[Fraction]) -> bool:
    """Whether times are the same, but for a millisecond, in which some containers count."""
    return all(abs(one - other) < Fraction(1, 500) for one, other in zip(times, others, strict=True))


def _other_sound(original: Path, result: Path) -> list[str]:
    before, after = _sound(original), _sound(result)
    if before == after:
        return []
    return ["other sound" if before and after else "no sound" if before else "sound that was not there"]


def _sound(path: Path) -> list[bytes]:
    """A hash of every packet of sound.

    Raises:
        MediaError: it cannot be read.
    """
    try:
        with av.open(ffmpeg_name(path), options={"format_whitelist": FORMATS}) as container:
            packets = container.demux(*container.streams.audio) if container.streams.audio else []
            return [sha256(bytes(packet)).digest() for packet in packets if packet.size]
    except av.FFmpegError as error:
        raise MediaError(f"its sound cannot be read: {cause_of(error)}", path=path) from error
