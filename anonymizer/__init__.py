"""Replace every face in photographs and video by the face of a person who does not exist.

The names below are the library's whole public surface. They are imported when they are first used, so that settings and
errors cost no networks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymized, Anonymizer
    from anonymizer.batches import Faces, Frames, Meshes, Patches
    from anonymizer.config import PRESETS, Config, DetectConfig, GenerateConfig, TrackConfig
    from anonymizer.errors import (
        AnonymizerError,
        ConfigError,
        DetectionError,
        LeakError,
        MediaError,
        WeightsError,
    )
    from anonymizer.evidence import Evidence
    from anonymizer.generate.base import Outcome

_HOMES = {
    "anonymizer.anonymize": ("Anonymized", "Anonymizer"),
    "anonymizer.batches": ("Faces", "Frames", "Meshes", "Patches"),
    "anonymizer.config": ("PRESETS", "Config", "DetectConfig", "GenerateConfig", "TrackConfig"),
    "anonymizer.errors": (
        "AnonymizerError",
        "ConfigError",
        "DetectionError",
        "LeakError",
        "MediaError",
        "WeightsError",
    ),
    "anonymizer.evidence": ("Evidence",),
    "anonymizer.generate.base": ("Outcome",),
}

__all__ = [
    "PRESETS",
    "Anonymized",
    "Anonymizer",
    "AnonymizerError",
    "Config",
    "ConfigError",
    "DetectConfig",
    "DetectionError",
    "Evidence",
    "Faces",
    "Frames",
    "GenerateConfig",
    "LeakError",
    "MediaError",
    "Meshes",
    "Outcome",
    "Patches",
    "TrackConfig",
    "WeightsError",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
