"""How often are people mixed up, or not known again? ``python tests/bench/linking.py FOLDER [CLIP]...``

FOLDER holds two or more photographs a person, NAME_0001.jpg, NAME_0002.jpg, as Labeled Faces in the Wild does: often
years apart, so that people are harder to know again than in one video. All is measured twice: with the photographs
as they are, and with faces reduced to the smallest size that is recognized.

First people as in one video, one look each; then the registry of a key, to which all photographs come one by one, in
random order: a photograph is wrong if its subject was first somebody else, a person is split who has two subjects.

Wrong labels are told apart from mistakes: people who share a photograph, or of whom each photograph is nearer to one of
the same other name than to the other of its own, as if they were exchanged. They are named, and left out; for the
registry as it is used, the figures with the latter are told, too. As the limit was chosen on such people, it is also
told what one that is chosen on half of them does to the other half.

Of every CLIP, of one person alone, it is told how many pairs of clear views would be linked.
"""

from __future__ import annotations

import datetime
import itertools
import math
from fractions import Fraction
from pathlib import Path

import click
import torch
from torch import Tensor

from anonymizer import DetectConfig, Frames
from anonymizer.detect import DETECTORS
from anonymizer.detect.base import resize
from anonymizer.identity import CROPS, SMALLEST, Recognizer, clearness
from anonymizer.jury import Jury
from anonymizer.media.image import read_image
from anonymizer.media.video import VideoReader
from anonymizer.people import LINK, OTHER, People
from anonymizer.subjects import LINK as LINK_SUBJECTS
from anonymizer.subjects import MARGIN, Subjects
from pipelines.figures import distances, limit, strangers
from pipelines.identities import people_in

CPU = torch.device("cpu")
GALLERIES = (20, 400)
ROUNDS = 20  # galleries a person
ORDERS = 10  # in which photographs come to the registry
LINKS = (0.7, 0.72, 0.74, 0.76, 0.78)
WRONG = 0.001  # share of photographs of half of the people that may be wrong, for a limit to be tried on the others
FARS = (1e-3, 1e-4, 1e-5)
TWICE = 0.5  # distance of two views below which two photographs are one
EVERY = 12  # frames of a clip from one view to the next


class Measure:
    """Embeds the face nearest to the middle of a picture."""

    def __init__(self) -> None:
        self._detector = DETECTORS["centerface"](DetectConfig(), CPU)
        recognizer = Recognizer(CPU)
        self._juries = [Jury(recognizer, CPU), Jury(recognizer, CPU, CROPS)]

    def photograph(self, path: Path, size: float | None) -> Tensor:
        """Views ``(2, 256)``, as in a video and as for a registry, NaN where no face is clear; the face is reduced to
        ``size`` pixels.
        """
        return self.embed(Frames(torch.from_numpy(read_image(path).pixels)[None], (Fraction(0),)), size)

    def embed(self, frames: Frames, size: float | None = None) -> Tensor:
        """The same of a picture."""
        faces = self._detector.detect(frames)
        if size and len(faces):
            scale = min(1.0, size / float(faces[self._middle(frames, faces.boxes)].sizes.amin()))
            frames = Frames(resize(frames.pixels, scale), frames.times)
            faces = self._detector.detect(frames)
        if not len(faces):
            return torch.full((2, 256), torch.nan)
        face = faces[self._middle(frames, faces.boxes)]
        views = torch.cat([jury.views(frames, face) for jury in self._juries])
        return views if clearness(face)[0] > 0 else torch.full_like(views, torch.nan)

    def _middle(self, frames: Frames, boxes: Tensor) -> Tensor:
        centre = torch.tensor([frames.size[1] / 2, frames.size[0] / 2])
        return ((boxes[:, :2] + boxes[:, 2:]) / 2 - centre).norm(dim=1).argmin()[None]


def meet(face: Tensor, gallery: Tensor) -> int | None:
    """The row of ``gallery (N, 256)`` that is taken for the person of ``face (256,)``."""
    people = People()
    for number, known in enumerate(gallery):
        people.remember(number, known)
    return people.recognize(face[None], [()])[0]


