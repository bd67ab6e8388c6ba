"""New faces are as soft as the picture around them."""

import pytest
import torch
import torch.nn.functional as F

from anonymizer.sharpness import detail, middle, soften


def noise(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def blurred(pictures: torch.Tensor, side: int) -> torch.Tensor:
    return F.avg_pool2d(pictures, side, 1, side // 2, count_include_pad=False)


def gradient(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.mean(1).diff(dim=-1).abs().mean((1, 2))


@pytest.mark.parametrize("side", [3, 5])
def test_a_sharp_picture_becomes_as_soft_as_its_reference(side: int) -> None:
    picture = noise(2)
    reference = blurred(picture.flip(0), side)
    softened = soften(picture, detail(middle(reference)))
    assert torch.allclose(gradient(softened), gradient(reference), rtol=0.5)
    assert torch.allclose(softened.mean((2, 3)), picture.mean((2, 3)), atol=0.01)


def test_noise_does_not_make_a_soft_picture_sharp() -> None:
    """As cameras and codecs add it to what is out of focus."""
    picture, grain = blurred(noise(2), 3), 0.1 * noise(2)
    reference = blurred(blurred(picture.flip(0), 13), 13) + grain
    softened = soften(picture, detail(middle(reference)))
    assert (detail(picture)[:, 0] < 1.5 * detail(reference)[:, 0]).all(), "by the finest scale alone they are alike"
    assert (detail(softened)[:, -1] < 2.5 * detail(reference)[:, -1]).all()
    assert (detail(softened)[:, -1] < 0.6 * detail(picture)[:, -1]).all()


def test_a_soft_picture_is_not_sharpened() -> None:
    picture = blurred(noise(2), 5)
    assert torch.equal(soften(picture, detail(noise(2))), picture)


def test_each_picture_is_softened_on_its_own() -> None:
    picture = noise(2)
    wanted = detail(torch.cat([noise(1), blurred(noise(1), 7)]))
    both = soften(picture, wanted)
    alone = [soften(picture[row : row + 1], wanted[row : row + 1]) for row in range(2)]
    assert torch.allclose(both, torch.cat(alone), atol=1e-6)
    assert torch.equal(both[0], picture[0])
