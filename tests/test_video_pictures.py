"""Video: the colours, the size and the orientation of the pictures stay."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from video_samples import FFMPEG, flat, make_video, read, through

from anonymizer.batches import Frames
from anonymizer.media.video import VideoReader


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".ts"])
def test_orientation(tmp_path: Path, turn: int, suffix: str) -> None:
    one = 65536
    x, y = (one, -one)[turn & 1], (one, -one)[turn >> 1 & 1]
    matrix = (0, x, 0, y, 0, 0, 0, 0, 1 << 30) if turn & 4 else (x, 0, 0, 0, y, 0, 0, 0, 1 << 30)
    source = make_video(tmp_path / "in.mp4", range(3), matrix=matrix, options={"qp": "1"})
    frames = read(source)
    shown = [FFMPEG, "-v", "error", "-i", source, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    expected = np.frombuffer(subprocess.run(shown, capture_output=True, check=True).stdout, np.uint8)
    assert frames.size == ((64, 48) if turn & 4 else (48, 64))
    assert np.abs(frames.pixels[0].numpy().astype(int) - expected.reshape(*frames.size, 3)).mean() < 4
    target = through(source, tmp_path / f"out{suffix}")
    again = read(target)
    assert (again.pixels[0].int() - frames.pixels[0].int()).abs().float().mean() < 4
    with VideoReader(target) as reader:
        if suffix == ".ts":  # which has no place for a matrix
            assert reader.info.orientation.matrix == ()
        else:
            identity = (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
            assert (reader.info.orientation.matrix or identity) == matrix
            assert (reader.info.height, reader.info.width) == (48, 64)


def test_rotation_is_clockwise(tmp_path: Path) -> None:
    """What phones write when they are held upright."""
    matrix = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    with VideoReader(make_video(tmp_path / "in.mp4", range(2), matrix=matrix)) as reader:
        assert reader.info.orientation.rotation == 90


WHITE, RED, GREEN, BLUE, DARK = (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
STANDARD_COLOURS = {
    "BT.709": ((1, 1, 1, 1), 8, "235 128 128  63 102 240  173 42 26  32 240 118  16 128 128"),
    "BT.601": ((6, 6, 6, 1), 8, "235 128 128  81 90 240  145 54 34  41 240 110  16 128 128"),
    "not said": ((2, 2, 2, 0), 8, "235 128 128  81 90 240  145 54 34  41 240 110  16 128 128"),
    "full range": ((6, 6, 6, 2), 8, "255 128 128  76 85 255  150 44 21  29 255 107  0 128 128"),
    "BT.2020": ((9, 16, 9, 1), 10, "940 512 512  294 387 960  658 189 100  116 960 476  64 512 512"),
}
"""The values that the standards give for full white, red, green, blue and black."""


@pytest.mark.parametrize("name", STANDARD_COLOURS)
def test_colours(tmp_path: Path, name: str) -> None:
    tags, bits, stored = STANDARD_COLOURS[name]
    pixel_format = "yuv420p" if bits == 8 else "yuv420p10le"
    frames = flat(np.array(stored.split(), int).reshape(-1, 3), pixel_format)
    source = make_video(
        tmp_path / "in.mp4",
        range(5),
        size=(16, 16),
        pixel_format=pixel_format,
        tags=tags,
        frames=frames,
        options={"qp": "1"},
    )
    shown = read(source)
    assert shown.pixels.dtype == (torch.uint8 if bits == 8 else torch.uint16)
    expected = torch.tensor([WHITE, RED, GREEN, BLUE, DARK])[:, None, None]
    assert (shown.pixels.int() / (shown.peak / 255) - expected).abs().max() <= 3
    target = through(source, tmp_path / "out.mp4", crf=1)
    assert (read(target).pixels.int() - shown.pixels.int()).abs().float().mean() / (shown.peak / 255) < 1.5
    for path in (source, target):
        with VideoReader(path) as reader:
            info = reader.info
            assert (info.primaries, info.transfer, info.matrix, info.color_range) == tags
            assert info.bit_depth == bits


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le"])
@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 6, 6, 2), (9, 16, 9, 1)])
def test_nothing_shifts_on_the_way_through(tmp_path: Path, pixel_format: str, tags: tuple[int, int, int, int]) -> None:
    source = make_video(tmp_path / "in.mp4", pixel_format=pixel_format, tags=tags, options={"qp": "1"})
    before, after = read(source), read(through(source, tmp_path / "out.mp4", crf=1))
    shift = (after.pixels.int() - before.pixels.int()).float().mean((0, 1, 2)) / (before.peak / 255)
    assert shift.abs().max() < 0.5


@pytest.mark.parametrize(
    ("codec", "stored"), [("h264", "yuv444p"), ("hevc", "yuv444p"), ("vp9", "yuv420p"), ("av1", "yuv420p")]
)
def test_odd_sizes(tmp_path: Path, codec: str, stored: str) -> None:
    source = make_video(tmp_path / "in.mp4", size=(49, 67), codec="libvpx-vp9")
    target = through(source, tmp_path / "out.mp4", codec=codec)
    with VideoReader(target) as reader:
        assert reader.info.size == (49, 67)
        assert reader.info.pixel_format == stored
    assert (read(target).pixels.int() - read(source).pixels.int()).abs().float().mean() < 6


def test_twelve_bits(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", range(4), codec="ffv1", pixel_format="yuv420p12le")
    target = through(source, tmp_path / "out.mkv", codec="hevc", crf=4)
    with VideoReader(target) as reader:
        assert reader.info.pixel_format == "yuv420p12le"
    assert (read(target).pixels.int() - read(source).pixels.int()).abs().float().mean() < 2 * 257


def test_default_plays_anywhere(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pixel_format="yuv444p", aspect=Fraction(4, 3))
    target = through(source, tmp_path / "out.mp4")
    with VideoReader(target) as reader:
        assert (reader.info.codec, reader.info.pixel_format) == ("h264", "yuv420p")
        assert reader.info.sample_aspect_ratio == Fraction(4, 3)
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart"


def test_only_what_is_changed_changes(tmp_path: Path) -> None:
    """The pixels that come out are those that were written, at the place where they were written."""

    def paint(frames: Frames) -> Frames:
        pixels = frames.pixels.clone()
        pixels[:, :16, :32] = torch.tensor([200, 30, 90], dtype=torch.uint8)
        return Frames(pixels, frames.times)

    matrix = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    source = make_video(tmp_path / "in.mp4", matrix=matrix)
    painted = read(through(source, tmp_path / "out.mp4", paint, crf=5)).pixels.int()
    assert (painted[:, 2:14, 2:30] - torch.tensor([200, 30, 90])).abs().float().mean() < 5
    assert (painted[:, 18:] - read(source).pixels[:, 18:].int()).abs().float().mean() < 5
