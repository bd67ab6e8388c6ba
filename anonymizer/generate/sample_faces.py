"""Draws faces for fitting, and measures them.

``python -m anonymizer.generate.sample_faces FACES.safetensors MODEL --count 6000`` draws faces of the package's own
generator, about four a second on a CPU with two cores; run it again to resume. MODEL is the folder ``model`` of the
npm package ``@vladmandic/face-api``, which tells apparent age and gender.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device, light, weights
from anonymizer.config import DetectConfig
from anonymizer.detect import DETECTORS
from anonymizer.face_model import load_face_model
from anonymizer.generate import age_gender, attributes
from anonymizer.generate.bare import hidden
from anonymizer.generate.heads import EarlyExit
from anonymizer.generate.personas import stills, whole_pictures
from anonymizer.generate.training import Samples, collect
from anonymizer.mesh import MeshEstimator
from anonymizer.networks.mobile_stylegan import SynthesisNetwork
from anonymizer.occlusion import load_network

SIZE, SMALL = 512, 256  # pixels, sides of pictures for meshes and for colours
SPREAD = (0.6, 1.0)  # truncation
BATCH, KEPT = 4, 200  # faces that are drawn together, and after which they are kept
ASIDE = 0.2  # sides from the middle
CPU = torch.device("cpu")


class Sampler:
    """Draws faces, each from a seed of its own.

    Args:
        model: folder of the network that tells age and gender.
    """

    def __init__(self, model: Path) -> None:
        self._mapping = weights.load("mapping")
        network = EarlyExit(cast(SynthesisNetwork, weights.load("synthesis")), SIZE)
        self._synthesis = device.compile(network, CPU, torch.zeros(1, 512))
        self._estimator = MeshEstimator(CPU)
        self._detector = DETECTORS["centerface"](DetectConfig(), CPU)
        self._model, self._occlusion = load_face_model(), load_network(CPU)
        self._ages = age_gender.load(model)
        self.centre = self._mapping(torch.randn(4096, 512, generator=torch.Generator().manual_seed(0))).mean(0)

    def draw(self, seeds: range) -> Samples:
        """Styles ``w (N, 512)``, meshes ``points (N, 468, 3)`` in pixels of 1024, ``light (N, 9)``, and
        ``(N,)`` each what ``attributes`` and ``age_gender`` measure, the share of the face that is hidden, and how sure
        another face is beside.
        """
        w = torch.cat([self._style(seed) for seed in seeds])
        pictures = ((self._synthesis(w) + 1) / 2).clamp(0, 1)
        points = self._estimator.estimate(stills(pictures), whole_pictures(len(w), SIZE)).points
        small, flat = F.avg_pool2d(pictures, SIZE // SMALL), points[..., :2] * SMALL / SIZE
        smooth = F.avg_pool2d(small, 3, 1, 1)
        years = self._ages(attributes.crops(pictures, points[..., :2], age_gender.SIZE))
        return {
            "w": w,
            "points": points * 1024 / SIZE,
            "light": light.measure(pictures, points[..., :2] / SIZE, self._model.normals(points)),
            "hidden": hidden(pictures, points, self._occlusion),
            "shade": attributes.shade(smooth, flat),
            "fringe": attributes.fringe(smooth, flat),
            "age": years[:, 0],
            "man": years[:, 1],
            "skin": attributes.skin(smooth, flat),
            "beard": attributes.beard(smooth, flat),
            "glasses": attributes.glasses(smooth, flat),
            "gaze": attributes.gaze(pictures, points[..., :2]),
            "beside": self._beside(small),
        }

    def _beside(self, pictures: Tensor) -> Tensor:
        """The best score ``(N,)`` of faces that do not lie in the middle of ``pictures (N, 3, S, S)``."""
        faces = self._detector.detect(stills(pictures))
        centres = (faces.boxes[:, 0] + faces.boxes[:, 2]) / 2 / pictures.shape[3]
        aside = faces.scores * ((centres - 0.5).abs() > ASIDE)
        return torch.zeros(len(pictures)).scatter_reduce(0, faces.frame, aside, "amax")

    def _style(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed + 1)
        share = SPREAD[0] + (SPREAD[1] - SPREAD[0]) * torch.rand(1, generator=generator)
        return self.centre + share * (self._mapping(torch.randn(1, 512, generator=generator)) - self.centre)


@click.command()
@click.argument("faces", type=click.Path(path_type=Path))
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=6000, help="Faces to draw in total.")
@torch.inference_mode()
def main(faces: Path, model: Path, count: int) -> None:
    """Draw faces into FACES."""
    sampler = Sampler(model)

    def draw(seeds: range) -> Samples:
        parts = [sampler.draw(seeds[at : at + BATCH]) for at in range(0, len(seeds), BATCH)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    collect(faces, count, draw, KEPT, centre=sampler.centre)


if __name__ == "__main__":
    main()
