"""What do new faces take over, and can it tell who somebody is? ``python tests/bench/signals.py FOLDER``, as of LFW.

FOLDER holds two photographs of each person. Of every face the numbers are measured that a new face takes from it: how
the head is held, what the face expresses, the outline of the head, light, sharpness, and what it seems like. An
attacker who sees these numbers exactly, which is more than any result shows, and who learnt from other people's
photographs how much each of them varies from one photograph of a person to the next (so weighs them: linear
discriminant analysis), looks for the person of one photograph among those of all others, and reads gender and age off
them. Half of the people are there to learn from, the other half to be found, and then the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from anonymizer import Anonymizer, Config
from anonymizer.face_model import OVAL, load_face_model, measure_expression
from anonymizer.identity import Recognizer
from anonymizer.light import NUMBERS
from anonymizer.traits import TRAITS, TraitReader
from pipelines.figures import distances, first, strangers
from pipelines.identities import batches, people_in
from pipelines.views import nearest

Numbers = NDArray[np.float64]

SHRUNK = 0.3  # share of the plain variance in what an attacker takes for the variation of one person
RIDGE = 3.0  # of the regression that reads gender and age


class Signals:
    """Measures faces as the program does."""

    def __init__(self) -> None:
        self._anonymizer = Anonymizer(Config())
        self._reader = TraitReader(("age", "gender", "skin"), Recognizer(torch.device("cpu")))
        self._model = load_face_model()

    def measure(self, paths: Sequence[Path]) -> tuple[dict[str, Numbers], Numbers]:
        """What is taken over, by name, and what the faces seem like (man, age); NaN where there is no mesh."""
        rows: dict[str, list[Numbers]] = {}
        seem = []
        for frames in batches(paths, 1):
            belief = self._anonymizer._observe(frames, self._anonymizer.inspect(frames))
            (row,) = nearest(belief.faces, frames).tolist()
            if row < 0 or not belief.usable[row] or belief.average[row]:
                seem.append(np.full(2, np.nan))
                for values in rows.values():
                    values.append(np.full_like(values[0], np.nan))
                continue
            points = belief.meshes.points[row, None]
            pose = self._model.pose(points)
            shape = self._model.unpose(points, pose)
            look = self._reader.read(frames, belief.faces[row : row + 1])[0]
            said = [(number if number is not None else 0.0) for number in look.attributes]
            measured = {
                "pose": pose.degrees[0],
                "expression": measure_expression(shape)[0],
                "outline": shape[0, list(OVAL), :2].flatten(),
                "light": belief.look[row, :NUMBERS],
                "sharpness": belief.look[row, NUMBERS:],
                "seeming (--match)": torch.tensor(said),
            }
            for name, values in measured.items():
                rows.setdefault(name, []).append(values.double().numpy())
            seen = self._reader.measure(frames, belief.faces[row : row + 1])[0]
            seem.append(seen[[TRAITS.index("man"), TRAITS.index("age")]].double().numpy())
        return {name: np.stack(values) for name, values in rows.items()}, np.stack(seem)


def found(one: Numbers, other: Numbers, learnt: NDArray[np.bool_]) -> tuple[Numbers, float]:
    """How far those who are not learnt from are found in first place, and the chance that a pair of one person is
    nearer than a pair of strangers.
    """
    both = np.concatenate([one[learnt], other[learnt]])
    mean, scale = both.mean(0), both.std(0) + 1e-9
    one, other = (one - mean) / scale, (other - mean) / scale
    within = np.cov((one[learnt] - other[learnt]).T).reshape(one.shape[1], -1) / 2
    values, vectors = np.linalg.eigh((1 - SHRUNK) * within + SHRUNK * np.eye(len(within)))
    white = vectors / np.sqrt(values.clip(1e-6))
    apart = distances(one[~learnt] @ white, other[~learnt] @ white)
    own, others = apart.diagonal(), np.sort(strangers(apart))
    places = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")
    return first(apart), float(1 - places.mean() / 2 / len(others))


def read(numbers: Numbers, seem: Numbers, learnt: NDArray[np.bool_]) -> tuple[float, float]:
    """The share of those not learnt from whose gender is told, and the correlation of the age that is told."""
    scaled = (numbers - numbers[learnt].mean(0)) / (numbers[learnt].std(0) + 1e-9)
    with_one = np.c_[scaled, np.ones(len(scaled))]
    system = with_one[learnt].T @ with_one[learnt] + RIDGE * np.eye(with_one.shape[1])
    told = with_one[~learnt] @ np.linalg.solve(system, with_one[learnt].T @ seem[learnt])
    gender = ((told[:, 0] > 0) == (seem[~learnt, 0] > 0)).mean()
    return float(gender), float(np.corrcoef(told[:, 1], seem[~learnt, 1])[0, 1])


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--people", type=int, help="Only the first ones.")
def main(folder: Path, people: int | None) -> None:
    """Print the table."""
    known = [person for person in people_in(folder, people) if person.gallery]
    signals = Signals()
    one, seem = signals.measure([person.probe for person in known])
    other, _ = signals.measure([person.gallery for person in known if person.gallery])
    whole = ~np.isnan(np.c_[one["pose"], other["pose"], seem]).any(1)
    one, other = ({name: values[whole] for name, values in each.items()} for each in (one, other))
    one["all"], other["all"] = (np.concatenate(list(each.values()), axis=1) for each in (one, other))
    seem, half = seem[whole], np.arange(whole.sum()) % 2 == 0
    most = max((seem[:, 0] > 0).mean(), (seem[:, 0] <= 0).mean())
    click.echo(f"{whole.sum()} people; found by chance {1 / (~half).sum():.1%}, pair 50%, gender {most:.0%}")
    click.echo(f"{'':20}{'numbers':>8}{'found':>8}{'pair':>8}{'gender':>8}{'age r':>8}")
    for name in one:
        parts = [found(one[name], other[name], learnt) for learnt in (half, ~half)]
        named, pair = np.concatenate([part[0] for part in parts]).mean(), np.mean([part[1] for part in parts])
        gender, age = np.mean([read(one[name], seem, learnt) for learnt in (half, ~half)], axis=0)
        click.echo(f"{name:20}{one[name].shape[1]:>8}{named:>8.1%}{pair:>8.0%}{gender:>8.0%}{age:>8.2f}")


if __name__ == "__main__":
    main()
