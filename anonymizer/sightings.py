"""What the tracker found in one segment of a video, kept in a file until the segment is rendered.

Embeddings of people are personal data: whoever writes such files deletes them when the video is done. With a key they
are encrypted until then.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.envelope import Envelope, place_of
from anonymizer.errors import LeakError, PassingError
from anonymizer.generate.looks import Look
from anonymizer.generate.seeds import digest
from anonymizer.media.files import cause_of, read_marked, write_marked
from anonymizer.people import People

NOBODY = -2
"""In place of a number: no face, as it turned out."""


@dataclass(frozen=True)
class Sightings:
    """The faces of successive frames of a video.

    Attributes:
        first: number of the first frame in the video.
        times: ``(F,)`` int64, when the frames are shown, in units of the video.
        faces: of all these frames, as one batch.
        people: by number, views ``(K, 256)`` of those of whom there are some.
        looks: by number, what they seem like.
        doubtful: numbers of faces that nobody was sure of; see ``track.follow``.
        pictures: digests of some of the frames, by their number in the video.
        source: digest of the first of the frames that show a face and are the segment's own; empty if there is none.
    """

    first: int
    times: Tensor
    faces: Faces
    people: Mapping[int, Tensor]
    looks: Mapping[int, Look]
    doubtful: frozenset[int]
    pictures: Mapping[int, str]
    source: str

    @classmethod
    def collect(
        cls,
        tracked: Iterable[tuple[Frames, Faces]],
        people: People,
        unit: Fraction,
        first: int,
        own: range,
        shared: Collection[int],
    ) -> Self:
        """Keep what the tracker finds.

        Args:
            tracked: all frames of the segment, with their faces.
            people: whom the tracker tells who is seen.
            unit: seconds in which times count.
            first: number of the first of the frames in the video.
            own: numbers of those that the segment is for.
            shared: numbers of those that are to be compared with those of other segments.
        """
        times: list[int] = []
        found, pictures, source = [Faces.none()], {}, ""
        for frames, faces in tracked:
            start = first + len(times)
            for number in (number for number in shared if 0 <= number - start < len(frames)):
                pictures[number] = digest(frames.pixels[number - start]).hex()
            shown = [row for row in faces.frame.tolist() if start + row in own]
            source = source or (digest(frames.pixels[shown[0]]).hex() if shown else "")
            found.append(replace(faces, frame=faces.frame + len(times)))
            times += [int(time / unit) for time in frames.times]
        doubtful = frozenset(people.doubtful)
        return cls(
            first,
            torch.tensor(times),
            Faces.cat(found),
            people.embeddings,
            people.looks,
            doubtful,
            pictures,
            source,
        )

    def save(self, path: Path, envelope: Envelope) -> None:
        """Write a file, whole or not at all.

        Raises:
            MediaError: it cannot be written.
        """
        tensors = {"times": self.times, **{f"people.{number}": looks for number, looks in self.people.items()}}
        tensors |= {f"faces.{field.name}": getattr(self.faces, field.name) for field in fields(Faces)}
        rest: dict[str, object] = {
            "first": self.first,
            "looks": [(number, asdict(look)) for number, look in self.looks.items()],
            "doubtful": sorted(self.doubtful),
            "pictures": list(self.pictures.items()),
            "source": self.source,
        }
        tensors["rest"] = torch.frombuffer(bytearray(json.dumps(rest).encode()), dtype=torch.uint8)
        data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        write_marked(path, envelope.seal(data, place_of(path)))

    @classmethod
    def load(cls, path: Path, envelope: Envelope) -> Self:
        """Read what ``save`` wrote.

        Raises:
            PassingError: it is missing, altered or of another key, and has to be made again.
        """
        try:
            tensors = load(envelope.unseal(read_marked(path), place_of(path)))
            rest = json.loads(bytes(tensors["rest"].tolist()))
            return cls(
                first=rest["first"],
                times=tensors["times"],
                faces=Faces(**{field.name: tensors[f"faces.{field.name}"] for field in fields(Faces)}),
                people={int(name[7:]): looks for name, looks in tensors.items() if name.startswith("people.")},
                looks={number: Look(**look) for number, look in rest["looks"]},
                doubtful=frozenset(rest["doubtful"]),
                pictures=dict(rest["pictures"]),
                source=rest["source"],
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise PassingError(f"the faces of a segment are missing: {cause_of(error)}", path=path) from error

    def between(self, start: int, stop: int) -> Faces:
        """The faces of the frames with these numbers in the video, as one batch that begins with ``start``.

        Raises:
            LeakError: some of the frames were not looked at.
        """
        if not self.first <= start <= stop <= self.first + len(self.times):
            raise LeakError(f"of the frames {start} to {stop} not all were looked at")
        frame = self.faces.frame + self.first
        inside = (frame >= start) & (frame < stop)
        return replace(self.faces[inside], frame=frame[inside] - start)

    def renumbered(self, numbers: Mapping[int, int]) -> Sightings:
        """The same with other numbers of people.

        If two faces of a frame then have one number, the better known one keeps it, and the other is ``UNTRACKED``.

        Args:
            numbers: new ones of all; ``NOBODY`` leaves faces out.

        Raises:
            LeakError: one is missing.
        """
        known = {UNTRACKED: UNTRACKED, **numbers}
        missing = set(self.faces.tracks.tolist()) - known.keys()
        if missing:
            raise LeakError(f"nobody knows who number {min(missing)} is")
        new = torch.tensor([known[number] for number in self.faces.tracks.tolist()], dtype=torch.int64)
        faces = replace(self.faces, tracks=new)[new != NOBODY]
        return replace(self, faces=replace(faces, tracks=_once_a_frame(faces)))


def _once_a_frame(faces: Faces) -> Tensor:
    """The numbers of faces, each in a frame only for the one with the highest score."""
    tracks = faces.tracks.clone()
    taken: set[tuple[int, int]] = set()
    for row in faces.scores.argsort(descending=True, stable=True).tolist():
        key = int(faces.frame[row]), int(tracks[row])
        if key in taken:
            tracks[row] = UNTRACKED
        taken.add(key)
    return tracks
