"""New faces are as soft as the picture around them."""

import pytest
import torch
import torch.nn.functional as F

from anonymizer.sharpness import match_sharpness


def noise(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def blurred(pictures: torch.Tensor, side: int) -> torch.Tensor:
    return F.avg_pool2d(pictures, side, 1, side // 2, count_include_pad=False)


def detail(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.diff(dim=-1).abs().mean((1, 2, 3))


@pytest.mark.parametrize("side", [3, 5])
def test_a_sharp_picture_becomes_as_soft_as_its_reference(side: int) -> None:
    picture = noise(2)
    reference = blurred(picture.flip(0), side)
    matched = match_sharpness(picture, reference, torch.ones(2, 1, 64, 64))
    assert torch.allclose(detail(matched), detail(reference), rtol=0.5)
    assert torch.allclose(matched.mean((2, 3)), picture.mean((2, 3)), atol=0.01)


def test_a_soft_picture_is_not_sharpened() -> None:
    picture = blurred(noise(2), 5)
    assert torch.equal(match_sharpness(picture, noise(2), torch.ones(2, 1, 64, 64)), picture)


def test_each_picture_is_matched_on_its_own() -> None:
    picture, mask = noise(2), torch.ones(2, 1, 64, 64)
    reference = torch.cat([noise(1), blurred(noise(1), 7)])
    both = match_sharpness(picture, reference, mask)
    alone = [match_sharpness(picture[row : row + 1], reference[row : row + 1], mask[:1]) for row in range(2)]
    assert torch.allclose(both, torch.cat(alone), atol=1e-6)
    assert torch.equal(both[0], picture[0])
