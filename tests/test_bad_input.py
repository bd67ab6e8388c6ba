"""Whatever goes wrong with one file: one line that says what, no half output, exit code 1, and the others are done."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_anonymizer import FakeAnonymizer, Unable, make_photo, make_video, noisy_video, sound_only

from pipelines.cli import main

NOBODY = 65534

GOOD = "good.jpg"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_photo(Path(GOOD))
    return tmp_path


def fails(*args: object, load: object = FakeAnonymizer) -> str:
    """Run ``args`` together with a good photograph; return the one line about what failed."""
    before = set(Path().rglob("*"))
    result = CliRunner().invoke(main, ["run", GOOD, *map(str, args), "-o", "out"], obj=load)
    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "1 written" in result.stdout
    assert "1 failed" in result.stdout
    made = {path for path in set(Path().rglob("*")) - before if path.is_file()}
    assert made - {Path("out.ledger"), Path("out.ledger.secret")} == {Path("out", GOOD)}
    return line


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def corrupted(path: Path) -> Path:
    """Overwrite bytes in the middle, where the coded pictures are: more than one of a video has."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 12000] = b"\xa5" * 12000
    path.write_bytes(data)
    return path


def renamed(path: Path, name: str) -> Path:
    return path.rename(name)


BAD: dict[str, Callable[[], Path]] = {
    "truncated photo": lambda: cut(make_photo(Path("a.jpg"), (800, 600)), 0.5),
    "truncated photo, head only": lambda: cut(make_photo(Path("a.png")), 0.1),
    "truncated video": lambda: cut(noisy_video(Path("a.mkv")), 0.6),
    "truncated video, no index": lambda: cut(noisy_video(Path("a.mp4")), 0.6),
    "zero bytes photo": lambda: cut(make_photo(Path("a.jpg")), 0),
    "zero bytes video": lambda: cut(make_video(Path("a.mp4")), 0),
    "only zeros": lambda: [Path("a.webp").write_bytes(bytes(5000)), Path("a.webp")][1],
    "corrupt photo": lambda: corrupted(make_photo(Path("a.png"), (800, 600))),
    "corrupt frames": lambda: corrupted(noisy_video(Path("a.mp4"))),
    "no video stream": lambda: renamed(sound_only(Path("a.m4a")), "a.mp4"),
    "a text with a suffix": lambda: [Path("a.jpg").write_text("no picture"), Path("a.jpg")][1],
    "a text": lambda: [Path("a.txt").write_text("no picture\n"), Path("a.txt")][1],
    "a playlist": lambda: [Path("a.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{GOOD}\n"), Path("a.mp4")][1],
    "not there": lambda: Path("a.jpg"),
    "a pipe": lambda: [os.mkfifo("a.jpg"), Path("a.jpg")][1],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_named_and_the_others_are_done(name: str) -> None:
    path = BAD[name]()
    line = fails(path)
    assert line.startswith(f"Error: {path}")
    assert "unexpected" not in line


def test_bad_files_of_a_folder_fail_too() -> None:
    cut(make_photo(Path("in/a.jpg")), 0)
    make_video(Path("in/b.mp4"))
    result = CliRunner().invoke(main, ["run", "in"], obj=FakeAnonymizer)
    assert result.exit_code == 1
    assert "in/a.jpg: the file is empty" in result.stderr
    assert [path.name for path in Path("in_anonymized").iterdir()] == ["b.mp4"]


def test_failed_stage() -> None:
    assert fails(make_photo(Path("square.png"), (48, 48)), load=Unable) == "Error: square.png: no faces for squares"


def test_unexpected_error_is_one_line_with_a_hint() -> None:
    line = fails(make_photo(Path("portrait.png"), (32, 48)), load=Unable)
    assert line.startswith("Error: portrait.png: unexpected ZeroDivisionError: a portrait of nobody")
    assert "--debug" in line


def test_debug_shows_the_traceback() -> None:
    make_photo(Path("portrait.png"), (32, 48))
    done = start("Unable", "--debug", "run", "portrait.png")
    _, errors = done.communicate(timeout=60)
    assert "Traceback" in errors
    assert done.returncode == 1


def test_networks_that_cannot_be_loaded() -> None:
    def broken(config: object) -> None:
        raise MemoryError("no room")

    result = CliRunner().invoke(main, ["run", GOOD], obj=broken)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: unexpected MemoryError: no room")
    assert [path.name for path in Path().iterdir()] == [GOOD]


# Outputs in the way


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_input_is_never_overwritten(force: list[str]) -> None:
    make_photo(Path("b.jpg"))
    Path("hard.jpg").hardlink_to(GOOD)
    before = {path: path.read_bytes() for path in Path().iterdir()}
    for output in (GOOD, f"../{Path.cwd().name}/{GOOD}", "hard.jpg"):
        result = CliRunner().invoke(main, ["run", GOOD, "-o", output, *force], obj=FakeAnonymizer)
        assert result.exit_code == 1
        assert f"Error: {GOOD}: its result would take the place of an input" in result.stderr
    result = CliRunner().invoke(main, ["run", ".", "-o", ".", *force], obj=FakeAnonymizer)
    assert result.exit_code == 1
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_input_that_another_result_would_replace() -> None:
    make_photo(Path("good_anonymized.jpg"))
    result = CliRunner().invoke(main, ["run", GOOD, "good_anonymized.jpg", "--force"], obj=FakeAnonymizer)
    assert result.exit_code == 1
    assert "good.jpg: its result would take the place of an input" in result.stderr


def test_two_results_of_one_name() -> None:
    make_photo(Path("a/same.png"))
    make_photo(Path("b/same.png"))
    result = CliRunner().invoke(main, ["run", "a/same.png", "b/same.png", "-o", "out"], obj=FakeAnonymizer)
    assert result.exit_code == 1
    assert "b/same.png: its result would take the place of that of a/same.png" in result.stderr


def test_existing_output_is_kept_without_force() -> None:
    Path("out").mkdir()
    Path("out/a.mp4").write_text("precious")
    line = fails(make_video(Path("a.mp4")))
    assert "--force" in line
    assert Path("out/a.mp4").read_text() == "precious"


def test_failure_keeps_the_old_output_even_with_force() -> None:
    Path("out").mkdir()
    Path("out/a.mkv").write_text("precious")
    fails(cut(noisy_video(Path("a.mkv")), 0.6), "--force")
    assert Path("out/a.mkv").read_text() == "precious"


# Rights and room


@pytest.fixture
def unprivileged(folder: Path) -> Iterator[None]:
    """Root may read everything: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    for parent in (folder, *folder.parents):
        if not parent.stat().st_mode & 0o005:
            parent.chmod(parent.stat().st_mode | 0o055)
    folder.chmod(0o777)
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_unreadable_folder(mode: int, unprivileged: None) -> None:
    make_photo(Path("in/closed/a.jpg"))
    make_photo(Path("in/open.jpg"))
    Path("in/closed").chmod(mode)
    try:
        result = CliRunner().invoke(main, ["run", "in"], obj=FakeAnonymizer)
        assert result.exit_code == 1
        assert "Error: in/closed" in result.stderr
        assert "permission denied" in result.stderr
        assert [path.name for path in Path("in_anonymized").iterdir()] == ["open.jpg"]
    finally:
        Path("in/closed").chmod(0o700)


def test_unreadable_file(unprivileged: None) -> None:
    closed = make_photo(Path("closed.jpg"))
    closed.chmod(0)
    assert fails(closed) == "Error: closed.jpg: permission denied"


def test_output_folder_that_cannot_be_written(unprivileged: None) -> None:
    Path("out").mkdir(0o555)
    result = CliRunner().invoke(main, ["run", GOOD, "-o", "out/deeper"], obj=FakeAnonymizer)
    assert result.exit_code == 1
    assert "Error: out/deeper: the folder cannot be made: permission denied" in result.stderr


SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fake_anonymizer
from pipelines.cli import main
main(sys.argv[2:], obj=getattr(fake_anonymizer, sys.argv[1]))
"""


def start(load: str, *args: str, file_size: int | None = None) -> subprocess.Popen[str]:
    """The command in a process of its own; ``file_size`` limits every file that it writes."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in what a shell runs in the background
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT, load, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


@pytest.mark.parametrize("name", ["a.jpg", "a.mp4"])
def test_full_disk(name: str) -> None:
    source = make_photo(Path(name), (1600, 1200)) if name == "a.jpg" else noisy_video(Path(name))
    process = start("FakeAnonymizer", "run", name, GOOD, "-o", "out", file_size=100_000)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Error: out/{name}: cannot be written" in errors or f"Error: out/{name} at" in errors
    assert "1 written" in output
    assert [path.name for path in Path("out").iterdir()] == [GOOD]
    assert source.exists()


# Kill in the middle


def interrupted(number: signal.Signals) -> tuple[int, str]:
    """Send a signal once a video is half written; return the exit code and what was said."""
    make_video(Path("a.mp4"), range(0, 60000, 100))
    with start("Slow", "run", GOOD, "a.mp4", "-o", "out") as process:
        while not list(Path().glob("out/.*.part.mp4")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate()
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_whole_files_only(number: signal.Signals) -> None:
    code, errors = interrupted(number)
    assert code == 130
    assert errors.splitlines() == ["stopped: finished files stay, unfinished ones are removed"]
    assert [path.name for path in Path("out").iterdir()] == [GOOD]


def test_kill_leaves_no_half_output() -> None:
    code, _ = interrupted(signal.SIGKILL)
    assert code == -signal.SIGKILL
    left = [path.name for path in Path("out").iterdir() if path.name != GOOD]
    assert len(left) == 1
    assert left[0].startswith(".")
    assert left[0].endswith(".part.mp4")
