"""Reads the parameters of the networks out of the files they were published in.

Each function takes the published file and the module that is to be filled, and returns the module's state dict.
OpenVINO reads ONNX (but for one file, see ``sface``), TFLite and its own IR alike; there, constants are found by the
names they have in the published file, or by following the data to the named outputs, never by the order in which
OpenVINO lists them.

Functions raise ValueError, LookupError, RuntimeError or AttributeError where a file is not as expected.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from openvino import Model, Node

State = dict[str, Tensor]


def centerface(file: Path, module: nn.Module) -> State:
    """``centerface.onnx``: outputs 537 (heatmap), 538 (scale), 539 (offset), 540 (landmarks)."""
    return in_order(module, constants(read(file), ["537", "538", "539", "540"]))


def face_mesh(file: Path, module: nn.Module) -> State:
    """``face_landmark.tflite``: outputs conv2d_20 (points) and conv2d_30 (presence)."""
    return in_order(module, constants(read(file), ["conv2d_20", "conv2d_30"]))


def eye(file: Path, module: nn.Module) -> State:
    """``iris_landmark.tflite``: output output_eyes_contours_and_brows."""
    return in_order(module, constants(read(file), ["output_eyes_contours_and_brows"]))


def blazeface(file: Path, module: nn.Module) -> State:
    """``face_detection_full_range.tflite``: outputs reshaped_classifier_face_4 and reshaped_regressor_face_4.

    Depthwise weights lie as TensorFlow has them, ``(1, 3, 3, C)``. Pairs of numbers are no parameters: they say how
    much layers are enlarged.
    """
    values = constants(read(file), ["reshaped_classifier_face_4", "reshaped_regressor_face_4"])
    parameters = (value for value in values if value.numel() != 2)
    return in_order(
        module,
        (value.permute(3, 0, 1, 2).contiguous() if value.shape[:3] == (1, 3, 3) else value for value in parameters),
    )


def mapping(file: Path, module: nn.Module) -> State:
    """``MappingNetwork.xml``: a chain of fully connected layers; single numbers are not parameters."""
    return in_order(module, (value for value in constants(read(file), ["style"]) if value.numel() > 1))


def synthesis(file: Path, module: nn.Module) -> State:
    """``SynthesisNetwork.xml``: named after the modules of https://github.com/bes-dev/MobileStyleGAN.pytorch."""
    nodes = {node.get_friendly_name(): node for node in read(file).get_ops()}
    sums = [node for node in nodes.values() if node.get_type_name() == "Add"]
    with_bias = {argument(node, 1).get_friendly_name(): node for node in sums}

    def linear(ours: str, theirs: str) -> State:
        return {f"{ours}.linear.{kind}": constant(nodes[f"{theirs}.{kind}"]) for kind in ("weight", "bias")}

    def styled(ours: str, theirs: str, convolution: str) -> State:
        """The layer's sum is (convolution + noise) + bias; only the bias has a name."""
        with_noise = argument(with_bias[f"{theirs}.bias"], 0)
        return linear(f"{ours}.modulation", f"{theirs}.conv.modulation") | {
            f"{ours}.noise": constant(argument(with_noise, 1)),
            f"{ours}.{convolution}.bias": constant(nodes[f"{theirs}.bias"]),
            f"{ours}.{convolution}.weight": constant(argument(argument(with_noise, 0), 1)),
        }

    blocks = sum(name.endswith(".up.modulation.bias") for name in nodes)
    state = {"constant": constant(nodes["m.input.input"])} | styled("stem", "m.conv1", "convolutions")
    for number in range(blocks):
        ours, theirs = f"blocks.{number}", f"m.layers.{number}"
        state |= linear(f"{ours}.modulation", f"{theirs}.up.modulation")
        for part, conv in (("first", "conv1"), ("second", "conv2")):
            state |= styled(f"{ours}.{part}", f"{theirs}.{conv}", "convolutions.1")
            state[f"{ours}.{part}.convolutions.0.weight"] = constant(nodes[f"{theirs}.{conv}.conv.weight_dw"])
    state |= linear("to_image.modulation", f"{theirs}.to_img.conv.modulation")
    state["to_image.convolution.weight"] = constant(nodes[f"{theirs}.to_img.conv.weight"])
    state["to_image.convolution.bias"] = constant(nodes[f"{theirs}.to_img.bias"])
    return interleaved(shaped(module, state), blocks)


def dlib(file: Path, module: nn.Module) -> State:
    """``dlib_face_recognition_resnet_model_v1.dat``: dlib's own format, from the input to the embedding."""
    return in_order(module, iter(DlibFile(file.read_bytes()).parameters()))


def sface(file: Path, module: nn.Module) -> State:
    """``face_recognition_sface_2021dec_int8bq.onnx``: weights lie there as 8 bits, blocks of which share a scale."""
    import onnx  # OpenVINO does not read blocks in a row of numbers

    graph = onnx.load(file).graph
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in (node for node in graph.node if node.op_type == "DequantizeLinear"):
        settings = {setting.name: setting.i for setting in node.attribute}
        bits, scale, zero = (arrays[name] for name in node.input)
        scale, zero = (value.repeat(settings["block_size"], settings["axis"]) for value in (scale, zero))
        arrays[node.output[0]] = (bits.astype(np.float32) - zero) * scale
    for node in (node for node in graph.node if node.op_type == "Reshape"):
        arrays[node.output[0]] = arrays[node.input[0]]
    layers = (node for node in graph.node if node.op_type in ("Conv", "BatchNormalization", "PRelu", "Gemm"))
    return in_order(module, (torch.from_numpy(np.array(arrays[name])) for node in layers for name in node.input[1:]))


