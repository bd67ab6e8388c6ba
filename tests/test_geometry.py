"""Properties of the pure functions under everything else."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation

from anonymizer import geometry

finite = st.floats(-500, 500, width=32)
angles = st.floats(-60, 60)


@given(finite, finite, st.floats(1, 500), st.floats(-3.1, 3.1), st.integers(1, 512))
def test_patch_centre_and_way_back(x: float, y: float, side: float, angle: float, size: int) -> None:
    centre = torch.tensor([[x, y]])
    to_patch = geometry.square_to_patch(centre, torch.tensor([side]), torch.tensor([angle]), size)
    middle = geometry.apply_affine(to_patch, centre[:, None])
    assert torch.allclose(middle, torch.full((1, 1, 2), size / 2), atol=1e-3 * max(1, size / side) * 10)
    points = centre[:, None] + torch.tensor([[[0.0, 0.0], [side, 0.0], [3.0, -side]]])
    back = geometry.apply_affine(geometry.invert_affine(to_patch), geometry.apply_affine(to_patch, points))
    assert torch.allclose(back, points, atol=0.05)


@given(angles, angles, angles, st.floats(0.1, 100), st.integers(0, 2**31))
@settings(deadline=None)
def test_similarity_is_found_again(yaw: float, pitch: float, roll: float, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(30, 3, generator=generator)
    turned = torch.from_numpy(Rotation.from_euler("yxz", [yaw, pitch, roll], degrees=True).as_matrix()).float()
    shift = torch.randn(3, generator=generator)
    moved = (scale * points @ turned.T + shift)[None]
    rotation, found, offset = geometry.fit_similarity(points, moved, torch.ones(30))
    assert torch.allclose(rotation[0], turned, atol=1e-4)
    assert abs(found.item() / scale - 1) < 1e-4
    assert torch.allclose(offset[0], shift, atol=1e-3 * scale)


@given(angles, st.floats(-45, 45), angles)
def test_euler_angles_mean_what_they_say(yaw: float, pitch: float, roll: float) -> None:
    # The nose points at the camera, along -z; y points down.
    turn = Rotation.from_euler("YXZ", [-yaw, pitch, roll], degrees=True).as_matrix()
    found = geometry.euler_degrees(torch.from_numpy(turn).float()[None])[0]
    assert torch.allclose(found, torch.tensor([yaw, pitch, roll]), atol=0.05)


def test_positive_angles_turn_the_nose_right_and_down() -> None:
    nose = torch.tensor([0.0, 0.0, -1.0])
    right = torch.from_numpy(Rotation.from_euler("y", -30, degrees=True).as_matrix()).float()
    down = torch.from_numpy(Rotation.from_euler("x", 30, degrees=True).as_matrix()).float()
    assert (right @ nose)[0] > 0.4
    assert (down @ nose)[1] > 0.4
    assert abs(geometry.euler_degrees(right[None])[0, 0].item() - 30) < 0.1
    assert abs(geometry.euler_degrees(down[None])[0, 1].item() - 30) < 0.1


def _clockwise(points: torch.Tensor) -> torch.Tensor:
    triangles = torch.from_numpy(Delaunay(points.numpy()).simplices).long()
    a, b, c = points[triangles].unbind(1)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return torch.where(area[:, None] > 0, triangles, triangles.flip(1))


@given(st.integers(0, 2**31), st.integers(16, 48))
@settings(deadline=None, max_examples=25)
def test_raster_interpolates_linear_functions_exactly(seed: int, size: int) -> None:
    points = torch.rand(20, 2, generator=torch.Generator().manual_seed(seed)) * size
    triangles = _clockwise(points)
    drawn = geometry.rasterize(torch.cat([points, torch.zeros(20, 1)], 1)[None], triangles, size)
    found = geometry.interpolate(points[None], triangles, *drawn)
    grid = geometry.pixel_grid(size, torch.device("cpu")).reshape(size, size, 2).permute(2, 0, 1)[None]
    covered = (drawn[0] >= 0)[:, None].expand(-1, 2, -1, -1)
    assert covered.any()
    assert torch.allclose(found[covered], grid[covered], atol=2e-2)


def test_nearest_triangle_wins_and_the_back_is_not_drawn() -> None:
    square = torch.tensor([[0.0, 0, 5], [8, 0, 5], [0, 8, 5], [0, 0, 2], [8, 0, 2], [0, 8, 2]])
    front = torch.tensor([[0, 1, 2], [3, 4, 5]])
    index, _ = geometry.rasterize(square[None], front, 8)
    assert index[0, 1, 1] == 1
    index, _ = geometry.rasterize(square[None], front.flip(1), 8)
    assert (index == -1).all()


def test_patches_are_cut_where_they_should_be() -> None:
    pixels = torch.zeros(2, 20, 30, 3, dtype=torch.uint8)
    pixels[1, 5:9, 10:14] = torch.tensor([255, 128, 0], dtype=torch.uint8)
    to_patch = geometry.square_to_patch(torch.tensor([[12.0, 7.0]]), torch.tensor([4.0]), torch.zeros(1), 8)
    patch = geometry.cut_patches(pixels, torch.tensor([1]), to_patch, 8)
    assert patch.shape == (1, 3, 8, 8)
    assert torch.allclose(patch[0, :, 4, 4], torch.tensor([1, 128 / 255, 0]))
    deep = (pixels.int() * 257).to(torch.uint16)
    assert torch.allclose(geometry.cut_patches(deep, torch.tensor([1]), to_patch, 8), patch)


def test_iou() -> None:
    a = torch.tensor([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    assert torch.allclose(geometry.box_iou(a, torch.tensor([[1.0, 0, 3, 2]])), torch.tensor([[1 / 3], [0]]))


def test_share() -> None:
    a = torch.tensor([[0.0, 0, 2, 2], [5, 5, 6, 6]])
    b = torch.tensor([[1.0, 0, 4, 2], [-1, -1, 9, 9]])
    assert torch.allclose(geometry.box_share(a, b), torch.tensor([[0.5, 1], [0, 1]]))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9))
def test_enlarging_is_bilinear(channels: int, times: int, side: int) -> None:
    pictures = torch.rand(2, channels, side, side)
    expected = torch.nn.functional.interpolate(pictures, scale_factor=times, mode="bilinear", align_corners=False)
    assert torch.allclose(geometry.enlarge(pictures, times), expected, atol=1e-5)


@given(st.integers(2, 5), st.integers(0, 7))
def test_what_is_shrunk_is_averaged(shrink: int, rest: int) -> None:
    """However large the part that is cut: what stands in it keeps its place, and stripes become grey."""
    length = 40 * shrink + rest
    ramp = torch.arange(length).mul(200).div(length)
    stripes = (torch.arange(length) % 2 * 20)[:, None]
    pixels = (ramp + stripes).round().to(torch.uint8)[None, ..., None].expand(1, -1, -1, 3)
    side = torch.tensor([20.0 * shrink])
    to_patch = geometry.square_to_patch(torch.full((1, 2), 20.0 * shrink), side, torch.zeros(1), 20)
    patch = geometry.cut_patches(pixels, torch.zeros(1, dtype=torch.int64), to_patch, 20)[0, 0] * 255
    expected = (torch.arange(20) + 10.5) * shrink * 200 / length + 9.5
    assert (patch - expected).abs().max() < 4
