"""How often are people mixed up, or not known again? ``python tests/bench/linking.py FOLDER``

FOLDER holds two or more photographs a person, NAME_0001.jpg, NAME_0002.jpg, as Labeled Faces in the Wild does: often
years apart, so that people are harder to know again than in one video. All is measured twice: with the photographs
as they are, and with faces reduced to the smallest size that is recognized.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click
import torch
from torch import Tensor

from anonymizer import DetectConfig, Frames
from anonymizer.detect import DETECTORS
from anonymizer.detect.base import resize
from anonymizer.identity import SMALLEST, Recognizer, clearness
from anonymizer.media.image import read_image
from anonymizer.people import LINK, People

CPU = torch.device("cpu")
GALLERIES = (20, 400)
ROUNDS = 20  # galleries a person


class Measure:
    """Embeds the face nearest to the middle of a picture."""

    def __init__(self) -> None:
        self._detector = DETECTORS["centerface"](DetectConfig(), CPU)
        self._recognizer = Recognizer(CPU)

    def embed(self, path: Path, size: float | None) -> Tensor:
        """``(128,)``, NaN where no face is clear; the face is reduced to ``size`` pixels."""
        frames = Frames(torch.from_numpy(read_image(path).pixels)[None], (Fraction(0),))
        faces = self._detector.detect(frames)
        if size and len(faces):
            scale = min(1.0, size / float(faces[self._middle(frames, faces.boxes)].sizes.amin()))
            frames = Frames(resize(frames.pixels, scale), frames.times)
            faces = self._detector.detect(frames)
        if not len(faces):
            return torch.full((128,), torch.nan)
        face = faces[self._middle(frames, faces.boxes)]
        embedding = self._recognizer.embed(frames, face)[0]
        return embedding if clearness(face)[0] > 0 else torch.full_like(embedding, torch.nan)

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


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Measure how people of FOLDER are linked."""
    photographs: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*_????.jpg")):
        photographs.setdefault(path.stem[:-5], []).append(path)
    pairs = [paths[:2] for paths in photographs.values() if len(paths) > 1]
    measure = Measure()
    for size in (None, SMALLEST + 1):
        found = torch.stack([torch.stack([measure.embed(path, size) for path in pair]) for pair in pairs])
        clear = ~found.isnan().flatten(1).any(1)
        click.echo(
            f"{int(clear.sum())} of {len(pairs)} people clear twice, {f'{size} pixels' if size else 'as they are'}"
        )
        report(found[clear, 0], found[clear, 1])


if __name__ == "__main__":
    main()
