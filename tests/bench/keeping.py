"""How often does a stranger stay visible, and somebody who consented? ``python tests/bench/keeping.py FOLDER``

FOLDER holds two or more photographs a person, NAME_0001.jpg, NAME_0002.jpg, as Labeled Faces in the Wild does: often
years apart. The first is the reference photograph of those who consented, the second is looked for among 1 and among
20 of these; with the photographs as they are, and with faces reduced to the smallest size that is recognized. Only
people are counted who are clear in both: who is not never stays. People are left out, and named, as by ``linking.py``.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from linking import Measure, exchanged, named, pairs_in, pictured_twice
from torch import Tensor

from anonymizer.consent import LINK, Consents, Person, is_kept
from anonymizer.identity import SMALLEST

GALLERIES = {1: 200, 20: 60}
"""People who consented, and how many such groups each person is held against."""


def stays(face: Tensor, gallery: Tensor) -> str:
    """The number of the one of ``gallery (N, 256)`` who ``face (256,)`` stays visible as; empty if it is replaced."""
    people = tuple(Person(str(number), None, view[None]) for number, view in enumerate(gallery))
    [judgment] = Consents("", people).judge(face[None], torch.ones(1, dtype=torch.bool))
    return judgment.who if judgment and is_kept(judgment) else ""


def report(first: Tensor, second: Tensor) -> None:
    """Print the rates for two photographs ``(N, 256)`` of each person."""
    away = torch.cdist(first, second)
    apart = away[~torch.eye(len(first), dtype=torch.bool)]
    click.echo(f"  pairs of different people nearer than {LINK}: {int((apart < LINK).sum())} of {len(apart)}")
    generator = torch.Generator().manual_seed(0)
    for size, rounds in GALLERIES.items():
        strangers = right = wrong = 0
        for row in range(len(first)):
            for _ in range(rounds):
                order = torch.randperm(len(first), generator=generator)
                others = first[order[order != row][:size]]
                strangers += stays(second[row], others) != ""
                told = stays(second[row], torch.cat([first[row : row + 1], others[1:]]))
                right += told == "0"
                wrong += told not in ("", "0")
        total = len(first) * rounds
        click.echo(
            f"  {size} consented: {strangers} of {total} strangers stay ({strangers / total:.4%}), the right person "
            f"stays {right / total:.1%}, as somebody else {wrong / total:.4%}"
        )


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Measure who of FOLDER stays visible."""
    pairs = pairs_in(folder)
    measure = Measure()
    for size in (None, SMALLEST + 1):
        found = torch.stack(
            [torch.stack([measure.photograph(path, size)[1] for path in pair]) for pair in pairs.values()]
        )  # (N, 2, 256)
        clear = ~found.isnan().flatten(1).any(1)
        found, names = found[clear], [name for name, told in zip(pairs, clear.tolist(), strict=True) if told]
        mislabelled = pictured_twice(found) | exchanged(found)
        click.echo(f"{len(found)} of {len(pairs)} people clear twice, {f'{size} pixels' if size else 'as they are'}")
        every = torch.cdist(found[:, 0], found[:, 1])[~torch.eye(len(found), dtype=torch.bool)]
        click.echo(f"  left out: {named(names, mislabelled)}; with them {int((every < LINK).sum())} pairs are nearer")
        report(found[~mislabelled, 0], found[~mislabelled, 1])


if __name__ == "__main__":
    main()
