"""Label files beside photographs: their formats, where they lie, damage, and that they stay valid."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_anonymizer import FakeAnonymizer, Run, files, invoke, make_photo
from PIL import Image

from anonymizer.anonymize import Anonymized
from anonymizer.batches import Frames
from anonymizer.evidence import Evidence
from anonymizer.media.image import read_image
from anonymizer.media.orientation import exif_of, orientation_of
from pipelines.inputs import find
from pipelines.label_formats import Box, is_face
from pipelines.labels import LabelFiles, evidence_of

SIZE = (64, 48)
PERSON, FACE = (10.0, 4.0, 30.0, 44.0), (16.0, 6.0, 24.0, 16.0)
BOM = b"\xef\xbb\xbf"
YAML = b"names: [car, person, face]\n"


def coco(photo: str, **more: Any) -> bytes:
    """A file of one photograph with a person, a face and a car."""
    boxes = [
        {"image_id": 1, "category_id": number, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for number, (x0, y0, x1, y1) in enumerate((PERSON, FACE, (0, 0, 5, 5)))
    ]
    names = [{"id": number, "name": name} for number, name in enumerate(("person", "face", "car"))]
    images = [{"id": 1, "file_name": photo, "width": SIZE[0], "height": SIZE[1]} | more]
    return json.dumps({"images": images, "annotations": boxes, "categories": names}).encode()


def voc(size: tuple[int, int] = SIZE) -> bytes:
    corners = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
    head = f"<part><name>head</name>{corners.format(*FACE)}</part>"
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        f"<object><name>person</name>{corners.format(*PERSON)}{head}</object>"
        f"<object><name>car</name>{corners.format(0, 0, 5, 5)}</object></annotation>"
    ).encode()


def yolo(*extra: float) -> bytes:
    lines = ["0 0.05 0.05 0.1 0.1"]
    for number, (x0, y0, x1, y1) in enumerate((PERSON, FACE), start=1):
        share = ((x0 + x1) / 2 / SIZE[0], (y0 + y1) / 2 / SIZE[1], (x1 - x0) / SIZE[0], (y1 - y0) / SIZE[1])
        lines.append(" ".join(map(str, (number, *share, *extra))))
    return "\n".join(lines).encode() + b"\n"


def polygons() -> bytes:
    lines = []
    for number, (x0, y0, x1, y1) in enumerate((PERSON, FACE), start=1):
        corners = ((x0, y0), (x1, (y0 + y1) / 2), (x0, y1))
        lines.append(" ".join([str(number), *(f"{x / SIZE[0]} {y / SIZE[1]}" for x, y in corners)]))
    return "\n".join(lines).encode()


def tree(folder: Path, contents: dict[str, bytes], photo: str = "a.jpg") -> LabelFiles:
    """A folder with a photograph and label files; they are found."""
    make_photo(folder / photo, SIZE)
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return LabelFiles(find([folder]))


def known(labels: LabelFiles, photo: Path) -> list[Box]:
    """What is known of a photograph, in its pixels, people first."""
    source = next(source for source in find([photo.parents[len(photo.parents) - 2]]).sources if source.path == photo)
    evidence, lines = evidence_of(labels.of(source), read_image(photo, keep_orientation=True))
    assert not lines
    boxes = [Box(*box, face) for box, face in zip(evidence.boxes.tolist(), evidence.face.tolist(), strict=True)]
    return sorted(boxes, key=lambda box: box.face)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one; a relative name of a folder to be in it."""
    monkeypatch.chdir(tmp_path)
    return Path("in")


# Formats and places


@pytest.mark.parametrize(
    ("photo", "contents"),
    [
        ("a.jpg", {"labels.json": coco("a.jpg")}),
        ("val2017/a.jpg", {"annotations/instances_val2017.json": coco("a.jpg")}),
        ("train/a.jpg", {"train/_annotations.coco.json": coco("a.jpg")}),
        ("images/a.jpg", {"annotations/all.json": coco("../images/a.jpg")}),
        ("images/1/a.jpg", {"all.json": coco("1/a.jpg", width=0)}),
        ("a.jpg", {"a.xml": voc()}),
        ("JPEGImages/a.jpg", {"Annotations/a.xml": voc()}),
        ("images/b/a.jpg", {"annotations/b/a.xml": voc((0, 0))}),
        ("a.jpg", {"a.txt": yolo(), "classes.txt": b"car\nperson\nface\n"}),
        ("images/train/a.jpg", {"labels/train/a.txt": yolo(), "data.yaml": YAML}),
        ("train/images/a.jpg", {"train/labels/a.txt": yolo(), "data.yaml": b"names: {0: car, 1: person, 2: face}"}),
        ("obj/a.jpg", {"obj/a.txt": yolo(0.9), "obj.names": b"car\nperson\nface\n", "obj/b.yaml": b"size: 3"}),
        ("a.jpg", {"a.txt": yolo(*(0.5, 0.5, 2) * 4), "data.yaml": YAML + b"kpt_shape: [4, 3]\n"}),
        ("a.jpg", {"a.txt": polygons(), "data.yaml": YAML}),
        ("a.jpg", {"A.Json": BOM + coco("a.jpg")}),
        ("a.jpg", {"a.XML": BOM + voc()}),
        ("a.jpg", {"a.Txt": BOM + yolo(), "Classes.TXT": BOM + b"car\nperson\nface\n"}),
        ("images/a.jpg", {"labels/a.TXT": yolo(), "data.YAML": BOM + YAML}),
    ],
)
def test_boxes_are_found(here: Path, photo: str, contents: dict[str, bytes]) -> None:
    labels = tree(here, contents, photo)
    person, face = known(labels, here / photo)
    assert person == pytest.approx((*PERSON, False), abs=1e-3)
    assert face == pytest.approx((*FACE, True), abs=1e-3)
    assert not labels.unused
    assert "labels found, of photographs: 1 in" in next(labels.as_lines())


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        *dict.fromkeys(["face", "Head", "human_face", "person-head", "heads", "male face"], True).items(),
        *dict.fromkeys(["person", "Pedestrian", "human.pedestrian.adult", "people", "traffic rider"], False).items(),
        *dict.fromkeys(["car", "shower head", "surface", "headlight", "clock face", "", 7, None], None).items(),
    ],
)
def test_names_of_classes(name: object, meaning: bool | None) -> None:
    assert is_face(name) is meaning


