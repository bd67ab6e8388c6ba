"""Boxes, affine maps, rigid poses and triangle meshes: pure functions on batched float32 tensors.

Coordinates are ``(x, y)`` or ``(x, y, z)`` with ``x`` right, ``y`` down, ``z`` away from the camera; pixel
centres lie at ``+0.5``. An affine map is ``(N, 2, 3)`` and acts on column vectors ``(x, y, 1)``.
"""

from __future__ import annotations

import math

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of ``a (N, 4)`` with every box of ``b (M, 4)``: ``(N, M)``."""
    shared, area_a, area_b = _box_shared(a, b), _box_areas(a), _box_areas(b)
    return shared / (area_a[:, None] + area_b[None] - shared).clamp(min=1e-9)


def box_share(a: Tensor, b: Tensor) -> Tensor:
    """The share of every box of ``a (N, 4)`` that lies in every box of ``b (M, 4)``: ``(N, M)``."""
    return _box_shared(a, b) / _box_areas(a).clamp(min=1e-9)[:, None]


def _box_shared(a: Tensor, b: Tensor) -> Tensor:
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    return (high - low).clamp(min=0).prod(-1)


def _box_areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)


def within(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Which of ``points (N, P, 2 or more)`` lie in frames of ``size`` (height, width): ``(N, P)`` bool."""
    return ((points[..., :2] >= 0) & (points[..., :2] <= torch.tensor(size[::-1]))).all(-1)


def apply_affine(affine: Tensor, points: Tensor) -> Tensor:
    """Move ``points (N, P, 2)`` by ``affine (N, 2, 3)``."""
    return points @ affine[:, :, :2].transpose(1, 2) + affine[:, None, :, 2]


def invert_affine(affine: Tensor) -> Tensor:
    """The inverse of each map ``(N, 2, 3)``."""
    linear = torch.linalg.inv(affine[:, :, :2])
    return torch.cat([linear, -linear @ affine[:, :, 2:]], dim=2)


def square_to_patch(centre: Tensor, side: Tensor, angle: Tensor, size: int) -> Tensor:
    """Maps that take squares of the picture to patches of ``size`` x ``size`` pixels.

    Args:
        centre: ``(N, 2)``, of each square.
        side: ``(N,)``, length of its sides.
        angle: ``(N,)``, radians by which it is turned clockwise in the picture.

    Returns:
        ``(N, 2, 3)``.
    """
    scale = size / side
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    linear = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    shift = size / 2 - (linear @ centre[:, :, None])
    return torch.cat([linear, shift], dim=2)


def pixel_grid(size: int, device: torch.device) -> Tensor:
    """Centres of the pixels of a square patch: ``(size * size, 2)``, row by row."""
    line = torch.arange(size, device=device, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def cut_patches(pixels: Tensor, frame: Tensor, to_patch: Tensor, size: int) -> Tensor:
    """Sample square patches from pictures; outside the picture its border is repeated.

    Reads only the pixels that are needed, so that frames are never converted as a whole. What is shrunk by two or
    more is averaged first.

    Args:
        pixels: ``(F, H, W, 3)`` uint8 or uint16.
        frame: ``(N,)`` int64, picture of each patch.
        to_patch: ``(N, 2, 3)``, picture to patch.
        size: side of the patches in pixels.

    Returns:
        ``(N, 3, size, size)`` float32 in 0..1, on the device of the pictures.
    """
    device = pixels.device
    if not len(frame):
        return torch.zeros(0, 3, size, size, device=device)
    from_patch = invert_affine(to_patch)
    shrink = from_patch[:, :, :2].norm(dim=1).amin(1).floor().clamp(min=1).long().tolist()
    corners = torch.tensor([[0.0, 0.0], [size, 0.0], [0.0, size], [size, size]])
    reach = apply_affine(from_patch, corners.expand(len(frame), -1, -1))
    low, high = reach.amin(1).floor().long().tolist(), reach.amax(1).ceil().long().tolist()
    line = torch.arange(size, device=device)[:, None] + 0.5
    across, down, shift = (column[:, None] for column in from_patch.to(device).unbind(2))
    where = (line * across)[:, None] + (line * down + shift)[:, :, None]  # (N, size, size, 2)
    return (
        torch.cat(
            [
                _cut(pixels[index], where[row : row + 1], low[row], high[row], shrink[row])
                for row, index in enumerate(frame.tolist())
            ]
        )
        / torch.iinfo(pixels.dtype).max
    )


def _cut(picture: Tensor, where: Tensor, low: list[int], high: list[int], shrink: int) -> Tensor:
    """Colours ``(1, 3, S, S)`` of ``picture (H, W, 3)`` at ``where (1, S, S, 2)``, from ``low`` to ``high``."""
    height, width = picture.shape[:2]
    x0, x1 = (min(max(value, 0), width) for value in (low[0] - shrink, high[0] + shrink))
    y0, y1 = (min(max(value, 0), height) for value in (low[1] - shrink, high[1] + shrink))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    region = picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].permute(2, 0, 1)[None]
    size = torch.tensor([region.shape[3], region.shape[2]], device=where.device)
    if shrink > 1:
        region = resize(region, (math.ceil(region.shape[2] / shrink), math.ceil(region.shape[3] / shrink)))
    grid = (where - torch.tensor([x0, y0], device=where.device)) * 2 / size - 1
    return F.grid_sample(region.float(), grid, padding_mode="border", align_corners=False)


