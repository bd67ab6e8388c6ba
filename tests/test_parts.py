"""A video read in excerpts, encoded in parts and joined is the one that is read, encoded and written as a whole."""

import io
import itertools
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_samples import SECRET
from video_samples import make_video, packets, read, through

from anonymizer.batches import Frames
from anonymizer.errors import MediaError, SeekError
from anonymizer.media.parts import Part, PartWriter, join
from anonymizer.media.timeline import Timeline
from anonymizer.media.video import VideoReader

QUARTER = (0, 90 << 16, 0, -(90 << 16), 0, 0, 0, 0, 1 << 30)
CUTS = (0, 17, 18, 33, 40)
UNEVEN = tuple(np.cumsum([90, *(1 + 37 * number % 101 for number in range(39))]).tolist())


def in_parts(
    source: Path, target: Path, cuts: tuple[int, ...] = CUTS, audio: Any = "keep", **options: Any
) -> tuple[list[Path], Callable[[], Path]]:
    """The parts of ``source``, and what joins them."""
    timeline, parts = Timeline.of(source), []
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        parts.append(target.with_name(f"{number}.packets"))
        with (
            VideoReader(source) as reader,
            PartWriter(parts[-1], target, reader.info, timeline, range(start, stop), **options) as writer,
        ):
            for frames in reader.excerpt(timeline, start, stop, 5):
                writer.write(frames)
            writer.close(reader.end, {})

    def joined() -> Path:
        with VideoReader(source) as reader:
            join(target, parts, reader.info, timeline, audio=audio, **options)
        return target

    return parts, joined


def times_of_decoding(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.dts for packet in container.demux(video=0) if packet.size and packet.dts is not None]


def facts(path: Path) -> dict[str, Any]:
    """What the file says of itself, but for the order of decoding."""
    with VideoReader(path) as reader, av.open(str(path)) as container:
        info = {name: value for name, value in vars(reader.info).items() if name != "path"}
        list(reader.batches(50))
        stream = container.streams.video[0]
        return {**info, "end": reader.end, "tag": stream.codec_context.codec_tag, "metadata": stream.metadata}


@pytest.mark.parametrize(
    ("given_as", "written", "codec"),
    [
        ("in.mp4", "out.mp4", None),
        ("in.mkv", "out.mkv", None),
        ("in.mp4", "out.mkv", None),
        ("in.mov", "out.mov", "hevc"),
        ("in.mp4", "out.mp4", "hevc"),
        ("in.webm", "out.webm", None),
        ("in.mkv", "out.mp4", "vp9"),
        ("in.mp4", "out.mkv", "av1"),
    ],
)
def test_joined_parts_are_what_is_written_whole(tmp_path: Path, given_as: str, written: str, codec: str | None) -> None:
    webm = given_as.endswith("webm")
    source = make_video(
        tmp_path / given_as,
        UNEVEN,
        Fraction(1, 1000),
        size=(64, 96),
        codec="libvpx-vp9" if webm else "libx264",
        options={"g": "12"} if webm else {"g": "12", "bf": "3"},
        matrix=() if webm else QUARTER,
        tags=(9, 16, 9, 1),
        aspect=Fraction(4, 3),
        last=50,
        audio="libopus" if webm else "aac",
        secrets=not webm,
    )
    whole = through(source, tmp_path / f"whole{Path(written).suffix}", codec=codec)
    _, joined = in_parts(source, tmp_path / written, codec=codec)
    target = joined()
    assert read(target).times == read(whole).times == read(source).times
    assert facts(target) == facts(whole)
    assert packets(target, "audio") == packets(whole, "audio") != []
    decoded = times_of_decoding(target)
    assert decoded == times_of_decoding(whole)
    assert all(a < b for a, b in itertools.pairwise(decoded))
    apart = (read(target).pixels.int() - read(whole).pixels.int()).abs().float().mean((1, 2, 3))
    assert apart.max() < 3
    assert SECRET not in target.read_bytes()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 100_000),
    steps=st.lists(st.integers(1, 5000), min_size=6, max_size=24),
    last=st.integers(1, 5000),
    clock=st.sampled_from([(1, 90000), (1, 12800), (1001, 30000), (1, 25)]),
    cuts=st.sets(st.integers(1, 6), max_size=3),
    codec=st.sampled_from(["h264", "hevc"]),
)
def test_every_time_survives(
    tmp_path: Path, start: int, steps: list[int], last: int, clock: tuple[int, int], cuts: set[int], codec: str
) -> None:
    times = list(np.cumsum([start, *steps]).tolist())
    source = make_video(tmp_path / "in.mp4", times, Fraction(*clock), size=(32, 32), last=last, options={"g": "4"})
    _, joined = in_parts(source, tmp_path / "out.mp4", (0, *sorted(cuts), len(times)), codec=codec)
    target = joined()
    assert read(target).times == read(source).times
    assert facts(target)["end"] == facts(source)["end"]


