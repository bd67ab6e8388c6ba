"""Fits how styles are steered: ``generate/condition.safetensors``.

``python -m anonymizer.generate.fit_condition FACES.safetensors``; FACES come from ``sample_faces``. Prints how well
what a face shows is predicted from its style, on faces that were left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import safetensors.torch
import torch
from torch import Tensor

from anonymizer.face_model import load_face_model, measure_expression
from anonymizer.generate.condition import ATTRIBUTES, CONDITIONS, FLAWS, Condition
from anonymizer.light import Light

COMPONENTS, RIDGE = 256, 100.0
ACCEPTED = {
    "hair over the forehead": 0.25,
    "childlike": 0.4,
    "another face": 0.3,
    "hidden": 0.3,
    "shadow above the eyes": 0.4,
    "uneven light": 0.3,
    "coloured light": 0.3,
}  # quantile of each flaw that a persona may have
HARDLY = 0.03  # share of a face that may be hidden; keeps logarithms finite
CHIN = 152


class Sample(NamedTuple):
    """Faces: styles ``w (N, 512)`` and what they show: conditions ``asked (N, 4)``, ``flaws (N, F)``,
    ``attributes (N, A)``.
    """

    w: Tensor
    asked: Tensor
    flaws: Tensor
    attributes: Tensor

    def of(self, rows: Tensor) -> Sample:
        """Some of them."""
        return Sample(*(values[rows] for values in self))


def shown(drawn: dict[str, Tensor]) -> Sample:
    """What was drawn by ``sample_faces``."""
    model, points = load_face_model(), drawn["points"]
    shapes = model.unpose(points, model.pose(points))
    lengths = measure_expression(shapes)
    rest = measure_expression(model.mean[None]).expand(len(points), -1)
    childlike = -model.express(shapes, rest)[:, CHIN, 1]  # a short face below the eyes, in distances between the eyes
    shades = Light.of(drawn["light"])
    known = (
        drawn
        | {
            "beard": drawn["beard"] / shades.front.exp(),  # the darker the skin, the less a beard differs
            "smile": lengths[:, 2],
            "eyes open": lengths[:, 6:].mean(1),
            "light from aside": shades.field[:, 1],
        }
    )
    flaws = {
        "hair over the forehead": drawn["fringe"],
        "childlike": childlike,
        "another face": drawn["beside"],
        "hidden": (drawn["hidden"] + HARDLY).log(),
        "shadow above the eyes": drawn["shade"],
        "uneven light": shades.contrast.log(),
        "coloured light": shades.saturation.log(),
    }
    attributes = torch.stack([known[name] for name in ATTRIBUTES], dim=1)
    return Sample(drawn["w"], model.conditions(points), torch.stack([flaws[name] for name in FLAWS], dim=1), attributes)


def fit(sample: Sample, centre: Tensor) -> Condition:
    """Around the average style ``centre (512,)``."""
    _, singular, components = torch.linalg.svd(sample.w - centre, full_matrices=False)
    spread = singular[:COMPONENTS] / len(sample.w) ** 0.5
    coordinates = (sample.w - centre) @ components[:COMPONENTS].T / spread
    flaw_slopes = ridge(coordinates, sample.flaws)
    flaw_slopes = flaw_slopes / (coordinates @ flaw_slopes).std(0)
    accepted = torch.tensor([ACCEPTED[name] for name in FLAWS])
    return Condition(
        mean=centre,
        components=components[:COMPONENTS] * spread[:, None],
        slopes=ridge(coordinates, sample.asked),
        neutral=sample.asked.mean(0),
        flaw_slopes=flaw_slopes,
        flaw_limits=(coordinates @ flaw_slopes).quantile(accepted, dim=0).diagonal(),
        attribute_slopes=ridge(coordinates, sample.attributes),
        usual=sample.attributes.mean(0),
        spread=sample.attributes.std(0),
    )


def ridge(coordinates: Tensor, values: Tensor) -> Tensor:
    """Slopes ``(K, M)`` of ``values (N, M)`` by ``coordinates (N, K)``."""
    gram = coordinates.T @ coordinates + RIDGE * torch.eye(coordinates.shape[1])
    return torch.linalg.solve(gram, coordinates.T @ (values - values.mean(0)))


def held_out(sample: Sample, centre: Tensor) -> Tensor:
    """Squared correlations of what is read and what is measured, on every fifth face."""
    left_out = torch.arange(len(sample.w)) % 5 == 0
    condition, test = fit(sample.of(~left_out), centre), sample.of(left_out)
    read = torch.cat([condition.read(test.w), condition.flaws(test.w), condition.attributes(test.w)], dim=1)
    both = torch.cat([read, test.asked, test.flaws, test.attributes], dim=1).T
    return torch.corrcoef(both).diagonal(read.shape[1]).square()


@click.command()
@click.argument("faces", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(faces: Path) -> None:
    """Fit to FACES, and write the arrays into the package."""
    drawn = safetensors.torch.load_file(faces)
    sample, centre = shown(drawn), drawn["centre"]
    for name, score in zip((*CONDITIONS, *FLAWS, *ATTRIBUTES), held_out(sample, centre).tolist(), strict=True):
        click.echo(f"{name}: held-out r2 {score:.2f}")
    arrays = {name: value.contiguous() for name, value in vars(fit(sample, centre)).items()}
    safetensors.torch.save_file(arrays, Path(__file__).parent / "condition.safetensors")


if __name__ == "__main__":
    main()
