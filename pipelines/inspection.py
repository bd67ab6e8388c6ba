"""What would be replaced, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from anonymizer.batches import UNTRACKED, Faces
from anonymizer.errors import MediaError
from anonymizer.media.image import read_image
from anonymizer.media.video import VideoReader
from anonymizer.prefetch import prefetch
from pipelines.images import as_frames
from pipelines.inputs import Kind, Source
from pipelines.video import BATCHES_AHEAD

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer


def faces_in(source: Source, anonymizer: Anonymizer) -> Iterator[dict[str, Any]]:
    """One dictionary a face, in the order of time. Places are in pixels of the upright picture.

    Raises:
        MediaError: the file cannot be read, or is an archive or a table.
    """
    if source.kind is Kind.PHOTO:
        for row in _rows(anonymizer.inspect(as_frames(read_image(source.path)))):
            yield {"path": source.name, **row}
        return
    if source.kind is Kind.FILE:
        return
    if source.kind is not Kind.VIDEO:
        raise MediaError("archives and tables are not looked into", path=source.path)
    with (
        VideoReader(source.path) as reader,
        closing(prefetch(reader.batches(anonymizer.batch_size), BATCHES_AHEAD)) as batches,
    ):
        for done in anonymizer.stream(batches):
            for frame, row in zip(done.faces.frame.tolist(), _rows(done.faces), strict=True):
                moment = done.frames.times[frame]
                yield {"path": source.name, "time": str(moment), "seconds": float(moment), **row}


def _rows(faces: Faces) -> Iterator[dict[str, Any]]:
    rows = zip(
        faces.boxes.tolist(), faces.scores.tolist(), faces.landmarks.tolist(), faces.tracks.tolist(), strict=True
    )
    for box, score, landmarks, track in rows:
        yield {
            "box": [round(value, 2) for value in box],
            "score": round(score, 4),
            "landmarks": [[round(value, 2) for value in point] for point in landmarks],
            "track": None if track == UNTRACKED else track,
        }
