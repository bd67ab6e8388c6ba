"""Finds the label files of photographs in input folders, and makes of their boxes what the library takes as evidence.

Labels can only add faces, and label files are copied as they are. Names in them lead to no file outside the folder:
they are looked up among the files that were found in it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from anonymizer.media.files import cause_of
from anonymizer.media.orientation import stored_size, turned_box
from pipelines.inputs import EXAMPLES, Found, Kind, Source
from pipelines.label_formats import WRONG, Box, Classes, Labels, classes, coco, voc, yolo

if TYPE_CHECKING:
    from anonymizer.evidence import Evidence
    from anonymizer.media.image import Image

FOLDERS = {"images": ("labels", "Annotations", "annotations"), "JPEGImages": ("Annotations", "labels")}
"""Folder of photographs -> folders of the same tree in its place that hold their labels."""

NAMES = frozenset({"classes.txt", "obj.names", "_darknet.labels"})
LARGEST = {".json": 1 << 30, ".xml": 1 << 24, ".txt": 1 << 24, "names": 1 << 17}
"""Bytes of the largest files that are read, by kind: they are read whole."""

_COCO = (b'"images"', b'"annotations"', b'"categories"')

Read = TypeVar("Read")


class LabelFiles:
    """The label files of all photographs in the input folders.

    COCO files are read at once, and each once; the files of single photographs when they are asked for.

    Attributes:
        found: how many photographs have labels of people or faces, by format. Those that do not fit one are among
            them: nobody knows before it is read, see ``evidence_of``.
        unused: why label files cannot be used, with their names.
    """

    def __init__(self, found: Found) -> None:
        self.found: Counter[str] = Counter()
        self.unused: defaultdict[str, list[Path]] = defaultdict(list)
        inside = [source for source in found.sources if source.folder is not None]
        files = sorted(source.path for source in inside if source.kind is Kind.FILE)
        self._names: defaultdict[Path, list[Path]] = defaultdict(list)
        self._single: defaultdict[Path, list[Path]] = defaultdict(list)  # by their names with suffixes in small letters
        for path in files:
            suffix = path.suffix.lower()
            if path.name.lower() in NAMES or suffix in (".yaml", ".yml"):
                self._names[path.parent].append(path)
            elif suffix in (".xml", ".txt"):
                self._single[path.with_suffix(suffix)].append(path)
        self._classes: dict[Path, Classes | None] = {}  # by folder
        self._coco: defaultdict[Path, list[Labels]] = defaultdict(list)
        photos = [source for source in inside if source.kind is Kind.PHOTO]
        self._read_coco([path for path in files if path.suffix.lower() == ".json"], photos)

    def of(self, source: Source) -> tuple[Labels, ...]:
        """What is known of one photograph: of what nobody labelled nothing, of broken files no boxes."""
        if source.kind is not Kind.PHOTO or source.folder is None:
            return ()
        known = {"COCO": self._coco.get(source.path, [])}
        known["Pascal VOC"] = [self._read(path, ".xml", voc) or Labels(path) for path in self._beside(source, ".xml")]
        known["YOLO"] = [self._read_yolo(path, source.folder) for path in self._beside(source, ".txt")]
        self.found.update(name for name, labels in known.items() if any(label.boxes for label in labels))
        return tuple(label for labels in known.values() for label in labels)

    def as_lines(self) -> Iterator[str]:
        """What was found, and what of it cannot be used, for people."""
        if self.found:
            counts = ", ".join(f"{count} in {name}" for name, count in sorted(self.found.items()))
            yield f"labels found, of photographs: {counts}"
        for why, paths in self.unused.items():
            names = f"{', '.join(map(str, paths[:EXAMPLES]))}{', ...' if len(paths) > EXAMPLES else ''}"
            yield f"labels not used, {why}: {len(paths)} ({names})"

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        unused = {why: [str(path) for path in paths[:EXAMPLES]] for why, paths in self.unused.items()}
        counts = {why: len(paths) for why, paths in self.unused.items()}
        return {"photographs": dict(self.found), "unused": counts, "examples": unused}

    def _read(self, path: Path, kind: str, parse: Callable[[Path, bytes], Read]) -> Read | None:
        """What ``parse`` makes of a file; None, with the reason noted, where it cannot."""
        try:
            if path.stat().st_size > LARGEST[kind]:
                self.unused[f"larger than {LARGEST[kind] >> 10} kB"].append(path)
                return None
            return parse(path, path.read_bytes())
        except OSError as error:
            self.unused[cause_of(error)].append(path)
        except WRONG:
            self.unused["damaged, or of another kind"].append(path)
        return None

    def _read_coco(self, paths: Sequence[Path], photos: Sequence[Source]) -> None:
        """Give every photograph its labels; what is named is sought beside the file, then anywhere in the folder."""
        by_name: defaultdict[str, list[Path]] = defaultdict(list)
        for source in photos if paths else ():
            by_name[source.path.name].append(source.path)
        for path in paths:
            for name, labels in self._read(path, ".json", _all_of_coco) or ():
                meant = _meant(name, path, by_name.get(PurePosixPath(name).name, []))
                if len(meant) > 1:
                    self.unused["a name that several photographs have"] += [path]
                    labels = Labels(path)
                for photo in meant:
                    self._coco[photo].append(labels)

    def _beside(self, source: Source, suffix: str) -> list[Path]:
        """The files with a suffix that belong to a photograph by their place and name."""
        assert source.folder is not None
        parts = source.path.relative_to(source.folder).parts
        places = [source.path]
        for number, part in enumerate(parts[:-1]):
            for folder in FOLDERS.get(part, ()):
                places.append(source.folder.joinpath(*parts[:number], folder, *parts[number + 1 :]))
        names = dict.fromkeys(place.with_suffix(suffix) for place in places)
        return [path for name in names for path in self._single.get(name, ())]

    def _read_yolo(self, path: Path, top: Path) -> Labels:
        """Without the names of classes, or if it is only a text, no boxes."""
        known = self._classes_for(path.parent, top)
        if known is None:
            self.unused["no names of classes near (data.yaml, classes.txt, obj.names)"].append(path)
            return Labels(path)
        return self._read(path, ".txt", lambda path, data: yolo(path, data, known)) or Labels(path)

    def _classes_for(self, folder: Path, top: Path) -> Classes | None:
        """The classes that a folder, or the nearest one above it, names."""
        if folder not in self._classes:
            here = (self._read(path, "names", classes) for path in self._names[folder])
            above = None if folder == top else self._classes_for(folder.parent, top)
            self._classes[folder] = next((found for found in here if found), above)
        return self._classes[folder]


def _all_of_coco(path: Path, data: bytes) -> list[tuple[str, Labels]]:
    """Of other JSON files, which are not parsed, nothing."""
    return list(coco(path, data)) if all(word in data for word in _COCO) else []


def _meant(name: str, path: Path, photos: Sequence[Path]) -> Sequence[Path]:
    """The photographs that a name in a label file means: one beside it, or those whose path ends so.

    Of several, one whose folder the label file names, as ``instances_val2017.json`` does.
    """
    beside = Path(os.path.normpath(path.parent / name))
    if beside in photos:
        return [beside]
    parts = PurePosixPath(name).parts
    ends = [photo for photo in photos if photo.parts[-len(parts) :] == parts]
    named = [photo for photo in ends if photo.parent.name in path.stem]
    return named if len(named) == 1 else ends


def evidence_of(labels: Iterable[Labels], image: Image) -> tuple[Evidence, list[str]]:
    """What labels say about a photograph, in pixels of it when it is upright; and lines about those that do not fit it.

    Those in shares, and those of which width and height do not tell, are taken to be of the upright picture, as most
    programs load it.
    """
    from anonymizer.evidence import Evidence

    height, width = image.pixels.shape[:2]
    boxes: list[Box] = []
    lines = []
    for label in labels:
        if label.shares:
            boxes += [
                Box(x0 * width, y0 * height, x1 * width, y1 * height, face) for x0, y0, x1, y1, face in label.boxes
            ]
        elif label.size in (None, (width, height)):
            boxes += label.boxes
        elif label.size == stored_size((width, height), image.orientation):
            turned = (turned_box(box[:4], image.orientation, (width, height)) for box in label.boxes)
            boxes += [Box(*corners, box.face) for corners, box in zip(turned, label.boxes, strict=True)]
        elif label.boxes:
            lines.append(f"labels not used, for a picture of {'x'.join(map(str, label.size or ()))}: {label.path}")
    inside = [_clipped(box, width, height) for box in boxes]
    shown = [box for box in inside if box.x0 < box.x1 and box.y0 < box.y1]
    return Evidence.of_picture([box[:4] for box in shown], [box.face for box in shown]), lines


def _clipped(box: Box, width: int, height: int) -> Box:
    return Box(max(box.x0, 0), max(box.y0, 0), min(box.x1, width), min(box.y1, height), box.face)
