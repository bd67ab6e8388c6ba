"""Where networks run: one code path, OpenVINO under it on CPUs, half precision on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from anonymizer.errors import ConfigError

Engine = Callable[..., Any]


def pick(name: str) -> torch.device:
    """The device that ``--device`` names: ``auto`` takes CUDA where there is one.

    Raises:
        ConfigError: the device does not exist on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"no such device: {name}; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {name} asked for, but this machine has {torch.cuda.device_count()} CUDA GPUs"
        )
    return device


def compile(module: nn.Module, device: torch.device, *example: Tensor) -> Engine:  # noqa: A001
    """Make ``module`` fast on ``device``: takes and returns float32 tensors that lie there.

    Args:
        module: a network in eval mode whose arguments are float32 tensors.
        device: from ``pick``.
        example: one valid set of arguments; all axes may vary later in the way the network allows.
    """
    if device.type == "cuda":
        return _half(module, device)
    return _openvino(module, example)


def _half(module: nn.Module, device: torch.device) -> Engine:
    module = module.to(device, torch.float16, memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(*inputs: Tensor) -> Any:
        outputs = module(*(value.to(device, torch.float16) for value in inputs))
        return outputs.float() if isinstance(outputs, Tensor) else tuple(value.float() for value in outputs)

    return run


def _openvino(module: nn.Module, example: tuple[Tensor, ...]) -> Engine:
    import openvino

    with torch.inference_mode():
        model = openvino.convert_model(module, example_input=example if len(example) > 1 else example[0])
    compiled = openvino.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})

    def run(*inputs: Tensor) -> Any:
        results = compiled([value.contiguous().numpy() for value in inputs], share_inputs=True)
        outputs = tuple(torch.from_numpy(results[port].copy()) for port in range(len(compiled.outputs)))
        return outputs[0] if len(outputs) == 1 else outputs

    return run
