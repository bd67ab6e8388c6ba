"""Trains the network that sees what hides a face: ``occlusion.safetensors``.

``python -m anonymizer.generate.fit_occlusion PORTRAITS.safetensors``; PORTRAITS come from ``sample_portraits``. Hands,
hair, glasses and other things are painted before these faces (see ``occluders``); their own hair is where ``hairline``
finds it. Then the pictures are made as bad as real ones. Half an hour on a CPU with two cores; a second run goes on.
Prints, on faces that were left out, how much of what is hidden is seen, by kind, and how much of what is not is taken
for hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anonymizer import geometry
from anonymizer.generate import attributes, occluders
from anonymizer.generate.hairline import hair_before
from anonymizer.generate.spoil import degrade, relight
from anonymizer.generate.training import Samples, descend
from anonymizer.mesh import crop_of_mesh
from anonymizer.networks.occlusion_net import SIZE, OcclusionNet
from anonymizer.occlusion import SURE, to_crop_of

BATCH, STEPS, RATE = 16, 4000, 4e-3
LEFT_OUT = 16  # every how many of the faces is left out
KEPT = 250  # steps after which the network is kept
WORKERS = 1  # processes that paint
FIRST, TESTED = 1_000_000, 5_000_000  # seeds of what is trained on and of what is tested with
NOTHING = -1  # in place of a kind of thing
BARE = 0.3  # share of faces before which there is nothing
WRONGLY = 3.0  # how much worse it is to take skin for something before it than the other way round
CHEEKS, MOUTH = [50, 280, 101, 330, 205, 425, 118, 347], [61, 291]  # points of the mesh
FEATURES = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 33, 263, 205, 425, 61, 291]
ALIKE = 0.2  # distance of colours, of sqrt(3), within which they may be those of one skin
SUSPECT = 0.85  # share of the portraits beyond which they are most like people with glasses, or a fringe
SHADED = 0.4  # share of faces that are in the shade in part
DARKEST, STEEP = (0.06, 0.9), (0.0, 4.5)  # what is left of the light, and the logarithm of how hard the edge is
PART = 100  # portraits that are looked at together
TURN, MOVE, SCALE = 0.12, 0.06, 0.1  # by which meshes may be off: radians, sides, logarithm


def example(portraits: Samples, row: int, seed: int, kind: int | None = None) -> tuple[Tensor, ...]:
    """A crop ``(3, SIZE, SIZE)``; how far each pixel is hidden by what is painted, and by hair; which pixels count
    and which are of the face: ``(1, SIZE, SIZE)`` each.

    Args:
        portraits: see ``sample_portraits``.
        row: whose face.
        seed: decides what hides it, and what a bad camera does.
        kind: of the thing before it, a place in ``occluders.KINDS``, or ``NOTHING``; by default any, or none.
    """
    chance, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    other = int(chance.integers(len(portraits["points"])))
    faces = [portraits["pixels"][index].permute(1, 2, 0).float().div(255).numpy() for index in (row, other)]
    points = [portraits["points"][index, :, :2].numpy() for index in (row, other)]
    scene = occluders.Scene(faces[0], points[0], faces[1], points[1])
    if kind == NOTHING or (kind is None and chance.random() < BARE):
        shown, hidden = scene.picture, np.zeros(scene.picture.shape[:2], np.float32)
    else:
        shown, hidden = occluders.hide(scene, chance, kind)
    shown = shaded(shown, chance)
    hair, told = portraits["hair"][row].numpy() / np.float32(255)
    face = _hull(scene)
    known = np.maximum(told if told.any() else _skin(scene), hidden * face)
    layers = torch.from_numpy(np.dstack([shown, hidden, hair, known, face])).permute(2, 0, 1)
    crop = _crop(layers, portraits["points"][row], chance)
    if chance.random() < 0.5:
        crop = crop.flip(2)
    picture = degrade(relight(crop[None, :3], generator)[0], generator)
    if chance.random() < 0.1:
        picture = picture.mean(0, keepdim=True).expand(3, -1, -1)
    return picture, crop[3:4], crop[4:5], *(crop[5:, None] > 0.5).float()


def _hull(scene: occluders.Scene, points: Sequence[int] | slice = slice(None)) -> occluders.Picture:
    """The mask of what lies between points of the mesh."""
    mask: occluders.Picture = np.zeros(scene.picture.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(scene.points[points]).astype(np.int32)), 1.0)
    return mask


def _skin(scene: occluders.Scene) -> occluders.Picture:
    """Where the mesh is, but not what may be hair of the portrait's own: above the mouth, around the features, of
    another colour than the cheeks.
    """
    x, y = np.round(scene.points[CHEEKS]).astype(int).clip(0, scene.size - 1).T
    other = np.linalg.norm(scene.picture - np.median(scene.picture[y, x], axis=0), axis=2) > ALIKE
    other[int(scene.points[MOUTH, 1].mean()) :] = False
    features = cv2.dilate(_hull(scene, FEATURES), np.ones((9, 9)))
    skin: occluders.Picture = _hull(scene) * ~(other & (features == 0))
    return skin


def shaded(picture: occluders.Picture, chance: np.random.Generator) -> occluders.Picture:
    """Often a part of it in the shade, with an edge between soft and hard, straight or not: that is no hair."""
    if chance.random() > SHADED:
        return picture
    size, angle, darkest = len(picture), chance.uniform(0, 2 * np.pi), chance.uniform(*DARKEST)
    y, x = np.mgrid[:size, :size] / size - 0.5
    wave = chance.uniform(0, 0.1) * cv2.resize(
        chance.uniform(-1, 1, (5, 5)), (size, size), interpolation=cv2.INTER_CUBIC
    )
    across = x * np.cos(angle) + y * np.sin(angle) + wave + chance.uniform(-0.25, 0.25)
    share = (0.5 + across * np.exp(chance.uniform(*STEEP))).clip(0, 1)
    dimmed: occluders.Picture = (picture * (1 - (1 - darkest) * share[..., None])).astype(np.float32)
    return dimmed


def with_hair(portraits: Samples) -> Samples:
    """Portraits with their own ``hair (N, 2, S, S)`` uint8 at the rim of the face: how surely, and where that is told.

    Without some: those most like people with glasses, or with hair over the forehead of which nothing is told.
    """
    size, hair, glasses, fringe = portraits["pixels"].shape[-1], [], [], []
    for pixels, points in zip(portraits["pixels"].split(PART), portraits["points"].split(PART), strict=True):
        to_crop = to_crop_of(points)
        crops = geometry.cut_patches(pixels.permute(0, 2, 3, 1), torch.arange(len(points)), to_crop, SIZE)
        found = torch.cat(hair_before(crops, geometry.apply_affine(to_crop, points[..., :2])), dim=1)
        hair.append((geometry.moved(found, to_crop, size) * 255).round().byte())
        smooth = F.avg_pool2d(pixels.float() / 255, 3, 1, 1)
        glasses.append(attributes.glasses(smooth, points[..., :2]))
        fringe.append(attributes.fringe(smooth, points[..., :2]))
    portraits = portraits | {"hair": torch.cat(hair)}
    untold = ~(portraits["hair"][:, 1] > 0).flatten(1).any(1)
    framed, hung = (values > values.quantile(SUSPECT) for values in map(torch.cat, (glasses, fringe)))
    return {name: value[~(framed | (untold & hung))] for name, value in portraits.items()}


def _crop(layers: Tensor, points: Tensor, chance: np.random.Generator) -> Tensor:
    """What ``layers (C, S, S)`` show around a mesh that is a little off."""
    centre, side, angle = crop_of_mesh(points[None])
    moved = centre + torch.tensor(chance.uniform(-MOVE, MOVE, (1, 2)), dtype=torch.float32) * side
    side = side * float(np.exp(chance.uniform(-SCALE, SCALE)))
    from_patch = geometry.invert_affine(
        geometry.square_to_patch(moved, side, angle + float(chance.uniform(-TURN, TURN)), SIZE)
    )
    return geometry.moved(layers[None], from_patch, SIZE)[0]


def batch(portraits: Samples, rows: Tensor, seed: int, kind: int | None = None) -> list[Tensor]:
    """Examples of ``rows``, stacked."""
    examples = [example(portraits, int(row), seed + place, kind) for place, row in enumerate(rows)]
    return [torch.stack(column) for column in zip(*examples, strict=True)]


class Batches(Dataset[list[Tensor]]):
    """What is trained on, by step."""

    def __init__(self, portraits: Samples, steps: range) -> None:
        self._portraits, self._steps = portraits, steps

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, place: int) -> list[Tensor]:
        step = self._steps[place]
        chosen = torch.randint(len(self._portraits["points"]), (BATCH,), generator=torch.Generator().manual_seed(step))
        return batch(self._portraits, chosen, FIRST + step * BATCH)


def train(portraits: Samples, kept: Path, steps: int) -> OcclusionNet:
    """A network, trained on the portraits; goes on from what is ``kept``."""
    torch.manual_seed(0)
    network = OcclusionNet()

    def batches(part: range) -> DataLoader[list[Tensor]]:
        return DataLoader(Batches(portraits, part), batch_size=None, num_workers=WORKERS)

    def loss(shown: list[Tensor]) -> Tensor:
        pictures, things, hair, known, _ = shown
        hidden = torch.maximum(things, hair)
        weight = known * (hidden + (1 - hidden) * WRONGLY)
        error = F.binary_cross_entropy_with_logits(network(pictures), hidden, weight, reduction="sum")
        return error / weight.sum()

    descend(network, batches, loss, steps=steps, rate=RATE, kept=kept, every=KEPT, steepest=1.0)
    return network.eval().requires_grad_(False)


def report(network: OcclusionNet, portraits: Samples) -> None:
    """Print what is seen of what was painted, where the network is as sure as ``occlusion`` wants it to be."""
    rows = torch.arange(len(portraits["points"]))
    for place, name in (*enumerate(kind.__name__ for kind in occluders.KINDS), (NOTHING, "own hair")):
        pictures, things, hair, known, face = batch(portraits, rows, TESTED, place)
        counts = (known > 0) & (face > 0)
        said, real = (network(pictures).sigmoid() > SURE) & counts, (hair if place == NOTHING else things) > 0.9
        bare = (F.max_pool2d(torch.maximum(things, hair), 5, 1, 2) < 0.1) & counts
        seen, wrong = (said & real).sum() / (counts & real).sum(), (said & bare).sum() / bare.sum()
        click.echo(f"{name:12} seen {seen:.1%}; skin further than two pixels away taken for it {wrong:.2%}")


@click.command()
@click.argument("portraits", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--steps", default=STEPS)
def main(portraits: Path, steps: int) -> None:
    """Train on PORTRAITS and write the network into the package; beside them is kept what a second run goes on from."""
    drawn = with_hair(safetensors.torch.load_file(portraits))
    left_out = torch.arange(len(drawn["points"])) % LEFT_OUT == 0
    shown, others = ({name: value[rows] for name, value in drawn.items()} for rows in (~left_out, left_out))
    network = train(shown, portraits.with_suffix(".training"), steps)
    report(network, others)
    safetensors.torch.save_file(network.half().state_dict(), Path(__file__).parents[1] / "occlusion.safetensors")


if __name__ == "__main__":
    main()
