"""Is any face still there? ``python tests/bench/leaks.py ORIGINALS ANONYMIZED``: two folders with the same videos.

MTCNN, which the default settings do not use, and CenterFace look for faces in every n-th frame of each original; each
of them has to have changed. Of what has not, only that which both are sure of counts as a leak; a single detector also
sees faces in walls, and the rest is listed for eyes. Also compares times and sound, and counts frames in which a face
is still found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import click
import torch
from torch import Tensor

from anonymizer import DetectConfig, Faces, Frames
from anonymizer.detect import DETECTORS, Detector
from anonymizer.geometry import box_iou
from anonymizer.media import VideoReader

SCORE, HEIGHT = 0.5, 20  # of faces that count
OVERLAP = 0.3  # intersection over union from which two boxes are the same face
CHANGE, LIKENESS = 6.0, 0.97  # levels of grey, correlation: less change and more likeness than that is no change


def middle(pixels: Tensor, box: list[float]) -> Tensor:
    """The grey values between eyes and mouth of a face."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    rows = slice(max(0, int(y0 + 0.25 * height)), int(y1 - 0.2 * height))
    columns = slice(max(0, int(x0 + 0.25 * width)), int(x1 - 0.25 * width))
    return pixels[rows, columns].float().mean(2).flatten()


def unchanged(before: Tensor, after: Tensor, box: list[float]) -> bool:
    """Whether the face in ``box`` is still the same."""
    a, b = middle(before, box), middle(after, box)
    if not len(a):
        return False
    likeness = torch.corrcoef(torch.stack([a, b]))[0, 1]
    return bool((a - b).abs().mean() < CHANGE and not likeness <= LIKENESS)


def sound(path: Path) -> list[tuple[bytes, object]]:
    """All packets of sound: bytes and times."""
    with av.open(str(path)) as container:
        packets = container.demux(*container.streams.audio) if container.streams.audio else []
        return [(bytes(packet), packet.pts * packet.time_base) for packet in packets if packet.size]


def detectors() -> dict[str, Detector]:
    """Those that look for faces, by name."""
    return {name: DETECTORS[name](DetectConfig(), torch.device("cpu")) for name in ("mtcnn", "centerface")}


def look(detector: Detector, frames: Frames) -> Faces:
    """The faces that are large enough."""
    found = detector.detect(frames)
    return found[found.sizes[:, 1] >= HEIGHT]


def finds(found: dict[str, Faces]) -> Iterator[tuple[list[float], dict[str, float]]]:
    """The faces of one frame that any detector is sure of, each once: box, and score by detector."""
    known = torch.zeros(0, 4)
    for name, faces in found.items():
        sure = faces[(faces.scores >= SCORE) & ~(box_iou(faces.boxes, known) > OVERLAP).any(1)]
        for row, box in enumerate(sure.boxes):
            others = {other: same(box, found[other]) for other in found if other != name}
            yield box.tolist(), {name: float(sure.scores[row]), **others}
        known = torch.cat([known, sure.boxes])


def same(box: Tensor, faces: Faces) -> float:
    """The highest score of a face in that place, or 0."""
    return max(faces.scores[box_iou(box[None], faces.boxes)[0] > OVERLAP].tolist(), default=0.0)


def compare(original: Path, result: Path, detectors: dict[str, Detector], step: int) -> Counter[str]:
    """Counts of one video; what is unchanged is also listed."""
    counts: Counter[str] = Counter()
    same_times = True
    with VideoReader(original) as one, VideoReader(result) as two:
        for index, (before, after) in enumerate(zip(one.batches(step), two.batches(step), strict=True)):
            same_times &= before.times == after.times
            found = {name: look(detector, before[:1]) for name, detector in detectors.items()}
            for name, faces in found.items():
                counts[f"{name} before"] += is_there(faces)
                counts[f"{name} after"] += is_there(faces) and is_there(look(detectors[name], after[:1]))
            for box, scores in finds(found):
                counts["faces"] += 1
                counts["faces of both"] += min(scores.values()) >= SCORE
                if unchanged(before.pixels[0], after.pixels[0], box):
                    kind = "unchanged" if min(scores.values()) >= SCORE else "to look at"
                    counts[kind] += 1
                    click.echo(f"{kind}: {original.name}, frame {step * index}, {describe(box, scores)}")
    counts["other times"] = not same_times
    counts["other sound"] = sound(original) != sound(result)
    return counts


def is_there(faces: Faces) -> bool:
    return bool((faces.scores >= SCORE).any())


def describe(box: list[float], scores: dict[str, float]) -> str:
    return f"box {[round(side) for side in box]}, " + ", ".join(f"{name} {score:.2f}" for name, score in scores.items())


@click.command()
@click.argument("originals", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("anonymized", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--step", default=6, help="Look at every n-th frame.")
def main(originals: Path, anonymized: Path, step: int) -> None:
    """Compare the videos of two folders, name by name."""
    both, total = detectors(), Counter[str]()
    for original in sorted(originals.iterdir()):
        counts = compare(original, anonymized / original.name, both, step)
        click.echo(f"{original.name}: {dict(counts)}")
        total += counts
    click.echo(f"all: {dict(total)}")


if __name__ == "__main__":
    main()
