"""What labels change: weak detections, a second look, covers."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from scripted_faces import HEIGHT, WIDTH, Box, Scripted, square
from torch import Tensor

from anonymizer import Anonymizer, Config, DetectConfig, Evidence, Faces, Frames, GenerateConfig, Outcome
from anonymizer.detect import DETECTORS
from anonymizer.evidence import PATCH, find
from anonymizer.generate.personas import Portrait
from anonymizer.geometry import box_iou

THRESHOLD = 0.35
PERSON: Box = (100, 20, 180, 220)
FACE = square(140, 45, 30)


def pictures(count: int = 1, seed: int = 0) -> Frames:
    noise = torch.randint(0, 256, (count, HEIGHT, WIDTH, 3), generator=torch.Generator().manual_seed(seed))
    return Frames(noise.byte(), (Fraction(0),) * count)


class Sees(Scripted):
    """In pictures as they are what is written down; in those of a second look a face in the middle, if ``closer``."""

    def __init__(self, faces: dict[Box, float], closer: float = 0.0) -> None:
        super().__init__(lambda index: faces)
        self.closer, self.looked_closer = closer, 0

    def detect(self, frames: Frames) -> Faces:
        if frames.size != (PATCH, PATCH):
            return super().detect(frames)
        self.looked_closer += len(frames)
        middle = {square(PATCH / 2, PATCH / 2, 60): self.closer} if self.closer else {}
        parts = [Scripted(lambda index: middle).detect(frames[row : row + 1]) for row in range(len(frames))]
        rows = [torch.full((len(part),), row) for row, part in enumerate(parts)]
        return Faces(**Faces.cat(parts)._values() | {"frame": torch.cat(rows)})


def people(*boxes: Box) -> Evidence:
    return Evidence.of_picture(boxes, [False] * len(boxes))


def faces(*boxes: Box) -> Evidence:
    return Evidence.of_picture(boxes, [True] * len(boxes))


@pytest.mark.parametrize(
    ("evidence", "score", "believed"),
    [
        (Evidence.none(), 0.3, False),
        (Evidence.none(), 0.4, True),
        (people(PERSON), 0.3, True),
        (faces(FACE), 0.3, True),
        (people((200, 20, 280, 220)), 0.3, False),
        (faces(square(250, 45, 30)), 0.3, False),
    ],
)
def test_a_weak_detection_is_believed_where_somebody_is_labelled(
    evidence: Evidence, score: float, believed: bool
) -> None:
    found, _ = find(Sees({FACE: score}), pictures(), evidence, THRESHOLD)
    assert found.boxes.tolist() == ([list(FACE)] if believed else [])


@pytest.mark.parametrize("evidence", [people(PERSON), faces(FACE)])
def test_who_has_a_face_is_not_looked_at_again(evidence: Evidence) -> None:
    detector = Sees({FACE: 0.9})
    found, missed = find(detector, pictures(), evidence, THRESHOLD)
    assert (len(found), len(missed), detector.looked_closer) == (1, 0, 0)


def test_a_person_without_a_face_is_looked_at_again() -> None:
    detector = Sees({}, closer=0.3)
    found, missed = find(detector, pictures(), people(PERSON), THRESHOLD)
    assert (len(found), len(missed), detector.looked_closer) == (1, 0, 1)
    x0, y0, x1, y1 = found.boxes[0].tolist()
    assert PERSON[0] < x0 < x1 < PERSON[2]
    assert PERSON[1] < y0 < y1 < PERSON[1] + 100, "in the upper half"
    assert ((found.landmarks[0] > found.boxes[0, :2]) & (found.landmarks[0] < found.boxes[0, 2:])).all()


@pytest.mark.parametrize(
    ("neighbours", "looks"),
    [
        ([(150, 15, 230, 230)], 1),  # in whose box the face is not
        ([(110, 15, 190, 230)], 2),  # it may be that of either
        ([(110, 15, 190, 230), (175, 15, 240, 230)], 3),
        ([(110, 15, 190, 230), (170, 15, 240, 230), (5, 15, 60, 230)], 4),
    ],
)
def test_one_face_is_that_of_one_person(neighbours: list[Box], looks: int) -> None:
    detector = Sees({FACE: 0.9})
    find(detector, pictures(), people(PERSON, *neighbours), THRESHOLD)
    assert detector.looked_closer == looks
    both = {FACE: 0.9, square(165, 50, 26): 0.8}
    detector = Sees(both)
    find(detector, pictures(), people(PERSON, neighbours[0]), THRESHOLD)
    assert not detector.looked_closer, "each has one"


def test_a_weak_find_in_a_sure_one_adds_nothing() -> None:
    inner = square(140, 50, 10)
    head = square(140, 45, 20)
    for score, count in ((0.3, 2), (0.9, 1)):
        found, _ = find(Sees({FACE: score, inner: 0.3}), pictures(), faces(head), THRESHOLD)
        assert len(found) == count


def test_a_labelled_face_that_nobody_finds_is_handed_on() -> None:
    head = square(140, 60, 60)
    behind = square(125, 60, 12)  # somebody further away, seen before the head of which there is no face
    for seen in ({}, {behind: 0.9}, {square(200, 60, 40): 0.9}):
        found, missed = find(Sees(seen), pictures(), faces(head), THRESHOLD)
        assert len(found) == len(seen)
        assert missed.boxes.tolist() == [list(head)]
        assert not missed.seen.any()
    _, missed = find(Sees({square(145, 62, 35): 0.9}), pictures(), faces(head), THRESHOLD)
    assert not len(missed)


def test_evidence_belongs_to_its_picture() -> None:
    two = Evidence(torch.tensor([0, 1]), torch.tensor([FACE, FACE]), torch.tensor([True, True]))
    assert len(two.within(1, 2)) == 1
    assert two.within(1, 2).frame.tolist() == [0]
    second = Evidence(torch.tensor([1]), torch.tensor([FACE]), torch.tensor([True]))
    found, missed = find(Sees({FACE: 0.3}), pictures(2), second, THRESHOLD)
    assert found.frame.tolist() == [1]
    assert not len(missed)


def test_many_labels_are_looked_at_in_parts() -> None:
    detector = Sees({}, closer=0.9)
    boxes = [square(20 + 12 * column, 20 + 40 * row, 9) for row in range(4) for column in range(20)]
    found, missed = find(detector, pictures(), faces(*boxes), THRESHOLD)
    assert (detector.looked_closer, len(found), len(missed)) == (80, 80, 0)


@pytest.fixture(scope="module")
def small(portraits: list[Portrait]) -> tuple[Tensor, Box]:
    """A person of whom the face is 9 pixels high on a grey wall, and the box of the whole person."""
    points = portraits[0].points[:, :2]
    height = float(points[:, 1].max() - points[:, 1].min())
    side = round(256 * 9 / height)
    shrunk = F.interpolate(portraits[0].pixels[None], (side, side), mode="bilinear", antialias=True)[0]
    wall = torch.full((360, 640, 3), 128, dtype=torch.uint8)
    wall[100 : 100 + side, 300 : 300 + side] = (shrunk * 255).round().byte().permute(1, 2, 0)
    return wall, (300 - side / 2, 98, 300 + 1.5 * side, 98 + 4 * side)


def test_a_real_detector_finds_a_small_face_at_the_second_look(small: tuple[Tensor, Box]) -> None:
    picture, person = small
    detector = DETECTORS["centerface"](DetectConfig(), torch.device("cpu"))
    frames = Frames(picture[None], (Fraction(0),))
    assert not len(find(detector, frames, Evidence.none(), THRESHOLD)[0])
    found, _ = find(detector, frames, people(person), THRESHOLD)
    assert len(found) == 1
    x0, y0, x1, y1 = found.boxes[0].tolist()
    middle = ((person[0] + person[2]) / 2, 100 + (person[2] - person[0]) / 4)
    assert x0 < middle[0] < x1
    assert y0 < middle[1] < y1
    assert 6 < y1 - y0 < 16


@pytest.mark.parametrize("depth", [torch.uint8, torch.uint16])
def test_a_labelled_face_is_covered(depth: torch.dtype) -> None:
    anonymizer = Anonymizer(Config(generate=GenerateConfig(method="blur"), batch_size=1))
    noise = pictures(2).pixels
    frames = Frames(noise if depth == torch.uint8 else noise.to(torch.uint16) * 257, (Fraction(0),) * 2)
    evidence = Evidence(torch.tensor([1]), torch.tensor([FACE]), torch.tensor([True]))
    done = anonymizer.stills(frames, evidence)
    assert done.outcomes == (Outcome.LABELLED,)
    assert done.faces.frame.tolist() == [1]
    assert torch.equal(done.frames.pixels[0], frames.pixels[0])
    x0, y0, x1, y1 = map(round, FACE)
    inside = done.frames.pixels[1, y0 + 4 : y1 - 4, x0 + 4 : x1 - 4].float()
    assert inside.flatten(0, 1).std(0).max() <= 1, "one colour"
    changed = (done.frames.pixels[1].int() != frames.pixels[1].int()).any(2)
    assert not changed[:, : x0 - 8].any()
    assert not changed[:, x1 + 8 :].any()
    assert len(anonymizer.inspect(frames, evidence)) == 1


def test_with_evidence_of_faces_that_are_found_nothing_changes(picture: Tensor) -> None:
    anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=7)))
    frames = Frames(picture[None], (Fraction(0),))
    plain = anonymizer.stills(frames)
    labelled = anonymizer.stills(frames, faces(*map(tuple, plain.faces.boxes.tolist())))
    assert labelled.outcomes == plain.outcomes == (Outcome.GENERATED,) * 2
    assert torch.equal(labelled.frames.pixels, plain.frames.pixels)
    assert box_iou(labelled.faces.boxes, plain.faces.boxes).diagonal().min() > 0.99
