"""What does each thing cost that new faces take over? ``python tests/bench/ablation.py FOLDER [--recognizer FILE]``.

FOLDER holds two photographs of each person, as Labeled Faces in the Wild has them. The first ones are anonymized time
and again, each time without one of the things that a new face takes from the real one, and compared with themselves
("same") and with the other photographs ("other"). Two rows tell what new faces alone give away, and what all else:
there the rest of the result is painted grey. As hardly anybody is recognized, the chance that a pair of one person is
nearer than a pair of strangers tells more than ranks: 50% is nothing, 100% is everything. What each thing buys is how
near new faces are to the real ones: how their heads are held, how open their mouths are, how bright their skin is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer import Anonymizer, Config, Faces, Frames, GenerateConfig
from anonymizer.face_model import OVAL, features, load_face_model, measure_expression
from anonymizer.geometry import cut_patches, square_to_patch
from anonymizer.light import NUMBERS
from anonymizer.mesh import MeshEstimator
from anonymizer.trust import Belief
from pipelines.figures import distances, strangers
from pipelines.identities import batches, people_in
from pipelines.recognizers import SCALES, Dlib, Onnx, Recognizer
from pipelines.views import View, nearest

MODEL = load_face_model()
MIDDLE = 0.4  # side of what tells the brightness of a face, over that of its box
Change = Callable[[Belief], Belief]
Shown = Callable[[Frames, Tensor], Frames]
GREY = 127
Rows = list[NDArray[np.float64]]


def reshaped(belief: Belief, shape: Callable[[Tensor], Tensor], *, frontal: bool = False) -> Belief:
    """Other canonical shapes, held as before, or so that they only lean."""
    rows = belief.usable.nonzero()[:, 0]
    points, conditions = belief.meshes.points.clone(), belief.conditions.clone()
    pose = MODEL.pose(points[rows])
    new = shape(MODEL.unpose(points[rows], pose))
    if frontal:
        roll = torch.deg2rad(pose.degrees[:, 2])
        rotation = torch.eye(3).repeat(len(rows), 1, 1)
        rotation[:, 0, 0] = rotation[:, 1, 1] = roll.cos()
        rotation[:, 1, 0], rotation[:, 0, 1] = roll.sin(), -roll.sin()
        pose = pose._replace(rotation=rotation)
        conditions[rows, :2] = 0
    points[rows] = MODEL.place(new, pose)
    conditions[rows, 2:] = measure_expression(new)[:, :2]
    return replace(belief, meshes=replace(belief.meshes, points=points), conditions=conditions)


def neutral(shape: Tensor) -> Tensor:
    return MODEL.express(shape, measure_expression(MODEL.mean[None]).expand(len(shape), -1))


def nobodys(shape: Tensor) -> Tensor:
    """The average head, with the same expression."""
    return MODEL.express(MODEL.mean.expand(len(shape), -1, -1).clone(), measure_expression(shape))


def fixed(belief: Belief, columns: slice, usual: Tensor) -> Belief:
    """All faces look alike in some numbers of ``Belief.look``."""
    look = belief.look.clone()
    look[:, columns] = usual[columns]
    return replace(belief, look=look)


def nothing(belief: Belief, usual: Tensor) -> Belief:
    """Only where a face is, how large it is, and how it leans."""
    average = reshaped(belief, lambda shape: MODEL.mean.expand(len(shape), -1, -1).clone(), frontal=True)
    return fixed(average, slice(None), usual)


def outlined(frames: Frames, points: Tensor) -> Tensor:
    """Which pixels ``(1, H, W)`` of a picture lie inside the outline of the mesh ``points (1, 468, 3)``."""
    hull = cv2.convexHull(points[0, list(OVAL), :2].round().int().numpy())
    return torch.from_numpy(cv2.fillConvexPoly(np.zeros(frames.size, np.uint8), hull, 1)).bool()[None]


def without_face(frames: Frames, points: Tensor) -> Frames:
    return replace(frames, pixels=frames.pixels.masked_fill(outlined(frames, points)[..., None], GREY))


def without_surroundings(frames: Frames, points: Tensor) -> Frames:
    return replace(frames, pixels=frames.pixels.masked_fill(~outlined(frames, points)[..., None], GREY))


class Variant(NamedTuple):
    """A way to anonymize: what is left out, and the settings; and what of the result is shown."""

    without: str
    change: Change = lambda belief: belief
    settings: GenerateConfig = GenerateConfig(seed=1)
    audited: bool = True
    shown: Shown = lambda frames, points: frames


def variants(usual: Tensor) -> list[Variant]:
    """All of them; ``usual (LOOK,)`` is the average ``Belief.look``."""
    return [
        Variant("-"),
        Variant("surroundings", shown=without_surroundings),
        Variant("face", shown=without_face),
        Variant("audit", audited=False),
        Variant("pose", lambda belief: reshaped(belief, lambda shape: shape, frontal=True), audited=False),
        Variant("expression", lambda belief: reshaped(belief, neutral), audited=False),
        Variant("outline", lambda belief: reshaped(belief, nobodys), audited=False),
        Variant("light", lambda belief: fixed(belief, slice(0, NUMBERS), usual), audited=False),
        Variant("sharpness", lambda belief: fixed(belief, slice(NUMBERS, None), usual), audited=False),
        Variant("match", settings=GenerateConfig(seed=1, match=()), audited=False),
        Variant("occluders", settings=GenerateConfig(seed=1, occluders="replace"), audited=False),
        Variant(
            "all",
            lambda belief: nothing(belief, usual),
            GenerateConfig(seed=1, match=(), occluders="replace"),
            audited=False,
        ),
    ]


class Lab:
    """Anonymizes and measures."""

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        self._estimator, self.recognizers = MeshEstimator(torch.device("cpu")), recognizers
        self._plain = Anonymizer(Config())

    def usual(self, paths: Sequence[Path]) -> Tensor:
        """The average ``Belief.look``."""
        looks = []
        for frames in batches(paths, 1):
            belief = self._plain._observe(frames, self._plain.inspect(frames))
            looks.append(belief.look[belief.usable])
        return torch.cat(looks).mean(0)

    def look_at(
        self, frames: Frames, faces: Faces, shown: Shown
    ) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """Embeddings of one face, as far as it is shown, and its yaw, pitch, mouth and brightness."""
        meshes = self._estimator.measure(frames, faces)
        view = View(shown(frames, meshes.points), replace(faces, landmarks=features(meshes.points)), meshes)
        centre, side = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2, MIDDLE * faces.sizes.amax(1)
        to_patch = square_to_patch(centre, side, torch.zeros(1), 32)
        bright = 255 * cut_patches(frames.pixels, faces.frame, to_patch, 32).mean()
        told = torch.cat([MODEL.conditions(meshes.points)[0, :3], bright[None]]).double().numpy()
        return [recognizer.embed(view)[0] for recognizer in self.recognizers], told

    def originals(self, paths: Sequence[Path]) -> list[Faces]:
        """The face in the middle of each; none where there is none."""
        found = []
        for frames in batches(paths, 1):
            faces = self._plain.inspect(frames)
            found.append(faces[nearest(faces, frames).clamp(min=0)] if len(faces) else faces)
        return found

    def measure(
        self, paths: Sequence[Path], faces: Sequence[Faces], variant: Variant | None
    ) -> tuple[list[Rows], Rows]:
        """Of photographs, as they are or anonymized: embeddings by recognizer, and what else is told."""
        anonymizer = self._anonymizer(variant) if variant else None
        shown = (variant or Variant("")).shown
        embedded: list[Rows] = [[] for _ in self.recognizers]
        told = []
        for frames, face in zip(batches(paths, 1), faces, strict=True):
            done = anonymizer.stills(frames).frames if anonymizer else frames
            vectors, numbers = self.look_at(done, face, shown)
            for rows, vector in zip(embedded, vectors, strict=True):
                rows.append(vector)
            told.append(numbers)
        return embedded, told

    def _anonymizer(self, variant: Variant) -> Anonymizer:
        anonymizer = Anonymizer(Config(generate=variant.settings), audited=variant.audited)
        observer = anonymizer._observer
        assert observer
        observe = observer.observe
        observer.observe = lambda *given, **named: variant.change(observe(*given, **named))  # type: ignore[method-assign]
        return anonymizer


def nearer(probes: Rows, gallery: Rows) -> float:
    """The chance that a pair of one person is nearer than a pair of strangers."""
    apart = distances(np.stack(probes), np.stack(gallery))
    own, others = apart.diagonal(), np.sort(strangers(apart))
    return float(1 - np.searchsorted(others, own).mean() / len(others))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--recognizer", type=click.Path(exists=True, path_type=Path), help="An ONNX network, beside dlib's.")
@click.option("--people", default=120, help="Only the first ones.")
def main(folder: Path, recognizer: Path | None, people: int) -> None:
    """Print the table."""
    recognizers: list[Recognizer] = [Dlib(), *([Onnx(recognizer, next(iter(SCALES)))] if recognizer else [])]
    lab = Lab(recognizers)
    known = [person for person in people_in(folder, people) if person.gallery]
    probes, gallery = [person.probe for person in known], [person.gallery for person in known if person.gallery]
    probe_faces, gallery_faces = lab.originals(probes), lab.originals(gallery)
    whole = [bool(len(one) and len(other)) for one, other in zip(probe_faces, gallery_faces, strict=True)]
    probes, gallery, probe_faces, gallery_faces = (
        [each for each, there in zip(column, whole, strict=True) if there]  # type: ignore[attr-defined]
        for column in (probes, gallery, probe_faces, gallery_faces)
    )
    originals, told = lab.measure(probes, probe_faces, None)
    others, _ = lab.measure(gallery, gallery_faces, None)
    names = [f"{kind} {each.name.split('_')[-1][:8]}" for each in recognizers for kind in ("same", "other")]
    click.echo(
        f"{len(probes)} people; unchanged: "
        + ", ".join(f"{nearer(*pair):.1%}" for pair in zip(originals, others, strict=True))
    )
    click.echo(f"{'without':12}" + "".join(f"{name:>16}" for name in (*names, "yaw", "pitch", "mouth", "bright")))
    for variant in variants(lab.usual(probes)):
        made, new = lab.measure(probes, probe_faces, variant)
        chances = [nearer(rows, against[place]) for place, rows in enumerate(made) for against in (originals, others)]
        off = np.abs(np.stack(new) - np.stack(told)).mean(0) * (1, 1, 100, 1)
        click.echo(
            f"{variant.without:12}"
            + "".join(f"{each:>16.1%}" for each in chances)
            + "".join(f"{each:>16.1f}" for each in off)
        )


if __name__ == "__main__":
    main()