def resize(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures ``(N, C, H, W)`` at another size, bilinear, averaged where they shrink; float32, or bytes as bytes."""
    if pictures.device.type != "cpu" or pictures.dtype != torch.uint8:
        pictures = pictures.float()  # only the CPU scales bytes, where that is ten times as fast
    return F.interpolate(pictures, size, mode="bilinear", antialias=True)


def enlarge(pictures: Tensor, times: int) -> Tensor:
    """Pictures ``(N, C, S, S)`` float32 so many times as large, bilinear; C is 1 to 4."""
    if times == 1:
        return pictures
    if pictures.device.type != "cpu":
        return F.interpolate(pictures, scale_factor=times, mode="bilinear", align_corners=False)
    count, channels, side, _ = pictures.shape
    large = torch.empty(count, side * times, side * times, channels)
    for source, target in zip(pictures.permute(0, 2, 3, 1).contiguous().numpy(), large.numpy(), strict=True):
        cv2.resize(source, target.shape[:2], target if channels > 1 else target[..., 0])  # several times as fast
    return large.permute(0, 3, 1, 2)


def sample(pictures: Tensor, where: Tensor) -> Tensor:
    """Colours ``(N, C, P)`` of ``pictures (N, C, S, S)`` at ``where (N, P, 2)`` in 0..1."""
    grid = (where * 2 - 1)[:, :, None]
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)[..., 0]


def moved(pictures: Tensor, from_new: Tensor, size: int) -> Tensor:
    """What ``pictures (N, C, S, S)`` show where ``from_new (N, 2, 3)`` takes pixels of others: ``(N, C, size, size)``.

    Beyond the border of a picture that is repeated.
    """
    pixels = pixel_grid(size, from_new.device).expand(len(pictures), -1, -1)
    where = apply_affine(from_new, pixels) / pictures.shape[-1]
    return sample(pictures, where.to(pictures.device)).unflatten(2, (size, size))


def fit_similarity(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation, scale and shift that carry ``source`` onto ``target`` (Umeyama, PAMI 1991), in 2 or 3 dimensions.

    Args:
        source: ``(P, D)`` or ``(N, P, D)``.
        target: ``(N, P, D)``.
        weights: ``(P,)``, not negative.

    Returns:
        rotation ``(N, D, D)``, scale ``(N,)``, shift ``(N, D)``: ``target ~ scale * rotation @ source + shift``.
    """
    source = source.expand_as(target)
    share = (weights / weights.sum())[None, :, None]
    mean_source, mean_target = (share * source).sum(1), (share * target).sum(1)
    centred_source, centred_target = source - mean_source[:, None], target - mean_target[:, None]
    covariance = (share * centred_target).transpose(1, 2) @ centred_source
    u, singular, vt = torch.linalg.svd(covariance)
    handedness = torch.ones_like(singular)
    handedness[:, -1] = torch.sign(torch.linalg.det(u @ vt))
    rotation = u @ torch.diag_embed(handedness) @ vt
    variance = (share * centred_source.square()).sum((1, 2))
    scale = (singular * handedness).sum(1) / variance.clamp(min=1e-12)
    shift = mean_target - scale[:, None] * (rotation @ mean_source[:, :, None])[:, :, 0]
    return rotation, scale, shift


def euler_degrees(rotation: Tensor) -> Tensor:
    """Yaw, pitch and roll of head rotations ``(N, 3, 3)`` as ``(N, 3)`` degrees.

    Positive yaw turns the nose to the right of the picture, positive pitch lowers it, positive roll turns the
    head clockwise in the picture; applied in the order yaw, pitch, roll.
    """
    nose = -rotation[:, :, 2]
    yaw = torch.atan2(nose[:, 0], -nose[:, 2])
    pitch = torch.asin(nose[:, 1].clamp(-1, 1))
    side = rotation[:, :, 0]
    level = torch.stack([torch.cos(yaw), torch.zeros_like(yaw), torch.sin(yaw)], dim=1)
    down = torch.linalg.cross(level, nose)
    roll = torch.atan2((side * down).sum(1), (side * level).sum(1))
    return torch.rad2deg(torch.stack([yaw, pitch, roll], dim=1))


def vertex_normals(points: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals ``(N, V, 3)`` at the vertices of meshes ``(N, V, 3)``; clockwise triangles point at the camera."""
    a, b, c = points[:, triangles].unbind(2)
    faces = torch.linalg.cross(c - a, b - a)
    normals = torch.zeros_like(points)
    for corner in range(3):
        normals.index_add_(1, triangles[:, corner], faces)
    return torch.nn.functional.normalize(normals, dim=-1)


def rasterize(vertices: Tensor, triangles: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Draw meshes into square patches: which triangle is nearest at every pixel, and where in it.

    Triangles that face away are not drawn. Those of about one size are tested at once, for all meshes.

    Args:
        vertices: ``(N, V, 3)`` in patch pixels.
        triangles: ``(T, 3)`` int64, clockwise in the picture where they face the camera.
        size: side of the patch in pixels.

    Returns:
        triangle ``(N, size, size)`` int64, -1 where there is none, and
        barycentric coordinates ``(N, size, size, 3)`` float32.
    """
    count, device = len(vertices), vertices.device
    corners = vertices[:, triangles]  # (N, T, 3, 3)
    mesh, triangle = (_area(corners[..., :2]) > 1e-6).nonzero(as_tuple=True)
    corners = corners[mesh, triangle]  # (M, 3, 3), those that face the camera
    span = corners[..., :2].amax(1).ceil() - corners[..., :2].amin(1).floor()
    level = span.amax(1).clamp(1, size).log2().ceil().int()
    parts = []
    for power in range((size - 1).bit_length() + 1):
        chosen = (level == power).nonzero()[:, 0]
        row, spot, bary = _fragments(corners[chosen], min(size, 1 << power), size)
        parts.append((chosen[row], spot, bary))
    row, spot, bary = (torch.cat(values) for values in zip(*parts, strict=True))
    flat = mesh[row] * size * size + spot
    depth = (bary * corners[row, :, 2]).sum(-1)
    order = ((depth * 1024).round().long() << 16) + triangle[row]
    nearest = torch.full((count * size * size,), torch.iinfo(torch.int64).max, device=device)
    nearest.scatter_reduce_(0, flat, order, "amin")
    drawn = nearest != torch.iinfo(torch.int64).max
    index = torch.where(drawn, nearest & 0xFFFF, -1)
    winner = order == nearest[flat]
    coordinates = torch.zeros(count * size * size, 3, device=device)
    coordinates[flat[winner]] = bary[winner]
    return index.reshape(count, size, size), coordinates.reshape(count, size, size, 3)


def _fragments(corners: Tensor, window: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels of a patch that triangles ``(M, 3, 3)`` no larger than a window cover.

    Returns:
        triangle ``(K,)`` and pixel ``(K,)``, counted row by row, both int64, and barycentric coordinates ``(K, 3)``.
    """
    flat = corners[..., :2]
    pixel = flat.amin(1, keepdim=True).floor() + pixel_grid(window, corners.device)  # (M, window * window, 2)
    bary = _barycentric(flat, pixel)
    inside = (bary.amin(-1) >= -1e-4) & (pixel.amin(-1) >= 0) & (pixel.amax(-1) < size)
    row, sample = inside.nonzero(as_tuple=True)
    x, y = pixel[row, sample].floor().long().unbind(1)
    return row, y * size + x, bary[row, sample]


def _area(corners: Tensor) -> Tensor:
    """Twice the signed area of triangles ``(..., 3, 2)``."""
    a, b, c = corners.unbind(-2)
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])


def _barycentric(corners: Tensor, points: Tensor) -> Tensor:
    """Barycentric coordinates ``(..., P, 3)`` of ``points (..., P, 2)`` in triangles ``(..., 3, 2)`` of some area."""
    a, b, c = (corner[..., None, :] for corner in corners.unbind(-2))
    area = _area(corners)[..., None]
    ab = (b[..., 0] - a[..., 0]) * (points[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (points[..., 0] - a[..., 0])
    ca = (a[..., 0] - c[..., 0]) * (points[..., 1] - c[..., 1]) - (a[..., 1] - c[..., 1]) * (points[..., 0] - c[..., 0])
    weight_c, weight_b = ab / area, ca / area
    return torch.stack([1 - weight_b - weight_c, weight_b, weight_c], dim=-1)


def interpolate(values: Tensor, triangles: Tensor, index: Tensor, bary: Tensor) -> Tensor:
    """Spread values at the vertices over what ``rasterize`` drew.

    Args:
        values: ``(N, V, C)``.
        triangles: ``(T, 3)`` int64.
        index, bary: from ``rasterize``.

    Returns:
        ``(N, C, size, size)`` float32, 0 where nothing was drawn.
    """
    count, size = index.shape[:2]
    corner = triangles[index.clamp(min=0)].reshape(count, -1)  # (N, size * size * 3)
    picked = values.gather(1, corner[..., None].expand(-1, -1, values.shape[2]))
    picked = picked.reshape(count, size, size, 3, -1)
    blended = (picked * bary[..., None]).sum(3) * (index >= 0)[..., None]
    return blended.permute(0, 3, 1, 2)
