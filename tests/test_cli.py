"""The command line, around an anonymizer without networks and, at the end, around the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import av
import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fake_anonymizer import BOX, Blind, Careless, FakeAnonymizer, Forgetful, make_photo, make_video
from PIL import Image
from torch import Tensor

from anonymizer.media.encoders import CODECS
from anonymizer.media.video_writer import AudioMode
from anonymizer.models import MODELS
from pipelines import bench, inputs, settings
from pipelines.cli import main
from pipelines.options import Option

README = Path(__file__).parents[1] / "README.md"

HEAVY = ("torch", "torchvision", "av", "cv2", "PIL", "numpy", "openvino", "scipy", "facenet_pytorch", "safetensors")

Run = Callable[..., Result]


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from commands(below, f"{name} {below.name}")


COMMANDS = dict(commands(main, "anonymizer"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in an empty folder, around a fake anonymizer."""
    monkeypatch.chdir(tmp_path)

    def invoke(*args: object, load: object = FakeAnonymizer, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(arg) for arg in args], obj=load)
        assert result.exit_code == code, result.output
        return result

    return invoke


def no_networks(config: object) -> None:
    raise AssertionError("networks were loaded")


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def video_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


# Help


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pipelines.cli import main\n"
        "try: main(['run', '--help'])\n"
        f"except SystemExit: print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--method" in done.stdout
    assert done.stdout.strip().endswith("HEAVY []")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained(name: str, run: Run) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.get_short_help_str()
    assert command.help.split()[0] in run(*name.split()[1:], "--help").output
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_readme_names_every_command(name: str) -> None:
    assert name in README.read_text()


def test_options_of_run_stand_under_headings() -> None:
    options = [option for option in COMMANDS["anonymizer run"].params if isinstance(option, click.Option)]
    assert all(isinstance(option, Option) for option in options)
    assert len({option.heading for option in options if isinstance(option, Option)}) > 4


def test_choices_are_those_of_the_library() -> None:
    assert set(get_args(settings.Codec)) == set(CODECS)
    assert get_args(settings.Audio) == get_args(AudioMode)


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
    assert made == ["in_anonymized/1.png", "in_anonymized/b/2.jpg", "in_anonymized/b/3.mp4"]
    assert [line.split(" ->")[0] for line in result.stdout.splitlines()[:3]] == ["in/1.png", "in/b/2.jpg", "in/b/3.mp4"]
    for left_out in (".hidden", "notes.txt", "link.jpg", "in/up", "loop.jpg"):
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
    again = run("run", *given, "-o", output, code=1)
    assert "--force" in again.stderr
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


# Report


def test_report_holds_settings_and_results(run: Run) -> None:
    make_photo(Path("a.jpg"))
    make_video(Path("b.mp4"))
    Path("c.jpg").touch()
    options = ["--preset", "thorough", "--threshold", "0.1", "--method", "blur", "--codec", "hevc", "--quality", "80"]
    run("run", "a.jpg", "b.mp4", "c.jpg", "--report", "r.json", *options, code=1)
    report = json.loads(Path("r.json").read_text())
    assert report["settings"]["detect"] == {
        "detector": "both",
        "threshold": 0.1,
        "low": 0.1,
        "max_side": 1280,
        "thorough": True,
    }
    assert report["settings"]["generate"]["method"] == "blur"
    assert report["settings"]["output"]["codec"] == "hevc"
    assert report["settings"]["output"]["quality"] == 80
    assert report["weights"]["centerface"] == MODELS["centerface"].sha256
    assert set(report["versions"]) >= {"anonymizer", "torch"}
    photo, video, empty = report["inputs"]
    assert photo["faces"] == {"covered": 1}
    assert (video["output"], video["kind"], video["frames"]) == ("b_anonymized.mp4", "video", 30)
    assert (empty["output"], empty["error"]) == (None, "c.jpg: the file is empty")


def test_secret_seed_is_written_nowhere(run: Run) -> None:
    make_photo(Path("a.jpg"))
    run("run", "a.jpg", "--report", "r.json")
    assert json.loads(Path("r.json").read_text())["settings"]["generate"]["seed"] is None
    run("run", "a.jpg", "--report", "r.json", "--seed", "7", "--force")
    assert json.loads(Path("r.json").read_text())["settings"]["generate"]["seed"] == 7


