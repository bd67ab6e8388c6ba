"""What can go wrong, as one tree::

    AnonymizerError            every error this program raises on purpose
    ├── ConfigError            a setting is wrong or contradicts another
    ├── WeightsError           a model file is missing, altered or does not fit its network
    ├── MediaError             a file cannot be read or written
    │   ├── PassingError       ... at the moment; another try may succeed
    │   └── SeekError          a video cannot be read exactly from somewhere in its middle
    ├── DetectionError         faces cannot be looked for
    └── LeakError              a real face is, or may be, still visible

Each carries the path and the presentation time it belongs to, as far as they are known. Nothing is ever
passed through because one of these was raised: the run of that file ends.
"""

from fractions import Fraction
from pathlib import Path


class AnonymizerError(Exception):
    """Base of all errors of this program.

    Args:
        cause: one line that a user can act on.
        path: the file concerned; of one that lies elsewhere its URL.
        time: presentation time in seconds, for a frame of a video.
    """

    def __init__(self, cause: str, *, path: str | Path | None = None, time: Fraction | None = None) -> None:
        self.cause = cause
        self.path = path
        self.time = time
        super().__init__(cause)

    def __str__(self) -> str:
        where = [] if self.path is None else [str(self.path)]
        if self.time is not None:
            where.append(f"at {float(self.time):.3f} s")
        return f"{' '.join(where)}: {self.cause}" if where else self.cause


class ConfigError(AnonymizerError):
    """A setting is wrong or contradicts another."""


class WeightsError(AnonymizerError):
    """A model file is missing, altered, or does not fit its network."""


class MediaError(AnonymizerError):
    """A file cannot be read or written."""


class PassingError(MediaError):
    """A file cannot be read or written at the moment, such as for a network: another try may succeed."""


class SeekError(MediaError):
    """A video cannot be read exactly from somewhere in its middle; from its start on it may."""


class DetectionError(AnonymizerError):
    """Faces cannot be looked for."""


class LeakError(AnonymizerError):
    """A real face is, or may be, still visible."""