def test_a_photograph_that_several_folders_have(here: Path) -> None:
    make_photo(here / "val/a.jpg", SIZE)
    labels = tree(here, {"x/instances_train.json": coco("a.jpg")}, "train/a.jpg")
    assert len(known(labels, here / "train/a.jpg")) == 2
    assert not known(labels, here / "val/a.jpg")
    (here / "x/instances_train.json").rename(here / "x/all.json")
    labels = LabelFiles(find([here]))
    assert not known(labels, here / "train/a.jpg")
    assert "several" in "".join(labels.as_lines())


def test_labels_of_a_photograph_are_small_and_travel(here: Path) -> None:
    labels = tree(here, {"labels.json": coco("a.jpg")})
    source = next(source for source in find([here]).sources if source.path.suffix == ".jpg")
    sent = pickle.dumps(labels.of(source))
    assert pickle.loads(sent) == labels.of(source)
    assert len(sent) < 1000


# Damage and malice


NESTED = b"[" * 200_000
LAUGHS = (
    b'<!DOCTYPE a [<!ENTITY x0 "ha">'
    + b"".join(b'<!ENTITY x%d "%s">' % (n, b"&x%d;" % (n - 1) * 10) for n in range(1, 12))
    + b"]><annotation><object><name>&x11;</name></object></annotation>"
)
ALIASES = b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 60))


@pytest.mark.parametrize(
    "contents",
    [
        {"l.json": coco("a.jpg")[:-5]},
        {"l.json": b'{"images": ' + NESTED + b'"annotations" "categories"'},
        {"l.json": coco("a.jpg").replace(b"bbox", b"bbix").replace(b'"id"', b'"ad"')},
        {"l.json": coco("a.jpg").replace(b"20.0", b"1" + b"0" * 400)},
        {"l.json": coco("a.jpg").replace(b"[10.0", b"[null")},
        {"l.json": b'[{"images": 1, "annotations": 2, "categories": 3}]'},
        {"a.xml": voc()[:-20]},
        {"a.xml": b"<html/>"},
        {"a.xml": LAUGHS},
        {"a.xml": voc().replace(b"16.0", b"sixteen")},
        {"a.xml": b""},
        {"a.txt": b"a child on a beach\n", "classes.txt": b"person"},
        {"a.txt": b"1 0.5\n", "data.yaml": YAML},
        {"a.txt": b"inf 0.5 0.5 0.1 0.1", "data.yaml": YAML},
        {"a.txt": b"\xff\xfe\x00", "data.yaml": YAML},
        {"a.txt": yolo(), "data.yaml": b"names: [a"},
        {"a.txt": yolo(), "data.yaml": b"names: 5"},
        {"a.txt": yolo()},
    ],
)
def test_broken_labels_are_told_and_not_used(here: Path, contents: dict[str, bytes]) -> None:
    labels = tree(here, contents)
    assert not known(labels, here / "a.jpg")
    line = next(labels.as_lines())
    assert line.startswith("labels not used, ")
    assert str(here) in line
    assert sum(labels.as_dict()["unused"].values()) <= 2


@pytest.mark.parametrize(
    "contents",
    [
        {
            "l.json": coco("a.jpg")
            .replace(b"[10.0, 4.0, 20.0", b"[NaN, 4.0, -20.0")
            .replace(b"[16.0, 6.0", b"[900.0, 6.0")
        },
        {"l.json": coco("../../a.jpg")},
        {"l.json": coco("/a.jpg")},
        {"l.json": coco("..")},
        {"l.json": coco("")},
        {"l.json": b'{"name": "package.json"}'},
        {"a.txt": yolo(), "data.yaml": ALIASES + b"names: [*a59, *a59]\n"},
    ],
)
def test_labels_that_say_nothing_of_a_photograph(here: Path, contents: dict[str, bytes]) -> None:
    assert not known(tree(here, contents), here / "a.jpg")


