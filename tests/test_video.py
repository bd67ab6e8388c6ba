"""Video: every frame at its time, and a whole file or none."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_samples import save
from video_samples import make_video, picture, read, through

from anonymizer.batches import Frames
from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.video import VideoReader
from anonymizer.media.video_writer import VideoWriter
from anonymizer.prefetch import prefetch


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 100_000),
    steps=st.lists(st.integers(1, 5000), min_size=0, max_size=14),
    last=st.integers(1, 5000),
    clock=st.sampled_from([(1, 90000), (1, 12800), (1001, 30000), (1, 25), (1, 600)]),
    suffix=st.sampled_from([".mp4", ".mov"]),
)
def test_every_time_survives(
    tmp_path: Path, start: int, steps: list[int], last: int, clock: tuple[int, int], suffix: str
) -> None:
    times = list(np.cumsum([start, *steps]).tolist())
    time_base = Fraction(*clock)
    source = make_video(tmp_path / f"in{suffix}", times, time_base, size=(32, 32), last=last)
    before = read(source)
    assert before.times == tuple(time * time_base for time in times)
    target = through(source, tmp_path / f"out{suffix}")
    assert read(target).times == before.times
    assert end(target) == end(source)


def end(path: Path) -> Fraction:
    with VideoReader(path) as reader:
        for _ in reader.batches(100):
            pass
        return reader.end


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "av1"])
def test_every_codec_keeps_uneven_times(tmp_path: Path, codec: str) -> None:
    times = [100, 101, 150, 1000, 1001, 1002, 1500, 9000, 9003, 9040, 9041, 9999, 10500]
    source = make_video(tmp_path / "in.mp4", times, Fraction(1, 1000), size=(64, 64), last=250)
    target = through(source, tmp_path / "out.mp4", codec=codec)
    assert read(target).times == tuple(Fraction(time, 1000) for time in times)
    with VideoReader(target) as reader:
        assert reader.info.codec == codec


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".ts"])
def test_other_containers_keep_times(tmp_path: Path, suffix: str) -> None:
    times = [1500, 1540, 1541, 1600, 3000, 3001, 3100]
    source = make_video(
        tmp_path / f"in{suffix}",
        times,
        Fraction(1, 1000),
        codec="libvpx-vp9" if suffix == ".webm" else "libx264",
        options={"bf": "0"} if suffix == ".ts" else None,
    )
    target = through(source, tmp_path / f"out{suffix}")
    assert read(target).times == read(source).times == tuple(Fraction(time, 1000) for time in times)


def test_ntsc_rate(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(0, 1001 * 40, 1001), Fraction(1, 30000), last=1001, audio="aac")
    target = through(source, tmp_path / "out.mp4")
    assert read(target).times == tuple(Fraction(1001 * frame, 30000) for frame in range(40))
    for path in (source, target):
        with av.open(str(path)) as container:
            assert container.streams.video[0].duration == 1001 * 40


def test_times_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    shift = Fraction(1, 1_000_000)
    with pytest.raises(MediaError, match="no multiple of 1/12800 s"):
        through(
            source, tmp_path / "out.mp4", lambda frames: Frames(frames.pixels, tuple(t + shift for t in frames.times))
        )
    with pytest.raises(MediaError, match="is before zero"):
        through(source, tmp_path / "out.mp4", lambda frames: Frames(frames.pixels, tuple(t - 1 for t in frames.times)))


def test_settings_that_do_not_go_together(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    deep = make_video(tmp_path / "deep.mp4", pixel_format="yuv420p10le")
    for cause, path, options, target in (
        ("written to", source, {}, "out.avi"),
        ("written to", source, {}, "out"),
        ("does not fit into .webm", source, {"codec": "h264"}, "out.webm"),
        ("codec must be one of", source, {"codec": "mpeg9"}, "out.mp4"),
        ("no encoder 'h264_magic'", source, {"encoder": "h264_magic"}, "out.mp4"),
        ("sound can be", source, {"audio": "louder"}, "out.mp4"),
        ("10 bits; choose the codec h264 or hevc or av1", deep, {"codec": "vp9"}, "out.mp4"),
        ("no constant rate factor", source, {"encoder": "mpeg4", "crf": 20}, "out.mp4"),
    ):
        with pytest.raises(ConfigError, match=cause):
            through(path, tmp_path / target, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "deep.mp4"}


def test_another_encoder_may_be_named(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    with VideoReader(through(source, tmp_path / "out.mp4", encoder="mpeg4")) as reader:
        assert reader.info.codec == "mpeg4"


def test_an_encoder_without_its_device_is_an_error(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", size=(256, 256))
    if subprocess.run(["which", "nvidia-smi"], capture_output=True).returncode == 0:
        pytest.skip("there is a device")
    with pytest.raises(MediaError, match="cannot be written"):
        through(source, tmp_path / "out.mp4", encoder="h264_nvenc")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    source = make_video(tmp_path / "in.mp4", range(100), audio="aac")
    target = save(tmp_path / "out.mp4", b"old")

    def interrupt(frames: Frames) -> Frames:
        if frames.times[0] > 2:
            raise interruption
        return frames

    with pytest.raises(interruption):
        through(source, target, interrupt)
    assert target.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}


def test_a_frame_that_is_not_written_is_an_error(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    with pytest.raises(MediaError, match="only 0 frames"):
        through(source, tmp_path / "out.mp4", lambda frames: frames[:0])
    with (
        pytest.raises(MediaError, match="only 5 frames"),
        VideoReader(source) as reader,
        VideoWriter(tmp_path / "out.mp4", reader) as writer,
    ):
        writer.write(next(reader.batches(5)))
    with pytest.raises(MediaError, match="do not increase"):
        through(source, tmp_path / "out.mp4", lambda frames: Frames(frames.pixels, (frames.times[0],) * len(frames)))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from anonymizer.errors import MediaError
from anonymizer.media import VideoReader, VideoWriter
source, target = map(Path, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    with VideoReader(source) as reader, VideoWriter(target, reader, crf=1) as writer:
        for frames in reader.batches(5):
            writer.write(frames)
except MediaError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    source = make_video(tmp_path / "in.mp4", range(100), audio="aac")
    target = tmp_path / f"out{suffix}"
    run = subprocess.run([sys.executable, "-c", FULL_DISK, source, target], capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"{target}")
    assert "cannot be written: " in run.stdout
    assert run.stdout.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_closing_waits_for_the_thread_that_decodes(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(200), size=(240, 320))
    for _ in range(5):
        reader = VideoReader(source)
        ahead = prefetch(reader.batches(2), 2)
        next(ahead)
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            list(ahead)


def test_names_with_colons_and_blanks(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4")
    odd = tmp_path / "http: what's %d \N{GRINNING FACE}.mp4"
    source.rename(odd)
    target = through(odd, tmp_path / "pipe:1 ~.mp4", audio="disguise")
    assert len(read(target)) == 12


def test_frames_are_what_was_drawn(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(3), pixel_format="yuv444p", options={"qp": "1"})
    for index, pixels in enumerate(read(source).pixels.numpy()):
        assert np.abs(pixels.astype(int) - picture(index, 48, 64)).mean() < 3
