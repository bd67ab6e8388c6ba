"""Fits the two small sets of arrays that the package ships, on faces drawn from its own generator.

``python -m anonymizer.generate.fit FACES.safetensors --count 2400`` draws faces (about half a second each on a
CPU; run it again to resume), measures them with the face mesh, and writes ``face_model.safetensors`` and
``generate/condition.safetensors`` into the package. Prints how well every condition is held on faces left out.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click
import safetensors.torch
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay
from torch import Tensor

from anonymizer import face_model, geometry, weights
from anonymizer.batches import MESH_POINTS, Frames
from anonymizer.face_model import LEFT_EYE, OVAL, RIGHT_EYE, FaceModel
from anonymizer.generate.condition import CONDITIONS, FLAWS, Condition
from anonymizer.generate.personas import whole_pictures
from anonymizer.mesh import MeshEstimator

COMPONENTS, RIDGE = 128, 100.0
ACCEPTED = torch.tensor([0.25, 0.5, 0.5, 0.4])  # quantile of each flaw that a persona may have
CHIN = 152
FOREHEAD = [10, 338, 297, 332, 109, 67, 103, 151, 108, 337, 69, 299, 104, 333]
CHEEKS = [50, 280, 101, 330, 205, 425, 118, 347, 6, 197]
BEARD = [164, 167, 393, 165, 391, 199, 200, 175, 194, 418, 211, 431, 138, 367]
MIRROR = torch.tensor([-1.0, 1.0, 1.0])


def draw(count: int, start: int) -> dict[str, Tensor]:
    """Styles ``w (N, 512)`` and meshes ``points (N, 468, 3)`` of random faces, seeds ``start`` onwards."""
    mapping, synthesis = weights.load("mapping"), weights.load("synthesis")
    estimator = MeshEstimator(torch.device("cpu"))
    with torch.inference_mode():
        centre = mapping(torch.randn(4096, 512, generator=torch.Generator().manual_seed(0))).mean(0)
        styles, meshes, flaws = [], [], []
        for seed in range(start, start + count):
            generator = torch.Generator().manual_seed(seed + 1)
            spread = 0.6 + 0.4 * torch.rand(1, generator=generator)
            w = centre + spread * (mapping(torch.randn(1, 512, generator=generator)) - centre)
            picture = torch.nn.functional.avg_pool2d(synthesis(w), 2)
            pixels = ((picture + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
            frames = Frames(pixels, (Fraction(0),))
            points = estimator.estimate(frames, whole_pictures(1, 512)).points
            small = torch.nn.functional.avg_pool2d((picture + 1) / 2, 2).clamp(0, 1)
            flaws.append(measure_flaws(small, points[..., :2] / 2))
            meshes.append(points * 2)
            styles.append(w)
    return {
        "w": torch.cat(styles),
        "points": torch.cat(meshes),
        "flaws": torch.cat(flaws),
        "centre": centre,
    }


def measure_flaws(pictures: Tensor, points: Tensor) -> Tensor:
    """How far pictures show the first three ``FLAWS``, ``(N, 3)``; the units do not matter.

    Args:
        pictures: ``(N, 3, 256, 256)`` in 0..1.
        points: ``(N, 468, 2)`` in pixels.
    """
    smooth = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1)
    skin = colours(smooth, points[:, CHEEKS]).median(1, keepdim=True).values
    fringe = ((colours(smooth, points[:, FOREHEAD]) - skin).norm(dim=2).mean(1) + 0.01).log()
    beard = (skin - colours(smooth, points[:, BEARD])).mean((1, 2))
    edges = (smooth[:, :, 2:] - smooth[:, :, :-2]).abs().mean(1, keepdim=True)
    top, bottom = points[:, 9], points[:, 195]
    aside = points[:, 362] - points[:, 133]
    down = torch.linspace(0.15, 0.85, 24)[None, :, None]
    bridge = [top[:, None] + (bottom - top)[:, None] * down + aside[:, None] * share for share in (-0.25, 0, 0.25)]
    frame = torch.stack([colours(edges, line - torch.tensor([0.0, 1.0])) for line in bridge])
    glasses = (frame.median(0).values.amax((1, 2)) + 0.01).log()
    return torch.stack([fringe, glasses, beard], dim=1)


def colours(pictures: Tensor, where: Tensor) -> Tensor:
    """Values ``(N, P, C)`` of ``pictures (N, C, H, W)`` at ``where (N, P, 2)``, in pixels."""
    size = torch.tensor([pictures.shape[3], pictures.shape[2]])
    grid = (where / size * 2 - 1)[:, :, None]
    found = torch.nn.functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return found[..., 0].transpose(1, 2)


def mirror_order(mean: Tensor) -> Tensor:
    """Which point of ``mean (468, 3)`` is the mirror image of which."""
    for _ in range(3):
        _, order = linear_sum_assignment(torch.cdist(mean * MIRROR, mean).numpy())
        order = torch.from_numpy(order)
        mean = (mean + mean[order] * MIRROR) / 2
    return order


def mean_face(points: Tensor) -> tuple[Tensor, Tensor]:
    """Generalised Procrustes analysis of meshes and their mirror images: mean ``(468, 3)``, shapes ``(2N, 468, 3)``."""
    even = torch.ones(MESH_POINTS)
    mean = points.mean(0) - points.mean((0, 1))
    order = mirror_order(mean / 250)
    both = torch.cat([points, (points * MIRROR)[:, order]])
    for _ in range(12):
        rotation, scale, shift = geometry.fit_similarity(mean, both, even)
        shapes = ((both - shift[:, None]) @ rotation) / scale[:, None, None]
        mean = shapes.mean(0)
        mean = (mean + mean[order] * MIRROR) / 2
        left, right = mean[list(LEFT_EYE)].mean(0), mean[list(RIGHT_EYE)].mean(0)
        mean = (mean - (left + right) / 2) / (left - right).norm()
    rotation, scale, shift = geometry.fit_similarity(mean, both, even)
    return mean, ((both - shift[:, None]) @ rotation) / scale[:, None, None]


def fit_face_model(points: Tensor) -> FaceModel:
    """Mean, expressions, triangles and outline from meshes ``(N, 468, 3)``."""
    mean, shapes = mean_face(points)
    lengths = face_model.measure_expression(shapes)[:, : face_model.LINEAR]
    centred = lengths - lengths.mean(0)
    moves = (shapes - mean).flatten(1)
    gram = centred.T @ centred
    gram += torch.diag(gram.diagonal() / len(lengths))
    expressions = torch.linalg.solve(gram, centred.T @ moves).reshape(-1, MESH_POINTS, 3)
    wide_open = face_model.extend_outline((mean + 0.25 * expressions[0])[None], 1)[0]
    triangles = torch.from_numpy(Delaunay(wide_open[:, :2].numpy()).simplices).long()
    a, b, c = wide_open[triangles][..., :2].unbind(1)
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] > 0
    triangles = torch.where(clockwise[:, None], triangles, triangles.flip(1))
    inward = torch.cdist(mean[:, :2], mean[list(OVAL), :2]).amin(1)
    own = torch.nn.functional.hardtanh(inward / 0.35, 0, 1)
    return FaceModel(mean, expressions, triangles, own)


def fit_condition(w: Tensor, centre: Tensor, asked: Tensor, flaws: Tensor) -> Condition:
    """From styles ``(N, 512)``, measured conditions ``(N, 4)`` and flaws ``(N, 4)``."""
    _, singular, components = torch.linalg.svd(w - centre, full_matrices=False)
    spread = singular[:COMPONENTS] / len(w) ** 0.5
    coordinates = (w - centre) @ components[:COMPONENTS].T / spread
    gram = coordinates.T @ coordinates + RIDGE * torch.eye(COMPONENTS)
    neutral, usual = asked.mean(0), flaws.mean(0)
    slopes = torch.linalg.solve(gram, coordinates.T @ (asked - neutral))
    flaw_slopes = torch.linalg.solve(gram, coordinates.T @ (flaws - usual))
    flaw_slopes = flaw_slopes / (coordinates @ flaw_slopes).std(0)
    limits = (coordinates @ flaw_slopes).quantile(ACCEPTED, dim=0).diagonal()
    scaled = components[:COMPONENTS] * spread[:, None]
    return Condition(centre, scaled, slopes, neutral, flaw_slopes, limits)


def save(arrays: dict[str, Tensor], path: Path) -> None:
    """Write arrays into the package."""
    safetensors.torch.save_file({name: value.contiguous() for name, value in arrays.items()}, path)


def childlike(model: FaceModel, points: Tensor) -> Tensor:
    """The fourth of the ``FLAWS`` ``(N, 1)``: a short face below the eyes, in distances between the eyes."""
    shapes = model.unpose(points, model.pose(points))
    rest = face_model.measure_expression(model.mean[None]).expand(len(points), -1)
    return -model.express(shapes, rest)[:, [CHIN], 1]


def held_out(w: Tensor, centre: Tensor, asked: Tensor, flaws: Tensor) -> Tensor:
    """Squared correlation ``(8,)`` of conditions and flaws, read and measured, on every fifth face."""
    test = torch.arange(len(w)) % 5 == 0
    condition = fit_condition(w[~test], centre, asked[~test], flaws[~test])
    read = torch.cat([condition.read(w[test]), condition.flaws(w[test])], dim=1)
    both = torch.cat([read, asked[test], flaws[test]], dim=1).T
    return torch.corrcoef(both).diagonal(read.shape[1]).square()


@click.command()
@click.argument("faces", type=click.Path(path_type=Path))
@click.option("--count", default=2400, help="Faces to draw in total.")
def main(faces: Path, count: int) -> None:
    """Draw faces into FACES, fit, and write the arrays into the package."""
    drawn = safetensors.torch.load_file(faces) if faces.exists() else draw(min(100, count), 0)
    while len(drawn["w"]) < count:
        more = draw(min(100, count - len(drawn["w"])), len(drawn["w"]))
        drawn = {name: torch.cat([drawn[name], more[name]]) for name in ("w", "points", "flaws")} | {
            "centre": more["centre"]
        }
        safetensors.torch.save_file(drawn, faces)
        click.echo(f"{len(drawn['w'])} faces")
    model = fit_face_model(drawn["points"])
    asked = model.conditions(drawn["points"])
    flaws = torch.cat([drawn["flaws"], childlike(model, drawn["points"])], dim=1)
    styles = drawn["w"], drawn["centre"], asked, flaws
    for name, score in zip((*CONDITIONS, *FLAWS), held_out(*styles).tolist(), strict=True):
        click.echo(f"{name}: held-out r2 {score:.2f}")
    package = Path(face_model.__file__).parent
    save(vars(model), package / "face_model.safetensors")
    save(vars(fit_condition(*styles)), package / "generate" / "condition.safetensors")


if __name__ == "__main__":
    main()
