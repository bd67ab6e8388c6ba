"""Reads the parameters of the networks out of the files they were published in.

Each function takes a model that OpenVINO has read (ONNX, TFLite and its own IR alike) and the module that is
to be filled, and returns the module's state dict. Constants are found by the names they have in the published
file, or by following the data to the named outputs, never by the order in which OpenVINO lists them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from openvino import Model, Node

State = dict[str, Tensor]


def centerface(model: "Model", module: nn.Module) -> State:
    """``centerface.onnx``: outputs 537 (heatmap), 538 (scale), 539 (offset), 540 (landmarks)."""
    return in_order(module, constants(model, ["537", "538", "539", "540"]))


def face_mesh(model: "Model", module: nn.Module) -> State:
    """``face_landmark.tflite``: outputs conv2d_20 (points) and conv2d_30 (presence)."""
    return in_order(module, constants(model, ["conv2d_20", "conv2d_30"]))


def mapping(model: "Model", module: nn.Module) -> State:
    """``MappingNetwork.xml``: a chain of fully connected layers; single numbers are not parameters."""
    return in_order(module, (value for value in constants(model, ["style"]) if value.numel() > 1))


def synthesis(model: "Model", module: nn.Module) -> State:
    """``SynthesisNetwork.xml``: named after the modules of https://github.com/bes-dev/MobileStyleGAN.pytorch."""
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
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