def test_sound_is_dropped_or_disguised(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(40), options={"g": "10"}, audio="aac")
    _, dropped = in_parts(source, tmp_path / "out.mp4", audio="drop")
    with VideoReader(dropped()) as reader:
        assert reader.info.audio == ()
    _, disguised = in_parts(source, tmp_path / "out.mp4", audio="disguise")
    [sound], [before] = packets(disguised(), "audio"), packets(source, "audio")
    assert not {packet[2] for packet in sound} & {packet[2] for packet in before}
    assert abs(sound[-1][0] - before[-1][0]) < Fraction(1, 10)
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"} == {"in.mp4", "out.mp4"}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9"])
def test_excerpts_are_exact(tmp_path: Path, suffix: str, codec: str) -> None:
    source = make_video(tmp_path / f"in{suffix}", UNEVEN, Fraction(1, 1000), codec=codec, options={"g": "9"})
    timeline, whole = Timeline.of(source), read(source)
    assert tuple(time * timeline.unit for time in timeline.times) == whole.times
    with VideoReader(source) as reader:
        for start, stop in ((33, 40), (0, 5), (8, 11), (39, 40), (0, 40), (12, 13)):
            frames = Frames.cat(list(reader.excerpt(timeline, start, stop, 4)))
            assert frames.times == whole.times[start:stop]
            assert (frames.pixels == whole.pixels[start:stop]).all()
            assert reader.finished
            assert reader.frames_read == stop - start


def test_open_groups_of_pictures(tmp_path: Path) -> None:
    options = {"g": "12", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}
    source = make_video(tmp_path / "in.mp4", range(40), options=options)
    timeline, whole = Timeline.of(source), read(source)
    assert len(timeline.keys) > 2
    with VideoReader(source) as reader:
        for key in timeline.keys:
            frames = Frames.cat(list(reader.excerpt(timeline, key, 40, 4)))
            assert (frames.pixels == whole.pixels[key:]).all()


def test_key_frames_that_are_none_are_noticed(tmp_path: Path) -> None:
    options = {"g": "12", "x264-params": "intra-refresh=1"}
    source = make_video(tmp_path / "in.mkv", range(40), options=options, size=(96, 128))
    timeline = Timeline.of(source)
    assert len(timeline.keys) > 1
    with VideoReader(source) as reader, pytest.raises(SeekError, match="other frames than expected"):
        list(reader.excerpt(timeline, timeline.keys[1], 40, 4))


def test_files_without_an_index_are_not_cut(tmp_path: Path) -> None:
    for name in ("in.ts", "in.avi"):
        with pytest.raises(SeekError, match="no index"):
            Timeline.of(make_video(tmp_path / name, options={"bf": "0"}))


def test_another_timeline_is_noticed(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(20), options={"g": "5"})
    other = make_video(tmp_path / "other.mp4", range(0, 60, 3), options={"g": "5"})
    longer = make_video(tmp_path / "longer.mp4", range(30), options={"g": "5"})
    shorter = make_video(tmp_path / "shorter.mp4", range(12), options={"g": "5"})
    for path, start, stop in ((other, 10, 15), (other, 0, 3), (longer, 15, 30), (shorter, 8, 12)):
        with VideoReader(source) as reader, pytest.raises(SeekError):
            list(reader.excerpt(Timeline.of(path), start, stop, 4))


