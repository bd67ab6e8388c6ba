"""The mesh network."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from anonymizer.batches import Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import DETECTORS
from anonymizer.face_model import LEFT_EYE, RIGHT_EYE
from anonymizer.media import read_image
from anonymizer.mesh import MeshEstimator

CPU = torch.device("cpu")
MOVES = 0.03 * torch.tensor([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1]])


@pytest.mark.parametrize("way", ["estimate", "measure"])
def test_what_is_found_hardly_depends_on_where_the_face_is_looked_for(way: str) -> None:
    picture = read_image(Path(__file__).parent.parent / "sample_media" / "portrait.jpg")
    pixels = torch.from_numpy(picture.pixels)
    frames = Frames(pixels[None].expand(len(MOVES), -1, -1, -1), (Fraction(0),) * len(MOVES))
    faces = DETECTORS["centerface"](DetectConfig(), CPU).detect(frames)
    moved = replace(faces, landmarks=faces.landmarks + (MOVES * faces.sizes.amax(1, keepdim=True))[:, None])
    points = getattr(MeshEstimator(CPU), way)(frames, moved).points[..., :2]
    apart = (points[0, RIGHT_EYE].mean(0) - points[0, LEFT_EYE].mean(0)).norm()
    assert ((points - points.mean(0)).norm(dim=2).mean() / apart) < 0.008, "0.0107 in one crop"
