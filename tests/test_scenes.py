"""Changes of a picture."""

from fractions import Fraction

import pytest
import torch

from anonymizer.batches import Frames
from anonymizer.scenes import differs, thumbnails

SKIN = torch.tensor([190, 140, 115], dtype=torch.uint8)


@pytest.mark.parametrize("left", [900, 911, 923])
def test_a_small_face_before_a_wall_as_bright_is_a_change(left: int) -> None:
    pixels = torch.full((2, 1080, 1920, 3), 145, dtype=torch.uint8)
    pixels[1, 500:545, left : left + 45] = SKIN
    before, after = thumbnails(Frames(pixels, (Fraction(0), Fraction(1, 25))))
    assert differs(before, after)


def test_a_little_movement_of_the_whole_picture_is_no_change() -> None:
    coarse = 200 * torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    scene = torch.nn.functional.interpolate(coarse, (400, 600), mode="bicubic").clamp(0, 255)
    whole = scene[0].permute(1, 2, 0).byte()
    pixels = torch.stack([whole[20:380, 20:580], whole[22:382, 23:583]])
    before, after = thumbnails(Frames(pixels, (Fraction(0), Fraction(1, 25))))
    assert not differs(before, after)
