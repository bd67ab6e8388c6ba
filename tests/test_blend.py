"""Patches are laid over frames."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from anonymizer.batches import Frames, Patches
from anonymizer.blend import _resampled, compose
from anonymizer.canvas import LARGEST, MULTIPLE, Canvases


def patch(left: float, top: float, scale: float = 1.0, size: int = 64) -> Patches:
    colour = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    ramp = torch.linspace(0, 1, size).expand(1, 1, size, size)
    to_patch = torch.tensor([[[scale, 0, -left * scale], [0, scale, -top * scale]]])
    return Patches(torch.zeros(1, dtype=torch.int64), colour, ramp, to_patch, torch.zeros(1, dtype=torch.int64))


def by_resampling(frames: Frames, one: Patches) -> Tensor:
    """What comes out if no pixel of the patch is taken for one of the frame."""
    layers, scale = torch.cat([one.colour, one.alpha], dim=1), float(one.to_patch[0, 0, 0])
    layers = _resampled(layers, (scale, scale), one.to_patch[0, :, 2].tolist(), (0, 0), frames.size)
    colour, alpha = layers.permute(1, 2, 0).split([3, 1], dim=2)
    return torch.lerp(frames.pixels[0].float(), colour * frames.peak, alpha).round().clamp(0, frames.peak).int()[None]


@pytest.fixture
def frames() -> Frames:
    return Frames(torch.randint(256, (1, 90, 120, 3), dtype=torch.uint8), (Fraction(0),))


@pytest.mark.parametrize("corner", [(20, 10), (-30, 50), (100, -40), (200, 10)])
def test_pixel_on_pixel_is_what_resampling_would_give(frames: Frames, corner: tuple[int, int]) -> None:
    exact = compose(frames, [patch(*corner)]).pixels.int()
    resampled = by_resampling(frames, patch(*corner))
    inside = torch.zeros(90, 120, dtype=torch.bool)
    inside[max(0, corner[1]) : max(0, corner[1] + 64), max(0, corner[0]) : max(0, corner[0] + 64)] = True
    assert torch.equal(exact[0][~inside], frames.pixels.int()[0][~inside])
    assert (exact - resampled).abs().max() <= 1


@pytest.mark.parametrize("times", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("corner", [(20, 10), (-30, 50), (100, -40), (200, 10)])
def test_enlarged_by_whole_pixels_is_what_resampling_would_give(
    frames: Frames, times: int, corner: tuple[int, int]
) -> None:
    large = patch(*corner, scale=1 / times, size=32)
    exact = compose(frames, [large]).pixels.int()
    assert (exact != frames.pixels).any() or corner[0] == 200
    assert (exact - by_resampling(frames, large)).abs().max() <= 1


@pytest.mark.parametrize("side", [3.0, 57.0, 64.0, 300.0, 511.0, 900.0, 2100.0])
def test_canvases_hold_the_outline_on_whole_pixels(side: float) -> None:
    outline = torch.tensor([[[10.3, 20.9], [10.3 + side, 20.9 + 0.7 * side]]])
    canvas = Canvases.around(outline)
    size, step = int(canvas.size[0]), int(canvas.step[0])
    assert size % MULTIPLE == 0
    assert size <= LARGEST
    assert step == 1 or side * 1.1 > LARGEST
    low, high = canvas.corner[0], canvas.corner[0] + size * step
    assert (low <= outline[0].amin(0)).all()
    assert (high >= outline[0].amax(0)).all()
    assert torch.allclose(canvas.to_patch[0] @ torch.tensor([*low.tolist(), 1.0]), torch.zeros(2), atol=1e-4)
