"""Video: what cannot be read whole is refused in one clear line."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from photo_samples import planted_jpeg, save
from video_samples import FFMPEG, make_video, read, through

from anonymizer.errors import MediaError
from anonymizer.media.video import VideoReader


def assert_refused(source: Path, cause: str) -> MediaError:
    """Reading and writing end with one clear line and leave nothing behind."""
    target = source.with_name("refused" + source.suffix.replace(".avi", ".mp4").replace(".flv", ".mp4"))
    with pytest.raises(MediaError, match=cause) as caught:
        through(source, target)
    assert caught.value.path == source
    assert "\n" not in str(caught.value)
    assert not list(source.parent.glob("*refused*"))
    assert not list(source.parent.glob(".*"))
    return caught.value


def test_files_that_are_no_video(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.mp4", "no such file")
    assert_refused(save(tmp_path / "empty.mp4", b""), "empty")
    assert_refused(save(tmp_path / "noise.mp4", np.random.default_rng(0).bytes(5000)), "not a video")
    assert_refused(save(tmp_path / "text.mp4", b"hello " * 1000), "not a video")
    assert_refused(save(tmp_path / "list.mp4", b"ffconcat version 1.0\nfile '/etc/hostname'\n"), "not a video")
    assert_refused(save(tmp_path / "photo.mp4", planted_jpeg()), "not a video")
    (tmp_path / "folder.mp4").mkdir()
    assert_refused(tmp_path / "folder.mp4", "is a folder")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    video = make_video(tmp_path / "in.mp4", audio="aac", secrets=True)
    source = tmp_path / "sound.mp4"
    copy = ["-map", "0:a", "-map", "0:v:1", "-c", "copy", source]
    subprocess.run([FFMPEG, "-v", "error", "-i", video, *copy], check=True)
    assert_refused(source, "no video stream")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".ts", ".flv"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_cut_file_is_noticed(tmp_path: Path, suffix: str, share: float) -> None:
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(suffix, "libx264")
    whole = make_video(tmp_path / f"whole{suffix}", range(100), codec=codec, options={"bf": "0"})
    fast = through(whole, tmp_path / "fast.mp4") if suffix == ".mp4" else whole
    data = fast.read_bytes()
    if suffix == ".avi" and share > 0.9:
        share = 0.85  # the rest is an index, which nobody needs
    assert_refused(save(tmp_path / f"cut{suffix}", data[: int(len(data) * share)]), "cut off|damaged|decoded")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_damage_in_the_middle_is_noticed(tmp_path: Path, suffix: str) -> None:
    source = make_video(tmp_path / f"in{suffix}", range(60), options={"g": "15", "bf": "0"})
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size and packet.is_keyframe]
    middle = places[len(places) // 2] + 40
    data[middle : middle + 200] = bytes(value ^ 0x5A for value in data[middle : middle + 200])
    error = assert_refused(save(tmp_path / f"bad{suffix}", bytes(data)), "decoded|damaged")
    assert error.time is not None
    assert 0 < error.time < 3


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_clip_that_was_cut_out_begins_where_players_begin(tmp_path: Path, codec: str) -> None:
    """Pictures that lean on others before the cut are shown by nobody; the rest has to be there."""
    options = {f"{codec[3:]}-params": "open-gop=1:keyint=10:bframes=3:b-adapt=0:scenecut=0:log-level=error"}
    whole = make_video(tmp_path / "whole.mkv", range(40), codec=codec, options=options)
    source = tmp_path / "in.mkv"
    keys = 0
    with av.open(str(whole)) as container, av.open(str(source), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            keys += packet.is_keyframe and packet.size > 0
            if packet.size and keys > 1:
                packet.stream = stream
                output.mux_one(packet)
    times = read(source).times
    assert times == read(whole).times[-len(times) :]
    assert 20 < len(times) <= 30
    assert read(through(source, tmp_path / "out.mkv")).times == times


def test_rgb_becomes_yuv(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", codec="ffv1", pixel_format="bgr0")
    target = through(source, tmp_path / "out.mp4", crf=5)
    with VideoReader(target) as reader:
        assert (reader.info.pixel_format, reader.info.matrix, reader.info.color_range) == ("yuv420p", 1, 1)
    assert (read(target).pixels.int() - read(source).pixels.int()).abs().float().mean() < 4


def test_a_size_that_changes_is_an_error(tmp_path: Path) -> None:
    one = make_video(tmp_path / "a.webm", codec="libvpx-vp9")
    two = make_video(tmp_path / "b.webm", range(12, 24), size=(32, 32), codec="libvpx-vp9")
    source = tmp_path / "both.webm"
    with av.open(str(one)) as first, av.open(str(two)) as second, av.open(str(source), "w") as output:
        stream = output.add_stream_from_template(first.streams.video[0])
        for packet in (*first.demux(video=0), *second.demux(video=0)):
            if packet.size:
                packet.stream = stream
                output.mux_one(packet)
    error = assert_refused(source, r"size or format .* changes")
    assert error.time == Fraction(12, 25)
