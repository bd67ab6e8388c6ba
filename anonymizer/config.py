"""Every setting, one frozen dataclass a stage, nested in one ``Config``. Light to import: no torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from anonymizer.errors import ConfigError

Method = Literal["generate", "solid", "pixelate", "blur"]
Trait = Literal["age", "gender", "skin"]
Occluders = Literal["keep", "replace"]
SEEDS = 2**63
DetectorName = Literal["centerface", "mtcnn", "both"]


@dataclass(frozen=True)
class DetectConfig:
    """How faces are looked for.

    Attributes:
        detector: which network, or ``both`` for the union of the two.
        threshold: score in 0..1 from which a detection is a face.
        low: score from which a detection continues a face that another frame confirms (videos).
        max_side: longest side in pixels at which a picture is searched.
        thorough: search large pictures at full detail, tile by tile.
    """

    detector: DetectorName = "centerface"
    threshold: float = 0.35
    low: float = 0.2
    max_side: int = 1280
    thorough: bool = False

    @property
    def side(self) -> float:
        """Longest side in pixels to which pictures are reduced before they are searched; infinite if they are not."""
        return self.max_side if self.detector == "centerface" and not self.thorough else math.inf

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.threshold < 1:
            raise ConfigError(f"the detection threshold must lie between {self.low} and 1, not at {self.threshold}")


@dataclass(frozen=True)
class TrackConfig:
    """How faces are followed over time.

    Attributes:
        stride: every how many frames the detector looks; in between it looks when the picture changes, glances at the
            part that does if it is only one, and halfway at a smaller picture.
        window: frames of look-ahead.
    """

    stride: int = 16
    window: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.window:
            raise ConfigError(f"the stride must lie between 1 and the window of {self.window}, not at {self.stride}")

    @property
    def span(self) -> int:
        """Frames that are looked at together: from a multiple of it on, a video is looked at as from its start."""
        return self.stride * max(1, self.window // self.stride)


@dataclass(frozen=True)
class GenerateConfig:
    """What replaces a face.

    Attributes:
        method: ``generate`` for a synthetic person; ``solid``, ``pixelate``, ``blur`` only cover.
        seed: the same seed draws the same people again; ``None`` draws a secret one, which is forgotten.
        key: names the key from which the personas of subjects are drawn, and tells nothing about it; see ``subjects``.
        personas: how many there are for all; ``None`` for one a person.
        truncation: how far personas may lie from the average face, 0..1 (the truncation trick of StyleGAN).
        match: what a persona has in common with the face that it replaces, as it seems and in coarse steps.
        occluders: whether what stands before a face (hands, hair, glasses) stays, or is replaced with it.
        max_yaw, max_pitch: head pose in degrees beyond which a face is covered instead.
    """

    method: Method = "generate"
    seed: int | None = None
    key: str | None = None
    personas: int | None = None
    truncation: float = 0.7
    match: tuple[Trait, ...] = get_args(Trait)
    occluders: Occluders = "keep"
    max_yaw: float = 95.0
    max_pitch: float = 40.0

    def __post_init__(self) -> None:
        if self.seed is not None and not 0 <= self.seed < SEEDS:
            raise ConfigError(f"the seed must lie between 0 and {SEEDS - 1}, not at {self.seed}")
        if self.personas is None:
            return
        if self.personas < 1:
            raise ConfigError(f"there must be at least one persona, not {self.personas}")
        if self.method != "generate":
            raise ConfigError(f"personas are drawn with the method generate only, not with {self.method}")
        if self.match:
            raise ConfigError("personas that all share suit nobody in particular: with --personas say --match none")


MACHINE = ("device", "batch_size")
"""Settings of ``Config`` that do not decide how results look, but for rounding."""


@dataclass(frozen=True)
class Config:
    """All settings of one run.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: frames that go through the networks together; 0 fits it to the device.
        keep: names the consents of those who stay visible, and tells nothing about them; see ``consent``.
    """

    detect: DetectConfig = field(default_factory=DetectConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    device: str = "auto"
    batch_size: int = 0
    keep: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 0:
            raise ConfigError(f"the batch size must not be negative: {self.batch_size}")

    @property
    def whole(self) -> bool:
        """Whether all of a video has to be seen, in one piece, before any of it is rendered."""
        return self.keep is not None or self.generate.personas is not None

    def as_dict(self) -> dict[str, object]:
        """Plain values, for reports."""
        return dataclasses.asdict(self)


PRESETS: dict[str, Config] = {
    "fast": Config(detect=DetectConfig(max_side=960)),
    "balanced": Config(),
    "thorough": Config(
        detect=DetectConfig(detector="both", threshold=0.25, thorough=True), track=TrackConfig(stride=1)
    ),
}
