"""Fits how embeddings are guessed from styles: ``generate/likeness.safetensors``.

``python -m anonymizer.generate.fit_likeness PORTRAITS.safetensors`` draws portraits, about four a second on a CPU with
two cores; run it again to go on. Prints how well distances to strangers are guessed, on portraits that were left out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import safetensors.torch
import torch
from torch import Tensor

from anonymizer.face_model import features
from anonymizer.generate.likeness import Likeness
from anonymizer.generate.personas import AT_REST, SKETCH, Order, Studio, stills, whole_pictures
from anonymizer.generate.sample_portraits import BATCH, KEPT, TRUNCATION, order
from anonymizer.generate.training import Samples, collect
from anonymizer.identity import Recognizer
from anonymizer.jury import Jury, distances, normalized
from anonymizer.mesh import MeshEstimator

RIDGE = 40.0
LEFT_OUT = 5  # every how many of the portraits is left out


def draw(studio: Studio, jury: Jury, seeds: range) -> Samples:
    """People at rest: styles ``w (N, 512)``, ``embedding (N, 256)`` and ``points (N, 468, 3)`` in pixels."""
    personas = [order(seed).persona for seed in seeds]
    portraits = studio.portraits([Order(persona, AT_REST, SKETCH) for persona in personas], keep=False)
    points = torch.stack([portrait.points for portrait in portraits])
    faces = replace(whole_pictures(len(portraits), SKETCH), landmarks=features(points))
    frames = stills(torch.stack([portrait.pixels for portrait in portraits]))
    return {"w": studio.styles(personas), "embedding": jury.embed(frames, faces), "points": points}


def fit(styles: Tensor, embeddings: Tensor) -> Likeness:
    """To ``normalized`` embeddings ``(N, 256)``."""
    mean, usual = styles.mean(0), embeddings.mean(0)
    gram = (styles - mean).T @ (styles - mean) + RIDGE * torch.eye(styles.shape[1])
    return Likeness(mean, torch.linalg.solve(gram, (styles - mean).T @ (embeddings - usual)), usual)


def held_out(styles: Tensor, embeddings: Tensor) -> list[float]:
    """Correlations of guessed and measured distances, to each of some people over others who were left out, the mean;
    one for each recognizer.
    """
    left_out = torch.arange(len(styles)) % LEFT_OUT == 0
    likeness, strangers = fit(styles[~left_out], embeddings[~left_out]), embeddings[~left_out][:400]
    guessed, measured = (
        distances(strangers[:, None], others)  # (400, N, 2)
        for others in (likeness.guess(styles[left_out]), embeddings[left_out])
    )
    pairs = torch.stack([guessed, measured], dim=2).transpose(1, 3)  # (400, 2, 2, N)
    return torch.stack([torch.stack([torch.corrcoef(pair)[0, 1] for pair in both]) for both in pairs]).mean(0).tolist()


@click.command()
@click.argument("portraits", type=click.Path(path_type=Path))
@click.option("--count", default=3000, help="Portraits to draw in total.")
@torch.inference_mode()
def main(portraits: Path, count: int) -> None:
    """Draw what there is to see of PORTRAITS, fit to that, and write the arrays into the package."""
    cpu = torch.device("cpu")
    studio = Studio(cpu, MeshEstimator(cpu), TRUNCATION, BATCH)
    collect(portraits, count, partial(draw, studio, Jury(Recognizer(cpu), cpu)), KEPT)
    drawn = safetensors.torch.load_file(portraits)
    clear = drawn["embedding"].isfinite().all(1)
    styles, embeddings = drawn["w"][clear], normalized(drawn["embedding"][clear])
    dlib, sface = held_out(styles, embeddings)
    click.echo(f"guessed and measured distances: held-out correlation {dlib:.2f} to dlib's, {sface:.2f} to SFace")
    arrays = {name: value.contiguous() for name, value in vars(fit(styles, embeddings)).items()}
    safetensors.torch.save_file(arrays, Path(__file__).parent / "likeness.safetensors")


if __name__ == "__main__":
    main()
