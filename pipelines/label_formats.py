"""Label files: which boxes of people and faces COCO, Pascal VOC and YOLO files hold. Pure functions of their bytes.

Sources: https://cocodataset.org/#format-data, the development kit of the PASCAL Visual Object Classes challenge,
https://docs.ultralytics.com/datasets/detect and, of polygons and key points, the pages beside it.
"""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

MOST = 1000
"""Boxes of one picture that are used; the others are not."""

_FACES = frozenset(["face", "faces", "head", "heads"])
_PEOPLE = frozenset(
    {
        *("person", "persons", "people", "human", "humans", "man", "men", "woman", "women", "male", "female", "adult"),
        *("adults", "boy", "boys", "girl", "girls", "child", "children", "kid", "kids", "baby", "pedestrian"),
        *("pedestrians", "rider", "riders", "cyclist", "cyclists", "bicyclist", "motorcyclist", "motorbiker", "skier"),
        *("worker", "workers", "passenger", "passengers", "driver", "drivers", "player", "players", "referee"),
    }
)

_COCO_FIELDS = frozenset(
    [
        "images",
        "annotations",
        "categories",
        "id",
        "name",
        "category_id",
        "image_id",
        "bbox",
        "file_name",
        "width",
        "height",
    ]
)

WRONG = (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError, LookupError)
"""What reading a damaged or hostile label file raises."""


class Box(NamedTuple):
    """Where somebody is: corners, and whether a face or a head is meant, or else a whole person."""

    x0: float
    y0: float
    x1: float
    y1: float
    face: bool


@dataclass(frozen=True)
class Labels:
    """What one label file says about one picture.

    Attributes:
        path: the label file.
        boxes: of people and faces; other classes are left out, so that there may be none.
        size: width and height of the picture for which they were made; None if the file does not tell.
        shares: whether boxes are in shares of width and height, instead of in pixels.
    """

    path: Path
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    shares: bool = False


def is_face(name: object) -> bool | None:
    """Whether a class is one of faces or heads; False if it is one of people, None if it is neither.

    A class of faces has no other words than those for faces and people: a shower head is none.
    """
    words = set(re.findall(r"[a-z]+", name.lower())) if isinstance(name, str) else set()
    if words & _FACES and words <= _FACES | _PEOPLE:
        return True
    return False if words & _PEOPLE else None


def coco(path: Path, data: bytes) -> Iterator[tuple[str, Labels]]:
    """The names of all pictures of a COCO file, with their labels.

    Raises:
        ValueError and others of ``WRONG``: it is damaged, or something else.
    """
    content = json.loads(data, object_hook=_needed)
    faces = {category["id"]: is_face(category["name"]) for category in content["categories"]}
    boxes: dict[Any, list[Box]] = {}
    for annotation in content["annotations"]:
        face, corner = faces.get(annotation["category_id"]), annotation.get("bbox")
        if face is not None and corner:
            left, top, width, height = map(float, corner)
            boxes.setdefault(annotation["image_id"], []).append(Box(left, top, left + width, top + height, face))
    for picture in content["images"]:
        size = (int(picture.get("width") or 0), int(picture.get("height") or 0))
        usable = _usable(boxes.get(picture["id"], ()))
        yield str(picture["file_name"]), Labels(path, usable, size if min(size) > 0 else None)


def _needed(entry: dict[str, Any]) -> dict[str, Any]:
    """What of an entry of a COCO file is used: outlines, which are dropped at once, are nearly all of a large one."""
    return {name: value for name, value in entry.items() if name in _COCO_FIELDS}


def voc(path: Path, data: bytes) -> Labels:
    """The labels of a Pascal VOC file: of its objects and of their parts.

    Raises:
        ValueError and others of ``WRONG``: it is damaged, or something else.
    """
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    if root.tag != "annotation":
        raise ValueError("is not an annotation")
    boxes = []
    for labelled in (*root.iter("object"), *root.iter("part")):
        face, corners = is_face(labelled.findtext("name")), labelled.find("bndbox")
        if face is not None and corners is not None:
            x0, y0, x1, y1 = (float(corners.findtext(side) or "nan") for side in ("xmin", "ymin", "xmax", "ymax"))
            boxes.append(Box(x0, y0, x1, y1, face))
    size = [int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height")]
    return Labels(path, _usable(boxes), (size[0], size[1]) if min(size) > 0 else None)


@dataclass(frozen=True)
class Classes:
    """What the class numbers of YOLO files mean: faces or not, see ``is_face``; and whether key points follow boxes."""

    faces: dict[int, bool | None]
    points: bool = False


def classes(path: Path, data: bytes) -> Classes | None:
    """The classes that a file of names lists, a line each, or a YAML file under ``names``; None if it names none.

    Raises:
        ValueError and others of ``WRONG``: it is damaged.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        return Classes({number: is_face(line) for number, line in enumerate(_text(data).splitlines())})
    import yaml

    try:
        content = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(content, dict) or "names" not in content:
        return None
    names = content["names"]
    numbered: Iterable[tuple[Any, Any]] = names.items() if isinstance(names, dict) else enumerate(names)
    return Classes({int(number): is_face(name) for number, name in numbered}, "kpt_shape" in content)


def yolo(path: Path, data: bytes, known: Classes) -> Labels:
    """The labels of a YOLO file: boxes, with or without a score or key points behind them, or polygons.

    Raises:
        ValueError and others of ``WRONG``: it is damaged, or something else.
    """
    boxes = []
    for line in _text(data).splitlines():
        if not line.strip():
            continue
        number, *values = map(float, line.split())
        face = known.faces.get(int(number))
        if len(values) < 4:
            raise ValueError(f"a line has {len(values) + 1} numbers")
        if len(values) >= 6 and len(values) % 2 == 0 and not known.points:
            sides = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
        else:
            x, y, width, height = values[:4]
            sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        if face is not None:
            boxes.append(Box(*sides, face))
    return Labels(path, _usable(boxes), shares=True)


def _text(data: bytes) -> str:
    """What a file says, without the mark that editors of Windows put before it."""
    return data.decode("utf-8-sig")


def _usable(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """Those that have an area, and no more than ``MOST``, faces first: hostile files must not take hours."""
    whole = [box for box in boxes if all(map(math.isfinite, box)) and box.x0 < box.x1 and box.y0 < box.y1]
    return tuple(sorted(whole, key=lambda box: not box.face)[:MOST])
