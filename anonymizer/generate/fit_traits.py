"""Trains the network that reads traits of faces: ``traits.safetensors``.

``python -m anonymizer.generate.fit_traits FACES.safetensors``; FACES come from ``sample_faces``. What it sees are faces
that the package's own generator drew, made as bad as real ones: smaller, blurred, noisy, compressed, dark, coloured,
half hidden, badly aligned. A quarter of an hour on a CPU with two cores. Prints, on faces that were left out and made
as bad, how well each trait is read, and how well by the half of the answers that are least in doubt.
"""

from __future__ import annotations

from pathlib import Path

import click
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer.generate.sample_faces import MARGIN
from anonymizer.generate.spoil import chance, degrade, relight, uniform
from anonymizer.generate.training import descend
from anonymizer.networks.trait_net import SIZE, TRAITS, TraitNet

BATCH, STEPS, RATE = 64, 3000, 2e-3
LEFT_OUT = 8  # every how many of the faces is left out
KEPT = 500  # steps after which the network is kept


def spoil(chips: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures ``(N, 3, SIZE, SIZE)`` in 0..1, of chips ``(N, 3, C, C)`` that show more around them."""
    pictures = _place(chips, generator)
    pictures = relight(pictures, generator)
    pictures = torch.stack([_hide(picture, generator) for picture in pictures])
    return torch.stack([degrade(picture, generator) for picture in pictures])


def _place(chips: Tensor, generator: torch.Generator) -> Tensor:
    """Turned, moved, enlarged and mirrored by what landmarks may be off."""
    count = len(chips)
    turn, scale = uniform(-0.15, 0.15, generator, count), uniform(0.88, 1.12, generator, count)
    scale = scale / (1 + 2 * MARGIN)
    side = torch.where(torch.rand(count, generator=generator) < 0.5, 1.0, -1.0)
    shift = uniform(-0.07, 0.07, generator, count, 2)
    rows = [
        torch.stack([scale * turn.cos() * side, -scale * turn.sin(), shift[:, 0]], dim=1),
        torch.stack([scale * turn.sin() * side, scale * turn.cos(), shift[:, 1]], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), [count, 3, SIZE, SIZE], align_corners=False)
    return F.grid_sample(chips.float() / 255, grid, padding_mode="border", align_corners=False)


def _hide(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Often something stands before a part of the face."""
    if not chance(0.35, generator):
        return picture
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    centre, radii = uniform(-1, 1, generator, 2), uniform(0.15, 0.55, generator, 2)
    power = 2 if chance(0.6, generator) else 8  # an ellipse, or nearly a box
    there = ((x - centre[0]).abs() / radii[0]) ** power + ((y - centre[1]).abs() / radii[1]) ** power < 1
    colour = uniform(0, 1, generator, 3, 1, 1)
    texture = F.interpolate(uniform(-0.2, 0.2, generator, 1, 1, 6, 6), (SIZE, SIZE), mode="bicubic")[0]
    return torch.where(there, (colour + texture).clamp(0, 1), picture)


def train(chips: Tensor, wanted: Tensor, kept: Path, steps: int) -> TraitNet:
    """A network for traits ``wanted (N, 5)``; goes on from what is ``kept``."""
    torch.manual_seed(0)
    network = TraitNet()
    network.usual.copy_(wanted.mean(0))
    network.spread.copy_(wanted.std(0))
    target = (wanted - network.usual) / network.spread

    def batch(step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        rows = torch.randint(len(chips), (BATCH,), generator=generator)
        return spoil(chips[rows], generator), target[rows]

    def loss(shown: tuple[Tensor, Tensor]) -> Tensor:
        mean, doubt = network.standard(shown[0]).unbind(1)
        return (doubt + (mean - shown[1]).square() * (-doubt).exp()).mean()

    descend(network, lambda part: map(batch, part), loss, steps=steps, rate=RATE, kept=kept, every=KEPT)
    return network.eval().requires_grad_(False)


def explained(read: Tensor, wanted: Tensor) -> float:
    """Squared correlation."""
    return float(torch.corrcoef(torch.stack([read, wanted]))[0, 1] ** 2)


@click.command()
@click.argument("faces", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--steps", default=STEPS)
def main(faces: Path, steps: int) -> None:
    """Train on FACES, and write the network into the package; beside FACES is kept what a second run goes on from."""
    drawn = safetensors.torch.load_file(faces)
    wanted = torch.stack([drawn[name] for name in TRAITS], dim=1)
    left_out = torch.arange(len(wanted)) % LEFT_OUT == 0
    network = train(drawn["chip"][~left_out], wanted[~left_out], faces.with_suffix(".training"), steps)
    read, doubt = network(spoil(drawn["chip"][left_out], torch.Generator().manual_seed(1))).unbind(1)
    for place, name in enumerate(TRAITS):
        known = wanted[left_out, place]
        surer = doubt[:, place] <= doubt[:, place].median()
        share = (((read[:, place] - known).abs() <= doubt[:, place]).float().mean()).item()
        click.echo(
            f"{name}: r2 {explained(read[:, place], known):.2f}, of the surer half "
            f"{explained(read[surer, place], known[surer]):.2f}; off by {(read[:, place] - known).abs().mean():.2f}; "
            f"within one standard deviation {share:.0%} (68% expected)"
        )
    safetensors.torch.save_file(network.half().state_dict(), Path(__file__).parents[1] / "traits.safetensors")


if __name__ == "__main__":
    main()
