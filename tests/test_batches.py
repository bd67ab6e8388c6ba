"""Batches refuse what does not fit, once, where they are made."""

from fractions import Fraction

import pytest
import torch

import anonymizer
from anonymizer.batches import Faces, Frames, Meshes


def test_no_faces_is_length_zero() -> None:
    assert len(Faces.none()) == 0
    assert len(Faces.cat([Faces.none(), Faces.none()])[:0]) == 0
    assert len(Meshes.none()) == 0


@pytest.mark.parametrize(
    ("pixels", "error"),
    [
        (torch.zeros(1, 8, 8, 3), TypeError),
        (torch.zeros(1, 8, 8, 4, dtype=torch.uint8), ValueError),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), ValueError),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), ValueError),
    ],
)
def test_frames_are_checked(pixels: torch.Tensor, error: type[Exception]) -> None:
    with pytest.raises(error):
        Frames(pixels, (Fraction(0),))


def test_arrays_of_one_batch_have_one_length() -> None:
    with pytest.raises(ValueError, match="scores"):
        Faces(
            torch.zeros(2, dtype=torch.int64),
            torch.zeros(2, 4),
            torch.zeros(2, 5, 2),
            torch.zeros(3),
            torch.zeros(2),
            torch.ones(2),
        )


def test_selection_keeps_type_and_times() -> None:
    frames = Frames(
        torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 2, 2, 3), (Fraction(0), Fraction(1), Fraction(2))
    )
    chosen = frames[torch.tensor([2, 0])]
    assert chosen.times == (2, 0)
    assert chosen.pixels[:, 0, 0, 0].tolist() == [2, 0]
    assert frames[1:].times == (1, 2)


def test_public_names_exist() -> None:
    for name in anonymizer.__all__:
        assert getattr(anonymizer, name).__doc__ or name == "PRESETS"
    assert sorted(anonymizer.__all__) == sorted(name for names in anonymizer._HOMES.values() for name in names)
    with pytest.raises(AttributeError, match="nonsense"):
        anonymizer.nonsense  # noqa: B018
