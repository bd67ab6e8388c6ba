"""MTCNN of facenet-pytorch: slower, and independent of CenterFace. The only module that knows that package."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from facenet_pytorch import MTCNN
from torch import Tensor

from anonymizer.batches import Faces, Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import base
from anonymizer.errors import DetectionError

MIN_FACE = 20  # pixels
OVERVIEW = 160  # longest side in pixels of the second search
ENLARGE = 4.0  # pictures smaller than that are enlarged at most so much
MARGIN = 48  # pixels of nothing around each picture: the package distorts what it cuts out across the border
CURVE = 0.19  # 1 - (1 - p) ** 0.19 takes p = 0.9 to 0.35 and p = 0.7 to 0.2


class MtcnnDetector:
    """Batched on any device. A ``base.Detector``.

    Pictures are searched at their own size, and once more as a whole at 160 pixels for faces that the border cuts.
    MTCNN is nearly certain of every face, so its probabilities are spread to mean what CenterFace's scores mean.
    """

    def __init__(self, config: DetectConfig, device: torch.device) -> None:
        last = 1 - (1 - config.low) ** (1 / CURVE)
        self._device = device
        self._network = MTCNN(
            keep_all=True,
            min_face_size=MIN_FACE,
            thresholds=[0.6, 0.7, last],
            select_largest=False,
            device=device,
        ).eval()

    def detect(self, frames: Frames) -> Faces:
        height, width = frames.size
        overview = min(ENLARGE, OVERVIEW / max(height, width))
        parts = []
        for start, pixels in base.chunks(frames, self._device):
            for scale in (overview, 1) if overview < 1 else (overview,):
                images = base.resize(pixels, scale)
                to_frame = torch.tensor([width / images.shape[2], height / images.shape[1]])
                found = self._look(F.pad(images, (0, 0, *[MARGIN] * 4)).float())
                parts.append(_moved(found, start, -MARGIN * to_frame, to_frame))
        return base.merge(parts)

    def _look(self, images: Tensor) -> Faces:
        """Faces of ``images (N, H, W, 3)`` in their own pixels."""
        if min(images.shape[1:3]) < MIN_FACE:  # the package has no search scale for those, and fails
            return Faces.none()
        try:
            boxes, scores, landmarks = self._network.detect(images, landmarks=True)
        except (RuntimeError, IndexError, ValueError) as error:
            raise DetectionError(f"MTCNN failed: {error}") from error
        rows = [index for index, found in enumerate(boxes) if found is not None]
        found = Faces.cat([Faces.none()] + [_faces(row, boxes[row], landmarks[row], scores[row]) for row in rows])
        limit = torch.tensor([images.shape[2], images.shape[1]])
        return found[(found.boxes[:, :2] > 0).all(1) & (found.boxes[:, 2:] < limit).all(1)]


def _faces(frame: int, boxes: np.ndarray, landmarks: np.ndarray, probabilities: np.ndarray) -> Faces:
    """What the package returns for one picture, in arrays of objects."""
    probability = torch.as_tensor(np.asarray(probabilities, dtype=np.float32))
    return base.faces(
        torch.full((len(probability),), frame),
        torch.as_tensor(np.asarray(boxes, dtype=np.float32)),
        torch.as_tensor(np.asarray(landmarks, dtype=np.float32)),
        1 - (1 - probability) ** CURVE,
    )


def _moved(found: Faces, start: int, shift: Tensor, scale: Tensor) -> Faces:
    """From search pixels to frame pixels, and from frames of a chunk to frames of the batch."""
    return replace(
        found,
        frame=found.frame + start,
        boxes=found.boxes * scale.repeat(2) + shift.repeat(2),
        landmarks=found.landmarks * scale + shift,
    )
