"""Notices where a video changes: small grey pictures, compared with each other."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from anonymizer.batches import Frames

CHANGE, CUT = 0.1, 0.5  # unlikeness of successive pictures: something happened; another scene
LOCAL = 0.08  # change of brightness in one place, where white is 1: something came or went there
FLASH = 2  # frames after which the old scene is back if it was only a flash
THUMBNAIL = (18, 32)  # height and width


def unlikeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """0 for the same picture, about 1 for two unrelated ones; brightness does not matter, contrast little."""
    noise = 1e-4 * a.size
    return float(np.square(a - b).sum() / (np.square(a).sum() + np.square(b).sum() + noise))


def differs(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether something changed between two pictures, all over or in one place as small as a face.

    What only moves a little, by a pixel of the small pictures, is no change.
    """
    return unlikeness(a, b) > CHANGE or _beyond(a, b) > LOCAL


def _beyond(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """By how much the second picture leaves the range of what is around the same place in the first, at most."""
    around = sliding_window_view(np.pad(a.reshape(THUMBNAIL), 1, mode="edge"), (3, 3))
    seen = b.reshape(THUMBNAIL)
    return float(np.maximum(seen - around.max((2, 3)), around.min((2, 3)) - seen).max())


def thumbnails(frames: Frames) -> NDArray[np.float32]:
    """Small grey pictures in 0..1, less their mean: ``(N, 18 * 32)``."""
    images = frames.pixels.permute(0, 3, 1, 2)
    if images.device.type != "cpu" or images.dtype != torch.uint8:
        images = images.float()  # only the CPU scales bytes
    small = F.interpolate(images, THUMBNAIL, mode="bilinear", antialias=True).float().mean(1).flatten(1)
    return ((small - small.mean(1, keepdim=True)) / frames.peak).cpu().numpy()
