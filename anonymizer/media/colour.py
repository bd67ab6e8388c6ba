"""YUV to RGB and back, with the matrix, range and depth that the stream names (ITU-R BT.601, BT.709, BT.2020).

swscale is not used for this: its fast path darkens every picture by a level, its accurate one takes seven times
as long as OpenCV, and from 10-bit 4:2:0 to ``rgb48`` it returns wrong colours. Here a picture that goes
through both directions comes back without a shift. Chroma is taken to lie in the middle of the pixels it covers.
"""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from anonymizer.errors import MediaError

Pixels = NDArray[Any]

RGB_MATRIX, BT709, UNKNOWN_MATRIX = 0, 1, 2
LIMITED_RANGE, FULL_RANGE = 1, 2

_LUMA_WEIGHTS = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Weights of red and blue in luma, by the number of the matrix in H.273."""

_PLANAR_YUV = re.compile(r"(yuv[aj]?4\d\dp|gray)(\d+le)?")


def _yuv_to_rgb(matrix: int, height: int, bits: int, full: bool) -> NDArray[np.float64]:
    """``(4, 4)`` affine map from stored YUV values of ``bits`` to RGB in 0..1.

    Where the stream does not name its matrix, it is the one that players assume for this height.
    """
    if matrix in (RGB_MATRIX, UNKNOWN_MATRIX):
        matrix = 6 if matrix == UNKNOWN_MATRIX and height <= 576 else BT709
    if matrix not in _LUMA_WEIGHTS:
        raise MediaError(f"its colour matrix (number {matrix} of H.273) cannot be converted to RGB")
    red, blue = _LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    unit = 2 ** (bits - 8)
    luma, chroma, black = (2**bits - 1, 2**bits - 1, 0) if full else (219 * unit, 224 * unit, 16 * unit)
    linear = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
            [1, 2 * (1 - blue), 0],
        ]
    ) / np.array([luma, chroma, chroma])
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = -linear @ np.array([black, 128 * unit, 128 * unit])
    return affine


def bit_depth(frame: VideoFrame) -> int:
    """Bits of one colour component."""
    return max(component.bits for component in frame.format.components)


def is_rgb(frame: VideoFrame) -> bool:
    """Whether the frame holds RGB, or a palette of it."""
    return frame.format.is_rgb or frame.format.has_palette


def is_full(frame: VideoFrame) -> bool:
    """Whether a frame in YUV uses all values, not those from 16 to 235 of 8 bits."""
    return frame.format.name.startswith("yuvj") or frame.color_range == FULL_RANGE


def _samples(plane: VideoPlane, deep: bool) -> Pixels:
    """The samples of a plane: a writable view ``(h, w)`` without the padding of its lines."""
    rows = np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8).reshape(plane.height, -1)
    return rows[:, : plane.width]


def _widened(plane: Pixels, shape: tuple[int, int]) -> Pixels:
    """A chroma plane at the size of luma; where that is odd, the last sample covers half of what it could."""
    if plane.shape == shape:
        return plane
    down, across = (-(-full // part) for full, part in zip(shape, plane.shape, strict=True))
    size = (plane.shape[1] * across, plane.shape[0] * down)
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]]


def _narrowed(plane: Pixels, shape: tuple[int, int]) -> Pixels:
    """The inverse of ``_widened``: means over the pixels that a sample covers."""
    if plane.shape == shape:
        return plane
    down, across = plane.shape[0] % 2, plane.shape[1] % 2
    even = cv2.copyMakeBorder(plane, 0, down, 0, across, cv2.BORDER_REPLICATE)
    return cv2.resize(even, shape[::-1], interpolation=cv2.INTER_AREA)


def to_rgb(frame: VideoFrame) -> Pixels:
    """A decoded frame as ``(H, W, 3)`` RGB: uint8 for 8 bits, uint16 for more, where 65535 is white.

    Raises:
        MediaError: its matrix is not one that two luma weights define.
    """
    deep = bit_depth(frame) > 8
    if is_rgb(frame):
        return frame.to_ndarray(format="rgb48le" if deep else "rgb24")
    if not _PLANAR_YUV.fullmatch(frame.format.name):
        frame = frame.reformat(format="yuv444p16le" if deep else "yuv444p")
    bits = bit_depth(frame)
    affine = _yuv_to_rgb(frame.colorspace, frame.height, bits, is_full(frame))
    luma, *chroma = (_samples(plane, deep) for plane in frame.planes[:3])
    if not chroma:
        chroma = [np.full_like(luma, 2 ** (bits - 1))] * 2
    yuv = cv2.merge([luma, *(_widened(plane, luma.shape) for plane in chroma)])
    return cv2.transform(yuv, affine[:3] * (65535 if deep else 255))


def from_rgb(pixels: Pixels, pixel_format: str, matrix: int, color_range: int) -> VideoFrame:
    """``(H, W, 3)`` RGB, uint8 or uint16, as a frame for an encoder.

    Args:
        pixel_format: FFmpeg's name of a planar YUV format, 4:2:0 or 4:4:4.
        matrix: its number in H.273.
        color_range: ``FULL_RANGE``; anything else is limited range.
    """
    frame = VideoFrame(pixels.shape[1], pixels.shape[0], pixel_format)
    frame.colorspace, frame.color_range = matrix, color_range
    bits = bit_depth(frame)
    if bits > 8 and pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * 257
    affine = np.linalg.inv(_yuv_to_rgb(matrix, frame.height, bits, color_range == FULL_RANGE))
    affine[:, :3] /= np.iinfo(pixels.dtype).max
    yuv = cv2.transform(pixels, affine[:3])
    for plane, values in zip(frame.planes, cv2.split(yuv), strict=True):
        target = _samples(plane, bits > 8)
        np.minimum(_narrowed(values, target.shape), 2**bits - 1, out=target, casting="unsafe")
    return frame
