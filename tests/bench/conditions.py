"""Does the generator show what it is asked for? ``python tests/bench/conditions.py [--people 40] [--ages MODEL]``.

Each person looks into directions, opens the mouth and the eyes, smiles, looks aside; each time a portrait is ordered,
drawn and measured. Printed are the mean errors of what was asked for, over the range where it has one; how far dlib's
recognizer takes a turned head to be from the person's frontal view; and, after changes, how far the person is from the
one before. MODEL is the folder ``model`` of the npm package ``@vladmandic/face-api``: with it, apparent age and gender
are measured too, by the network that they were fitted with.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import light
from anonymizer.face_model import features, load_face_model, measure_expression
from anonymizer.generate import age_gender, attributes
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import ATTRIBUTES
from anonymizer.generate.looks import Look
from anonymizer.generate.personas import Order, Portrait, Studio, stills, whole_pictures
from anonymizer.identity import Recognizer
from anonymizer.light import Light
from anonymizer.mesh import MeshEstimator

CPU = torch.device("cpu")
SIZE = 256
YAWS, PITCHES = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0), (-25.0, -12.0, 0.0, 12.0, 25.0)
SAME = 0.6  # distance below which dlib's recognizer takes two faces for one person
CHANGES = {
    "age": (20.0, 40.0, 60.0),
    "gender": ("woman", "man"),
    "skin": (-20.0, 15.0, 50.0),
    "mouth": (0.0, 0.5, 1.0),
    "smile": (0.0, 0.5, 1.0),
    "eyes": (0.2, 0.6, 1.0),
    "gaze": (-1.0, 0.0, 1.0),
    "beard": (False, True),
    "glasses": (False, True),
}
ATTRIBUTE = {"gender": "man", "eyes": "eyes open"}  # where it is called otherwise


class Measure:
    """Draws what is asked for, and looks at it."""

    def __init__(self, ages: Path | None) -> None:
        self._studio = Studio(CPU, MeshEstimator(CPU), 0.7, 4)
        self._recognizer, self._model = Recognizer(CPU), load_face_model()
        self._ages = age_gender.load(ages) if ages else None

    def draw(self, seed: int, look: Look, change: Look) -> Portrait:
        order = Order(Persona(seed, look.attributes, change.attributes), change.condition, SIZE)
        return self._studio.portraits([order], keep=False)[0]

    def embed(self, portraits: Sequence[Portrait]) -> Tensor:
        pixels = torch.stack([portrait.pixels for portrait in portraits])
        points = torch.stack([portrait.points for portrait in portraits])
        faces = replace(whole_pictures(len(points), SIZE), landmarks=features(points))
        return self._recognizer.embed(stills(pixels), faces)

    def conditions(self, portrait: Portrait) -> Tensor:
        return self._model.conditions(portrait.points[None])[0]

    def attributes(self, portrait: Portrait) -> dict[str, float]:
        """As ``fit_condition`` measured them."""
        points, pixels = portrait.points[None], portrait.pixels[None].clamp(0, 1)
        smooth, flat = F.avg_pool2d(pixels, 3, 1, 1), points[..., :2]
        lengths = measure_expression(self._model.unpose(points, self._model.pose(points)))[0]
        lit = Light.of(light.measure(pixels, flat / pixels.shape[-1], self._model.normals(points)))
        found = {
            "skin": attributes.skin(smooth, flat),
            "beard": attributes.beard(smooth, flat) / lit.front.exp(),
            "glasses": attributes.glasses(smooth, flat),
            "gaze": attributes.gaze(pixels, flat),
            "smile": lengths[2],
            "eyes open": lengths[6:].mean(),
            "mouth": lengths[0],
        }
        if self._ages:
            years = self._ages(attributes.crops(pixels, flat, age_gender.SIZE))[0]
            found |= {"age": years[0], "man": years[1]}
        return {name: float(value) for name, value in found.items()}


def poses(measure: Measure, people: int) -> None:
    """Print errors of pose, and what becomes of the person."""
    errors, away = [], []
    for seed in range(people):
        looks = [Look(yaw=yaw, pitch=pitch, mouth=0.05) for yaw, pitch in itertools.product(YAWS, PITCHES)]
        drawn = [measure.draw(seed, Look(), look) for look in looks]
        asked = torch.tensor([(look.yaw, look.pitch) for look in looks])
        errors.append((torch.stack([measure.conditions(portrait)[:2] for portrait in drawn]) - asked).abs())
        embedded = measure.embed(drawn)
        frontal = looks.index(Look(yaw=0, pitch=0, mouth=0.05))
        away.append((embedded - embedded[frontal]).norm(dim=1))
    all_errors, apart = torch.stack(errors), torch.stack(away)
    click.echo(f"yaw: {all_errors[..., 0].mean():.1f} degrees off; pitch: {all_errors[..., 1].mean():.1f}")
    click.echo(f"to the frontal view: {apart.mean():.2f}; one person: {(apart < SAME).float().mean():.1%}")
    moderate = torch.tensor([abs(pitch) <= 12 for _, pitch in itertools.product(YAWS, PITCHES)])
    click.echo(
        f"within 12 degrees of pitch: {apart[:, moderate].mean():.2f}; {(apart[:, moderate] < SAME).float().mean():.1%}"
    )


def changes(measure: Measure, people: int) -> None:
    """Print, for each attribute, what was asked for and what is shown on average, and what becomes of the person."""
    for name, values in CHANGES.items():
        shown: list[list[float]] = [[] for _ in values]
        away: list[list[float]] = [[] for _ in values]
        asked = []
        attribute = ATTRIBUTE.get(name, name)
        for seed in range(people):
            before = Look(yaw=0, pitch=0)
            drawn = [measure.draw(seed, before, replace(before, **{name: value})) for value in values]
            embedded = measure.embed([measure.draw(seed, before, before), *drawn])
            for place, portrait in enumerate(drawn):
                shown[place].append(measure.attributes(portrait).get(attribute, float("nan")))
                away[place].append(float((embedded[place + 1] - embedded[0]).norm()))
        for place, value in enumerate(values):
            look = Look(**{name: value})
            number = look.condition[2] if name == "mouth" else look.attributes[ATTRIBUTES.index(attribute)]
            asked.append(number)
            click.echo(
                f"{name} {value}: asked {number:.2f}, shown {torch.tensor(shown[place]).mean():.2f}"
                f" (off {(torch.tensor(shown[place]) - number).abs().mean():.2f});"
                f" to the person before {torch.tensor(away[place]).mean():.2f}"
            )


@click.command()
@click.option("--people", default=40)
@click.option("--ages", type=click.Path(exists=True, file_okay=False, path_type=Path))
@torch.inference_mode()
def main(people: int, ages: Path | None) -> None:
    """Print the figures."""
    measure = Measure(ages)
    poses(measure, people)
    changes(measure, people)


if __name__ == "__main__":
    main()
