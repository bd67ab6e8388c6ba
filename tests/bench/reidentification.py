"""Can the people of anonymized photographs be recognised? ``python tests/bench/reidentification.py FOLDER``

FOLDER holds two or more photographs a person, NAME_0001.jpg, NAME_0002.jpg, as Labeled Faces in the Wild does. The
first is anonymized and compared with the second photograph of everybody, by dlib's recognizer (128 numbers a face).
The threshold is the one at which one in a thousand pairs of different people, not anonymized, passes for the same.
Groups are by what ``anonymizer.traits`` reads off the first photograph; who is in doubt belongs to none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, get_args

import click
import dlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer import Anonymizer, Config, Faces, Frames, GenerateConfig, Outcome, weights
from anonymizer.config import Occluders, Trait
from anonymizer.generate.base import FAILURES
from anonymizer.generate.looks import Look
from anonymizer.media.image import read_image
from anonymizer.mesh import MeshEstimator
from anonymizer.traits import TraitReader
from pipelines.options import TraitsType

Embedding = NDArray[np.float64]
POINTS = (263, 362, 33, 133, 2)  # of the mesh, in the order of dlib's five: eye corners, base of the nose
FALSE_ACCEPTS = 1e-3
FEWEST = 20  # people that a group needs


GROUPS: dict[str, Callable[[Look], bool]] = {
    "women": lambda look: look.gender == "woman",
    "men": lambda look: look.gender == "man",
    "under 30": lambda look: look.age is not None and look.age < 30,
    "30 to 44": lambda look: look.age is not None and 30 <= look.age < 45,
    "45 and older": lambda look: look.age is not None and look.age >= 45,
    "light": lambda look: look.skin is not None and look.skin > 28,
    "dark": lambda look: look.skin is not None and look.skin <= 28,
}
"""Of people, by what their photographs seem to show; see ``anonymizer.traits``."""


class Person(NamedTuple):
    """What became of somebody: embeddings of the original, of another photograph and of the result."""

    look: Look
    outcome: Outcome
    original: Embedding | None
    other: Embedding | None
    hidden: Embedding | None


class Recognizer:
    """Embeds the face nearest to the middle of a picture."""

    def __init__(self, anonymizer: Anonymizer) -> None:
        self._anonymizer = anonymizer
        self._estimator = MeshEstimator(torch.device("cpu"))
        self._network = dlib.face_recognition_model_v1(str(weights.path("dlib")))

    def face(self, frames: Frames) -> Faces:
        """That face, or none."""
        faces = self._anonymizer.inspect(frames)
        return faces[nearest(faces, frames)] if len(faces) else faces

    def embed(self, frames: Frames) -> Embedding | None:
        """128 numbers, or None where there is no face."""
        face = self.face(frames)
        if not len(face):
            return None
        points = self._estimator.estimate(frames, face).points[0, list(POINTS)].round().int().tolist()
        box = dlib.rectangle(*face.boxes[0].int().tolist())
        shape = dlib.full_object_detection(box, [dlib.point(x, y) for x, y, _ in points])
        chip = dlib.get_face_chip(frames.pixels[0].numpy(), shape, size=150)
        return np.array(self._network.compute_face_descriptor(chip))


def nearest(faces: Faces, frames: Frames) -> Tensor:
    """Row ``(1,)`` of the face nearest to the middle."""
    centre = torch.tensor([frames.size[1] / 2, frames.size[0] / 2])
    away = ((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - centre).norm(dim=1) - faces.sizes.amax(1) / 2
    return away.argmin()[None]


def distances(a: Embedding, b: Embedding) -> Embedding:
    """Between every row of ``a (N, 128)`` and every row of ``b (M, 128)``."""
    found: Embedding = np.linalg.norm(a[:, None] - b[None], axis=2)
    return found


def show(people: Sequence[Person]) -> None:
    """Print how many are recognised, all together and by group."""
    known = [person for person in people if person.original is not None and person.other is not None]
    original, gallery = (np.stack([person[column] for person in known]) for column in (2, 3))
    apart = ~np.eye(len(known), dtype=bool)
    threshold = np.quantile(distances(original, gallery)[apart], FALSE_ACCEPTS)
    found = distances(original, gallery)
    rank, passed = found.argmin(1) == np.arange(len(known)), found.diagonal() <= threshold
    click.echo(f"original: rank-1 {rank.mean():.2%} (chance {1 / len(known):.2%}), TAR at FAR 1e-3 {passed.mean():.2%}")
    nowhere = np.full(gallery.shape[1], np.inf)
    hidden = np.stack([nowhere if person.hidden is None else person.hidden for person in known])
    found, same = distances(hidden, gallery), distances(hidden, original).diagonal() <= threshold
    rank, passed = found.argmin(1) == np.arange(len(known)), found.diagonal() <= threshold
    still, covered = (
        np.array([test(person) for person in known])
        for test in (lambda person: person.hidden is not None, lambda person: person.outcome in FAILURES)
    )
    for name, belongs in {"anonymized": lambda _: True, **GROUPS}.items():
        rows = np.array([belongs(person.look) for person in known])
        if rows.sum() >= FEWEST:
            click.echo(
                f"{name} ({rows.sum()}): rank-1 {rank[rows].mean():.2%}, TAR {passed[rows].mean():.2%}, the same "
                f"photograph passes {same[rows].mean():.2%}; still a face {still[rows].mean():.1%}, "
                f"covered {covered[rows].mean():.1%}"
            )


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
    recognizer, reader = Recognizer(anonymizer), TraitReader(get_args(Trait), torch.device("cpu"))
    known = []
    for probe, other in pairs:
        frames = [Frames(torch.from_numpy(read_image(path).pixels)[None], (Fraction(0),)) for path in (probe, other)]
        done, face = anonymizer.stills(frames[0]), recognizer.face(frames[0])
        embeddings = [recognizer.embed(picture) for picture in (*frames, done.frames)]
        if len(face):
            outcome = done.outcomes[int(nearest(done.faces, frames[0]))]
            known.append(Person(reader.read(frames[0], face)[0], outcome, *embeddings))
    show(known)


if __name__ == "__main__":
    main()
