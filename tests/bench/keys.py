"""Can results with two keys be joined? ``python tests/bench/keys.py FOLDER [--recognizer FILE]``

FOLDER holds two photographs of each person, as Labeled Faces in the Wild has them. The first ones are anonymized with
one key, the second ones with the same and with another one. Prints the chance that what is made of two photographs of
one person is nearer than what is made of those of two people, from 50%, nothing, to 100%, everything, with a 95%
interval over people. Hair, light and the like are the same under all keys, and so is what is matched: therefore also
with ``--match none``, and with all but the new faces, or these, painted grey. Last, how many faces were covered, mostly
as the persona of their subject looks like them; these are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from ablation import Lab, Rows, Shown, without_face, without_surroundings

from anonymizer import Anonymizer, Config, Faces, GenerateConfig
from anonymizer.config import Trait
from anonymizer.generate.base import MADE
from pipelines.figures import distances
from pipelines.identities import batches, people_in
from pipelines.keys import new_key
from pipelines.recognizers import SCALES, Dlib, Onnx, Recognizer
from pipelines.registry import Registry

MATCHED = GenerateConfig().match
DEVIATIONS = 1.96  # standard, from the middle of a 95% interval to its ends
WAYS: dict[str, Shown] = {
    "all": lambda frames, points: frames,
    "new faces": without_surroundings,
    "all but these": without_face,
}
"""What is shown of the results."""


class Release:
    """What is made of photographs with one key: embeddings by recognizer, NaN where a face is covered."""

    def __init__(self, lab: Lab, key: Path, match: tuple[Trait, ...]) -> None:
        registry = Registry(key)
        self._lab = lab
        self._anonymizer = Anonymizer(Config(generate=GenerateConfig(key=registry.key, match=match)), registry)

    def of(self, paths: Sequence[Path], faces: Sequence[Faces]) -> list[list[Rows]]:
        """By one of ``WAYS`` to show the results, and recognizer: a row a photograph."""
        found: list[list[Rows]] = [[[] for _ in self._lab.recognizers] for _ in WAYS]
        for frames, face in zip(batches(paths, 1), faces, strict=True):
            done = self._anonymizer.stills(frames)
            made = done.outcomes[int((done.faces.boxes - face.boxes).abs().sum(1).argmin())] in MADE
            for columns, shown in zip(found, WAYS.values(), strict=True):
                for rows, vector in zip(columns, self._lab.look_at(done.frames, face, shown)[0], strict=True):
                    rows.append(vector if made else np.full_like(vector, np.nan))
        return found


def joined(one: Rows, other: Rows) -> str:
    """The chance that a pair of one person is nearer than a pair of two, with its interval."""
    there = np.isfinite(np.stack(one)).all(1) & np.isfinite(np.stack(other)).all(1)
    apart = distances(np.stack(one)[there], np.stack(other)[there])
    own, count = apart.diagonal(), len(apart)
    wins = [(own < found).sum(0) + ((own == found).sum(0) - 1) / 2 for found in (apart, apart.T)]
    nearer = sum(wins) / (2 * (count - 1))
    return f"{nearer.mean():.1%} +- {DEVIATIONS * nearer.std() / count**0.5:.1%}"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--recognizer", type=click.Path(exists=True, path_type=Path), help="An ONNX network, beside dlib's.")
@click.option("--people", type=int, help="Only the first ones.")
def main(folder: Path, recognizer: Path | None, people: int | None) -> None:
    """Print the table."""
    recognizers: list[Recognizer] = [Dlib(), *([Onnx(recognizer, next(iter(SCALES)))] if recognizer else [])]
    lab = Lab(recognizers)
    known = [person for person in people_in(folder, people) if person.gallery]
    paths = [[person.probe for person in known], [person.gallery for person in known if person.gallery]]
    found = [lab.originals(column) for column in paths]
    whole = [bool(len(one) and len(other)) for one, other in zip(*found, strict=True)]
    paths = [[path for path, there in zip(column, whole, strict=True) if there] for column in paths]
    found = [[faces for faces, there in zip(column, whole, strict=True) if there] for column in found]
    click.echo(f"{len(paths[0])} people" + "".join(f"{each.name:>22}" for each in recognizers))
    with tempfile.TemporaryDirectory() as folder_of_keys:
        for match in (MATCHED, ()):
            keys = [Path(folder_of_keys) / f"{number}{len(match)}.key" for number in range(2)]
            for key in keys:
                new_key(key)
            first, second = (Release(lab, key, match) for key in keys)
            before = first.of(paths[0], found[0])
            for name, after in (("one key", first.of(paths[1], found[1])), ("two keys", second.of(paths[1], found[1]))):
                for way, one, other in zip(WAYS, before, after, strict=True):
                    cells = [f"{joined(*pair):>22}" for pair in zip(one, other, strict=True)]
                    click.echo(f"{name}, {'matched' if match else 'match none'}, {way:13}" + "".join(cells))
            covered = [sum(not np.isfinite(row).all() for row in rows[0][0]) for rows in (before, after)]
            click.echo(f"covered: {sum(covered)} of {sum(map(len, paths))}")


if __name__ == "__main__":
    main()
