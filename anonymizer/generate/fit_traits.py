"""Fits how traits are read off faces: ``traits.safetensors``.

``python -m anonymizer.generate.fit_traits PEOPLE.safetensors`` draws portraits, about six a second on a CPU with two
cores, in light of all kinds; run it again to go on. Prints how well each trait is read off people who were left out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from anonymizer.face_model import features
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Gender, Look
from anonymizer.generate.personas import SKETCH, Order, Studio, stills, whole_pictures
from anonymizer.generate.sample_portraits import BATCH, KEPT, TRUNCATION
from anonymizer.generate.spoil import relight
from anonymizer.generate.training import Samples, collect
from anonymizer.identity import Recognizer
from anonymizer.mesh import MeshEstimator
from anonymizer.traits import TRAITS, Reading, see

AGE, SKIN = (12, 75), (-40, 58)  # all within what the generator draws well
YAW, PITCH, MOUTH = (-25, 25), (-10, 10), (0, 0.3)
GLASSES, BEARDS = 0.25, 0.35  # how many wear them, of all and of men
LIGHT = 0.5  # share of the change of light: most photographs of faces are well exposed
RIDGE = 0.005  # of the variance of each number
LEFT_OUT = 5  # every how many of the people is left out


def order(seed: int) -> tuple[Order, list[float]]:
    """Somebody in some pose, and the ``TRAITS`` that were asked for."""
    chance = np.random.default_rng(seed)
    genders: tuple[Gender, ...] = ("woman", "man")
    man, glasses = int(chance.integers(2)), bool(chance.random() < GLASSES)
    beard = bool(man and chance.random() < BEARDS)
    age, skin = chance.uniform(*AGE), chance.uniform(*SKIN)
    look = Look(age=age, gender=genders[man], skin=skin, beard=beard, glasses=glasses)
    pose = (chance.uniform(*YAW), chance.uniform(*PITCH), chance.uniform(*MOUTH) * chance.integers(2), None)
    asked = {"age": age, "man": 2 * man - 1, "skin": skin, "glasses": 2 * glasses - 1}
    return Order(Persona(seed, look.attributes), pose, SKETCH), [float(asked[name]) for name in TRAITS]


def draw(studio: Studio, recognizer: Recognizer, seeds: range) -> Samples:
    """What is to ``see`` ``(N, F)`` of people with ``traits (N, T)``; ``points (N, 468, 3)``."""
    orders, traits = zip(*map(order, seeds), strict=True)
    portraits = studio.portraits(orders, keep=False)
    points = torch.stack([portrait.points for portrait in portraits])
    faces = replace(whole_pictures(len(portraits), SKETCH), landmarks=features(points))
    generator = torch.Generator().manual_seed(seeds.start)
    pictures = torch.stack([portrait.pixels for portrait in portraits])
    frames = stills(torch.lerp(pictures, relight(pictures, generator), LIGHT))
    return {"seen": see(recognizer, frames, faces), "traits": torch.tensor(traits), "points": points}


def fit(seen: Tensor, traits: Tensor) -> Reading:
    """Ridge regression, of standardized numbers."""
    mean, spread, usual = seen.mean(0), seen.std(0), traits.mean(0)
    given = (seen - mean) / spread
    gram = given.T @ given + RIDGE * len(seen) * torch.eye(given.shape[1])
    slopes = torch.linalg.solve(gram, given.T @ (traits - usual)) / spread[:, None]
    return Reading(mean, slopes.contiguous(), usual)


@click.command()
@click.argument("people", type=click.Path(path_type=Path))
@click.option("--count", default=2000, help="People to draw in total.")
@torch.inference_mode()
def main(people: Path, count: int) -> None:
    """Draw what there is to see of PEOPLE, fit to that, and write the arrays into the package."""
    cpu = torch.device("cpu")
    studio = Studio(cpu, MeshEstimator(cpu), TRUNCATION, BATCH)
    collect(people, count, partial(draw, studio, Recognizer(cpu)), KEPT)
    drawn = safetensors.torch.load_file(people)
    clear = drawn["seen"].isfinite().all(1)
    seen, traits = drawn["seen"][clear], drawn["traits"][clear]
    left_out = torch.arange(len(seen)) % LEFT_OUT == 0
    read = fit(seen[~left_out], traits[~left_out]).read(seen[left_out])
    for name, told, known in zip(TRAITS, read.T, traits[left_out].T, strict=True):
        alike = float(torch.corrcoef(torch.stack([told, known]))[0, 1])
        right = (told * known > 0).float().mean()
        click.echo(f"{name}: held-out correlation {alike:.2f}, off by {(told - known).abs().mean():.2f}")
        if known.unique().numel() == 2:
            click.echo(f"{name}: right of {right:.1%}")
    arrays = {name: value.contiguous() for name, value in vars(fit(seen, traits)).items()}
    safetensors.torch.save_file(arrays, Path(__file__).parents[1] / "traits.safetensors")


if __name__ == "__main__":
    main()
