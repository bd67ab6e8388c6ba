"""Traits: what is read off faces, what is left to chance, and what personas make of it."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from anonymizer.batches import Faces, Frames
from anonymizer.config import Config, DetectConfig
from anonymizer.detect import DETECTORS
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.looks import Look
from anonymizer.generate.personas import Order, Studio, stills
from anonymizer.identity import Recognizer
from anonymizer.people import People
from anonymizer.track import follow
from anonymizer.traits import AGES, SKINS, SMALLEST, TRAITS, UNKNOWN, TraitReader

CPU = torch.device("cpu")
ALL = ("age", "gender", "skin")
WANTED = [
    Look(age=25, gender="woman", skin=55),
    Look(age=52, gender="man", skin=55),
    Look(age=37, gender="man", skin=-40),
    Look(age=37, gender="woman", skin=-40),
]


@pytest.fixture(scope="module")
def reader() -> TraitReader:
    return TraitReader(ALL, Recognizer(CPU))


@pytest.fixture(scope="module")
def pictures(studio: Studio) -> Frames:
    """People who were drawn to look as ``WANTED``."""
    neutral = tuple(load_condition().neutral.tolist())
    orders = [Order(Persona(seed, look.attributes), neutral, 256) for seed, look in enumerate(WANTED, start=2_000_021)]
    return stills(torch.stack([portrait.pixels for portrait in studio.portraits(orders, keep=False)]))


@pytest.fixture(scope="module")
def faces(pictures: Frames) -> Faces:
    found = DETECTORS["centerface"](DetectConfig(), CPU).detect(pictures)
    return found[torch.stack([(found.frame == frame).nonzero()[0, 0] for frame in range(len(pictures))])]


def test_people_are_read_as_they_were_ordered(reader: TraitReader, pictures: Frames, faces: Faces) -> None:
    looks = reader.read(pictures, faces)
    assert [look.gender for look in looks] == [look.gender for look in WANTED]
    assert all(a.age is None or abs(a.age - b.age) <= 15 for a, b in zip(looks, WANTED, strict=True) if b.age)
    light, dark = ([look.skin for look in part if look.skin is not None] for part in (looks[:2], looks[2:]))
    assert light
    assert dark
    assert min(light) > max(dark)
    assert sum(light) / len(light) > sum(dark) / len(dark) + 20


def test_people_are_read_off_pictures_without_colours(reader: TraitReader, pictures: Frames, faces: Faces) -> None:
    grey = pictures.pixels.float().mean(-1, keepdim=True).byte().expand(-1, -1, -1, 3)
    grey_read, read = (reader.measure(Frames(pixels, pictures.times), faces) for pixels in (grey, pictures.pixels))
    away = (grey_read - read).abs()
    assert away[:, TRAITS.index("age")].max() < 10
    assert away[:, TRAITS.index("man")].max() < 0.5
    assert grey_read[:, TRAITS.index("skin")].isnan().all()
    assert {look.skin for look in reader.read(Frames(grey, pictures.times), faces)} == {None}


def test_only_steps_of_coarse_scales_are_read(reader: TraitReader, pictures: Frames, faces: Faces) -> None:
    for look in reader.read(pictures, faces):
        assert look == Look(age=look.age, gender=look.gender, skin=look.skin)
        assert look.age in AGES.values()
        assert look.skin in SKINS.values()


def test_one_face_is_read_as_in_a_batch(reader: TraitReader, pictures: Frames, faces: Faces) -> None:
    alone = [reader.read(pictures, faces[row : row + 1])[0] for row in range(len(faces))]
    assert alone == reader.read(pictures, faces)


def test_what_is_not_asked_for_is_not_read(pictures: Frames, faces: Faces) -> None:
    recognizer = Recognizer(CPU)
    assert all(look == Look(gender=look.gender) for look in TraitReader(("gender",), recognizer).read(pictures, faces))
    assert TraitReader((), recognizer).read(pictures, faces) == [UNKNOWN] * len(faces)


def test_small_unseen_and_blurred_faces_are_left_to_chance(reader: TraitReader, pictures: Frames, faces: Faces) -> None:
    middle = faces.boxes.reshape(-1, 2, 2).mean(1).repeat(1, 2)
    half = torch.tensor([-1.0, -1, 1, 1]) * (SMALLEST / 2 - 1)
    assert reader.read(pictures, replace(faces, boxes=middle + half)) == [UNKNOWN] * len(faces)
    assert reader.read(pictures, replace(faces, seen=torch.zeros_like(faces.seen))) == [UNKNOWN] * len(faces)
    assert reader.read(pictures, Faces.none()) == []
    grey = Frames(torch.full_like(pictures.pixels, 128), pictures.times)
    assert reader.read(grey, faces) == [UNKNOWN] * len(faces)


def test_whatever_is_read_lies_on_the_scales(reader: TraitReader) -> None:
    for far in (-1e4, 1e4):
        look = reader._look({"age": far, "man": far, "skin": far, "glasses": far})
        assert (look.age, look.skin) in {(9.0, -40.0), (66.0, 55.0)}


class Detector:
    """Finds the same face in every frame."""

    def __init__(self, face: Faces) -> None:
        self._face = face

    def detect(self, frames: Frames) -> Faces:
        rows = torch.zeros(len(frames), dtype=torch.int64)
        return replace(self._face[rows], frame=torch.arange(len(frames)))


def test_a_person_in_a_video_is_read_once(reader: TraitReader, pictures: Frames, faces: Faces) -> None:
    still = pictures.pixels[:1].expand(40, -1, -1, -1)
    video = [Frames(still[at : at + 8], tuple(Fraction(at + n, 25) for n in range(8))) for at in range(0, 40, 8)]
    people, times = People(), 0
    read = reader.read

    def counting(frames: Frames, rows: Faces) -> list[Look]:
        nonlocal times
        times += 1
        return read(frames, rows)

    reader.read = counting  # type: ignore[method-assign]
    try:
        tracked = list(follow(iter(video), Detector(faces[:1]), Config(), None, reader, people))
    finally:
        del reader.read
    numbers = {int(number) for _, found in tracked for number in found.tracks}
    assert numbers == {0}
    assert times == 1
    assert people.looks == {0: read(pictures, faces[:1])[0]}


def test_personas_look_as_they_are_wanted(studio: Studio, pictures: Frames) -> None:
    condition = load_condition()

    def shown(look: Look) -> Tensor:
        styles = studio.styles([Persona(seed, look.attributes) for seed in range(6)])
        return condition.attributes(styles)[:, :3].mean(0)

    young, old = shown(Look(age=25, gender="woman", skin=55)), shown(Look(age=66, gender="man", skin=-10))
    assert old[0] - young[0] > 35
    assert old[1] > 0 > young[1]
    assert young[2] - old[2] > 50
