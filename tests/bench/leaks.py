"""Is any face still there? ``python tests/bench/leaks.py ORIGINALS ANONYMIZED``: two folders with the same videos.

MTCNN, which the default settings do not use, looks for faces in every n-th frame of each original; each of them has to
have changed. Also compares times and sound, and counts frames in which a face is still found, by MTCNN and CenterFace.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
import click
import torch
from torch import Tensor

from anonymizer import DetectConfig, Faces, Frames
from anonymizer.detect import DETECTORS, Detector
from anonymizer.media import VideoReader

SCORE, HEIGHT = 0.5, 20  # of faces that count
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


def look(detector: Detector, frames: Frames) -> Faces:
    """The faces that count."""
    found = detector.detect(frames)
    return found[(found.scores >= SCORE) & (found.sizes[:, 1] >= HEIGHT)]


def compare(original: Path, result: Path, detectors: dict[str, Detector], step: int) -> Counter[str]:
    """Counts of one video."""
    counts: Counter[str] = Counter()
    same_times = True
    with VideoReader(original) as one, VideoReader(result) as two:
        for before, after in zip(one.batches(step), two.batches(step), strict=True):
            same_times &= before.times == after.times
            for name, detector in detectors.items():
                faces = look(detector, before[:1])
                counts[f"{name} before"] += len(faces) > 0
                counts[f"{name} after"] += len(faces) > 0 and len(look(detector, after[:1])) > 0
                if name == "mtcnn":
                    boxes = faces.boxes.tolist()
                    counts["faces"] += len(boxes)
                    counts["unchanged"] += sum(unchanged(before.pixels[0], after.pixels[0], box) for box in boxes)
    counts["other times"] = not same_times
    counts["other sound"] = sound(original) != sound(result)
    return counts


@click.command()
@click.argument("originals", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("anonymized", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--step", default=6, help="Look at every n-th frame.")
def main(originals: Path, anonymized: Path, step: int) -> None:
    """Compare the videos of two folders, name by name."""
    cpu = torch.device("cpu")
    detectors = {name: DETECTORS[name](DetectConfig(), cpu) for name in ("mtcnn", "centerface")}
    total: Counter[str] = Counter()
    for original in sorted(originals.iterdir()):
        counts = compare(original, anonymized / original.name, detectors, step)
        click.echo(f"{original.name}: {dict(counts)}")
        total += counts
    click.echo(f"all: {dict(total)}")


if __name__ == "__main__":
    main()
