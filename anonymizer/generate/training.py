"""What all training here has in common: it keeps what it has, and a second run goes on from that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import safetensors.torch
import torch
from torch import Tensor, nn

Batch = TypeVar("Batch")
Samples = dict[str, Tensor]


def collect(file: Path, count: int, draw: Callable[[range], Samples], kept: int, **constant: Tensor) -> None:
    """Draw samples into a file until it holds so many.

    Args:
        file: safetensors, with one row a sample, ``points`` among the names.
        count: samples in total.
        draw: makes the samples of some seeds.
        kept: samples after which they are kept.
        constant: what the file holds besides.
    """
    drawn = safetensors.torch.load_file(file) if file.exists() else {}
    while (start := len(drawn.get("points", ()))) < count:
        more = draw(range(start, min(count, start + kept)))
        drawn = {name: torch.cat([drawn[name], more[name]]) if drawn else more[name] for name in more}
        safetensors.torch.save_file(drawn | constant, file)
        click.echo(f"{len(drawn['points'])} faces")


def descend(
    network: nn.Module,
    batches: Callable[[range], Iterable[Batch]],
    loss: Callable[[Batch], Tensor],
    *,
    steps: int,
    rate: float,
    kept: Path,
    every: int,
    steepest: float = math.inf,
) -> None:
    """Train a network.

    Args:
        network: goes on from what is ``kept``.
        batches: those of some steps, in order.
        loss: of a batch.
        steps: in total.
        rate: the largest learning rate.
        kept: file that is written after ``every`` so many steps.
        steepest: norm to which gradients are cut.
    """
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    states: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    first, recent = 0, []
    if kept.exists():
        saved = torch.load(kept, weights_only=True)
        first = saved["step"]
        for name, part in states.items():
            part.load_state_dict(saved[name])
    for step, batch in enumerate(batches(range(first, steps)), start=first + 1):
        error = loss(batch)
        optimizer.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), steepest)
        optimizer.step()
        schedule.step()
        recent.append(error.item())
        if step % every == 0:
            torch.save({"step": step} | {name: part.state_dict() for name, part in states.items()}, kept)
            click.echo(f"step {step}: {sum(recent) / len(recent):.4f}")
            recent.clear()