def report(first: Tensor, second: Tensor) -> None:
    """Print the rates for two photographs ``(N, 256)`` of each person."""
    count, generator = len(first), torch.Generator().manual_seed(0)
    apart = torch.cdist(first, second)[~torch.eye(count, dtype=torch.bool)]
    for away in (LINK, OTHER):
        nearer = int((apart < away).sum())
        click.echo(f"  nearer than {away} are {nearer} of {len(apart)} pairs of strangers, {nearer / len(apart):.4%}")
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
    """Shares of photographs ``found (N, 2, 256)`` that are wrong, and of people that are split."""
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
    """Which people ``(N, 2, 256)`` share a photograph with another one, ``(N,)``."""
    flat = found.flatten(0, 1)
    person = torch.arange(len(found)).repeat_interleave(2)
    same = (torch.cdist(flat, flat) < TWICE) & (person[:, None] != person)
    return same.any(1).reshape(-1, 2).any(1)


def exchanged(found: Tensor) -> Tensor:
    """Which people ``(N, 2, 256)`` seem to have got one photograph of another one each, ``(N,)``."""
    own = (found[:, 0] - found[:, 1]).norm(dim=1)
    across = torch.cdist(found[:, 0], found[:, 1])
    both = torch.maximum(across, across.T).fill_diagonal_(torch.inf)
    return (both < torch.minimum(own[:, None], own)).any(1)


def report_registry(found: Tensor, mislabelled: Tensor) -> None:
    """Print the rates of the registry for photographs ``found (N, 2, 256)``; of ``mislabelled (N,)`` once only."""
    right = found[~mislabelled]
    apart = distances(*right.unbind(1))
    for far in FARS:
        split = (apart.diagonal() >= limit(strangers(apart), far)).mean()
        click.echo(f"  pair by pair: with {far:.3%} of strangers taken for one person, {split:.1%} of people are split")
    for link in LINKS:
        wrong, split = register(right, link)
        used = ", as is used" if link == LINK_SUBJECTS else ""
        click.echo(f"  registry, {link:.2f}: {wrong:.3%} of photographs wrong, {split:.1%} of people split{used}")
    for one, other in ((right[::2], right[1::2]), (right[1::2], right[::2])):
        chosen = max(link for link in LINKS if register(one, link)[0] <= WRONG)
        wrong, split = register(other, chosen)
        click.echo(f"  {chosen:.2f}, as half would choose: of the others {wrong:.3%} wrong, {split:.1%} split")
    if mislabelled.any():
        wrong, split = register(found, LINK_SUBJECTS)
        click.echo(f"  the same with all labels: {wrong:.3%} of photographs wrong, {split:.1%} of people split")


def report_clip(path: Path, measure: Measure) -> None:
    """Print how many pairs of views of a clip would be linked."""
    with VideoReader(path) as reader:
        frames = (batch[row : row + 1] for batch in reader.batches(1) for row in range(len(batch)))
        found = torch.stack([measure.embed(frame)[0] for frame in itertools.islice(frames, 0, None, EVERY)])
    clear = found[found.isfinite().all(1)]
    apart = torch.pdist(clear)
    click.echo(f"{path.name}: of {len(apart)} pairs of {len(clear)} clear views {int((apart < LINK).sum())} linked")


def pairs_in(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Two photographs of each person, by name."""
    return {person.name: (person.probe, person.gallery) for person in people_in(folder) if person.gallery}


def named(names: list[str], chosen: Tensor) -> str:
    """The names of those who are chosen."""
    return ", ".join(name for name, out in zip(names, chosen.tolist(), strict=True) if out) or "nobody"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("clips", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(folder: Path, clips: tuple[Path, ...]) -> None:
    """Measure how people of FOLDER are linked."""
    pairs = pairs_in(folder)
    measure = Measure()
    for size in (None, SMALLEST + 1):
        found = torch.stack([torch.stack([measure.photograph(path, size) for path in pair]) for pair in pairs.values()])
        clear = found.isfinite().flatten(1).all(1)
        names = [name for name, told in zip(pairs, clear.tolist(), strict=True) if told]
        click.echo(f"{len(names)} of {len(pairs)} people clear twice, {f'{size} pixels' if size else 'as they are'}")
        twice = pictured_twice(found[clear, :, 1])
        click.echo(f"  left out, as they share a photograph: {named(names, twice)}")
        kept, names = found[clear][~twice], [name for name, out in zip(names, twice.tolist(), strict=True) if not out]
        mixed = exchanged(kept[:, :, 1])
        click.echo(f"  left out, as photographs seem to be exchanged: {named(names, mixed)}")
        report(kept[~mixed, 0, 0], kept[~mixed, 1, 0])
        report_registry(kept[:, :, 1], mixed)
    for clip in clips:
        report_clip(clip, measure)


if __name__ == "__main__":
    main()
