"""Can the people of anonymized photographs be recognised? ``python tests/bench/reidentification.py FOLDER``

FOLDER holds two or more photographs a person, NAME_0001.jpg, NAME_0002.jpg, as Labeled Faces in the Wild does. The
first is anonymized and compared with the second photograph of everybody, by dlib's recognizer (128 numbers a face).
The threshold is the one at which one in a thousand pairs of different people, not anonymized, passes for the same.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import get_args

import click
import dlib
import numpy as np
import torch
from numpy.typing import NDArray

from anonymizer import Anonymizer, Config, Frames, GenerateConfig, weights
from anonymizer.config import Occluders, Trait
from anonymizer.media.image import read_image
from anonymizer.mesh import MeshEstimator
from pipelines.options import TraitsType

Embedding = NDArray[np.float64]
POINTS = (263, 362, 33, 133, 2)  # of the mesh, in the order of dlib's five: eye corners, base of the nose
FALSE_ACCEPTS = 1e-3


class Recognizer:
    """Embeds the face nearest to the middle of a picture."""

    def __init__(self, anonymizer: Anonymizer) -> None:
        self._anonymizer = anonymizer
        self._estimator = MeshEstimator(torch.device("cpu"))
        self._network = dlib.face_recognition_model_v1(str(weights.path("dlib")))

    def embed(self, frames: Frames) -> Embedding | None:
        """128 numbers, or None where there is no face."""
        faces = self._anonymizer.inspect(frames)
        if not len(faces):
            return None
        centre = torch.tensor([frames.size[1] / 2, frames.size[0] / 2])
        away = ((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - centre).norm(dim=1) - faces.sizes.amax(1) / 2
        face = faces[away.argmin()[None]]
        points = self._estimator.estimate(frames, face).points[0, list(POINTS)].round().int().tolist()
        box = dlib.rectangle(*face.boxes[0].int().tolist())
        shape = dlib.full_object_detection(box, [dlib.point(x, y) for x, y, _ in points])
        chip = dlib.get_face_chip(frames.pixels[0].numpy(), shape, size=150)
        return np.array(self._network.compute_face_descriptor(chip))


def distances(a: Embedding, b: Embedding) -> Embedding:
    """Between every row of ``a (N, 128)`` and every row of ``b (M, 128)``."""
    found: Embedding = np.linalg.norm(a[:, None] - b[None], axis=2)
    return found


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--people", default=400, help="How many, in the order of their names.")
@click.option("--match", type=TraitsType(), default=",".join(get_args(Trait)), help="As of the command.")
@click.option("--occluders", type=click.Choice(get_args(Occluders)), default="keep", help="As of the command.")
@click.option("--seed", default=5)
def main(folder: Path, people: int, match: tuple[Trait, ...], occluders: Occluders, seed: int) -> None:
    """Measure how well the people of FOLDER are hidden."""
    photographs: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*_????.jpg")):
        photographs.setdefault(path.stem[:-5], []).append(path)
    pairs = [paths[:2] for paths in photographs.values() if len(paths) > 1][:people]
    anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=seed, match=match, occluders=occluders)))
    recognizer = Recognizer(anonymizer)
    outcomes: Counter[str] = Counter()
    rows, detected = [], 0
    for probe, other in pairs:
        frames = [Frames(torch.from_numpy(read_image(path).pixels)[None], (Fraction(0),)) for path in (probe, other)]
        done = anonymizer.stills(frames[0])
        outcomes.update(done.outcomes)
        row = [recognizer.embed(picture) for picture in (*frames, done.frames)]
        detected += row[2] is not None
        if all(embedding is not None for embedding in row):
            rows.append(row)
    original, gallery, hidden = (np.stack([row[column] for row in rows]) for column in range(3))
    apart = ~np.eye(len(rows), dtype=bool)
    threshold = np.quantile(distances(original, gallery)[apart], FALSE_ACCEPTS)
    click.echo(f"{len(pairs)} people; faces: {dict(outcomes)}; a face is still found in {detected / len(pairs):.1%}")
    for name, probes in (("original", original), ("anonymized", hidden)):
        found = distances(probes, gallery)
        rank = (found.argmin(1) == np.arange(len(rows))).mean()
        accepted = (found.diagonal() <= threshold).mean()
        click.echo(f"{name}: rank-1 {rank:.2%} (chance {1 / len(rows):.2%}), TAR at FAR 1e-3 {accepted:.2%}")
    same = (distances(hidden, original).diagonal() <= threshold).mean()
    click.echo(f"anonymized against the same photograph: {same:.2%} pass")


if __name__ == "__main__":
    main()
