"""What labels gain: ``python tests/bench/labels.py PHOTOS``, a folder of photographs with many people in each.

Both detectors look for faces in every photograph at its full size, tile by tile; what both are sure of counts, and
stands for labels: of the face itself, and of a person three heads wide and seven high. Then the photograph is reduced,
and the default detector looks for the same faces, without labels, with those of people, and with those of faces.
``--keep`` writes the reduced photographs and a COCO file, to run the command on.
"""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anonymizer import PRESETS, Config, Evidence, Faces, Frames
from anonymizer.detect import DETECTORS, Detector
from anonymizer.evidence import find
from anonymizer.geometry import box_iou

SCORE = 0.35  # from which faces count, of either detector
OVERLAP = 0.3  # intersection over union from which two boxes are the same face


def as_frames(picture: Image.Image) -> Frames:
    return Frames(torch.from_numpy(np.array(picture.convert("RGB")))[None], (Fraction(0),))


def sure(strong: dict[str, Detector], frames: Frames) -> Tensor:
    """Boxes ``(N, 4)`` of the faces that both detectors see."""
    one, other = (detector.detect(frames) for detector in strong.values())
    one, other = one[one.scores >= SCORE], other[other.scores >= SCORE]
    return one.boxes[(box_iou(one.boxes, other.boxes) > OVERLAP).any(1)]


def people(faces: Tensor, width: int, height: int) -> Tensor:
    """Boxes ``(N, 4)`` of the whole people, as far as the picture shows them."""
    x0, y0, x1, y1 = faces.unbind(1)
    wide, high = x1 - x0, y1 - y0
    whole = torch.stack([x0 - 0.9 * wide, y0 - 0.25 * high, x1 + 0.9 * wide, y0 + 6.5 * high], dim=1)
    return whole.clamp(min=0).minimum(torch.tensor([width, height, width, height]))


def missed(found: Faces, faces: Tensor) -> int:
    return int((~(box_iou(faces, found.boxes) > OVERLAP).any(1)).sum())


def elsewhere(found: Faces, faces: Tensor) -> int:
    """Finds where no face is known: false ones, and faces that only one detector sees."""
    return int((~(box_iou(found.boxes, faces) > OVERLAP / 2).any(1)).sum())


def keep(folder: Path, pictures: dict[str, tuple[Image.Image, Tensor, Tensor]]) -> None:
    """Write photographs and a COCO file of the faces (1) and people (2) in them."""
    folder.mkdir(parents=True, exist_ok=True)
    images, boxes = [], []
    for number, (name, (picture, faces, whole)) in enumerate(pictures.items()):
        picture.save(folder / name, quality=95)
        images.append({"id": number, "file_name": name, "width": picture.width, "height": picture.height})
        for kind, corners in ((1, faces), (2, whole)):
            for x0, y0, x1, y1 in corners.tolist():
                boxes.append({"image_id": number, "category_id": kind, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    names = [{"id": 1, "name": "face"}, {"id": 2, "name": "person"}]
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": names}))


@click.command()
@click.argument("photos", type=click.Path(exists=True, path_type=Path))
@click.option("--reduce", "scales", multiple=True, type=float, default=(2, 3, 4, 6), show_default=True)
@click.option("--keep", "target", type=click.Path(path_type=Path))
def main(photos: Path, scales: tuple[float, ...], target: Path | None) -> None:
    cpu, thorough = torch.device("cpu"), PRESETS["thorough"].detect
    strong = {name: DETECTORS[name](thorough, cpu) for name in ("centerface", "mtcnn")}
    config = Config().detect
    detector = DETECTORS[config.detector](config, cpu)
    originals = {path.name: Image.open(path).convert("RGB") for path in sorted(photos.glob("*.jpg"))}
    truth = {name: sure(strong, as_frames(picture)) for name, picture in originals.items()}
    click.echo("reduced  faces  labels    missed  covered  elsewhere")
    for scale in scales:
        counts: dict[str, Counter[str]] = {"ignored": Counter(), "people": Counter(), "faces": Counter()}
        reduced = {}
        for name, picture in originals.items():
            small = picture.resize((round(picture.width / scale), round(picture.height / scale)), Image.Resampling.BOX)
            faces = truth[name] / scale
            whole = people(faces, *small.size)
            reduced[name] = small, faces, whole
            no, yes = [False] * len(faces), [True] * len(faces)
            told = (Evidence.none(), Evidence.of_picture(whole.tolist(), no), Evidence.of_picture(faces.tolist(), yes))
            for count, evidence in zip(counts.values(), told, strict=True):
                found, covered = find(detector, as_frames(small), evidence, config.threshold)
                count.update(
                    faces=len(faces),
                    missed=missed(found, faces),
                    covered=len(covered),
                    elsewhere=elsewhere(found, faces),
                )
        for name, count in counts.items():
            click.echo(
                f"1/{scale:<6g}{count['faces']:6}  {name:8}"
                f"{count['missed']:8}{count['covered']:9}{count['elsewhere']:11}"
            )
        if target:
            keep(target / f"{scale:g}", reduced)


if __name__ == "__main__":
    main()
