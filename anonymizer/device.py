"""Where networks run: one code path, OpenVINO under it on CPUs, half precision on CUDA."""

from __future__ import annotations

import hashlib
import inspect
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from anonymizer import weights
from anonymizer.errors import ConfigError, WeightsError

Engine = Callable[[Tensor], Any]
SETTINGS = {"PERFORMANCE_HINT": "LATENCY"}
PLANNED = (1, 4, 16, 64)  # rows given to a network at once on CUDA: cuDNN takes seconds to plan for another number
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}  # otherwise bfloat16 on CPUs that have it: half the time


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
        raise ConfigError(f"device {name} was asked for, but there are {torch.cuda.device_count()} CUDA GPUs")
    return device


def batch_size(device: torch.device) -> int:
    """Frames that fit a device: a few on a CPU, on a GPU one a gigabyte of its memory."""
    if device.type == "cpu":
        return 8
    return max(4, min(64, torch.cuda.get_device_properties(device).total_memory >> 30))


def compile(module: nn.Module, device: torch.device, example: Tensor, exact: bool = True) -> Engine:
    """Make ``module`` fast on ``device``: takes a tensor that lies there, and returns float32.

    Args:
        module: a network in eval mode.
        device: from ``pick``.
        example: a valid argument, rows first; all axes may vary later in the way the network allows.
        exact: whether three digits do not do, so that float32 is needed on a CPU.
    """
    if device.type == "cuda":
        return _half(module, device)
    return _openvino(module, example, SETTINGS | EXACT if exact else SETTINGS)


def _half(module: nn.Module, device: torch.device) -> Engine:
    # not channels-last, with which an H200 took 1.4 times as long to draw portraits
    module = module.to(device, torch.float16)

    @torch.inference_mode()
    def forward(rows: Tensor) -> tuple[Tensor, ...]:
        outputs = module(rows.to(device, torch.float16))
        return (outputs,) if isinstance(outputs, Tensor) else outputs

    def run(rows: Tensor) -> Any:
        parts, start = [], 0
        for size in planned(len(rows)):
            given = rows[start : start + size]
            padded = given if len(given) == size else given[torch.arange(size, device=given.device) % len(given)]
            parts.append([output[: len(given)].float() for output in forward(padded)])
            start += size
        outputs = tuple(torch.cat(column) for column in zip(*parts, strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    return run


def planned(count: int) -> list[int]:
    """Batches, all of sizes in ``PLANNED``, that hold ``count`` rows; in the last one half may be to spare."""
    sizes = []
    while count > 0:
        holding = next((size for size in PLANNED if count <= size <= 2 * count), None)
        sizes.append(holding or max(size for size in PLANNED if size <= count))
        count -= sizes[-1]
    return sizes


def _openvino(module: nn.Module, example: Tensor, settings: dict[str, str]) -> Engine:
    from anonymizer.quiet import openvino

    path = weights.cache_dir() / "openvino" / f"{type(module).__name__}-{_fingerprint(module)}.xml"
    try:
        if not _is_whole(path):
            _convert(module, example, path)
    except OSError as error:
        raise WeightsError(f"the converted network cannot be kept: {error.strerror}", path=path) from error
    compiled, one_at_a_time = openvino.compile_model(path, "CPU", settings), Lock()

    def run(rows: Tensor) -> Any:
        with one_at_a_time:
            results = compiled([rows.contiguous().numpy()], share_inputs=True)
            outputs = tuple(torch.from_numpy(results[port].copy()) for port in range(len(compiled.outputs)))
        return outputs[0] if len(outputs) == 1 else outputs

    return run


def _fingerprint(module: nn.Module) -> str:
    """Changes with the weights, the code of the network and the versions that convert it."""
    from anonymizer.quiet import openvino

    digest = hashlib.sha256(f"{module} {torch.__version__} {openvino.__version__}".encode())
    for source in sorted({inspect.getfile(type(part)) for part in module.modules()}):
        digest.update(Path(source).read_bytes())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy())
    return digest.hexdigest()[:16]


def _digest(path: Path) -> str:
    """SHA-256 of a converted network, both files."""
    return hashlib.sha256(path.read_bytes() + path.with_suffix(".bin").read_bytes()).hexdigest()


def _is_whole(path: Path) -> bool:
    """Whether the network was converted before and has not been altered since."""
    record = path.with_suffix(".sha256")
    return record.exists() and record.read_text() == _digest(path)


def _convert(module: nn.Module, example: Tensor, path: Path) -> None:
    """Convert once: it takes seconds. The record is written last, so that a broken-off conversion does not count."""
    from anonymizer.quiet import openvino

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing is deprecated in favour of torch.compile, which needs a compiler
        traced = torch.jit.trace(module, example, check_trace=False)
        model = openvino.convert_model(traced, example_input=example)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        openvino.save_model(model, made, compress_to_fp16=False)
        digest = _digest(made)
        made.with_suffix(".bin").replace(path.with_suffix(".bin"))
        made.replace(path)
    path.with_suffix(".sha256").write_text(digest)
