"""The command line: its help, its report and the commands beside ``run``, around an anonymizer without networks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from fake_anonymizer import BOX, FakeAnonymizer, Run, files, make_photo, make_video

from anonymizer.media.encoders import CODECS
from anonymizer.media.video_writer import AudioMode
from anonymizer.models import MODELS
from pipelines import bench, options, settings
from pipelines.cli import main
from pipelines.options import Option

README = Path(__file__).parents[1] / "README.md"

HEAVY = ("torch", "torchvision", "av", "cv2", "PIL", "numpy", "openvino", "scipy", "facenet_pytorch", "safetensors")


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from commands(below, f"{name} {below.name}")


COMMANDS = dict(commands(main, "anonymizer"))


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


@pytest.mark.parametrize("match", ["age,skin", "gender", "none"])
def test_settings_are_said_as_they_are_read(match: str) -> None:
    words = [f"--match={match}", "--occluders=replace", "--preset=fast"]

    @click.command()
    @options.replacing
    @options.finding
    def command(**read: object) -> None:
        assert set(words) <= set(options.as_words(read))

    command(words, standalone_mode=False)


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
