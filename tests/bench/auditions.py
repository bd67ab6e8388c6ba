"""How well it is guessed who is unlike whom, and what people seem like.

``python tests/bench/auditions.py FOLDER [--ages MODEL]``

FOLDER holds photographs of people by name, as Labeled Faces in the Wild (``NAME_0001.jpg``). Prints how distances
between real people and personas, as guessed from styles, go with those of portraits that were drawn; which share of
personas an audition takes at once; and how often two photographs of a person, mostly years apart, are read alike. With
MODEL, the folder ``model`` of the npm package ``@vladmandic/face-api``, also how much older real faces are read than a
network sees them that learnt from real faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from anonymizer import Anonymizer, Config, Faces, Frames
from anonymizer.audition import beyond
from anonymizer.face_model import features
from anonymizer.generate.age_gender import SIZE, AgeGender, load
from anonymizer.generate.attributes import crops
from anonymizer.generate.base import Persona
from anonymizer.generate.likeness import load_likeness
from anonymizer.generate.looks import Gender, Look
from anonymizer.generate.personas import SKETCH, Studio, stills, whole_pictures
from anonymizer.identity import Recognizer
from anonymizer.jury import Jury, distances, normalized
from anonymizer.mesh import MeshEstimator
from anonymizer.traits import CERTAIN, TRAITS, TraitReader
from pipelines.identities import batches, people_in
from pipelines.views import nearest

CPU = torch.device("cpu")
FIRST, BATCH = 3_000_000, 8  # seed of the first persona: of people to whom nothing was fitted; portraits drawn together
AGES = (25.0, 37.0, 52.0, 66.0)


def shown(paths: Sequence[Path], anonymizer: Anonymizer) -> Iterator[tuple[Frames, Faces]]:
    """Photographs, and the face in the middle of each; nobody where there is none."""
    for frames in batches(paths, 1):
        faces = anonymizer.inspect(frames)
        yield frames, faces[nearest(faces, frames).clamp(min=0)] if len(faces) else faces


def people(paths: Sequence[Path], anonymizer: Anonymizer, recognizer: Recognizer, jury: Jury) -> tuple[Tensor, Tensor]:
    """``normalized`` embeddings ``(P, 256)`` and ``TRAITS`` ``(P, 4)`` of whom photographs show; NaN for nobody."""
    reader, looks, traits = TraitReader((), recognizer), [], []
    for frames, face in shown(paths, anonymizer):
        looks.append(normalized(jury.embed(frames, face)) if len(face) else torch.full((1, 256), torch.nan))
        traits.append(reader.measure(frames, face) if len(face) else torch.full((1, len(TRAITS)), torch.nan))
    return torch.cat(looks), torch.cat(traits)


def years(paths: Sequence[Path], anonymizer: Anonymizer, network: AgeGender) -> Tensor:
    """Apparent ages ``(P,)``; NaN where nobody is."""
    estimator, ages = MeshEstimator(CPU), []
    for frames, face in shown(paths, anonymizer):
        points = estimator.estimate(frames, face).points[..., :2]
        picture = frames.pixels.permute(0, 3, 1, 2).float() / 255
        ages.append(network(crops(picture, points, SIZE))[0, 0] if len(face) else torch.tensor(torch.nan))
    return torch.stack(ages)


def personas(count: int, jury: Jury) -> tuple[Tensor, Tensor]:
    """``normalized`` embeddings ``(N, 256)`` of people who do not exist, as guessed, and of their portraits."""
    studio = Studio(CPU, MeshEstimator(CPU), Config().generate.truncation, BATCH)
    guessed, drawn = [], []
    for start in range(0, count, BATCH):
        some = [persona(number) for number in range(start, min(count, start + BATCH))]
        portraits = studio.at_rest(some)
        points = torch.stack([portrait.points for portrait in portraits])
        faces = replace(whole_pictures(len(some), SKETCH), landmarks=features(points))
        frames = stills(torch.stack([portrait.pixels for portrait in portraits]))
        guessed.append(load_likeness().guess(studio.styles(some)))
        drawn.append(normalized(jury.embed(frames, faces)))
    return torch.cat(guessed), torch.cat(drawn)


def persona(number: int) -> Persona:
    """One of all ages and genders in turn."""
    gender: Gender = "man" if number % 2 else "woman"
    return Persona(FIRST + number, Look(age=AGES[number // 2 % len(AGES)], gender=gender).attributes)


def correlation(a: Tensor, b: Tensor) -> float:
    """Of two equally long vectors."""
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--people", "count", type=int, help="At most so many; all by default.")
@click.option("--personas", "drawn", default=200)
@click.option("--ages", type=click.Path(exists=True, file_okay=False, path_type=Path))
@torch.inference_mode()
def main(folder: Path, count: int | None, drawn: int, ages: Path | None) -> None:
    """Measure with photographs in FOLDER."""
    anonymizer, recognizer = Anonymizer(Config()), Recognizer(CPU)
    jury = Jury(recognizer, CPU)
    known = [person for person in people_in(folder, count) if person.gallery]
    looks, one = people([person.probe for person in known], anonymizer, recognizer, jury)
    _, other = people([person.gallery for person in known if person.gallery], anonymizer, recognizer, jury)
    looks = looks[looks.isfinite().all(1)]
    guessed, shown = personas(drawn, jury)
    told, measured = (distances(looks[:, None], faces) for faces in (guessed, shown))
    alike = [
        sum(correlation(*pair) for pair in zip(guesses, found, strict=True)) / len(looks)
        for guesses, found in zip(told.unbind(2), measured.unbind(2), strict=True)
    ]
    click.echo(f"{len(told)} people and {drawn} personas: guessed and measured distances to a person correlate by")
    click.echo(f"{alike[0]:.2f} to dlib's, {alike[1]:.2f} to SFace;")
    click.echo(f"of the guesses {(beyond(guessed, looks[:, None]) >= 0).float().mean():.0%} are unlike to both")
    both = one.isfinite()[:, 0] & other.isfinite()[:, 0]
    (man, age), (man_then, age_then) = (
        (read[both, TRAITS.index("man")], read[both, TRAITS.index("age")]) for read in (one, other)
    )
    sure, same = (man.abs() >= CERTAIN) & (man_then.abs() >= CERTAIN), (man * man_then > 0).float()
    click.echo(f"two photographs of {len(man)} people: gender alike in {same.mean():.1%}, and where both are sure")
    click.echo(
        f"({sure.float().mean():.0%}) in {same[sure].mean():.1%}; ages correlate by {correlation(age, age_then):.2f}"
    )
    if ages:
        seen = years([person.probe for person in known], anonymizer, load(ages))
        for name, some in (("women", one[:, TRAITS.index("man")] < 0), ("men", one[:, TRAITS.index("man")] > 0)):
            clear = some & seen.isfinite()
            read = one[clear, TRAITS.index("age")]
            more = (read - seen[clear]).mean()
            click.echo(f"{name}, {len(read)}: read as {read.mean():.0f} years old on average, {more:.0f} more than")
            click.echo(f"face-api sees; correlation {correlation(read, seen[clear]):.2f}")


if __name__ == "__main__":
    main()