@pytest.mark.parametrize("report", ["a.jpg", "a_anonymized.jpg"])
def test_report_takes_no_place_of_another_file(run: Run, report: str) -> None:
    before = make_photo(Path("a.jpg")).read_bytes()
    assert "report" in run("run", "a.jpg", "--report", report, "--force", code=2).stderr
    assert Path("a.jpg").read_bytes() == before
    assert files() == ["a.jpg"]


# Other commands


def test_inspect_writes_a_line_a_face(run: Run) -> None:
    make_photo(Path("a.jpg"))
    make_video(Path("b.mp4"), [0, 40, 125])
    Path("c.jpg").touch()
    result = run("inspect", "a.jpg", "b.mp4", "c.jpg", code=1)
    photo, *video = map(json.loads, result.stdout.splitlines())
    assert photo["box"] == list(BOX)
    assert "time" not in photo
    assert [face["time"] for face in video] == ["0", "1/25", "1/8"]
    assert video[2]["seconds"] == 0.125
    assert video[2]["track"] == 0
    assert len(video[0]["landmarks"]) == 5
    assert "c.jpg: the file is empty" in result.stderr
    assert files() == ["a.jpg", "b.mp4", "c.jpg"]


def test_bench_measures_all_stages(run: Run) -> None:
    make_video(Path("a.mp4"))
    result = run("bench", "a.mp4", "--repeat", 2, "--json", "b.json")
    figures = json.loads(Path("b.json").read_text())
    assert set(figures["stages"]) == {"decode", "detect", "encode", "whole", "transcode"}
    assert (figures["frames"], figures["faces"], figures["repetitions"]) == (30, 30, 2)
    whole = figures["stages"]["whole"]
    assert whole["frames_per_second"] == pytest.approx(30 / whole["seconds"], rel=0.05)
    assert all(name in result.stdout for name in figures["stages"])
    assert files() == ["a.mp4", "b.json"]


def test_bench_runs_others_in_turn(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "a.mp4")
    sleep = [sys.executable, "-c", "import sys, time; time.sleep(float(sys.argv[1]))"]
    compared = {bench.SELF: [*sleep, "0.1"], "slower": [*sleep, "0.5"]}
    figures = bench.measure(clip, FakeAnonymizer(), 2, compared).as_dict()  # type: ignore[arg-type]
    assert 1 < figures["ratios"]["slower"] < 6
    assert "anonymizer / slower" in bench.as_table(figures)


def test_bench_needs_the_program_that_it_compares_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(Path("a.mp4"))
    monkeypatch.setenv("PATH", "")
    assert "deface is not installed" in run("bench", "a.mp4", "--against", "deface", code=2).stderr


def test_models_without_any_in_the_cache(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONYMIZER_CACHE", str(tmp_path / "cache"))
    table = run("models", "list").stdout
    assert all(f"{name:12}missing" in table for name in MODELS)
    assert "MIT" in table
    assert "anonymizer models fetch" in run("models", "verify", code=1).stderr
    assert "no such model" in run("models", "fetch", "centreface", code=2).stderr
    assert "no model files" in run("models", "export", "m.zip", code=1).stderr
    assert "cannot read the archive" in run("models", "import", "m.zip", code=1).stderr
    assert files() == []


# Wrong usage


@pytest.mark.parametrize(
    "args",
    [
        ["run"],
        ["run", "a.jpg", "--method", "magic"],
        ["run", "a.jpg", "--threshold", "1.5"],
        ["run", "a.jpg", "b.jpg", "-o", "c.jpg"],
        ["run", "a.jpg", "--seed", "-1"],
        ["bench", "--against", "nobody"],
        ["fly"],
    ],
)
def test_wrong_usage(run: Run, args: list[str]) -> None:
    make_photo(Path("a.jpg"))
    make_photo(Path("b.jpg"))
    assert "Error" in run(*args, code=2).stderr
    assert files() == ["a.jpg", "b.jpg"]


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
