"""What synthetic people are to look like, in words and plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from anonymizer.errors import ConfigError
from anonymizer.generate.condition import ATTRIBUTES, Wanted, load_condition

Gender = Literal["woman", "man"]
WIDE_OPEN = 0.45  # distance of the lips, in distances between the eyes, that is as wide open as the network follows
RANGES = {
    "age": (1, 80),
    "skin": (-50, 60),
    "yaw": (-45, 45),
    "pitch": (-25, 25),
    "mouth": (0, 1),
    "smile": (0, 1),
    "eyes": (0, 1),
    "gaze": (-1, 1),
}
"""Least and most of each number: beyond that the network does not follow."""


@dataclass(frozen=True)
class Look:
    """What a face is to show; None is left to chance.

    Attributes:
        age: apparent, in years.
        gender: as most would take it.
        skin: its colour: the individual typology angle in degrees, from -50 (dark) to 60 (light).
        beard, glasses: whether there are any; none if that is None.
        yaw, pitch: of the head in degrees, to the right and down in the picture.
        mouth: from 0, shut, to 1, wide open.
        smile: from 0, corners of the mouth down, to 1, broad.
        eyes: from 0, narrow, to 1, wide open.
        gaze: from -1, far left in the picture, to 1.

    Raises:
        ConfigError: out of range.
    """

    age: float | None = None
    gender: Gender | None = None
    skin: float | None = None
    beard: bool | None = None
    glasses: bool | None = None
    yaw: float | None = None
    pitch: float | None = None
    mouth: float | None = None
    smile: float | None = None
    eyes: float | None = None
    gaze: float | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ConfigError(f"{name} must lie between {least} and {most}, not at {value:g}")
        if self.gender not in (None, *get_args(Gender)):
            raise ConfigError(f"gender must be {' or '.join(get_args(Gender))}, not {self.gender}")

    @property
    def condition(self) -> Wanted:
        """See ``generate.condition.CONDITIONS``."""
        return (self.yaw, self.pitch, None if self.mouth is None else self.mouth * WIDE_OPEN, None)

    @property
    def attributes(self) -> Wanted:
        """See ``generate.condition.ATTRIBUTES``."""
        man = None if self.gender is None else 1.5 if self.gender == "man" else -1.5
        spread = {
            "man": man,
            "beard": _choice(self.beard, 2.5, -1),
            "glasses": _choice(self.glasses, 3, -0.5),
            "smile": _span(self.smile, -2, 2),
            "eyes open": _span(self.eyes, -3, 2),
            "gaze": _span(self.gaze, 0, 2),
        }
        condition = load_condition()
        numbers = {
            name: float(usual + deviations * scale)
            for name, usual, scale in zip(ATTRIBUTES, condition.usual, condition.spread, strict=True)
            if (deviations := spread.get(name)) is not None
        }
        known = {"age": self.age, "skin": self.skin} | numbers
        return tuple(known.get(name) for name in ATTRIBUTES)


def _choice(value: bool | None, yes: float, no: float) -> float | None:
    return None if value is None else yes if value else no


def _span(value: float | None, least: float, most: float) -> float | None:
    return None if value is None else least + value * (most - least)
