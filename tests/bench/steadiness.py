"""Is the new face as steady as the real one? ``python tests/bench/steadiness.py ORIGINAL ANONYMIZED``: two videos.

Of the largest face of each frame, in both videos:

- correlation: of the ways of 468 mesh points over time, between the two; 1 if the new face moves as the real one.
- jitter: mean second difference of these ways, of the new over the real face; 1 if it trembles as much.
- flicker: mean change of brightness from frame to frame, of the new over the real face.
- control: the same correlation between the real face and itself, seen by the mesh network in other crops: an upper
  bound. What a mesh says depends on the crop, by more than some faces move: each is the mean over many crops.
- identity: share of the frames whose new face is, to dlib's recognizer, the person of the others on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import dlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer import DetectConfig, Faces, Frames, weights
from anonymizer.detect import DETECTORS
from anonymizer.geometry import cut_patches, square_to_patch
from anonymizer.media import VideoReader
from anonymizer.mesh import MeshEstimator

SAME = 0.6  # distance below which dlib's recognizer takes two faces for one person
DLIB = (263, 362, 33, 133, 2)  # mesh points in the order of dlib's five: corners of the eyes, base of the nose
CROPS, MOVED = 24, 0.06  # that meshes are averaged over; sides by which they differ
CPU = torch.device("cpu")


class Pair(NamedTuple):
    """Meshes ``(468, 2)`` of the real face, of the new one, and of the real one in other crops; brightness of both;
    embedding of the new one.
    """

    real: Tensor
    new: Tensor
    control: Tensor
    light: float
    new_light: float
    embedding: NDArray[np.float64]


class Measure:
    """Measures one face a frame."""

    def __init__(self) -> None:
        self._detector = DETECTORS["centerface"](DetectConfig(), CPU)
        self._estimator = MeshEstimator(CPU)
        self._network = dlib.face_recognition_model_v1(str(weights.path("dlib")))

    def pairs(self, original: Path, result: Path) -> Iterator[Pair]:
        """For each frame with a face."""
        with VideoReader(original) as one, VideoReader(result) as two:
            for before, after in zip(one.batches(1), two.batches(1), strict=True):
                faces = self._detector.detect(before)
                faces = faces[faces.scores >= 0.5]
                if not len(faces):
                    continue
                face = faces[faces.sizes.prod(1).argmax()[None]]
                real, new, control = (
                    self._mesh(*seen) for seen in ((before, face, 0), (after, face, 1), (before, face, 1))
                )
                light = (self._brightness(frames, real) for frames in (before, after))
                yield Pair(real[:, :2], new[:, :2], control[:, :2], *light, self._embed(after, new))

    def _mesh(self, frames: Frames, face: Faces, seed: int) -> Tensor:
        """The mesh ``(468, 3)`` of a face, on average over crops that ``seed`` draws around it."""
        moves = MOVED * (torch.rand(CROPS, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1)
        return self._estimator.measure(frames, face, moves).points[0]

    def _brightness(self, frames: Frames, mesh: Tensor) -> float:
        side = (mesh[454] - mesh[234])[:2].norm()[None] * 0.6
        to_patch = square_to_patch(mesh[None, 6, :2], side, torch.zeros(1), 32)
        return float(cut_patches(frames.pixels, torch.zeros(1, dtype=torch.int64), to_patch, 32).mean())

    def _embed(self, frames: Frames, mesh: Tensor) -> NDArray[np.float64]:
        points = [dlib.point(x, y) for x, y, _ in mesh[list(DLIB)].round().int().tolist()]
        shape = dlib.full_object_detection(dlib.rectangle(0, 0, 1, 1), points)
        chip = dlib.get_face_chip(frames.pixels[0].numpy(), shape, size=150)
        return np.array(self._network.compute_face_descriptor(chip))


def jitter(ways: Tensor) -> float:
    """Mean second difference of ``ways (T, P, 2)``."""
    return float(ways.diff(n=2, dim=0).norm(dim=2).mean())


def correlation(ways: Tensor, others: Tensor) -> float:
    """Of ``ways (T, P, 2)`` with ``others``, over time, on average over the points."""
    one, other = ways - ways.mean(0), others - others.mean(0)
    return float(((one * other).sum(0) / (one.norm(dim=0) * other.norm(dim=0))).mean())


class Figures(NamedTuple):
    """What is compared; see the top of this file."""

    frames: int
    correlation: float
    control: float
    jitter: float
    flicker: float
    identity: float

    def __str__(self) -> str:
        return (
            f"{self.frames} frames with a face; correlation {self.correlation:.3f} (control {self.control:.3f}), "
            f"jitter {self.jitter:.2f}, flicker {self.flicker:.2f}, identity {self.identity:.1%}"
        )


def compare(original: Path, anonymized: Path) -> Figures:
    """Compare two videos."""
    real, new, control, light, new_light, embeddings = zip(*Measure().pairs(original, anonymized), strict=True)
    ways, new_ways = torch.stack(real), torch.stack(new)
    flicker = np.abs(np.diff(new_light)).mean() / np.abs(np.diff(light)).mean()
    people = np.stack(embeddings)
    same = np.linalg.norm(people - people.mean(0), axis=1) < SAME
    trembling = jitter(new_ways) / jitter(ways)
    correlations = correlation(ways, new_ways), correlation(ways, torch.stack(control))
    return Figures(len(real), *correlations, trembling, float(flicker), float(same.mean()))


@click.command()
@click.argument("original", type=click.Path(exists=True, path_type=Path))
@click.argument("anonymized", type=click.Path(exists=True, path_type=Path))
def main(original: Path, anonymized: Path) -> None:
    """Compare two videos."""
    click.echo(f"{original.name}: {compare(original, anonymized)}")


if __name__ == "__main__":
    main()
