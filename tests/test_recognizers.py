"""What every recognizer does, and what is said of one that is not there."""

import builtins
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from anonymizer.batches import Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import DETECTORS
from anonymizer.errors import WeightsError
from anonymizer.generate.personas import Portrait
from anonymizer.mesh import MeshEstimator
from pipelines import recognizers
from pipelines.recognizers import Dlib, FaceNet, Onnx, Recognizer
from pipelines.views import View, nearest

CPU = torch.device("cpu")


def make_onnx(path: Path, batch: int | str = "n", size: int = 112) -> Path:
    """A "network" whose embedding is the face itself, in 147 numbers."""
    pool = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[16, 16], strides=[16, 16])
    flat = helper.make_node("Flatten", ["y"], ["z"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [batch, 3, size, size]), ("z", [batch, 3 * (size // 16) ** 2]))
    ]
    graph = helper.make_graph([pool, flat], "face", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def make_facenet(folder: Path) -> FaceNet:
    """The network of facenet-pytorch, untrained, from a file such as the package downloads."""
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(0)
    file = folder / "checkpoints" / recognizers.FACENET_FILE
    file.parent.mkdir()
    torch.save(InceptionResnetV1(classify=True, num_classes=8631).state_dict(), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        patch.setenv("ANONYMIZER_CACHE", str(folder))  # converted networks are kept
        return FaceNet(CPU)


MAKERS: dict[str, Callable[[Path], Recognizer]] = {
    "dlib": lambda folder: Dlib(),
    "facenet": make_facenet,
    "onnx, any number": lambda folder: Onnx(make_onnx(folder / "any.onnx"), next(iter(recognizers.SCALES))),
    "onnx, one by one": lambda folder: Onnx(make_onnx(folder / "one.onnx", 1), list(recognizers.SCALES)[1]),
}


@pytest.fixture(scope="module", params=MAKERS)
def recognizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return MAKERS[request.param](tmp_path_factory.mktemp("recognizer"))


@pytest.fixture(scope="module")
def view(portraits: list[Portrait]) -> View:
    """Three people, and the same three in brighter pictures."""
    pixels = torch.stack([portrait.pixels for portrait in portraits]).permute(0, 2, 3, 1)
    both = (torch.cat([pixels * 0.8, pixels * 0.9]) * 255).byte()
    frames = Frames(both, (Fraction(0),) * len(both))
    faces = DETECTORS["centerface"](DetectConfig(), CPU).detect(frames)
    faces = faces[nearest(faces, frames)]
    return View(frames, faces, MeshEstimator(CPU).measure(frames, faces))


def test_embeddings_are_rows_of_numbers(recognizer: Recognizer, view: View) -> None:
    embedded = recognizer.embed(view)
    assert embedded.shape[0] == 6
    assert embedded.shape[1] > 100
    assert np.isfinite(embedded).all()
    assert recognizer.embed(view.rows(torch.zeros(0, dtype=torch.int64))).shape == (0, embedded.shape[1])


def test_a_face_is_embedded_alone_as_in_a_batch(recognizer: Recognizer, view: View) -> None:
    together = recognizer.embed(view)
    alone = np.concatenate([recognizer.embed(view.rows(torch.tensor([row]))) for row in range(6)])
    assert np.abs(together - alone).max() < 1e-3 * np.abs(together).max()


@pytest.mark.parametrize(
    "recognizer", [name for name in MAKERS if name != "facenet"], indirect=True
)  # its numbers are by chance here
def test_the_same_person_is_nearer_than_others(recognizer: Recognizer, view: View) -> None:
    embedded = recognizer.embed(view)
    apart = np.linalg.norm(embedded[:3, None] - embedded[None, 3:], axis=2)
    assert apart.argmin(1).tolist() == [0, 1, 2]


def test_pictures_with_16_bits_are_embedded_as_those_with_8(recognizer: Recognizer, view: View) -> None:
    deep = Frames((view.frames.pixels.int() * 257).to(torch.uint16), view.frames.times)
    one, two = (recognizer.embed(view._replace(frames=frames)) for frames in (view.frames, deep))
    assert np.abs(one - two).max() < 1e-3 * np.abs(one).max()


@pytest.mark.parametrize("presence", [1.0, 0.0])  # without a mesh, the landmarks of the detector tell
def test_an_onnx_network_sees_faces_upright_and_alike(view: View, tmp_path: Path, presence: float) -> None:
    network = Onnx(make_onnx(tmp_path / "a.onnx"), next(iter(recognizers.SCALES)))

    def a_quarter_to_the_right(points: Tensor) -> Tensor:
        x, y, *depth = points.unbind(-1)
        return torch.stack([256 - y, x, *depth], dim=-1)

    plain = view._replace(meshes=replace(view.meshes, presence=torch.full((6,), presence)))
    turned = View(
        Frames(view.frames.pixels.flip(1).transpose(1, 2), view.frames.times),
        replace(view.faces, landmarks=a_quarter_to_the_right(view.faces.landmarks)),
        replace(plain.meshes, points=a_quarter_to_the_right(view.meshes.points)),
    )
    assert np.abs(network.embed(plain) - network.embed(turned)).max() < 0.01


def test_a_recognizer_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without_dlib(name: str, *args: Any, **settings: Any) -> Any:
        if name == "dlib":
            raise ImportError(name)
        return real(name, *args, **settings)

    monkeypatch.setattr(builtins, "__import__", without_dlib)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    dlib, facenet = recognizers.at_hand(CPU)
    assert dlib == 'dlib: left out, dlib is not installed: pip install ".[evaluate]"'
    assert isinstance(facenet, str)
    assert facenet.startswith(f"facenet: left out, {tmp_path}")
    assert "pretrained" in facenet


def test_damaged_weights_of_facenet_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = recognizers.facenet_file()
    file.parent.mkdir()
    file.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        FaceNet(CPU)


def test_what_is_no_such_network_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.onnx"
    text.write_text("no network")
    for file in (text, make_onnx(tmp_path / "b.onnx", size=64)):
        with pytest.raises(WeightsError, match="holds no network that takes"):
            recognizers.named([file])


def test_a_network_is_fed_in_all_customary_ways(tmp_path: Path) -> None:
    ((one, two),) = recognizers.named([make_onnx(tmp_path / "a.onnx")])
    assert one.name == two.name == "a.onnx"
    assert {one.scale, two.scale} == set(recognizers.SCALES)
