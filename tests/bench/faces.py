"""How the cost grows with the faces, and how well the generator uses a device: ``python tests/bench/faces.py``.

Nobody in the pictures exists. In 1080p with 1, 5 and 20 faces: frames per second, and seconds spent in each stage; on a
GPU, which works on while Python goes ahead, a stage pays for what it waits for. Then portraits of 256 pixels a second
in batches of 1 to 256, and their arithmetic per second over that of a large matrix product of the same precision in
torch: on a GPU a bound; CPUs have faster libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import cast

import click
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from anonymizer import Anonymizer, Config, Frames, GenerateConfig, weights
from anonymizer import device as devices
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import load_condition
from anonymizer.generate.heads import EarlyExit
from anonymizer.generate.personas import Order, Studio
from anonymizer.mesh import MeshEstimator
from anonymizer.networks.mobile_stylegan import SynthesisNetwork

SIZE, ACROSS, STEP = 256, 5, 3  # pixels of a portrait; portraits in a row; pixels that they move from frame to frame
LARGE = 4096  # side of the matrices that show what a device can do
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def crowd(count: int, device: torch.device) -> Tensor:
    """A picture of people who do not exist ``(1080, 1920, 3)`` uint8."""
    rest = tuple(load_condition().neutral.tolist())
    studio = Studio(device, MeshEstimator(device), truncation=0.7, batch_size=4)
    wall = torch.full((1080, 1920, 3), 120, dtype=torch.uint8)
    for place, portrait in enumerate(
        studio.portraits([Order(Persona(seed), rest, SIZE) for seed in range(count)], keep=False)
    ):
        row, column = divmod(place, ACROSS)
        top, left = row * (SIZE + 8), 64 + column * (SIZE + 104)
        wall[top : top + SIZE, left : left + SIZE] = (portrait.pixels * 255).byte().permute(1, 2, 0).cpu()
    return wall


def film(picture: Tensor, frames: int, batch: int) -> Iterator[Frames]:
    """The picture, moving to and fro."""
    for start in range(0, frames, batch):
        numbers = range(start, min(start + batch, frames))
        moved = [picture.roll(STEP * abs(number % 16 - 8), 1) for number in numbers]
        yield Frames(torch.stack(moved), tuple(Fraction(number, 25) for number in numbers))


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of the best of three runs after a first one, all that they start on the device included."""
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def show_crowds(anonymizer: Anonymizer, frames: int) -> None:
    """Frames per second by number of faces, and where the time goes."""
    for count in (1, 5, 20):
        picture = crowd(count, anonymizer.device)
        found: list[int] = []

        def run(picture: Tensor = picture, found: list[int] = found) -> None:
            anonymizer.timings.clear()
            batches = film(picture, frames, anonymizer.batch_size)
            found[:] = [sum(len(done.faces) for done in anonymizer.stream(batches))]

        took = seconds(run, anonymizer.device)
        stages = ", ".join(f"{name} {spent:.2f}" for name, spent in anonymizer.timings.items())
        click.echo(f"{count:3} faces: {frames / took:7.2f} frames/s, {found[0] / took:7.1f} faces/s; {stages} s")


def show_generator(device: torch.device, largest: int) -> None:
    """Portraits per second by batch, and over the bound."""
    module = EarlyExit(cast(SynthesisNetwork, weights.load("synthesis")), SIZE)
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 512))
    work = counter.get_total_flops()
    kind = torch.float16 if device.type == "cuda" else torch.float32
    matrix = torch.rand(LARGE, LARGE, device=device, dtype=kind)
    bound = 2 * LARGE**3 / seconds(lambda: matrix @ matrix, device) / work
    click.echo(f"{work / 1e9:.2f} GFLOP a portrait of {SIZE} px: {bound:.0f} portraits/s as fast as a matrix product")
    engine = devices.compile(module, device, torch.zeros(1, 512))
    for batch in BATCHES[: BATCHES.index(largest) + 1]:
        rate = batch / seconds(partial(engine, torch.randn(batch, 512, device=device)), device)
        click.echo(f"batch {batch:4}: {rate:8.1f} portraits/s, {rate / bound:.0%} of that")


@click.command()
@click.option("--device", default="auto", help="As of the command.")
@click.option("--frames", default=48, help="Of each film.")
@click.option("--largest", type=click.Choice([str(size) for size in BATCHES]), default="256", help="Batch.")
def main(device: str, frames: int, largest: str) -> None:
    """Print all figures."""
    anonymizer = Anonymizer(Config(device=device, generate=GenerateConfig(seed=1)))
    click.echo(f"on {anonymizer.device}; batches of {anonymizer.batch_size} frames of 1080p")
    show_crowds(anonymizer, frames)
    show_generator(anonymizer.device, int(largest))


if __name__ == "__main__":
    main()
