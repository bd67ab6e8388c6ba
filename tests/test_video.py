"""Video: every frame at its time, everything that was kept is equal, everything that was dropped is gone."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_samples import SECRET, planted_jpeg
from video_samples import SAMPLE_RATE, flat, make_video, picture

from anonymizer.batches import Frames
from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.video import VideoReader
from anonymizer.media.video_writer import VideoWriter

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def through(
    source: Path, target: Path, change: Callable[[Frames], Frames] = lambda frames: frames, **options: Any
) -> Path:
    """Read ``source`` and write what was read to ``target``."""
    with VideoReader(source) as reader, VideoWriter(target, reader, **options) as writer:
        for frames in reader.batches(5):
            writer.write(change(frames))
    return target


def read(path: Path) -> Frames:
    with VideoReader(path) as reader:
        return Frames.cat(list(reader.batches(7)))


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, Fraction, str]]]:
    """Time, duration and digest of every packet of every stream of a kind."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[Fraction, Fraction, str]]] = {}
        for packet in container.demux(**{kind: tuple(range(len(getattr(container.streams, kind))))}):
            if packet.size:
                entry = packet.pts * packet.time_base, packet.duration * packet.time_base
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                found.setdefault(packet.stream_index, []).append((*entry, digest))
        return list(found.values())


# --------------------------------------------------------------------------------------------- time


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