def test_a_part_is_whole_or_not_there(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(20), options={"g": "5"})
    timeline, path = Timeline.of(source), tmp_path / "0.packets"
    with VideoReader(source) as reader:
        frames = next(reader.excerpt(timeline, 0, 10, 10))

        def write(*batches: Frames) -> None:
            with PartWriter(path, tmp_path / "out.mp4", reader.info, timeline, range(10)) as writer:
                for batch in batches:
                    writer.write(batch)
                writer.close(reader.end, {})

        for batches in ((), (frames[:9],), (frames[1:],), (frames, frames[:1]), (frames[:5], frames[:5])):
            with pytest.raises(MediaError, match=r"not the next one|not all frames"):
                write(*batches)
            assert [found.name for found in tmp_path.iterdir()] == ["in.mp4"]
        write(frames[:5], frames[5:])
    assert sorted(found.name for found in tmp_path.iterdir()) == ["0.json", "0.packets", "in.mp4"]


def test_what_does_not_fit_is_not_joined(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(40), options={"g": "10"})
    target = tmp_path / "out.mp4"
    parts, joined = in_parts(source, target)
    whole = {path: path.read_bytes() for part in parts for path in (part, part.with_suffix(".json"))}
    other = in_parts(source, tmp_path / "out.mp4", crf=40)[0][1]
    differs = {path: path.read_bytes() for path in (other, other.with_suffix(".json"))}

    def broken(cause: str, change: Callable[[], object]) -> None:
        for path, data in whole.items():
            path.write_bytes(data)
        change()
        with pytest.raises(MediaError, match=cause):
            joined()
        assert not target.exists()

    table = json.loads(whole[parts[1].with_suffix(".json")])
    moved = json.dumps({**table, "entries": [[size, time + 1, key] for size, time, key in table["entries"]]})
    broken("is missing", parts[2].unlink)
    broken("is missing", parts[2].with_suffix(".json").unlink)
    broken("is missing", lambda: parts[2].with_suffix(".json").write_text("{"))
    broken("was altered", lambda: parts[2].write_bytes(whole[parts[2]] + b"0"))
    broken("was altered", lambda: parts[2].write_bytes(whole[parts[2]][:-1]))
    broken("was altered", lambda: parts[2].write_bytes(bytes(len(whole[parts[2]]))))
    broken("times of the frames", lambda: parts[1].with_suffix(".json").write_text(moved))
    broken("times of the frames", lambda: parts.pop(1))
    parts.insert(1, parts[0].with_name("1.packets"))
    broken("times of the frames", parts.reverse)
    parts.reverse()
    broken("other settings", lambda: [path.write_bytes(data) for path, data in differs.items()])
    for path, data in whole.items():
        path.write_bytes(data)
    assert read(joined()).times == read(source).times


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", range(20), options={"g": "5"})
    timeline, path = Timeline.of(source), tmp_path / "0.packets"
    with (
        VideoReader(source) as reader,
        PartWriter(path, tmp_path / "out.mp4", reader.info, timeline, range(5, 20), codec="hevc") as writer,
    ):
        for frames in reader.excerpt(timeline, 5, 20, 4):
            writer.write(frames)
        writer.close(reader.end, {"faces": {"covered": 3}})
    part = Part.read(path)
    assert part.notes == {"faces": {"covered": 3}}
    assert sum(entry.size for entry in part.entries) == path.stat().st_size
    assert sorted(entry.time for entry in part.entries) == list(timeline.times[5:])
    assert Fraction(part.end) == Fraction(20, 25)
    assert part.entries[0].key
    assert 0 < part.delay < 15
    assert io.BytesIO(bytes.fromhex(part.header)).read(3)
