"""A folder of photographs of known people, as Labeled Faces in the Wild has them: who is on which."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from anonymizer.batches import Frames
from anonymizer.errors import MediaError
from anonymizer.media.image import read_image
from pipelines.images import as_frames
from pipelines.inputs import Kind, find

NUMBERED = re.compile(r"(.*[^\W\d_].*)_\d+")  # a name has letters


class Person(NamedTuple):
    """Somebody of whom there is a photograph, and perhaps another one for the gallery."""

    name: str
    probe: Path
    gallery: Path | None


def people_in(folder: Path, count: int | None = None) -> list[Person]:
    """The first ``count`` people, or all, those of whom there are two photographs before the others.

    A photograph NAME_0001.jpg, or one in a folder NAME, shows NAME.

    Raises:
        MediaError: there are no photographs, or something cannot be read.
    """
    found = find([folder])
    if found.failures:
        raise found.failures[0]
    photographs: defaultdict[str, list[Path]] = defaultdict(list)
    for source in found.sources:
        if source.kind is Kind.PHOTO:
            photographs[_name(source.path, folder)].append(source.path)
    if not photographs:
        raise MediaError("holds no photographs", path=folder)
    people = [Person(name, paths[0], paths[1] if len(paths) > 1 else None) for name, paths in photographs.items()]
    return sorted(people, key=lambda person: person.gallery is None)[:count]


def batches(paths: Sequence[Path], size: int) -> Iterator[Frames]:
    """Photographs in order, at most ``size`` together, those in a row that are of one size.

    Raises:
        MediaError: one cannot be read.
    """
    waiting: list[Frames] = []
    for path in paths:
        frames = as_frames(read_image(path))
        if waiting and (len(waiting) == size or not _alike(frames, waiting[0])):
            yield Frames.cat(waiting)
            waiting = []
        waiting.append(frames)
    if waiting:
        yield Frames.cat(waiting)


def _alike(one: Frames, other: Frames) -> bool:
    return one.size == other.size and one.peak == other.peak


def _name(path: Path, folder: Path) -> str:
    if path.parent.resolve() != folder.resolve():
        return path.parent.name
    numbered = NUMBERED.fullmatch(path.stem)
    return numbered[1] if numbered else path.stem
