"""``anonymizer audit``: what is left in results, whoever made them."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

from anonymizer.batches import Faces, Frames
from anonymizer.config import DetectConfig
from anonymizer.detect import DETECTORS
from anonymizer.media import Image, VideoReader, VideoWriter, write_image
from anonymizer.media.image import Pixels
from anonymizer.provenance import COMPOSITE
from pipelines.cli import main
from pipelines.comparison import Comparison, Verdict

COUNT = 6


@pytest.fixture(scope="module")
def real(picture: Tensor) -> Pixels:
    return picture.numpy()


@pytest.fixture(scope="module")
def covered(real: Pixels) -> Pixels:
    """The heads lie from 60 to 316, at 40 and 344."""
    safe = real.copy()
    safe[60:316, 40:296] = safe[60:316, 344:600] = (90, 120, 100)
    return safe


def audit(original: Path, result: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["audit", str(original), str(result), *options])


def save(path: Path, pixels: Pixels, **settings: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, **settings)  # type: ignore[arg-type]
    return path


def film(path: Path, pictures: list[Pixels], step: int = 1, sound: bool = False, **tags: str) -> Path:
    """A video of pictures, ``step`` 25ths of a second apart."""
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        voice = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number * step, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.float32), format="fltp", layout="mono")
            tone.sample_rate = 8000
            container.mux([*voice.encode(tone), *voice.encode(None)])
    return path


def test_a_photograph_that_is_clean(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    result = audit(save(tmp_path / "a.png", real), save(tmp_path / "b.png", covered))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].split()[1:6] == ["1", "2", "0", "0", "0"]


def soft(pixels: Pixels) -> Pixels:
    return np.asarray(PIL.Image.fromarray(pixels).filter(PIL.ImageFilter.GaussianBlur(2)))


def louder(pixels: Pixels) -> Pixels:
    return (pixels * 0.6 + 90).astype(np.uint8)


@pytest.mark.parametrize(
    ("way", "verdict"),
    [(lambda pixels: pixels, "unchanged"), (soft, "recognizable"), (louder, "recognizable")],
)
def test_faces_that_are_left(
    tmp_path: Path, real: Pixels, covered: Pixels, way: Callable[[Pixels], Pixels], verdict: str
) -> None:
    mixed = covered.copy()
    mixed[:, 320:] = way(real)[:, 320:]
    report = tmp_path / "report.json"
    result = audit(save(tmp_path / "a.png", real), save(tmp_path / "b.png", mixed), "--report", str(report))
    assert result.exit_code == 1
    assert "frame 0, 0.000 s, box " in result.output
    assert f": {verdict}" in result.output
    (told,) = json.loads(report.read_text())["files"]
    (face,) = told["wrong"]
    assert face["verdict"] == verdict
    assert face["box"][0] > 344
    assert told["faces"] == 2
    assert not told["clean"]


def test_a_single_frame_of_a_video(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    original = film(tmp_path / "a.mp4", [real] * COUNT, sound=True)
    pictures = [covered] * COUNT
    assert audit(original, film(tmp_path / "b.mp4", pictures, sound=True)).exit_code == 0
    pictures[4] = real
    result = audit(original, film(tmp_path / "c.mp4", pictures, sound=True))
    assert result.exit_code == 1
    assert result.output.count("unchanged\n") == 2
    assert result.output.count("frame 4, 0.160 s") == 2
    assert audit(original, tmp_path / "c.mp4", "--step", "3").exit_code == 0, "frames 0 and 3 are clean"
    assert audit(original, tmp_path / "c.mp4", "--step", "2").exit_code == 1


def test_times_and_sound(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    original = film(tmp_path / "a.mp4", [real] * 3, sound=True)
    result = audit(original, film(tmp_path / "b.mp4", [covered] * 3, step=2))
    assert result.exit_code == 0
    assert result.output.rstrip().endswith("other times; no sound")


def test_what_cannot_be_compared(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    original, photo = film(tmp_path / "a.mp4", [real] * 6), save(tmp_path / "a.png", real)
    for before, after, why in (
        (original, film(tmp_path / "b.mp4", [covered] * 5), "another number of frames"),
        (original, photo, "is not a video"),
        (photo, save(tmp_path / "turned.png", covered.swapaxes(0, 1)), "360x640 instead of 640x360"),
        (photo, film(tmp_path / "c.mp4", [covered]), "is not a picture"),
    ):
        result = audit(before, after)
        assert result.exit_code == 1
        assert why in result.output


def test_other_sizes(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    """Some programs make sides multiples of 16."""
    original = save(tmp_path / "a.png", real)

    def larger(pixels: Pixels) -> Pixels:
        return np.asarray(PIL.Image.fromarray(pixels).resize((640, 368)))

    result = audit(original, save(tmp_path / "b.png", larger(covered)))
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith("has pictures of 640x368 instead of 640x360 pixels")
    result = audit(original, save(tmp_path / "c.png", larger(real)))
    assert result.output.count("unchanged\n") == 2


def test_what_is_said_besides(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    exif = PIL.Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = 1
    exif.get_ifd(0x8825)[1] = "N"
    original = save(tmp_path / "a.jpg", real)
    result = audit(original, save(tmp_path / "b.jpg", covered, exif=exif, comment="at home"))
    assert result.exit_code == 1
    assert "EXIF GPSInfo; EXIF Make; comment" in result.output
    result = audit(film(tmp_path / "a.mkv", [real]), film(tmp_path / "b.mkv", [covered], location="home"))
    assert result.exit_code == 1
    assert result.output.rstrip().lower().endswith("location")


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Kiel"/></rdf:RDF></x:xmpmeta>"""


