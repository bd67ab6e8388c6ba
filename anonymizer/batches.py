"""The only currencies between stages: validated batches, struct of arrays.

Shapes and types are checked once, on construction; indexing along the first axis returns the same type;
nobody writes into a batch in place. "No faces" is length 0, never ``None``. ``Faces`` is flat over all frames
of a batch, so that all crops of a batch make one forward pass.

Conventions: boxes are ``x0, y0, x1, y1`` in pixels of the frame, ``x`` right, ``y`` down, pixel centres at
``+0.5``; colour is RGB; ``Frames`` may lie on any device, the other small arrays of ``Faces`` lie on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Self

import torch
from torch import Tensor

MESH_POINTS = 468
UNTRACKED = -1
NO_FACE = -1


class Batch:
    """Fields that share their first axis. Subclasses are frozen dataclasses that list ``SHAPES``."""

    SHAPES: dict[str, tuple[int | str, ...]]
    TYPES: dict[str, tuple[torch.dtype, ...]]

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, shape in self.SHAPES.items():
            value: Tensor = getattr(self, name)
            kind = type(self).__name__
            if not isinstance(value, Tensor):
                raise TypeError(f"{kind}.{name} must be a tensor, not {type(value).__name__}")
            if value.dtype not in self.TYPES[name]:
                raise TypeError(f"{kind}.{name} must be {self.TYPES[name]}, not {value.dtype}")
            if value.ndim != len(shape):
                raise ValueError(f"{kind}.{name} must have shape {shape}, not {tuple(value.shape)}")
            for size, wanted in zip(value.shape, shape, strict=True):
                expected = sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted
                if size != expected:
                    raise ValueError(f"{kind}.{name} must have shape {shape}, not {tuple(value.shape)}")

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.SHAPES))))

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __getitem__(self, index: slice | Tensor) -> Self:
        """Select along the first axis with a slice, an index tensor or a mask."""
        return type(self)(**{name: value[index] for name, value in self._values().items()})

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Concatenate along the first axis; ``parts`` must not be empty."""
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


FLOAT = (torch.float32,)
INDEX = (torch.int64,)


@dataclass(frozen=True, eq=False)
class Frames(Batch):
    """Pictures of one size, as they are stored.

    Attributes:
        pixels: ``(N, H, W, 3)`` uint8 or uint16, RGB, on any device.
        times: presentation time of each in seconds, exact; still pictures have time 0.
    """

    pixels: Tensor
    times: tuple[Fraction, ...]

    SHAPES = {"pixels": ("N", "H", "W", 3)}  # noqa: RUF012
    TYPES = {"pixels": (torch.uint8, torch.uint16)}  # noqa: RUF012

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.times) != len(self.pixels):
            raise ValueError(f"{len(self.pixels)} frames but {len(self.times)} times")

    def __getitem__(self, index: slice | Tensor) -> Frames:
        if isinstance(index, slice):
            return Frames(self.pixels[index], self.times[index])
        rows = torch.arange(len(self))[index].tolist()
        return Frames(self.pixels[index.to(self.pixels.device)], tuple(self.times[row] for row in rows))

    @classmethod
    def cat(cls, parts: Sequence[Frames]) -> Frames:
        times = tuple(time for part in parts for time in part.times)
        return cls(torch.cat([part.pixels for part in parts]), times)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def peak(self) -> int:
        """The value of white: 255 or 65535."""
        return torch.iinfo(self.pixels.dtype).max


@dataclass(frozen=True, eq=False)
class Faces(Batch):
    """Faces found in a batch of frames, flat over the frames.

    Attributes:
        frame: ``(N,)`` int64, index of the frame within its batch.
        boxes: ``(N, 4)`` float32, from chin to forehead, may reach beyond the frame.
        landmarks: ``(N, 5, 2)`` float32: the eye on the left of the picture, the other eye, nose tip, the mouth
            corner on the left of the picture, the other corner.
        scores: ``(N,)`` float32 in 0..1.
        tracks: ``(N,)`` int64, the same number for the same person over time; ``UNTRACKED`` before tracking, and for a
            face that is only assumed, of somebody who is seen elsewhere.
        seen: ``(N,)`` bool, whether a detector was sure of the face in this very frame; otherwise others tell where
            it is.
    """

    frame: Tensor
    boxes: Tensor
    landmarks: Tensor
    scores: Tensor
    tracks: Tensor
    seen: Tensor

    SHAPES = {  # noqa: RUF012
        "frame": ("N",),
        "boxes": ("N", 4),
        "landmarks": ("N", 5, 2),
        "scores": ("N",),
        "tracks": ("N",),
        "seen": ("N",),
    }
    TYPES = {  # noqa: RUF012
        "frame": INDEX,
        "boxes": FLOAT,
        "landmarks": FLOAT,
        "scores": FLOAT,
        "tracks": INDEX,
        "seen": (torch.bool,),
    }

    @classmethod
    def none(cls) -> Faces:
        """No faces: length 0."""
        return cls(
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, 4),
            torch.zeros(0, 5, 2),
            torch.zeros(0),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, dtype=torch.bool),
        )

    @property
    def sizes(self) -> Tensor:
        """``(N, 2)`` float32: width and height of each box."""
        return self.boxes[:, 2:] - self.boxes[:, :2]


@dataclass(frozen=True, eq=False)
class Meshes(Batch):
    """The shape of each face, one row a row of ``Faces``.

    Attributes:
        points: ``(N, 468, 3)`` float32, MediaPipe's face mesh in pixels of the frame; ``z`` grows away from the
            camera, in the same unit.
        presence: ``(N,)`` float32 in 0..1, how sure the network is that it looked at a face.
    """

    points: Tensor
    presence: Tensor

    SHAPES = {"points": ("N", MESH_POINTS, 3), "presence": ("N",)}  # noqa: RUF012
    TYPES = {"points": FLOAT, "presence": FLOAT}  # noqa: RUF012

    @classmethod
    def none(cls) -> Meshes:
        """No faces: length 0."""
        return cls(torch.zeros(0, MESH_POINTS, 3), torch.zeros(0))


@dataclass(frozen=True, eq=False)
class Patches(Batch):
    """New pixels for parts of frames, one row a face.

    Attributes:
        frame: ``(N,)`` int64, index of the frame within its batch.
        colour: ``(N, 3, S, S)`` float32 in 0..1.
        alpha: ``(N, 1, S, S)`` float32 in 0..1, 1 where the patch replaces the frame.
        to_patch: ``(N, 2, 3)`` float32, takes frame pixels to patch pixels.
        face: ``(N,)`` int64, which of the faces that are replaced it hides, or ``NO_FACE``.
    """

    frame: Tensor
    colour: Tensor
    alpha: Tensor
    to_patch: Tensor
    face: Tensor

    SHAPES = {  # noqa: RUF012
        "frame": ("N",),
        "colour": ("N", 3, "S", "S"),
        "alpha": ("N", 1, "S", "S"),
        "to_patch": ("N", 2, 3),
        "face": ("N",),
    }
    TYPES = {"frame": INDEX, "colour": FLOAT, "alpha": FLOAT, "to_patch": FLOAT, "face": INDEX}  # noqa: RUF012
