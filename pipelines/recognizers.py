"""Face recognizers that are no part of the program: what others may try to know people again with.

All embed faces so that a short Euclidean distance means the same person. Each needs something that may not be there:
then it is left out, and that is said.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer import device as engines
from anonymizer import geometry, weights
from anonymizer.errors import WeightsError
from anonymizer.face_model import features
from anonymizer.identity import to_chip
from anonymizer.jury import ARCFACE
from anonymizer.trust import PRESENCE
from pipelines.views import View

Embeddings = NDArray[Any]

DLIB_POINTS = (263, 362, 33, 133, 2)  # of the mesh, in the order of dlib's five: eye corners, base of the nose
DLIB_SIZE = 150
FACENET_SIZE, FACENET_MARGIN = 160, 0.1  # pixels; what is added to the box of a face, of its width and height
FACENET_FILE = "20180402-114759-vggface2.pt"
FACENET_FETCH = "python -c 'import facenet_pytorch as f; f.InceptionResnetV1(pretrained=\"vggface2\")'"
ARCFACE_SIZE = 112
SCALES = {
    "(x - 127.5) / 127.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "ImageNet's mean and deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""The customary ways to feed such networks: mean and standard deviation of each colour, of 1."""


class Recognizer(Protocol):
    """Tells people apart."""

    name: str

    def embed(self, view: View) -> Embeddings:
        """``(N, D)``, finite, one row a face, whichever faces come with it; ``(0, D)`` without any."""
        ...


class Dlib:
    """dlib's recognizer, in dlib itself: http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html.

    Raises:
        WeightsError: dlib or the weights are not there.
    """

    name = "dlib"

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise WeightsError('dlib is not installed: pip install ".[evaluate]"') from error
        self._dlib = dlib
        self._network = dlib.face_recognition_model_v1(str(weights.path("dlib")))

    def embed(self, view: View) -> Embeddings:
        """See ``Recognizer``."""
        chips = [self._chip(view, row) for row in range(len(view.faces))]
        if not chips:
            return np.zeros((0, 128))
        return np.array(self._network.compute_face_descriptor(chips))

    def _chip(self, view: View, row: int) -> NDArray[np.uint8]:
        points = view.meshes.points[row, list(DLIB_POINTS), :2].round().int().tolist()
        box = self._dlib.rectangle(*view.faces.boxes[row].int().tolist())
        shape = self._dlib.full_object_detection(box, [self._dlib.point(x, y) for x, y in points])
        picture = view.frames.pixels[view.faces.frame[row]]
        pixels = (picture.int() >> 8 if picture.dtype == torch.uint16 else picture).byte().cpu().numpy()
        chip: NDArray[np.uint8] = self._dlib.get_face_chip(pixels, shape, size=DLIB_SIZE)
        return chip


class FaceNet:
    """FaceNet of facenet-pytorch, trained on VGGFace2, where its weights are: https://arxiv.org/abs/1503.03832.

    Raises:
        WeightsError: they are not.
    """

    name = "facenet"

    def __init__(self, device: torch.device) -> None:
        file = facenet_file()
        if not file.exists():
            raise WeightsError(f"its weights are missing; while online, {FACENET_FETCH} fetches them", path=file)
        from facenet_pytorch import InceptionResnetV1

        try:
            network = InceptionResnetV1(pretrained="vggface2").eval().requires_grad_(False)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise WeightsError(f"its weights cannot be loaded: {error}", path=file) from error
        self._network = engines.compile(network, device, torch.rand(2, 3, FACENET_SIZE, FACENET_SIZE))

    def embed(self, view: View) -> Embeddings:
        """See ``Recognizer``."""
        if not len(view.faces):
            return np.zeros((0, 512))
        sizes = view.faces.sizes * (1 + FACENET_MARGIN)
        corner = view.faces.boxes[:, :2] - view.faces.sizes * FACENET_MARGIN / 2
        scale = FACENET_SIZE / sizes.clamp(min=1)
        to_patch = torch.cat([torch.diag_embed(scale), -(scale * corner)[..., None]], dim=2)
        chips = geometry.cut_patches(view.frames.pixels, view.faces.frame, to_patch, FACENET_SIZE)
        return self._network((chips * 255 - 127.5) / 128).cpu().numpy()


class Onnx:
    """A network of the user's in an ONNX file, of ArcFace's kind: ``(n, 3, 112, 112)`` RGB, aligned by five landmarks.

    A face and its mirror image are embedded, and the sum is brought to length 1.

    Args:
        file: the network.
        scale: how it is fed: a key of ``SCALES``. The file does not tell.

    Raises:
        WeightsError: the file cannot be read, or holds something else.
    """

    def __init__(self, file: Path, scale: str) -> None:
        from anonymizer.quiet import openvino

        self.name, self.scale = file.name, scale
        self._mean, self._deviation = (torch.tensor(values)[:, None, None] for values in SCALES[scale])
        try:
            self._network = openvino.compile_model(file, "CPU", engines.SETTINGS | engines.EXACT)
            self._alone = self._network.input(0).partial_shape[0].is_static  # exported for one picture at a time
            self._size = int(self._run(torch.zeros(1, 3, ARCFACE_SIZE, ARCFACE_SIZE)).shape[1])
        except (RuntimeError, ValueError, IndexError) as error:
            kind = f"no network that takes (n, 3, {ARCFACE_SIZE}, {ARCFACE_SIZE}) and gives (n, d)"
            raise WeightsError(f"holds {kind}: {' '.join(str(error).split())[:200]}", path=file) from error

    def embed(self, view: View) -> Embeddings:
        """See ``Recognizer``."""
        if not len(view.faces):
            return np.zeros((0, self._size))
        sure = view.meshes.presence >= PRESENCE  # people are told apart better by its landmarks than by the detector's
        landmarks = features(view.meshes.points).where(sure[:, None, None], view.faces.landmarks)
        to_patch = to_chip(landmarks, ARCFACE)
        chips = geometry.cut_patches(view.frames.pixels, view.faces.frame, to_patch, ARCFACE_SIZE).cpu()
        given = (chips - self._mean) / self._deviation
        both = self._run(given) + self._run(given.flip(3))
        unit: Embeddings = both / np.linalg.norm(both, axis=1, keepdims=True).clip(1e-12)
        return unit

    def _run(self, chips: Tensor) -> Embeddings:
        parts = chips.split(1 if self._alone else len(chips))
        return np.concatenate([np.array(self._network([part.contiguous().numpy()])[0]) for part in parts])


def facenet_file() -> Path:
    """Where facenet-pytorch keeps the weights."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{cache}/torch"
    return Path(home).expanduser() / "checkpoints" / FACENET_FILE


def at_hand(device: torch.device) -> Iterator[Recognizer | str]:
    """The recognizers that everybody can have, or a line for one that is left out, and why."""
    makers: dict[str, Callable[[], Recognizer]] = {Dlib.name: Dlib, FaceNet.name: lambda: FaceNet(device)}
    for name, make in makers.items():
        try:
            yield make()
        except WeightsError as error:
            yield f"{name}: left out, {error}"


def named(files: Sequence[Path]) -> list[list[Onnx]]:
    """The networks in ``files``, each in all ways in which it may want to be fed.

    Raises:
        WeightsError: a file holds no such network.
    """
    return [[Onnx(file, scale) for scale in SCALES] for file in files]
