"""Draws portraits of personas in the place of faces: mesh warp, light, soft outline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry, light
from anonymizer.batches import MESH_POINTS, Frames, Meshes, Patches
from anonymizer.face_model import OVAL, FaceModel, Pose, extend_outline, measure_expression
from anonymizer.fill import fill
from anonymizer.sharpness import match_sharpness

STEP, LARGEST = 64, 512  # pixels: sides of patches are multiples of the one up to the other
RASTER = 128  # pixels, side at which meshes are rasterised; what is read off them is smooth
REACH = 1.0  # of the ring around the new face
RIM, RING = -0.3, 0.15  # reaches at which rim and ring look into the portrait: its hair and background stay out
GRAZING = (0.1, 0.45)  # cosine between a normal and the view where the silhouette begins, and where it ends
MARGIN = 1.1  # side of a patch over the longer side of the outline
OPAQUE = 0.8  # opacity from which the rim of a mesh is a silhouette, not the ring around it
PROFILE = (20.0, 40.0)  # degrees of yaw from which a head begins to be seen in profile, and from which it is
BEYOND = 24  # side of a patch over the distance to which the real face may stick out of the new one
LIGHT = 64  # pixels, side of the patches in which light is compared


class Views(NamedTuple):
    """Portraits that make up new faces, one row a portrait.

    ``face (K,)`` int64, the face that it is part of; ``pixels``, K times ``(3, P, P)`` float32 in 0..1; ``points``
    ``(K, 468, 3)`` in pixels of the portrait; ``share (K,)``, which sums to 1 over the portraits of each face.
    """

    face: Tensor
    pixels: Sequence[Tensor]
    points: Tensor
    share: Tensor


def patch_size(pixels: float) -> int:
    """The side of the patch that shows a face of this many pixels, without loss if it is not huge."""
    return min(LARGEST, STEP * max(1, math.ceil(pixels / STEP)))


class Renderer:
    """Renders faces of one batch together, on the device of the frames.

    Args:
        model: the face model, on the host.
        device: where pixels lie.
    """

    def __init__(self, model: FaceModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._triangles = model.triangles.to(device)
        opacity = torch.ones(1, MESH_POINTS + len(OVAL), 1)
        opacity[:, MESH_POINTS:] = 0
        self._opacity = opacity.to(device)

    def outline(self, meshes: Meshes, pose: Pose, views: Views) -> Tensor:
        """The new faces' shapes in the frame ``(N, 504, 3)``: the personas' own, in the targets' pose and expression.

        Towards the outline of the head, as seen from here, they pass into the real one: it is what the rest of the
        picture fits to.
        """
        model = self._model
        target = model.unpose(meshes.points, pose)
        posed = model.unpose(views.points, model.pose(views.points))
        shape = torch.zeros_like(target).index_add_(0, views.face, posed * views.share[:, None, None])
        shape = model.express(shape, measure_expression(target))
        inside = ((model.facing(meshes.points) - GRAZING[0]) / (GRAZING[1] - GRAZING[0])).clamp(0, 1)
        shape = torch.lerp(target, shape, (model.own * inside)[..., None])
        return model.place(extend_outline(shape, REACH), pose)

    def render(self, frames: Frames, frame: Tensor, meshes: Meshes, views: Views, size: int) -> Patches:
        """New pixels for faces.

        Args:
            frames: the pictures, read for their light, their sharpness and what is around the faces.
            frame: ``(N,)`` int64, picture of each face.
            meshes: of the N real faces.
            views: portraits of the personas.
            size: side of the patches.
        """
        pose = self._model.pose(meshes.points)
        outline = self.outline(meshes, pose, views)
        low, high = outline[..., :2].amin(1), outline[..., :2].amax(1)
        side = MARGIN * (high - low).amax(1)
        to_patch = geometry.square_to_patch((low + high) / 2, side, torch.zeros(len(side)), size)
        raster = min(RASTER, size)
        vertices = _into_patch(outline, to_patch, side, size).to(self._device) * (raster / size)
        drawn = geometry.rasterize(vertices, self._triangles, raster)
        real = geometry.cut_patches(frames.pixels, frame, to_patch, size)
        real_at = geometry.apply_affine(to_patch, meshes.points[..., :2]).to(self._device) / size
        lit = self._relight(self._warp(views, drawn, size), vertices / raster, real, real_at, drawn)
        yaw = pose.degrees[:, 0].abs()
        profile = ((yaw - PROFILE[0]) / (PROFILE[1] - PROFILE[0])).clamp(0, 1)
        return Patches(frame, *self._finish(lit, real, drawn, profile.to(self._device)), to_patch)

    def _relight(
        self, new: Tensor, new_at: Tensor, real: Tensor, real_at: Tensor, drawn: tuple[Tensor, Tensor]
    ) -> Tensor:
        """New faces ``(N, 3, S, S)`` in the light of the real ones; meshes in sides of the pictures."""
        basis = light.harmonics(geometry.vertex_normals(new_at, self._triangles))
        found = compare_light(real, real_at, new, new_at, basis)
        return light.apply_light(found, new, self._spread(light.exposure(found, basis), drawn, new.shape[-1]))

    def _finish(
        self, lit: Tensor, real: Tensor, drawn: tuple[Tensor, Tensor], profile: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Colour and opacity of patches: as soft as the real faces, and with what is behind them at silhouettes."""
        size, raster = real.shape[-1], drawn[0].shape[-1]
        inside, alpha = self._masks(drawn, profile)
        behind = fill(_resize(real, raster), alpha == 0)
        inside, alpha, behind = _resize(torch.cat([inside, alpha, behind], dim=1), size).split([1, 1, 3], dim=1)
        return torch.lerp(behind, match_sharpness(lit, real, alpha), inside), alpha

    def _spread(self, values: Tensor, drawn: tuple[Tensor, Tensor], size: int) -> Tensor:
        """Values at the vertices ``(N, 504, C)`` over the patch ``(N, C, size, size)``."""
        values = torch.cat([values, torch.ones_like(values[..., :1])], dim=2)
        spread = geometry.interpolate(values, self._triangles, *drawn)
        if spread.shape[-1] != size:
            spread = F.interpolate(spread, size, mode="bilinear", align_corners=False)
        return spread[:, :-1] / spread[:, -1:].clamp(min=1e-3)

    def _warp(self, views: Views, drawn: tuple[Tensor, Tensor], size: int) -> Tensor:
        """The portraits pulled onto the new shapes and dissolved into each other: ``(N, 3, size, size)``."""
        pose = self._model.pose(views.points)
        shape = self._model.unpose(views.points, pose)
        rim = extend_outline(shape, RIM)[:, MESH_POINTS:]
        shape = extend_outline(shape, RING)
        shape[:, OVAL] = rim
        source = self._model.place(shape, pose)
        index, bary = drawn
        face = views.face.to(self._device)
        where = self._spread(source[..., :2].to(self._device), (index[face], bary[face]), size)
        grid = where.permute(0, 2, 3, 1) * (2 / views.pixels[0].shape[-1]) - 1
        colour = torch.zeros(len(index), 3, size, size, device=self._device)
        for row, (owner, share) in enumerate(zip(views.face.tolist(), views.share.tolist(), strict=True)):
            colour[owner] += share * F.grid_sample(views.pixels[row][None], grid[row : row + 1], align_corners=False)[0]
        return colour

    def _masks(self, drawn: tuple[Tensor, Tensor], profile: Tensor) -> tuple[Tensor, Tensor]:
        """Where the new face shows, and how opaque the patch is ``(N, 1, S, S)``.

        It fades towards the ring around the mesh. Beyond the silhouette of a ``profile (N,)``, 0 to 1, where the real
        nose may stick out, it is opaque a little further, and shows what is behind the head.
        """
        opacity = geometry.interpolate(self._opacity.expand(len(drawn[0]), -1, -1), self._triangles, *drawn)
        face = (drawn[0] >= 0).float()[:, None]
        side = face.shape[-1]
        soft = torch.minimum(opacity, _shrink(face, side // 32))
        silhouette = ((opacity > OPAQUE) & (F.max_pool2d(1 - face, 3, 1, 1) > 0)).float()
        reach = side // BEYOND
        near = F.max_pool2d(silhouette, 2 * reach + 1, 1, reach)
        beyond = F.avg_pool2d(near, reach // 2 * 2 + 1, 1, reach // 2)
        return _shrink(face, 1), torch.maximum(soft, beyond * profile[:, None, None, None])


def _shrink(mask: Tensor, distance: int) -> Tensor:
    """The mask ``(N, 1, S, S)``, fading to nothing over some pixels inside its edge."""
    return (2 * F.avg_pool2d(mask, 2 * distance + 1, 1, distance) - 1).clamp(min=0)


def _resize(pictures: Tensor, size: int) -> Tensor:
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(pictures, size, mode="bilinear", align_corners=False)


def compare_light(real: Tensor, real_at: Tensor, new: Tensor, new_at: Tensor, basis: Tensor) -> light.Light:
    """The difference between the light on two faces, read at points of bare skin.

    Args:
        real, new: pictures of the faces ``(N, 3, S, S)`` in 0..1.
        real_at, new_at: their meshes ``(N, 468 or more, 2 or more)``, in sides of the pictures.
        basis: harmonics at the points of the new face.
    """
    factor = max(1, real.shape[-1] // LIGHT)
    skin = list(light.SKIN)
    target = geometry.sample(F.avg_pool2d(real, factor), real_at[:, skin])
    source = geometry.sample(F.avg_pool2d(new, factor), new_at[:, skin, :2])
    visible = (-basis[:, skin, 3]).clamp(min=0)
    return light.fit_light(target, source, basis[:, skin], visible)


def _into_patch(points: Tensor, to_patch: Tensor, side: Tensor, size: int) -> Tensor:
    """Points of the frame ``(N, P, 3)`` in pixels of the patch, depth alike."""
    flat = geometry.apply_affine(to_patch, points[..., :2])
    return torch.cat([flat, points[..., 2:] * (size / side)[:, None, None]], dim=2)