def test_a_crowd_beyond_belief_is_cut(here: Path) -> None:
    lines = b"1 0.5 0.5 0.1 0.1\n" * 5000 + b"2 0.5 0.5 0.1 0.1\n"
    boxes = known(tree(here, {"a.txt": lines, "data.yaml": YAML}), here / "a.jpg")
    assert len(boxes) == 1000
    assert boxes[-1].face, "faces come first"


def test_links_and_files_outside_are_not_read(here: Path) -> None:
    outside = here.parent / "outside.xml"
    outside.write_bytes(voc())
    here.mkdir()
    (here / "a.xml").symlink_to(outside.resolve())
    assert not known(tree(here, {}), here / "a.jpg")


# Pictures that are stored turned


def turned_photo(path: Path, orientation: int, size: tuple[int, int] = SIZE) -> None:
    """A photograph that is ``size`` as it is stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(64, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)).save(path, quality=95, exif=exif_of(orientation))


@pytest.mark.parametrize(
    ("size", "box"),
    [
        (SIZE, (48 - FACE[3], FACE[0], 48 - FACE[1], FACE[2])),  # as it is stored; shown, it is turned clockwise
        (SIZE[::-1], FACE),
        (None, FACE),
    ],
)
def test_labels_of_a_turned_photograph(here: Path, size: tuple[int, int] | None, box: tuple[float, ...]) -> None:
    labels = tree(here, {"a.xml": voc(size or (0, 0))})
    turned_photo(here / "a.jpg", 6)
    assert known(labels, here / "a.jpg")[1] == pytest.approx((*box, True))


def test_labels_of_another_size_are_told(here: Path) -> None:
    labels = tree(here, {"a.xml": voc((640, 480))})
    source = next(source for source in find([here]).sources if source.path.suffix == ".jpg")
    evidence, lines = evidence_of(labels.of(source), read_image(here / "a.jpg"))
    assert not len(evidence)
    assert "640x480" in lines[0]
    told = invoke("run", here).output
    assert "labels not used, for a picture of 640x480: in/a.xml" in told
    assert "labels used" not in told


# The command


class Listening(FakeAnonymizer):
    """Remembers what it was told."""

    told: list[Evidence]

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        assert evidence is not None
        self.told.append(evidence)
        return super().stills(frames, evidence)


@pytest.fixture
def run(here: Path) -> Run:
    """The command, in an empty folder."""
    Listening.told = []
    return invoke


@pytest.mark.parametrize(("use", "count"), [([], 2), (["--labels", "use"], 2), (["--labels", "ignore"], 0)])
def test_labels_reach_the_anonymizer(run: Run, here: Path, use: list[str], count: int) -> None:
    tree(here, {"labels.json": coco("a.jpg")})
    result = run("run", here, *use, "--report", "r.json", load=Listening)
    assert [len(evidence) for evidence in Listening.told] == [count]
    assert ("1 in COCO" in result.stderr) == bool(count)
    report = json.loads(Path("r.json").read_text())
    assert report["settings"]["output"]["labels"] == ("use" if count else "ignore")


@pytest.mark.parametrize("use", ["use", "ignore"])
def test_labels_stay_valid(run: Run, here: Path, use: str) -> None:
    """Every photograph has the size and the orientation that it had, and label files have the same bytes."""
    contents = {
        "coco/labels.json": coco("1.jpg"),
        "voc/Annotations/2.xml": voc(),
        "yolo/labels/3.txt": yolo(),
        "yolo/data.yaml": YAML,
        "broken/4.xml": b"<annotation>",
        "cars/5.txt": b"0 0.5 0.5 0.1 0.1\n",
    }
    photos = ["coco/1.jpg", "voc/JPEGImages/2.jpg", "yolo/images/3.jpg", "broken/4.jpg", "cars/5.jpg"]
    tree(here, contents, "upright.jpg")
    for number, photo in enumerate(photos):
        turned_photo(here / photo, 4 + number)
    turned_photo(here / "nobody_labelled.jpg", 6)
    run("run", here, "-o", "out", "--labels", use)
    for photo in (*photos, "upright.jpg"):
        with Image.open(here / photo) as before, Image.open(Path("out", photo)) as after:
            assert (after.size, orientation_of(after)) == (before.size, orientation_of(before)), photo
            assert set(after.getexif()) <= {0x0112}, "nothing else is said"
    with Image.open("out/nobody_labelled.jpg") as after:
        assert (after.size, orientation_of(after)) == (SIZE[::-1], 1)
    for name, data in contents.items():
        assert Path("out", name).read_bytes() == data


def test_a_labelled_photograph_that_cannot_be_stored_as_it_was_fails(run: Run, here: Path) -> None:
    tree(here, {"a.xml": voc()})
    (here / "a.jpg").unlink()
    turned_photo(here / "a.jpg", 6)
    (here / "a.jpg").rename(here / "a.bmp")  # content decides what it is, the suffix how it is written
    result = run("run", here, "-o", "out", code=1)
    assert "EXIF orientation 6, which its labels need" in result.stderr
    assert [file for file in files() if file.startswith("out")] == ["out/a.xml"]
