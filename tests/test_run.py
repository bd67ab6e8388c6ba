"""``anonymizer run``: around an anonymizer without networks and, at the end, around the real one."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from fake_anonymizer import BOX, Blind, Careless, FakeAnonymizer, Forgetful, Run, files, make_photo, make_video
from PIL import Image
from torch import Tensor

from pipelines import inputs


def no_networks(config: object) -> None:
    raise AssertionError("networks were loaded")


def video_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


# Which files


def test_photo_beside_its_input(run: Run) -> None:
    make_photo(Path("a.jpg"))
    result = run("run", "a.jpg")
    assert files() == ["a.jpg", "a_anonymized.jpg"]
    assert "a.jpg -> a_anonymized.jpg: 1 face: 1 covered" in result.stdout
    assert "1 written; 1 face: 1 covered" in result.stdout
    x0, y0, x1, y1 = BOX
    with Image.open("a_anonymized.jpg") as picture:
        assert np.asarray(picture)[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].max() < 48


def test_folder_keeps_its_tree_and_says_what_it_leaves_out(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    make_photo(Path("in/b/2.jpg"))
    make_photo(Path("in/1.png"))
    make_video(Path("in/b/3.mp4"))
    make_photo(Path("in/.hidden/4.jpg"))
    Path("in/notes.txt").write_text("a text is a video to FFmpeg")
    outside = make_photo(tmp_path_factory.mktemp("outside") / "5.jpg")
    Path("in/link.jpg").symlink_to(outside)
    Path("in/up").symlink_to(outside.parent)
    Path("in/loop.jpg").symlink_to("loop.jpg")
    result = run("run", "in")
    made = [file for file in files() if not file.startswith("in/")]
    assert made == ["in_anonymized/1.png", "in_anonymized/b/2.jpg", "in_anonymized/b/3.mp4", "in_anonymized/notes.txt"]
    assert [line.split(" ->")[0] for line in result.stdout.splitlines()[:3]] == ["in/1.png", "in/b/2.jpg", "in/b/3.mp4"]
    for left_out in (".hidden", "link.jpg", "in/up", "loop.jpg"):
        assert left_out in result.stderr


@pytest.mark.parametrize(
    ("given", "output", "made"),
    [
        (["x/a.jpg"], "b.jpg", ["b.jpg"]),
        (["x/a.jpg"], "out", ["out/a.jpg"]),
        (["x/a.jpg", "y/b.jpg"], "out", ["out/a.jpg", "out/b.jpg"]),
        (["x"], "out", ["out/a.jpg"]),
        (["x", "y"], "out", ["out/x/a.jpg", "out/y/b.jpg"]),
        (["x", "y/b.jpg"], "out", ["out/b.jpg", "out/x/a.jpg"]),
        (["x"], "x/out", ["x/out/a.jpg"]),
    ],
)
def test_where_outputs_go(run: Run, given: list[str], output: str, made: list[str]) -> None:
    before = [str(make_photo(Path("x/a.jpg"))), str(make_photo(Path("y/b.jpg")))]
    run("run", *given, "-o", output)
    assert [file for file in files() if file not in before] == made
    for ledger in Path().rglob("*.ledger"):
        assert "0 written; " in (again := run("run", *given, "-o", output)).stdout
        assert "done before" in again.stdout
        ledger.unlink()
    assert "--force" in run("run", *given, "-o", output, code=1).stderr
    run("run", *given, "-o", output, "--force")


def test_content_decides(run: Run) -> None:
    make_photo(Path("a.jpg")).rename("clip.mp4")
    make_video(Path("b.mp4")).rename("photo.jpg")
    result = run("run", "clip.mp4", "photo.jpg", "-o", "out")
    assert "photo.jpg -> out/photo.mkv: 30 frames" in result.stdout
    with Image.open("out/clip.mp4") as picture:
        assert picture.format == "JPEG"


def test_photograph_in_a_video_container(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photo(Path("a.avif")).rename("a.jpg")
    assert inputs.kind_of(Path("a.jpg")) is inputs.Kind.PHOTO
    monkeypatch.delitem(inputs.FORMATS, "AVIF")  # as HEIC is without its library
    assert inputs.kind_of(Path("a.jpg")) is inputs.Kind.PHOTO


def test_container_that_holds_no_times_becomes_another(run: Run) -> None:
    make_video(Path("a.avi"), codec="mpeg4")
    run("run", "a.avi")
    assert files() == ["a.avi", "a_anonymized.mkv"]
    assert "not to '.avi'" in run("run", "a.avi", "-o", "b.avi", code=1).stderr


def test_dry_run_does_nothing(run: Run) -> None:
    make_photo(Path("in/a.jpg"))
    make_video(Path("in/b.mp4"))
    before = files()
    result = run("run", "in", "--dry-run", load=no_networks)
    assert "photograph in/a.jpg -> in_anonymized/a.jpg" in result.stdout
    assert "video in/b.mp4 -> in_anonymized/b.mp4" in result.stdout
    assert files() == before


def test_empty_folder_loads_no_networks(run: Run) -> None:
    Path("in").mkdir()
    assert "0 written; no faces" in run("run", "in", load=no_networks).stdout


# Videos


def test_video_keeps_every_time(run: Run) -> None:
    times = [0, 40, 80, 100, 300, 333, 1000, 1040, 5000]
    make_video(Path("a.mp4"), times)
    result = run("run", "a.mp4")
    assert "9 frames, 9 faces: 9 covered" in result.stdout
    assert video_times(Path("a_anonymized.mp4")) == video_times(Path("a.mp4"))
    assert len(video_times(Path("a.mp4"))) == len(times)


def test_video_without_faces_is_written_anew(run: Run) -> None:
    make_video(Path("a.mp4"))
    result = run("run", "a.mp4", load=Blind)
    assert "1 written, 1 of them without a face; no faces" in result.stdout
    assert Path("a.mp4").read_bytes() != Path("a_anonymized.mp4").read_bytes()


@pytest.mark.parametrize("broken", [Forgetful, Careless])
def test_a_frame_or_face_that_gets_lost_is_an_error(run: Run, broken: type[FakeAnonymizer]) -> None:
    make_video(Path("a.mp4"))
    result = run("run", "a.mp4", load=broken, code=1)
    assert result.stderr.startswith("Error: a.mp4")
    assert files() == ["a.mp4"]


# The real networks


@pytest.fixture
def people(tmp_path: Path, picture: Tensor) -> Path:
    """A folder with a photograph and a video of 16 frames of two people who do not exist."""
    folder = tmp_path / "people"
    folder.mkdir()
    pixels = picture.numpy()
    Image.fromarray(pixels).save(folder / "photo.png")
    with av.open(str(folder / "video.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for shift in range(16):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(pixels, 2 * shift, 1))))
        container.mux(stream.encode(None))
    return folder


def test_run_replaces_faces_and_nothing_else(run: Run, people: Path) -> None:
    result = run("run", "people", "--seed", 7, "--report", "r.json", load=None)
    photo, video = json.loads(Path("r.json").read_text())["inputs"]
    assert photo["faces"] == {"generated": 2}
    assert video["faces"] == {"generated": 32}
    assert "2 written; 34 faces: 34 generated" in result.stdout
    with Image.open(people / "photo.png") as before, Image.open("people_anonymized/photo.png") as after:
        changed = (np.asarray(before) != np.asarray(after)).any(-1)
    assert changed[150:250, 120:220].mean() > 0.9  # the face on the left
    assert changed[150:250, 424:524].mean() > 0.9
    assert not changed[:40].any()
    assert not changed[-20:].any()
    assert video_times(Path("people_anonymized/video.mkv")) == video_times(people / "video.mkv")


def test_seed_draws_the_same_people_again(run: Run, people: Path) -> None:
    for name, seed in {"a": 7, "b": 7, "c": 8}.items():
        run("run", people / "photo.png", "-o", f"{name}.png", "--seed", seed, load=None)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert Path("a.png").read_bytes() != Path("c.png").read_bytes()


def test_inspect_finds_both_people(run: Run, people: Path) -> None:
    faces = [json.loads(line) for line in run("inspect", "people", load=None).stdout.splitlines()]
    photo = [face for face in faces if "time" not in face]
    video = [face for face in faces if "time" in face]
    assert len(photo) == 2
    assert len(video) == 32
    assert len({face["track"] for face in video}) == 2
