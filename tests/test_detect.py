"""Detectors: one contract for all, and what only CenterFace promises."""

import subprocess
import sys
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import DETECTORS, Both, Detector
from anonymizer.detect.base import CHUNK
from anonymizer.detect.blazeface import BlazeFaceDetector
from anonymizer.detect.centerface import EDGE, OVERLAP, CenterFaceDetector, searches
from anonymizer.detect.mtcnn import MtcnnDetector
from anonymizer.errors import DetectionError
from anonymizer.generate.personas import Portrait
from anonymizer.geometry import box_iou

CPU = torch.device("cpu")
CONFIG = DetectConfig()
LANDMARKS = torch.tensor([[33, 133], [362, 263], [1, 1], [61, 61], [291, 291]])
"""Points of the face mesh: the corners of each eye, the tip of the nose, the corners of the mouth."""


@pytest.fixture(scope="module", params=[*DETECTORS, "blazeface"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return BlazeFaceDetector(CPU) if request.param == "blazeface" else DETECTORS[request.param](CONFIG, CPU)


@pytest.fixture(scope="module")
def centerface() -> Detector:
    return DETECTORS["centerface"](CONFIG, CPU)


def as_frames(*pictures: Tensor) -> Frames:
    return Frames(torch.stack(pictures), tuple(Fraction(index, 25) for index in range(len(pictures))))


def place(portrait: Portrait, height: float, at: tuple[float, float], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A person whose face is ``height`` pixels high around ``at`` (x, y) on a grey picture of ``size``.

    Returns:
        the picture and the face's ``(7, 2)`` box corners and landmarks, from the mesh.
    """
    points = portrait.points[:, :2]
    low, high = points.amin(0), points.amax(0)
    scale = height / float(high[1] - low[1])
    side = round(portrait.pixels.shape[1] * scale)
    small = F.interpolate(portrait.pixels[None], (side, side), mode="bilinear", antialias=True)[0]
    corner = (torch.tensor(at) - (low + high) / 2 * scale).round()
    left, top = (int(value) for value in corner)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, size[1]), min(top + side, size[0])
    picture = torch.full((*size, 3), 110, dtype=torch.uint8)
    seen = small[:, y0 - top : y1 - top, x0 - left : x1 - left]
    picture[y0:y1, x0:x1] = (seen * 255).round().byte().permute(1, 2, 0)
    truth = torch.cat([torch.stack([low, high]), points[LANDMARKS].mean(1)])
    return picture, truth * scale + corner


def check_found(found: Faces, truth: Tensor, size: tuple[int, int]) -> None:
    """Exactly one sure face, where it is: boxes are compared inside the picture."""
    found = found[found.scores >= CONFIG.threshold]
    assert len(found) == 1
    limit = torch.tensor([size[1], size[0]] * 2)
    boxes = [box.reshape(1, 4).clamp(min=torch.zeros(4), max=limit) for box in (found.boxes, truth[:2])]
    assert box_iou(*boxes).item() > 0.5
    visible = (truth[2:] > 0).all(1) & (truth[2:] < limit[:2]).all(1)
    width = float(truth[1, 0] - truth[0, 0])
    assert (found.landmarks[0] - truth[2:])[visible].norm(dim=1).max() < 0.2 * width


@pytest.fixture(scope="module")
def crowd(portraits: list[Portrait]) -> Frames:
    """No face, one face, two faces."""
    size = (240, 320)
    empty = torch.full((*size, 3), 110, dtype=torch.uint8)
    one, _ = place(portraits[0], 90, (80, 120), size)
    left, _ = place(portraits[1], 60, (80, 120), size)
    right, _ = place(portraits[2], 110, (230, 110), size)
    return as_frames(empty, one, torch.cat([left[:, :160], right[:, 160:]], dim=1))


def test_contract(detector: Detector, crowd: Frames) -> None:
    found = detector.detect(crowd)
    assert found.frame.device == found.boxes.device == CPU
    assert (found.scores >= CONFIG.low).all()
    assert (found.scores <= 1).all()
    assert (found.tracks == UNTRACKED).all()
    assert (found.sizes > 0).all()
    order = found.frame - found.scores  # by frame, then by falling score
    assert torch.equal(order, order.sort().values)
    assert found[found.scores >= CONFIG.threshold].frame.tolist() == [1, 2, 2]


def test_no_frames(detector: Detector) -> None:
    assert len(detector.detect(Frames(torch.zeros(0, 48, 64, 3, dtype=torch.uint8), ()))) == 0


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (12, 300), (240, 320)])
def test_no_face_in_noise(detector: Detector, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (2, *size, 3), generator=generator, dtype=torch.uint8)
    ramp = (torch.arange(size[1]) % 256).byte()[None, :, None].expand(*size, 3)
    found = detector.detect(as_frames(*noise, ramp))
    assert (found.scores < CONFIG.threshold).all()


@pytest.mark.parametrize("height", [20, 48, 150, 330])
def test_finds_a_face_of_any_size(detector: Detector, portraits: list[Portrait], height: int) -> None:
    size = (360, 480)
    picture, truth = place(portraits[1], height, (260, 185), size)
    check_found(detector.detect(as_frames(picture)), truth, size)


@pytest.mark.parametrize(("side", "share"), [(40, 0.9), (100, 1.2), (500, 1.1), (900, 1.2)])
def test_finds_a_face_that_fills_the_picture(
    detector: Detector, portraits: list[Portrait], side: int, share: float
) -> None:
    picture, truth = place(portraits[0], side * share, (side / 2, side / 2), (side, side))
    check_found(detector.detect(as_frames(picture)), truth, (side, side))


@pytest.mark.parametrize("at", [(20, 120), (300, 120), (160, 40), (160, 215)])
def test_finds_a_face_that_the_border_cuts(detector: Detector, portraits: list[Portrait], at: tuple[int, int]) -> None:
    size = (240, 320)
    picture, truth = place(portraits[0], 120, at, size)
    check_found(detector.detect(as_frames(picture)), truth, size)


def test_a_frame_gives_the_same_alone(detector: Detector, crowd: Frames) -> None:
    together = detector.detect(crowd)
    for index in range(len(crowd)):
        alone, there = detector.detect(crowd[index : index + 1]), together[together.frame == index]
        assert len(alone) == len(there)
        assert torch.allclose(alone.boxes, there.boxes, atol=0.01)
        assert torch.allclose(alone.landmarks, there.landmarks, atol=0.01)
        assert torch.allclose(alone.scores, there.scores, atol=1e-4)


def test_is_deterministic(detector: Detector, crowd: Frames) -> None:
    first, second = detector.detect(crowd), detector.detect(crowd)
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.scores, second.scores)


def test_16_bits_are_8_bits(detector: Detector, crowd: Frames) -> None:
    deep = Frames((crowd.pixels.int() * 257).to(torch.uint16), crowd.times)
    assert torch.equal(detector.detect(deep).boxes, detector.detect(crowd).boxes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("name", DETECTORS)
def test_gpu_finds_the_same(name: str, crowd: Frames) -> None:
    gpu = torch.device("cuda")
    expected = DETECTORS[name](CONFIG, CPU).detect(crowd)
    found = DETECTORS[name](CONFIG, gpu).detect(Frames(crowd.pixels.to(gpu), crowd.times))
    expected, found = (faces[faces.scores >= CONFIG.threshold] for faces in (expected, found))
    assert torch.equal(found.frame, expected.frame)
    assert box_iou(found.boxes, expected.boxes).diagonal().min() > 0.9


def test_many_frames_are_searched_in_parts(
    centerface: Detector, crowd: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = centerface.detect(crowd)
    monkeypatch.setitem(CHUNK, "cpu", 2 * 240 * 320)
    parts = centerface.detect(crowd)
    assert torch.equal(parts.frame, together.frame)
    assert torch.allclose(parts.boxes, together.boxes, atol=0.01)


def test_thorough_finds_small_and_large_faces_in_a_large_picture(portraits: list[Portrait]) -> None:
    size = (1700, 2600)
    small, small_truth = place(portraits[0], 24, (1850.0, 700.0), size)
    large, large_truth = place(portraits[1], 1100, (800, 850), size)
    picture = torch.cat([large[:, :1700], small[:, 1700:]], dim=1)
    config = DetectConfig(max_side=1024)
    quick = CenterFaceDetector(config, CPU).detect(as_frames(picture))
    check_found(quick, large_truth, size)
    thorough = CenterFaceDetector(DetectConfig(max_side=1024, thorough=True), CPU).detect(as_frames(picture))
    sure = thorough.scores >= config.threshold
    on_the_right = thorough.boxes[:, 0] > 1700
    check_found(thorough[sure & ~on_the_right], large_truth, size)
    check_found(thorough[sure & on_the_right], small_truth, size)


@given(
    height=st.integers(1, 9000),
    width=st.integers(1, 9000),
    face=st.floats(20, 12000),
    side=st.integers(640, 2000),
)
def test_every_size_of_face_falls_into_a_search(height: int, width: int, face: float, side: int) -> None:
    plan = searches(height, width, side, thorough=True)
    fitting = [search for search in plan if search.heights[0] <= face * search.scale < search.heights[1]]
    assert fitting
    assert all(len(search.windows) == 1 or face <= OVERLAP for search in fitting)
    if face <= 1.5 * max(height, width):
        assert any(18 <= face * search.scale <= 600 for search in fitting)


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), data=st.data())
def test_tiles_cover_the_picture(height: int, width: int, data: st.DataObject) -> None:
    windows = searches(height, width, 640, thorough=True)[0].windows
    room = OVERLAP - 2 * EDGE - 2
    x0 = data.draw(st.floats(0, max(0, width - room)))
    y0 = data.draw(st.floats(0, max(0, height - room)))
    face = torch.tensor([x0, y0, min(x0 + room, width), min(y0 + room, height)])
    limits = torch.tensor([window.limits for window in windows])
    assert ((face[:2] > limits[:, :2]).all(1) & (face[2:] < limits[:, 2:]).all(1)).any()
    assert (
        len({(window.rows.stop - window.rows.start, window.columns.stop - window.columns.start) for window in windows})
        == 1
    )
    assert all(window.rows.stop <= height and window.columns.stop <= width for window in windows)


class Scripted:
    """Finds the same boxes in every frame."""

    def __init__(self, boxes: list[list[float]], scores: list[float]) -> None:
        self._boxes, self._scores = torch.tensor(boxes).float().reshape(-1, 4), torch.tensor(scores)

    def detect(self, frames: Frames) -> Faces:
        count = len(self._boxes)
        parts = [
            Faces(
                torch.full((count,), index),
                self._boxes,
                torch.zeros(count, 5, 2),
                self._scores,
                torch.full((count,), UNTRACKED),
                torch.ones(count, dtype=torch.bool),
            )
            for index in range(len(frames))
        ]
        return Faces.cat([Faces.none(), *parts])


def test_both_is_the_union_with_the_boxes_of_the_first(crowd: Frames) -> None:
    first = Scripted([[10, 10, 50, 60], [100, 10, 140, 60]], [0.3, 0.6])
    second = Scripted([[14, 10, 52, 60], [200, 10, 240, 60]], [0.8, 0.7])
    found = Both(first, second).detect(crowd[:2])
    assert found.frame.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.boxes[:3, 0].tolist() == [10, 200, 100]
    assert found.scores[:3].tolist() == pytest.approx([0.8, 0.7, 0.6])


@pytest.mark.parametrize(("first", "second", "count"), [(0, 1, 1), (1, 0, 1), (0, 0, 0)])
def test_both_where_one_finds_nothing(crowd: Frames, first: int, second: int, count: int) -> None:
    parts = [Scripted([[10, 10, 50, 60]] * found, [0.5] * found) for found in (first, second)]
    assert len(Both(*parts).detect(crowd[:1])) == count


def test_a_failing_package_is_a_detection_error(crowd: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = MtcnnDetector(CONFIG, CPU)

    def fail(*_: object, **__: object) -> None:
        raise IndexError("the shape of the mask does not match")

    monkeypatch.setattr(detector._network, "detect", fail)
    with pytest.raises(DetectionError, match="MTCNN failed"):
        detector.detect(crowd)


def test_facenet_is_only_imported_when_asked_for() -> None:
    code = "import sys, anonymizer.detect.centerface; sys.exit('facenet_pytorch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