def test_what_results_say_of_themselves_is_no_leak(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    original, made = save(tmp_path / "a.jpg", real), tmp_path / "b.jpg"
    write_image(made, Image(covered, format="JPEG"), says=COMPOSITE)
    assert audit(original, made).exit_code == 0
    result = audit(original, save(tmp_path / "c.jpg", covered, xmp=XMP.encode()))
    assert result.exit_code == 1
    assert result.output.rstrip().endswith("XMP City")
    for name in ("a.mkv", "a.mp4"):
        original = film(tmp_path / name, [real] * 3)
        with VideoReader(original) as reader, VideoWriter(tmp_path / f"b{name}", like=reader) as writer:
            for frames in reader.batches(3):
                writer.write(Frames(torch.from_numpy(covered).expand(len(frames), -1, -1, -1), frames.times))
            writer.close(COMPOSITE)
        result = audit(original, tmp_path / f"b{name}")
        assert result.exit_code == 0, result.output


def test_a_damaged_result_does_not_end_the_others(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("a.jpg", "b.jpg"):
        save(one / name, real)
        save(two / name, covered)
    whole = (two / "a.jpg").read_bytes()
    (two / "a.jpg").write_bytes(whole[: len(whole) // 2])
    result = audit(one, two)
    assert result.exit_code == 1
    rows = result.output.splitlines()[-2:]
    assert "a.jpg" in rows[0]
    assert rows[0].split()[1] == "0"
    assert rows[1].split()[1:6] == ["1", "2", "0", "0", "0"]


def test_folders(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("a.png", "b.png", "c.png"):
        save(one / name, real)
    save(two / "a.png", covered)
    save(two / "b.bmp", covered)
    (one / "labels.txt").write_text("text")
    result = audit(one, two)
    assert result.exit_code == 1
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.startswith(("/", "-"))}
    assert rows[str(two / "a.png")].split()[1:6] == ["1", "2", "0", "0", "0"]
    assert rows[str(two / "b.bmp")].split()[1:6] == ["1", "2", "0", "0", "0"]
    assert "c.png: has no result" in rows["-"]
    assert audit(tmp_path / "two", tmp_path / "two" / "nowhere").exit_code == 2


class Blind:
    """A detector that sees no face."""

    def detect(self, frames: Frames) -> Faces:
        return Faces.none()


def test_a_face_that_one_detector_misses_is_a_leak_if_it_has_a_mesh(real: Pixels) -> None:
    comparison = Comparison("cpu")
    comparison._detectors["mtcnn"] = Blind()  # type: ignore[assignment]
    whole = Frames(torch.from_numpy(real)[None], (Fraction(0),))
    assert [face.verdict for face in comparison.compare(whole, whole)] == [Verdict.UNCHANGED] * 2


def test_what_one_network_takes_for_a_face_is_to_be_looked_at(real: Pixels) -> None:
    comparison, finder = Comparison("cpu"), DETECTORS["centerface"](DetectConfig(), torch.device("cpu"))
    faces = finder.detect(Frames(torch.from_numpy(real)[None], (Fraction(0),)))

    class Seer:
        def detect(self, frames: Frames) -> Faces:
            return faces

    comparison._detectors = {"centerface": Seer(), "mtcnn": Blind()}  # type: ignore[dict-item]
    noise = torch.randint(90, 160, real.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wall = Frames(noise[None], (Fraction(0),))
    assert [face.verdict for face in comparison.compare(wall, wall)] == [Verdict.TO_LOOK_AT] * 2


def test_a_second_stream_of_video_is_named(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    original = film(tmp_path / "a.mp4", [real] * 2)
    with av.open(str(tmp_path / "b.mkv"), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width = real.shape[:2]
        for stream, pixels in zip(streams, (covered, real), strict=True):
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    result = audit(original, tmp_path / "b.mkv")
    assert result.exit_code == 1
    assert "another stream of video" in result.output


def test_what_has_no_original_is_named(tmp_path: Path, real: Pixels, covered: Pixels) -> None:
    save(tmp_path / "in" / "a.png", real)
    for name, pixels in (("a.png", covered), ("a.webp", covered), ("b.png", real)):
        save(tmp_path / "out" / name, pixels)
    (tmp_path / "out" / "notes.txt").write_text("of no picture")
    result = audit(tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 1
    assert result.output.count("there is no original of it") == 2
    (tmp_path / "out" / "b.png").unlink()
    (tmp_path / "out" / "a.webp").unlink()
    assert audit(tmp_path / "in", tmp_path / "out").exit_code == 0