# ----------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".ts"])
def test_orientation(tmp_path: Path, turn: int, suffix: str) -> None:
    one = 65536
    x, y = (one, -one)[turn & 1], (one, -one)[turn >> 1 & 1]
    matrix = (0, x, 0, y, 0, 0, 0, 0, 1 << 30) if turn & 4 else (x, 0, 0, 0, y, 0, 0, 0, 1 << 30)
    source = make_video(tmp_path / "in.mp4", range(3), matrix=matrix, options={"qp": "1"})
    frames = read(source)
    shown = [FFMPEG, "-v", "error", "-i", source, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    expected = np.frombuffer(subprocess.run(shown, capture_output=True, check=True).stdout, np.uint8)
    assert frames.size == ((64, 48) if turn & 4 else (48, 64))
    assert np.abs(frames.pixels[0].numpy().astype(int) - expected.reshape(*frames.size, 3)).mean() < 4
    target = through(source, tmp_path / f"out{suffix}")
    again = read(target)
    assert (again.pixels[0].int() - frames.pixels[0].int()).abs().float().mean() < 4
    with VideoReader(target) as reader:
        if suffix == ".ts":  # which has no place for a matrix
            assert reader.info.orientation.matrix == ()
        else:
            identity = (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
            assert (reader.info.orientation.matrix or identity) == matrix
            assert (reader.info.height, reader.info.width) == (48, 64)


def test_rotation_is_clockwise(tmp_path: Path) -> None:
    """What phones write when they are held upright."""
    matrix = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    with VideoReader(make_video(tmp_path / "in.mp4", range(2), matrix=matrix)) as reader:
        assert reader.info.orientation.rotation == 90


WHITE, RED, GREEN, BLUE, DARK = (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
STANDARD_COLOURS = {
    "BT.709": ((1, 1, 1, 1), 8, "235 128 128  63 102 240  173 42 26  32 240 118  16 128 128"),
    "BT.601": ((6, 6, 6, 1), 8, "235 128 128  81 90 240  145 54 34  41 240 110  16 128 128"),
    "not said": ((2, 2, 2, 0), 8, "235 128 128  81 90 240  145 54 34  41 240 110  16 128 128"),
    "full range": ((6, 6, 6, 2), 8, "255 128 128  76 85 255  150 44 21  29 255 107  0 128 128"),
    "BT.2020": ((9, 16, 9, 1), 10, "940 512 512  294 387 960  658 189 100  116 960 476  64 512 512"),
}
"""The values that the standards give for full white, red, green, blue and black."""


@pytest.mark.parametrize("name", STANDARD_COLOURS)
def test_colours(tmp_path: Path, name: str) -> None:
    tags, bits, stored = STANDARD_COLOURS[name]
    pixel_format = "yuv420p" if bits == 8 else "yuv420p10le"
    frames = flat(np.array(stored.split(), int).reshape(-1, 3), pixel_format)
    source = make_video(
        tmp_path / "in.mp4",
        range(5),
        size=(16, 16),
        pixel_format=pixel_format,
        tags=tags,
        frames=frames,
        options={"qp": "1"},
    )
    shown = read(source)
    assert shown.pixels.dtype == (torch.uint8 if bits == 8 else torch.uint16)
    expected = torch.tensor([WHITE, RED, GREEN, BLUE, DARK])[:, None, None]
    assert (shown.pixels.int() / (shown.peak / 255) - expected).abs().max() <= 3
    target = through(source, tmp_path / "out.mp4", crf=1)
    assert (read(target).pixels.int() - shown.pixels.int()).abs().float().mean() / (shown.peak / 255) < 1.5
    for path in (source, target):
        with VideoReader(path) as reader:
            info = reader.info
            assert (info.primaries, info.transfer, info.matrix, info.color_range) == tags
            assert info.bit_depth == bits


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le"])
@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (6, 6, 6, 2), (9, 16, 9, 1)])
def test_nothing_shifts_on_the_way_through(tmp_path: Path, pixel_format: str, tags: tuple[int, int, int, int]) -> None:
    source = make_video(tmp_path / "in.mp4", pixel_format=pixel_format, tags=tags, options={"qp": "1"})
    before, after = read(source), read(through(source, tmp_path / "out.mp4", crf=1))
    shift = (after.pixels.int() - before.pixels.int()).float().mean((0, 1, 2)) / (before.peak / 255)
    assert shift.abs().max() < 0.5


@pytest.mark.parametrize(
    ("codec", "stored"), [("h264", "yuv444p"), ("hevc", "yuv444p"), ("vp9", "yuv420p"), ("av1", "yuv420p")]
)
def test_odd_sizes(tmp_path: Path, codec: str, stored: str) -> None:
    source = make_video(tmp_path / "in.mp4", size=(49, 67), codec="libvpx-vp9")
    target = through(source, tmp_path / "out.mp4", codec=codec)
    with VideoReader(target) as reader:
        assert reader.info.size == (49, 67)
        assert reader.info.pixel_format == stored
    assert (read(target).pixels.int() - read(source).pixels.int()).abs().float().mean() < 6


def test_twelve_bits(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", range(4), codec="ffv1", pixel_format="yuv420p12le")
    target = through(source, tmp_path / "out.mkv", codec="hevc", crf=4)
    with VideoReader(target) as reader:
        assert reader.info.pixel_format == "yuv420p12le"
    assert (read(target).pixels.int() - read(source).pixels.int()).abs().float().mean() < 2 * 257


def test_default_plays_anywhere(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", pixel_format="yuv444p", aspect=Fraction(4, 3))
    target = through(source, tmp_path / "out.mp4")
    with VideoReader(target) as reader:
        assert (reader.info.codec, reader.info.pixel_format) == ("h264", "yuv420p")
        assert reader.info.sample_aspect_ratio == Fraction(4, 3)
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart"


def test_only_what_is_changed_changes(tmp_path: Path) -> None:
    """The pixels that come out are those that were written, at the place where they were written."""

    def paint(frames: Frames) -> Frames:
        pixels = frames.pixels.clone()
        pixels[:, :16, :32] = torch.tensor([200, 30, 90], dtype=torch.uint8)
        return Frames(pixels, frames.times)

    matrix = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    source = make_video(tmp_path / "in.mp4", matrix=matrix)
    painted = read(through(source, tmp_path / "out.mp4", paint, crf=5)).pixels.int()
    assert (painted[:, 2:14, 2:30] - torch.tensor([200, 30, 90])).abs().float().mean() < 5
    assert (painted[:, 18:] - read(source).pixels[:, 18:].int()).abs().float().mean() < 5


# ------------------------------------------------------------------------------- sound and subtitles


@pytest.mark.parametrize(
    ("suffix", "audio"), [(".mp4", "aac"), (".mov", "pcm_s16le"), (".mkv", "libopus"), (".mkv", "aac")]
)
def test_sound_is_copied_bit_for_bit(tmp_path: Path, suffix: str, audio: str) -> None:
    source = make_video(tmp_path / f"in{suffix}", range(10, 60), audio=audio)
    target = through(source, tmp_path / f"out{suffix}")
    assert packets(target, "audio") == packets(source, "audio")
    assert len(packets(source, "audio")[0]) > 20
    assert read(target).times == read(source).times
    with av.open(str(target)) as container:
        assert container.streams.audio[0].language == "fra"


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mov_text"), (".mkv", "subrip")])
def test_subtitles_are_copied_bit_for_bit(tmp_path: Path, suffix: str, codec: str) -> None:
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,040 --> 00:00:00,200\nGuten\n\n2\n00:00:00,240 --> 00:00:00,400\nTag\n")
    video, source = make_video(tmp_path / f"video{suffix}", audio="aac"), tmp_path / f"in{suffix}"
    copy = ["-map", "0", "-map", "1", "-c", "copy", "-c:s", codec, "-metadata:s:s:0", "language=deu", source]
    subprocess.run([FFMPEG, "-v", "error", "-i", video, "-i", text, *copy], check=True)
    target = through(source, tmp_path / f"out{suffix}", audio="drop")
    assert packets(target, "subtitles") == packets(source, "subtitles")
    with av.open(str(target)) as container:
        assert container.streams.subtitles[0].language == "deu"
        assert not container.streams.audio
    with pytest.raises(MediaError, match=r"subtitle .* does not fit"):
        through(source, tmp_path / "out.ts")


def test_several_languages(tmp_path: Path) -> None:
    one, two = (make_video(tmp_path / f"{name}.mkv", audio="aac") for name in "ab")
    source = tmp_path / "in.mkv"
    copy = ["-map", "0", "-map", "1:a", "-c", "copy", "-metadata:s:a:1", "language=jpn", source]
    subprocess.run([FFMPEG, "-v", "error", "-i", one, "-i", two, *copy], check=True)
    target = through(source, tmp_path / "out.mkv")
    assert packets(target, "audio") == packets(source, "audio")
    with av.open(str(target)) as container:
        assert [stream.language for stream in container.streams.audio] == ["fra", "jpn"]


@pytest.mark.parametrize(("suffix", "audio"), [(".ts", "flac"), (".webm", "aac")])
def test_sound_that_does_not_fit_is_an_error(tmp_path: Path, suffix: str, audio: str) -> None:
    source = make_video(tmp_path / "in.mkv", audio=audio)
    with pytest.raises(MediaError, match=r"audio .* does not fit into \w+: write another container, or drop"):
        through(source, tmp_path / f"out{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def spectrum_peak(path: Path) -> tuple[float, float]:
    """Hertz of the strongest partial of the sound, and its length in seconds."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        blocks = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    wave = np.concatenate([block.to_ndarray().ravel() for block in blocks])
    middle = wave[len(wave) // 4 : len(wave) // 4 + SAMPLE_RATE] * np.hanning(SAMPLE_RATE)
    return float(np.abs(np.fft.rfft(middle)).argmax()), len(wave) / SAMPLE_RATE


@pytest.mark.parametrize(("suffix", "audio"), [(".mp4", "aac"), (".mkv", "libopus")])
def test_disguise_moves_the_voice_and_not_the_time(tmp_path: Path, suffix: str, audio: str) -> None:
    source = make_video(tmp_path / f"in{suffix}", range(10, 85), audio=audio)
    target = through(source, tmp_path / f"out{suffix}", audio="disguise")
    (before, length), (after, new_length) = spectrum_peak(source), spectrum_peak(target)
    assert before == pytest.approx(300, abs=3)
    assert not 0.88 < after / before < 1.15
    assert 0.65 < after / before < 1.45
    assert abs(new_length - length) < 0.05
    assert abs(packets(target, "audio")[0][0][0] - packets(source, "audio")[0][0][0]) < Fraction(5, 100)
    assert read(target).times == read(source).times
    assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}


def test_disguise_differs_every_time(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(75), audio="aac")
    peaks = {spectrum_peak(through(source, tmp_path / "out.mp4", audio="disguise"))[0] for _ in range(4)}
    assert len(peaks) > 1


# ------------------------------------------------------------------------------------ what is dropped


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_metadata_and_other_pictures_are_dropped(tmp_path: Path, suffix: str) -> None:
    source = make_video(tmp_path / f"in{suffix}", audio="aac", secrets=True)
    scan = planted_jpeg()[planted_jpeg().index(b"\xff\xda") + 14 :]
    assert SECRET in source.read_bytes()
    assert scan in source.read_bytes()
    with VideoReader(source) as reader:
        assert any("mjpeg" in stream for stream in reader.info.left_out)
    target = through(source, tmp_path / f"out{suffix}")
    data = target.read_bytes()
    assert SECRET not in data
    assert scan[:100] not in data
    assert b"+48.8584" not in data
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert not container.chapters()


def test_second_video_stream_is_dropped(tmp_path: Path) -> None:
    one = make_video(tmp_path / "a.mkv")
    two = make_video(tmp_path / "b.mkv", size=(16, 16))
    source = tmp_path / "in.mkv"
    copy = ["-map", "0", "-map", "1", "-c", "copy", source]
    subprocess.run([FFMPEG, "-v", "error", "-i", one, "-i", two, *copy], check=True)
    target = through(source, tmp_path / "out.mkv")
    with av.open(str(target)) as container:
        assert [stream.width for stream in container.streams] == [64]


# ----------------------------------------------------------------------------------------- bad input


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


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


# ------------------------------------------------------------------------------------------- writing


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
