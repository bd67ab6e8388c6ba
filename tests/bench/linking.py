"""How often are people mixed up, or not known again? ``python tests/bench/linking.py FOLDER``

FOLDER holds two or more photographs a person, NAME_0001.jpg, NAME_0002.jpg, as Labeled Faces in the Wild does: often
years apart, so that people are harder to know again than in one video. All is measured twice: with the photographs
as they are, and with faces reduced to the smallest size that is recognized.

First people as in one video, one look each; then the registry of a key, to which all photographs come one by one, in
random order: a photograph is wrong if its subject was first somebody else, a person is split who has two subjects.
Photographs that are so near to one of another name that they are the same picture are left out, and named.
"""

from __future__ import annotations

import datetime
import math
from fractions import Fraction
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import DetectConfig, Frames
from anonymizer.detect import DETECTORS
from anonymizer.detect.base import resize
from anonymizer.identity import CROPS, SMALLEST, Recognizer, clearness
from anonymizer.media.image import read_image
from anonymizer.people import LINK, People
from anonymizer.subjects import LINK as LINK_SUBJECTS
from anonymizer.subjects import MARGIN, Subjects
from pipelines.figures import distances, limit, strangers
from pipelines.identities import people_in

CPU = torch.device("cpu")
GALLERIES = (20, 400)
ROUNDS = 20  # galleries a person
ORDERS = 10  # in which photographs come to the registry
LINKS = (0.27, 0.28, 0.29, 0.3, 0.32)
FARS = (1e-3, 1e-4, 1e-5)
TWICE = 0.15  # distance of embeddings of length 1 below which two photographs are one


class Measure:
    """Embeds the face nearest to the middle of a picture."""

    def __init__(self) -> None:
        self._detector = DETECTORS["centerface"](DetectConfig(), CPU)
        self._recognizers = [Recognizer(CPU), Recognizer(CPU, CROPS)]

    def embed(self, path: Path, size: float | None) -> Tensor:
        """``(2, 128)``, as in a video and as for a registry, NaN where no face is clear; the face is reduced to
        ``size`` pixels.
        """
        frames = Frames(torch.from_numpy(read_image(path).pixels)[None], (Fraction(0),))
        faces = self._detector.detect(frames)
        if size and len(faces):
            scale = min(1.0, size / float(faces[self._middle(frames, faces.boxes)].sizes.amin()))
            frames = Frames(resize(frames.pixels, scale), frames.times)
            faces = self._detector.detect(frames)
        if not len(faces):
            return torch.full((2, 128), torch.nan)
        face = faces[self._middle(frames, faces.boxes)]
        embeddings = torch.cat([recognizer.embed(frames, face) for recognizer in self._recognizers])
        return embeddings if clearness(face)[0] > 0 else torch.full_like(embeddings, torch.nan)

    def _middle(self, frames: Frames, boxes: Tensor) -> Tensor:
        centre = torch.tensor([frames.size[1] / 2, frames.size[0] / 2])
        return ((boxes[:, :2] + boxes[:, 2:]) / 2 - centre).norm(dim=1).argmin()[None]


def meet(face: Tensor, gallery: Tensor) -> int | None:
    """The row of ``gallery (N, 128)`` that is taken for the person of ``face (128,)``."""
    people = People()
    for number, known in enumerate(gallery):
        people.remember(number, known)
    return people.recognize(face[None], [()])[0]


def report(first: Tensor, second: Tensor) -> None:
    """Print the rates for two photographs ``(N, 128)`` of each person."""
    count, generator = len(first), torch.Generator().manual_seed(0)
    apart = torch.cdist(first, second)[~torch.eye(count, dtype=torch.bool)]
    click.echo(f"  pairs of different people nearer than {LINK}: {(apart < LINK).float().mean():.5%} of {len(apart)}")
    for size in GALLERIES:
        wrong = missed = 0
        rounds = ROUNDS if size < count else 1
        for row in range(count):
            for _ in range(rounds):
                order = torch.randperm(count, generator=generator)
                others = first[order[order != row][:size]]
                wrong += meet(second[row], others) is not None
                missed += meet(second[row], torch.cat([first[row : row + 1], others])) != 0
        total = count * rounds
        click.echo(
            f"  among {min(size, count - 1)} others: {wrong / total:.3%} strangers are taken for one, "
            f"{missed / total:.1%} are not known again"
        )


def register(found: Tensor, link: float) -> tuple[float, float]:
    """Shares of photographs ``found (N, 2, 128)`` that are wrong, and of people that are split."""
    wrong = split = 0
    for seed in range(ORDERS):
        subjects = Subjects(b"", People(link, MARGIN, math.inf))
        order = torch.randperm(2 * len(found), generator=torch.Generator().manual_seed(seed)).tolist()
        owners: dict[int, int] = {}
        seen: list[set[int]] = [set() for _ in found]
        for person, photograph in (divmod(number, 2) for number in order):
            view = {0: found[person, photograph][None]}
            subject = subjects.link(view, set(), {}, datetime.date.min)[0]
            wrong += owners.setdefault(subject, person) != person
            seen[person].add(subject)
        split += sum(len(numbers) > 1 for numbers in seen)
    return wrong / (2 * len(found) * ORDERS), split / (len(found) * ORDERS)


def pictured_twice(found: Tensor) -> Tensor:
    """Which people ``(N,)`` share a photograph with another one."""
    flat = F.normalize(found.flatten(0, 1), dim=1)
    person = torch.arange(len(found)).repeat_interleave(2)
    same = (torch.cdist(flat, flat) < TWICE) & (person[:, None] != person)
    return same.any(1).reshape(-1, 2).any(1)


def report_registry(found: Tensor, names: list[str]) -> None:
    """Print the rates of the registry for photographs ``found (N, 2, 128)``."""
    twice = pictured_twice(found)
    if twice.any():
        named = [name for name, out in zip(names, twice.tolist(), strict=True) if out]
        click.echo(f"  left out, as they share a photograph: {', '.join(named)}")
    apart = distances(*F.normalize(found[~twice], dim=2).unbind(1))
    for far in FARS:
        split = (apart.diagonal() >= limit(strangers(apart), far)).mean()
        click.echo(f"  pair by pair: with {far:.3%} of strangers taken for one person, {split:.1%} of people are split")
    for link in LINKS:
        wrong, split = register(found[~twice], link)
        used = ", as is used" if link == LINK_SUBJECTS else ""
        click.echo(f"  registry, {link:.2f}: {wrong:.3%} of photographs wrong, {split:.1%} of people split{used}")


def pairs_in(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Two photographs of each person, by name."""
    return {person.name: (person.probe, person.gallery) for person in people_in(folder) if person.gallery}


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Measure how people of FOLDER are linked."""
    pairs = pairs_in(folder)
    measure = Measure()
    for size in (None, SMALLEST + 1):
        found = torch.stack([torch.stack([measure.embed(path, size) for path in pair]) for pair in pairs.values()])
        clear = ~found.isnan().flatten(1).any(1)
        click.echo(
            f"{int(clear.sum())} of {len(pairs)} people clear twice, {f'{size} pixels' if size else 'as they are'}"
        )
        report(found[clear, 0, 0], found[clear, 1, 0])
        names = [name for name, told in zip(pairs, clear.tolist(), strict=True) if told]
        report_registry(found[clear, :, 1], names)


if __name__ == "__main__":
    main()
