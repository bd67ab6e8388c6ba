"""Networks on CUDA: rows are given in batches of few sizes, and nothing is lost by it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from anonymizer import device as devices

DEVICES = [torch.device(name) for name in ("cpu", *(["cuda"] if torch.cuda.is_available() else []))]


@given(st.integers(1, 1000))
def test_batches_hold_all_rows_and_little_else(count: int) -> None:
    sizes = devices.planned(count)
    assert set(sizes) <= set(devices.PLANNED)
    assert sum(sizes[:-1]) < count <= sum(sizes)
    assert sum(sizes) - count <= sizes[-1] // 2
    assert len(sizes) <= count / 64 + 5


class Two(nn.Module):
    """Two answers a row, and a count of the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.sizes.append(len(x))
        return self.layer(x), x.sum(1)


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("count", [1, 2, 3, 21, 70])
def test_half_precision_answers_row_by_row(count: int, device: torch.device) -> None:
    torch.manual_seed(count)
    network, rows = Two().eval(), torch.randn(count, 3)
    wanted = [value.detach() for value in network(rows)]
    network.sizes.clear()
    answers = devices._half(network, device)(rows.to(device))
    assert network.sizes == devices.planned(count)
    for mine, exact in zip(answers, wanted, strict=True):
        assert mine.dtype == torch.float32
        assert mine.device.type == device.type
        torch.testing.assert_close(mine.cpu(), exact, atol=0.02, rtol=0.01)
        assert not mine.is_inference()
