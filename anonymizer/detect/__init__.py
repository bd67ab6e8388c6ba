"""Face detectors behind one protocol. Each is imported when it is first asked for: facenet-pytorch takes seconds."""

from collections.abc import Callable
from dataclasses import replace

import torch

from anonymizer.batches import Faces, Frames
from anonymizer.config import DetectConfig
from anonymizer.detect.base import Detector, by_frame, same_places

__all__ = ["DETECTORS", "Both", "Detector"]


class Both:
    """The union of two detectors. A ``Detector``.

    Where they agree, box and landmarks are the first one's, and the score is the higher of the two.
    """

    def __init__(self, first: Detector, second: Detector) -> None:
        self._first, self._second = first, second

    def detect(self, frames: Frames) -> Faces:
        first, second = self._first.detect(frames), self._second.detect(frames)
        same = same_places(first, second)
        scores = torch.cat([first.scores[:, None], same * second.scores], dim=1).amax(1)
        return by_frame(Faces.cat([replace(first, scores=scores), second[~same.any(0)]]))


def _centerface(config: DetectConfig, device: torch.device) -> Detector:
    from anonymizer.detect.centerface import CenterFaceDetector

    return CenterFaceDetector(config, device)


def _mtcnn(config: DetectConfig, device: torch.device) -> Detector:
    from anonymizer.detect.mtcnn import MtcnnDetector

    return MtcnnDetector(config, device)


def _both(config: DetectConfig, device: torch.device) -> Detector:
    return Both(_centerface(config, device), _mtcnn(config, device))


DETECTORS: dict[str, Callable[[DetectConfig, torch.device], Detector]] = {
    "centerface": _centerface,
    "mtcnn": _mtcnn,
    "both": _both,
}
"""Name -> what makes the detector, which raises ``WeightsError`` where its weights cannot be had."""
