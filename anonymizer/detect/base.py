"""What every face detector does, and what the detectors share."""

from collections.abc import Iterator
from typing import Protocol

import cv2
import torch
from torch import Tensor

from anonymizer import geometry
from anonymizer.batches import UNTRACKED, Faces, Frames

OVERLAP = 0.3  # intersection over union from which two boxes are the same face
CHUNK = {"cpu": 1 << 20, "cuda": 1 << 24}  # pixels that are searched together


class Detector(Protocol):
    """Finds faces in pictures."""

    def detect(self, frames: Frames) -> Faces:
        """Find the faces of each frame on its own.

        Args:
            frames: any number of pictures of any size, 8 or 16 bit, on any device.

        Returns:
            Everything from about 20 pixels to larger than the picture that scores ``DetectConfig.low`` or more, by
            frame, the surest first; on the host, untracked. Scores mean the same with every detector: from 0.35 on
            nearly all are faces; at 0.2 about half are, and it takes other frames to tell.

        Raises:
            DetectionError: the search failed; there may be faces that were not seen.
        """
        ...


def chunks(frames: Frames, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Cut a batch into parts that suit a device: the index of the first frame, and the pixels there, with 8 bits."""
    height, width = frames.size
    step = max(1, CHUNK[device.type] // max(1, height * width))
    for start in range(0, len(frames), step):
        pixels = frames.pixels[start : start + step].to(device)
        yield start, pixels if pixels.dtype == torch.uint8 else (pixels.to(torch.int32) >> 8).to(torch.uint8)


def resize(pixels: Tensor, scale: float) -> Tensor:
    """Scale ``pixels (N, H, W, 3)``, uint8 or uint16, with antialiasing, to ``(N, H', W', 3)`` of the same type."""
    if scale == 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[1:3])
    scaled = geometry.resize(pixels.permute(0, 3, 1, 2), (height, width))
    return (scaled.round() if scaled.is_floating_point() else scaled).to(pixels.dtype).permute(0, 2, 3, 1)


def faces(frame: Tensor, boxes: Tensor, landmarks: Tensor, scores: Tensor) -> Faces:
    """Finds on any device as untracked ``Faces`` on the host."""
    return Faces(
        frame=frame.cpu(),
        boxes=boxes.cpu(),
        landmarks=landmarks.cpu(),
        scores=scores.cpu(),
        tracks=torch.full((len(frame),), UNTRACKED),
        seen=torch.ones(len(frame), dtype=torch.bool),
    )


def same_places(faces: Faces, others: Faces) -> Tensor:
    """Which of two sets are one face, as they lie in one place of one frame: ``(N, M)`` bool."""
    return (geometry.box_iou(faces.boxes, others.boxes) > OVERLAP) & (faces.frame[:, None] == others.frame)


def by_frame(found: Faces) -> Faces:
    """Sorted by frame, then by falling score."""
    found = found[torch.argsort(found.scores, descending=True, stable=True)]
    return found[torch.argsort(found.frame, stable=True)]


def merge(parts: list[Faces]) -> Faces:
    """The union of several searches of the same frames; of boxes that overlap the surest stays."""
    found = Faces.cat([Faces.none(), *parts])
    corners_sizes = torch.cat([found.boxes[:, :2], found.sizes], dim=1)
    kept = cv2.dnn.NMSBoxesBatched(corners_sizes.tolist(), found.scores.tolist(), found.frame.tolist(), 0.0, OVERLAP)
    return by_frame(found[torch.as_tensor(kept, dtype=torch.int64)])
