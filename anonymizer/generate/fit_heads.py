"""Trains the heads of ``heads`` on portraits of the package's own generator.

``python -m anonymizer.generate.fit_heads SAMPLES.safetensors`` draws portraits and keeps pieces of them (about a second
each on a CPU with two cores; run it again to resume), trains for a few minutes a head, writes
``generate/heads.safetensors``, and prints the peak signal-to-noise ratio against the full picture, in the middle of
portraits that were left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import weights
from anonymizer.generate.condition import load_condition
from anonymizer.generate.heads import FULL, SIZES, Head
from anonymizer.networks.mobile_stylegan import SynthesisNetwork

CROP = {128: 32, 256: 48, 512: 48}  # pixels of the features, side of a piece
CROPS = 3  # pieces of a portrait
MIDDLE = 0.7  # share of the sides that pieces are taken from: faces lie in the middle
SPREAD = 0.8  # truncation
BATCH, STEPS, RATE = 16, 3000, 2e-3
KEPT = 100  # portraits after which they are kept


def draw(synthesis: SynthesisNetwork, seed: int) -> tuple[dict[int, Tensor], Tensor]:
    """Features by size, and the full picture, of a random portrait."""
    noise = torch.randn(1, 512, generator=torch.Generator().manual_seed(seed))
    w = load_condition().truncate(weights.load("mapping")(noise), SPREAD)
    return {size: synthesis.features(w, size // 2) for size in SIZES[:-1]}, synthesis(w)


def pieces(synthesis: SynthesisNetwork, seed: int) -> dict[str, Tensor]:
    """Of one portrait: features ``(CROPS, C, S, S)`` and pictures ``(CROPS, 3, 2 S, 2 S)``, by size; float16. S is the
    ``CROP``.
    """
    features, full = draw(synthesis, seed)
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for size, values in features.items():
        picture = F.avg_pool2d(full, FULL // size)
        crop = CROP[size]
        room = MIDDLE * size / 2 - crop
        places = ((size / 2 * (1 - MIDDLE) / 2) + torch.rand(CROPS, 2, generator=generator) * room).long().tolist()
        found[f"{size}.in"] = torch.cat([values[..., y : y + crop, x : x + crop] for y, x in places]).half()
        found[f"{size}.out"] = torch.cat(
            [picture[..., 2 * y : 2 * (y + crop), 2 * x : 2 * (x + crop)] for y, x in places]
        ).half()
    return found


def train(inputs: Tensor, wanted: Tensor, size: int, steps: int) -> Head:
    """A head for pictures of a size: mean absolute error of colours, and of edges."""
    torch.manual_seed(0)
    head = Head(size)
    optimizer = torch.optim.Adam(head.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    edge = slice(2, -2)  # what lies beyond the piece is not known
    for step in range(steps):
        rows = torch.randint(len(inputs), (BATCH,))
        error = (head(inputs[rows].float()) - wanted[rows].float())[..., edge, edge]
        loss = error.abs().mean() + sum(error.diff(dim=axis).abs().mean() for axis in (2, 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            click.echo(f"{size} px, step {step}: {loss.item():.4f}")
    return head.eval().requires_grad_(False)


def noise_ratio(head: Head, features: Tensor, full: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, in the middle half."""
    found = head(features)
    edge = found.shape[-1] // 4
    error = (found - F.avg_pool2d(full, FULL // found.shape[-1]))[..., edge:-edge, edge:-edge]
    return 10 * (4 / error.square().mean()).log10()


@click.command()
@click.argument("samples", type=click.Path(path_type=Path))
@click.option("--count", default=200, help="Portraits to train on.")
@click.option("--test", default=24, help="Portraits to measure on.")
@click.option("--steps", default=STEPS)
def main(samples: Path, count: int, test: int, steps: int) -> None:
    """Train the heads and write them into the package."""
    synthesis = cast(SynthesisNetwork, weights.load("synthesis"))
    drawn = safetensors.torch.load_file(samples) if samples.exists() else {}
    with torch.no_grad():
        while (start := len(next(iter(drawn.values()), ())) // CROPS) < count:
            more = [pieces(synthesis, seed) for seed in range(start, min(count, start + KEPT))]
            both = [drawn, *more] if drawn else more
            drawn = {name: torch.cat([part[name] for part in both]) for name in more[0]}
            safetensors.torch.save_file(drawn, samples)
            click.echo(f"{start + len(more)} portraits")
    heads = {size: train(drawn[f"{size}.in"], drawn[f"{size}.out"], size, steps) for size in SIZES[:-1]}
    with torch.inference_mode():
        left_out = [draw(synthesis, seed) for seed in range(count, count + test)]
        for size, head in heads.items():
            ratio = torch.stack([noise_ratio(head, features[size], full) for features, full in left_out]).mean()
            click.echo(f"{size} px: {ratio:.1f} dB")
    arrays = {f"{size}.{name}": value for size, head in heads.items() for name, value in head.state_dict().items()}
    safetensors.torch.save_file(arrays, Path(__file__).parent / "heads.safetensors")


if __name__ == "__main__":
    main()