def read(file: Path) -> "Model":
    from anonymizer.quiet import openvino  # half a second

    return openvino.Core().read_model(file)


def interleaved(state: State, blocks: int) -> State:
    """Wavelet channels from C means, then C times three details, to C times a mean and its details."""
    wavelets = ["stem.convolutions.", "to_image.convolution."]
    wavelets += [f"blocks.{number}.modulation." for number in range(blocks)]
    wavelets += [f"blocks.{number}.second.convolutions.1." for number in range(blocks - 1)]

    def reordered(value: Tensor) -> Tensor:
        means, details = value.tensor_split([len(value) // 4])
        return torch.cat((means.unsqueeze(1), details.unflatten(0, (-1, 3))), dim=1).flatten(0, 1)

    return {name: reordered(value) if name.startswith(tuple(wavelets)) else value for name, value in state.items()}


def argument(node: "Node", port: int) -> "Node":
    return node.input(port).get_source_output().get_node()


def constant(node: "Node") -> Tensor:
    return torch.from_numpy(np.array(node.data, dtype=np.float32))


def constants(model: "Model", outputs: list[str]) -> Iterator[Tensor]:
    """The float arrays that lead to each named output in turn, in the order in which the data meets them."""
    seen: set[str] = set()
    for output in outputs:
        stack = [model.output(output).get_node()]
        while stack:
            node = stack.pop()
            name = node.get_friendly_name()
            waiting = [argument(node, port) for port in reversed(range(node.get_input_size()))]
            waiting = [parent for parent in waiting if parent.get_friendly_name() not in seen]
            if name in seen:
                continue
            if waiting:
                stack += [node, *waiting]
                continue
            seen.add(name)
            if node.get_type_name() == "Constant" and node.data.dtype.kind == "f" and node.data.ndim:
                yield constant(node)


def in_order(module: nn.Module, values: Iterator[Tensor]) -> State:
    """Gives the parameters of the module, in the order of their definition, the values in turn."""
    names = [name for name in module.state_dict() if not name.endswith("num_batches_tracked")]
    return shaped(module, dict(zip(names, values, strict=True)))


def shaped(module: nn.Module, state: State) -> State:
    """The same values in the shapes of the module, whose own buffers stand in where a file has none."""
    values = dict(module.named_buffers()) | state
    return {name: values[name].reshape(like.shape) for name, like in module.state_dict().items()}


class DlibFile:
    """A network as dlib serializes it: versions of all layers, then the layers themselves, from the input on.

    Integers are a sign and a length, then their bytes; floating point settings are two of them, texts and tensors
    are preceded by them (dlib's ``serialize.h``, ``dnn/core.h``, ``dnn/layers.h``).
    """

    SETTINGS = {"con_4": 25, "affine_": 11, "relu_": 0, "add_prev_": 0, "max_pool_2": 6, "avg_pool_2": 6}  # noqa: RUF012
    INPUT = "input_rgb_image_sized"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def parameters(self) -> list[Tensor]:
        """Filters, biases, gammas, betas and at last the matrix, in the order in which the data meets them.

        Raises:
            ValueError: the file does not end where its contents do, or holds anything unexpected.
        """
        self._integers(1)
        self._expect(self._text(), "loss_metric_2")
        self._integers(4)
        versions = self._versions()
        self._expect(self._text(), self.INPUT)
        self._integers(8)
        values = []
        for index in range(sum(version > 1 for version in versions)):  # version 1: tags, which hold nothing
            values += self._layer()
            if index == 0:
                self._integers(1)  # how many samples an input becomes
        self._expect(self._position, len(self._data))
        return values

    def _versions(self) -> list[int]:
        versions = []
        while self._data[self._position + 1 : self._position + 2] != bytes([len(self.INPUT)]):
            versions += self._integers(1)
        return versions

    def _layer(self) -> list[Tensor]:
        kind, values = self._text(), []
        if kind == "fc_2":
            outputs, inputs = self._integers(2)
            values = [self._tensor().reshape(inputs, outputs).T.contiguous()]
            self._integers(19)
        elif kind in self.SETTINGS:
            flat = self._tensor() if kind in ("con_4", "affine_") else None
            settings = self._integers(self.SETTINGS[kind])
            if flat is not None:  # two blocks, each described by a version and four sizes
                start = 7 if kind == "con_4" else 0
                shapes = settings[start + 1 : start + 5], settings[start + 6 : start + 10]
                parts = flat.split([math.prod(shape) for shape in shapes])
                values = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        else:
            raise ValueError(f"unknown layer {kind!r}")
        self._take(3)  # flags
        for _ in range(3):  # gradients and outputs, which are not kept
            self._expect(self._tensor().numel(), 0)
        return values

    def _take(self, count: int) -> bytes:
        taken = self._data[self._position : self._position + count]
        self._expect(len(taken), count)
        self._position += count
        return taken

    def _integers(self, count: int) -> list[int]:
        values = []
        for _ in range(count):
            head = self._take(1)[0]
            self._expect(head & 0x70, 0)
            value = int.from_bytes(self._take(head & 0x0F), "little")
            values.append(-value if head & 0x80 else value)
        return values

    def _text(self) -> str:
        return self._take(self._integers(1)[0]).decode("ascii")

    def _tensor(self) -> Tensor:
        version, *shape = self._integers(5)
        self._expect(version, 2)
        data = np.frombuffer(self._take(4 * math.prod(shape)), dtype="<f4")
        return torch.from_numpy(data.astype(np.float32))

    def _expect(self, found: object, wanted: object) -> None:
        if found != wanted:
            raise ValueError(f"expected {wanted!r} before byte {self._position}, found {found!r}")
