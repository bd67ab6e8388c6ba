"""Video: sound and subtitles are kept bit for bit or disguised; all that is not meant to be seen is gone."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from photo_samples import SECRET, planted_jpeg
from video_samples import FFMPEG, SAMPLE_RATE, make_video, packets, read, through

from anonymizer.errors import MediaError
from anonymizer.media.video import VideoReader


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
