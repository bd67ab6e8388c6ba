"""Is skin in the shade taken for something before the face? ``python tests/bench/shadows.py FOLDER``

Half of each face of 60 pixels or more in the photographs of FOLDER, and what is around it, is made darker, with a hard
edge through the nose. Prints what shows of the real face through the new one: the share of all of it, where hair and
hands may be; and of the nose and of the lips, on average and at most.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor

from anonymizer import Anonymizer, Config, Frames, geometry
from anonymizer.media.image import read_image
from anonymizer.networks.occlusion_net import SIZE
from anonymizer.occlusion import LIPS, NOSE, outlines, to_crop_of, visible
from anonymizer.trust import Belief
from pipelines.images import as_frames
from pipelines.inputs import Kind, find

LIGHTS = (1.0, 0.5, 0.25, 0.1)  # what is left of it
SMALLEST = 60.0  # pixels
TIP = 4  # of the nose, a point of the mesh


def halved(frames: Frames, belief: Belief, light: float) -> Frames:
    """The left half of each face in the shade."""
    pixels = frames.pixels.clone()
    for box, tip in zip(belief.faces.boxes, belief.meshes.points[:, TIP, 0].int().tolist(), strict=True):
        x0, y0, x1, y1 = box.int().tolist()
        reach = (x1 - x0) // 2
        part = (0, slice(max(y0 - reach, 0), y1 + reach), slice(max(x0 - reach, 0), max(tip, 0)))
        pixels[part] = (frames.pixels[part] * light).to(pixels.dtype)
    return replace(frames, pixels=pixels)


def shown(belief: Belief) -> Tensor:
    """Shares of faces, noses and lips ``(N, 3)`` that show."""
    rows = torch.arange(len(belief.faces))
    points, through = belief.meshes.points, visible(belief, rows)
    flat = geometry.apply_affine(to_crop_of(points), points[..., :2])
    face, at = outlines(flat, SIZE), geometry.sample(through, flat / SIZE)[:, 0]
    whole = (through * face).sum((1, 2, 3)) / face.sum((1, 2, 3)).clamp(min=1)
    return torch.stack([whole, at[:, NOSE].mean(1), at[:, LIPS].mean(1)], dim=1)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@torch.inference_mode()
def main(folder: Path) -> None:
    """Measure with photographs in FOLDER."""
    anonymizer = Anonymizer(Config())
    observer = anonymizer._observer
    assert observer
    assert observer._occlusion
    found: dict[float, list[Tensor]] = {light: [] for light in LIGHTS}
    for source in find([folder]).sources:
        if source.kind is not Kind.PHOTO:
            continue
        frames = as_frames(read_image(source.path))
        faces = anonymizer.inspect(frames)
        belief = observer.observe(frames, faces[faces.sizes.amin(1) >= SMALLEST])
        belief = belief.of(belief.usable.nonzero()[:, 0])
        for light, parts in found.items() if len(belief.faces) else ():
            bare = replace(belief, before=torch.zeros_like(belief.before))
            before = observer._occlusion.estimate(halved(frames, bare, light), bare)
            parts.append(shown(replace(bare, before=before)))
    for light, parts in found.items():
        shares = torch.cat(parts)
        mean, most = (", ".join(f"{share:.1%}" for share in row) for row in (shares.mean(0), shares.amax(0)))
        click.echo(f"{len(shares)} faces, half in {light:.0%} of the light: face, nose, lips {mean}; at most {most}")


if __name__ == "__main__":
    main()
