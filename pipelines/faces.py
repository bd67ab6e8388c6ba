"""Synthetic faces to order: files with a list of what they show, or one contact sheet."""

from __future__ import annotations

import json
import math
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from anonymizer import device as devices
from anonymizer.config import SEEDS, GenerateConfig
from anonymizer.errors import ConfigError, MediaError
from anonymizer.face_model import load_face_model
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import CONDITIONS
from anonymizer.generate.heads import SIZES
from anonymizer.generate.looks import RANGES, Look
from anonymizer.generate.personas import Order, Portrait, Studio
from anonymizer.generate.seeds import derive_seed
from anonymizer.media.files import replacing
from anonymizer.media.image import Image, write_image
from anonymizer.mesh import MeshEstimator
from anonymizer.provenance import SYNTHETIC

LIST = "faces.json"
AGES = (15.0, 70.0)  # of people whose age is not asked for
SHEETS = (".png", ".jpg", ".jpeg")
CHOICES, YES_NO = ("beard", "glasses"), {"no": False, "yes": True}


@dataclass(frozen=True)
class Face:
    """One picture that is wanted: of which person, who looks like this, and like that after a change."""

    name: str
    seed: int
    look: Look
    changed: Look

    def order(self, side: int) -> Order:
        """For a portrait of that side in pixels, one of ``SIZES``."""
        return Order(Persona(self.seed, self.look.attributes, self.changed.attributes), self.changed.condition, side)


def wanted(
    count: int, seed: int | None, ranges: Mapping[str, tuple[float, float]], look: Look, change: tuple[str, str] | None
) -> list[Face]:
    """Person by person, each in every variant.

    Args:
        count: people.
        seed: the same one draws the same people again.
        ranges: attributes of ``Look`` that are drawn for each person, evenly between two numbers.
        look: what all have in common.
        change: an attribute and its values, with commas between: the variants of each person.

    Raises:
        ConfigError: there is no such attribute, or a value is out of range.
    """
    secret = secrets.randbelow(SEEDS) if seed is None else seed
    drawn = {"age": AGES, **ranges}
    faces = []
    for number in range(count):
        person = derive_seed(secret, b"faces", number)
        chance = random.Random(person)
        numbers: dict[str, Any] = {name: chance.uniform(*drawn[name]) for name in sorted(drawn)}
        own = replace(look, **numbers)
        name = f"{number + 1:0{max(3, len(str(count)))}}"
        if change is None:
            faces.append(Face(name, person, own, own))
            continue
        for word in change[1].split(","):
            faces.append(Face(f"{name}_{change[0]}_{word.strip()}", person, own, changed(own, change[0], word.strip())))
    return faces


def changed(look: Look, name: str, word: str) -> Look:
    """
    Raises:
        ConfigError: there is no such attribute, or not with that value.
    """
    if name not in asdict(look):
        raise ConfigError(f"there is no {name} to change: there are {', '.join(asdict(look))}")
    value: Any = word
    if name in CHOICES:
        if word not in YES_NO:
            raise ConfigError(f"{name} must be {' or '.join(YES_NO)}, not {word}")
        value = YES_NO[word]
    elif name in RANGES:
        try:
            value = float(word)
        except ValueError as error:
            raise ConfigError(f"{name} cannot be {word}") from error
    return replace(look, **{name: value})


def draw(faces: Sequence[Face], size: int, device: str) -> Iterator[tuple[Face, NDArray[np.uint8], dict[str, float]]]:
    """Each face, its picture ``(size, size, 3)`` RGB, and the ``CONDITIONS`` that the mesh finds in it."""
    place = devices.pick(device)
    together = max(1, devices.batch_size(place) // 4)
    studio = Studio(place, MeshEstimator(place), GenerateConfig().truncation, together)
    side = next(side for side in SIZES if side >= size)
    model = load_face_model()
    for start in range(0, len(faces), together):
        group = faces[start : start + together]
        portraits = studio.portraits([face.order(side) for face in group], keep=False)
        shown = model.conditions(torch.stack([portrait.points for portrait in portraits])).tolist()
        for face, portrait, values in zip(group, portraits, shown, strict=True):
            yield face, _picture(portrait, size), dict(zip(CONDITIONS, values, strict=True))


def _picture(portrait: Portrait, size: int) -> NDArray[np.uint8]:
    pixels = portrait.pixels[None].float().cpu()
    if pixels.shape[-1] != size:
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    return (pixels[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def write_files(folder: Path, faces: Sequence[Face], size: int, device: str, force: bool) -> Iterator[Path]:
    """PNG files and a list of them in ``folder``, one by one.

    Raises:
        MediaError: one is there already, or cannot be written.
    """
    paths = [folder / f"{face.name}.png" for face in faces]
    for path in (*paths, folder / LIST):
        _check_free(path, force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError("the folder cannot be made", path=folder) from error
    entries = []
    for path, (face, picture, shown) in zip(paths, draw(faces, size, device), strict=True):
        _save(path, picture)
        asked = {name: value for name, value in asdict(face.changed).items() if value is not None}
        entries.append({"file": path.name, "seed": face.seed, "asked": asked, "shown": shown})
        yield path
    with replacing(folder / LIST) as partial:
        partial.write_text(
            json.dumps({"digital source type": SYNTHETIC.source_type, "faces": entries}, indent=1) + "\n"
        )


def write_sheet(path: Path, faces: Sequence[Face], columns: int, size: int, device: str, force: bool) -> None:
    """All in one picture, row by row; 0 columns make about a square."""
    _check_free(path, force)
    columns = columns or math.ceil(math.sqrt(len(faces)))
    sheet = np.full((math.ceil(len(faces) / columns) * size, columns * size, 3), 255, np.uint8)
    for number, (_, picture, _) in enumerate(draw(faces, size, device)):
        top, left = number // columns * size, number % columns * size
        sheet[top : top + size, left : left + size] = picture
    _save(path, sheet)


def _check_free(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise MediaError("exists already; --force replaces it", path=path)


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    write_image(path, Image(picture), quality=95, says=SYNTHETIC)
