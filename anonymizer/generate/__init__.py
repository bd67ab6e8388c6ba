"""Generators behind one protocol; each is imported when it is first asked for."""

from collections.abc import Callable
from functools import partial

import torch

from anonymizer.config import GenerateConfig, Method
from anonymizer.errors import ConfigError
from anonymizer.generate.base import Generator, Outcome
from anonymizer.generate.cover import Cover
from anonymizer.mesh import MeshEstimator

__all__ = ["GENERATORS", "Generator", "Outcome"]

Factory = Callable[[GenerateConfig, torch.device, MeshEstimator | None, int], Generator]


def _synthetic(
    config: GenerateConfig, device: torch.device, estimator: MeshEstimator | None, batch_size: int
) -> Generator:
    from anonymizer.face_model import load_face_model
    from anonymizer.generate.personas import Studio
    from anonymizer.generate.synthetic import Synthetic
    from anonymizer.render import Renderer

    if estimator is None:
        raise ConfigError("faces cannot be generated without the face mesh")
    model = load_face_model()
    studio = Studio(device, estimator, config.truncation, max(1, batch_size // 4), bared=True)
    return Synthetic(config, studio, Renderer(model, device), model)


def _cover(
    config: GenerateConfig,
    device: torch.device,
    estimator: MeshEstimator | None,
    batch_size: int,
    method: Method,
) -> Generator:
    return Cover(method)


GENERATORS: dict[str, Factory] = {
    "generate": _synthetic,
    "solid": partial(_cover, method="solid"),
    "pixelate": partial(_cover, method="pixelate"),
    "blur": partial(_cover, method="blur"),
}
"""Name -> what makes the generator."""
