"""Draws portraits of personas in the place of faces: mesh warp, light, soft outline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import geometry, light
from anonymizer.batches import MESH_POINTS, Frames, Patches
from anonymizer.canvas import Canvases
from anonymizer.face_model import OVAL, FaceModel, Pose, extend_outline, measure_expression
from anonymizer.fill import fill
from anonymizer.sharpness import blur, soften
from anonymizer.trust import Belief

RASTER = 128  # pixels, largest side at which meshes are rasterised; what is read off them is smooth
REACH = 1.0  # of the ring around the new face
RIM, RING = -0.3, 0.15  # reaches at which rim and ring look into the portrait: its hair and background stay out
GRAZING = (0.1, 0.45)  # cosine between a normal and the view where the silhouette begins, and where it ends
OPAQUE = 0.8  # opacity from which the rim of a mesh is a silhouette, not the ring around it
PROFILE = (20.0, 40.0)  # degrees of yaw from which a head begins to be seen in profile, and from which it is
BEYOND = 24  # side of a patch over the distance to which the real face may stick out of the new one
SOFT = 32  # side of a patch over the width of the soft edge
BEHIND = 128  # pixels, side at which what is behind a head is continued


class Views(NamedTuple):
    """Portraits that make up new faces, one row a portrait; of ``shape``, one row a face.

    ``face (K,)`` int64, the face that it is part of; ``pixels``, K times ``(3, P, P)`` float32 in 0..1; ``points``
    ``(K, 468, 3)`` in pixels of the portrait; ``shape (N, 468, 3)`` of the people, canonical; ``share (K,)``, which
    sums to 1 over the portraits of each face.
    """

    face: Tensor
    pixels: Sequence[Tensor]
    points: Tensor
    shape: Tensor
    share: Tensor


class _Drawing(NamedTuple):
    """Meshes rasterised on a part of the pixels of canvases: ``triangle (N, R, R)``, ``bary (N, R, R, 3)``."""

    triangle: Tensor
    bary: Tensor
    enlarge: int

    @property
    def inside(self) -> Tensor:
        """1 where a mesh was drawn, ``(N, 1, R, R)``."""
        return (self.triangle >= 0).float()[:, None]

    def of(self, rows: Tensor) -> _Drawing:
        return _Drawing(self.triangle[rows], self.bary[rows], self.enlarge)


class Renderer:
    """Renders faces of one batch together, on the device of the frames.

    Args:
        model: the face model, on the host.
        device: where pixels lie.
    """

    def __init__(self, model: FaceModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._triangles = model.triangles.to(device)
        self._near = light.nearness(extend_outline(model.mean[None], REACH)[0]).to(device)
        opacity = torch.ones(1, MESH_POINTS + len(OVAL), 1)
        opacity[:, MESH_POINTS:] = 0
        self._opacity = opacity.to(device)

    def outline(self, points: Tensor, pose: Pose, views: Views) -> Tensor:
        """The new faces' shapes in the frame ``(N, 504, 3)``: the personas' own, in the targets' pose and expression.

        Towards the outline of the head, as seen from here, they pass into the real one: it is what the rest of the
        picture fits to.
        """
        model = self._model
        target = model.unpose(points, pose)
        shape = model.express(views.shape, measure_expression(target))
        inside = ((model.facing(points) - GRAZING[0]) / (GRAZING[1] - GRAZING[0])).clamp(0, 1)
        shape = torch.lerp(target, shape, (model.own * inside)[..., None])
        return model.place(extend_outline(shape, REACH), pose)

    def render(self, frames: Frames, rows: Tensor, belief: Belief, views: Views, canvases: Canvases) -> Patches:
        """New pixels for faces.

        Args:
            frames: the pictures, read for what is around faces in profile.
            rows: ``(N,)`` int64, the faces of ``belief`` that are rendered.
            views: portraits of the N personas.
            canvases: where to paint, N of one size.
        """
        points, look = belief.meshes.points[rows], belief.look[rows]
        size, to_patch = int(canvases.size[0]), canvases.to_patch
        pose = self._model.pose(points)
        outline = self.outline(points, pose, views)
        flat = geometry.apply_affine(to_patch, outline[..., :2])
        vertices = torch.cat([flat, outline[..., 2:] / canvases.step[:, None, None]], dim=2).to(self._device)
        enlarge = next(times for times in (1, 2, 4) if size <= RASTER * times)
        drawing = _Drawing(*geometry.rasterize(vertices / enlarge, self._triangles, size // enlarge), enlarge)
        lit = self._relight(self._warp(views, drawing), vertices, look[:, : light.NUMBERS], drawing)
        colour = soften(lit, look[:, light.NUMBERS :].exp().to(self._device))
        yaw = pose.degrees[:, 0].abs()
        profile = ((yaw - PROFILE[0]) / (PROFILE[1] - PROFILE[0])).clamp(0, 1)
        alpha, face = self._masks(drawing, profile.to(self._device))
        frame = belief.faces.frame[rows]
        if profile.any():
            behind = self._behind(frames, frame, to_patch, alpha, size)
            colour = torch.lerp(behind, colour, geometry.enlarge(face, enlarge))
        return Patches(frame, colour, geometry.enlarge(alpha, enlarge), to_patch, rows)

    def _relight(self, new: Tensor, vertices: Tensor, real: Tensor, drawing: _Drawing) -> Tensor:
        """New faces ``(N, 3, S, S)`` in the light ``(N, 10)`` of the real ones."""
        normals, places = geometry.vertex_normals(vertices, self._triangles), vertices[..., :2] / new.shape[-1]
        skin = light.reduced(new), places[:, :MESH_POINTS], normals[:, :MESH_POINTS]
        real_light, own_light = light.Light.of(real.to(self._device)), light.Light.of(light.measure(*skin))
        basis = light.harmonics(normals)
        exposed = light.exposure(real_light, own_light, basis)
        levelled = light.levelled(real_light, own_light, light.stains(own_light, *skin, self._near), basis)
        exposed, added = self._spread(torch.cat([exposed, levelled], dim=2), drawing).split([1, 3], dim=1)
        bright = light.luma(new)
        gain = light.gain(real_light, own_light, F.avg_pool2d(bright, drawing.enlarge), exposed)
        tinted = (light.tint(real_light, own_light) @ new.flatten(2)).view_as(new)
        tinted.addcmul_(geometry.enlarge(added, drawing.enlarge), bright)
        return tinted.mul_(geometry.enlarge(gain, drawing.enlarge)).clamp_(0, 1)

    def _spread(self, values: Tensor, drawing: _Drawing) -> Tensor:
        """Values at the vertices ``(N, 504, C)`` over the raster ``(N, C, R, R)``, and one pixel further."""
        spread, inside = geometry.interpolate(values, self._triangles, drawing.triangle, drawing.bary), drawing.inside
        around = blur(spread, 1) / blur(inside, 1).clamp(min=1e-3)
        return torch.where(inside > 0, spread, around)

    def _warp(self, views: Views, drawing: _Drawing) -> Tensor:
        """The portraits pulled onto the new shapes and dissolved into each other: ``(N, 3, S, S)``."""
        pose = self._model.pose(views.points)
        shape = self._model.unpose(views.points, pose)
        rim = extend_outline(shape, RIM)[:, MESH_POINTS:]
        shape = extend_outline(shape, RING)
        shape[:, OVAL] = rim
        source = self._model.place(shape, pose)[..., :2] * (2 / views.pixels[0].shape[-1]) - 1
        where = self._spread(source.to(self._device), drawing.of(views.face.to(self._device)))
        grid = geometry.enlarge(where, drawing.enlarge).permute(0, 2, 3, 1)
        parts: list[list[Tensor]] = [[] for _ in drawing.triangle]
        for row, (owner, share) in enumerate(zip(views.face.tolist(), views.share.tolist(), strict=True)):
            part = F.grid_sample(views.pixels[row][None], grid[row : row + 1], align_corners=False)
            parts[owner].append(part.mul_(share) if share < 1 else part)
        return torch.cat([torch.stack(part).sum(0) if len(part) > 1 else part[0] for part in parts])

    def _masks(self, drawing: _Drawing, profile: Tensor) -> tuple[Tensor, Tensor]:
        """How opaque patches are, and how much of that is face; both ``(N, 1, R, R)``.

        They fade towards the ring around the mesh. Beyond the silhouette of a ``profile (N,)``, 0 to 1, where the real
        nose may stick out, they are opaque a little further, and show what is behind the head.
        """
        inside, side = drawing.inside, drawing.triangle.shape[-1]
        opacity = geometry.interpolate(
            self._opacity.expand(len(inside), -1, -1), self._triangles, drawing.triangle, drawing.bary
        )
        soft = torch.minimum(opacity, _shrink(inside, side // SOFT))
        if not profile.any():
            return soft, torch.ones_like(soft)
        silhouette = ((opacity > OPAQUE) & (F.max_pool2d(1 - inside, 3, 1, 1) > 0)).float()
        reach = side // BEYOND
        near = F.max_pool2d(silhouette, 2 * reach + 1, 1, reach)
        beyond = F.avg_pool2d(near, reach // 2 * 2 + 1, 1, reach // 2)
        turned = profile[:, None, None, None]
        return torch.maximum(soft, beyond * turned), torch.where(turned > 0, _shrink(inside, 1), 1.0)

    def _behind(self, frames: Frames, frame: Tensor, to_patch: Tensor, alpha: Tensor, size: int) -> Tensor:
        """What is around the patches, continued over them: ``(N, 3, size, size)``."""
        real = geometry.cut_patches(frames.pixels, frame, to_patch * (BEHIND / size), BEHIND)
        known = F.interpolate(alpha, BEHIND, mode="bilinear", align_corners=False) == 0
        return F.interpolate(fill(real, known), size, mode="bilinear", align_corners=False)


def _shrink(mask: Tensor, distance: int) -> Tensor:
    """The mask ``(N, 1, S, S)``, fading to nothing over some pixels inside its edge."""
    across = F.avg_pool2d(mask, (1, 2 * distance + 1), 1, (0, distance))
    return (2 * F.avg_pool2d(across, (2 * distance + 1, 1), 1, (distance, 0)) - 1).clamp(min=0)
