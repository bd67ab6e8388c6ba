"""What results say of themselves, by readers that are not ours: what made them, and whether faces are generated."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_anonymizer import Blind, FakeAnonymizer, Run, make_photo, make_video
from hypothesis import given
from hypothesis import strategies as st
from metadata_readers import exiftool, needs_exiftool, said
from PIL import Image
from split_samples import EXACT, Halves, in_segments, job, make_source
from test_labels import yolo
from video_samples import read

from anonymizer.anonymize import Anonymized
from anonymizer.batches import Frames
from anonymizer.errors import MediaError
from anonymizer.evidence import Evidence
from anonymizer.generate.base import Outcome
from anonymizer.media.matroska import write_tags
from anonymizer.media.statement import SILENT, Statement
from anonymizer.provenance import COMPOSITE, PROCESSED, TOOL, statement_on

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
PHOTOGRAPHS = (".jpg", ".png", ".tif", ".webp", ".gif", ".avif", ".heic")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm")


class Drawing(FakeAnonymizer):
    """Says that it drew every face but the first."""

    def __init__(self, *settings: object) -> None:
        super().__init__(*settings)  # type: ignore[arg-type]
        self.first = True

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        done = super().stills(frames, evidence)
        outcomes = [Outcome.NO_MESH if self.first and len(frames) > 1 else Outcome.GENERATED, *done.outcomes[1:]]
        self.first = False
        return Anonymized(done.frames, done.faces, tuple(outcomes))


TAGS = bytes.fromhex("1254c367")

CASES = [(Drawing, (), (TOOL, GENERATED)), (FakeAnonymizer, (), (TOOL, "")), (Blind, (), (TOOL, ""))]
CASES += [(Drawing, ("--no-disclosure",), ("", ""))]


def test_what_is_true_of_outcomes() -> None:
    assert COMPOSITE.source_type == GENERATED
    assert TOOL.startswith("anonymizer 0.")
    covered = [outcome for outcome in Outcome if not outcome.startswith("generated")]
    assert statement_on([]) == statement_on(covered) == PROCESSED
    assert all(statement_on([*covered, outcome]) == COMPOSITE for outcome in Outcome if outcome not in covered)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1))
def test_any_text_is_one_property(text: str) -> None:
    from xml.etree import ElementTree

    packet = ElementTree.fromstring(Statement(text, text).xmp())
    assert [list(element.attrib.values()) for element in packet.iter() if len(element.attrib) > 1] == [["", text, text]]
    assert SILENT.xmp() == b""


@pytest.mark.parametrize("suffix", PHOTOGRAPHS)
@pytest.mark.parametrize(("load", "options", "expected"), CASES)
def test_photographs(
    run: Run, suffix: str, load: Callable, options: tuple[str, ...], expected: tuple[str, str]
) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    make_photo(Path(f"a{suffix}"), (64, 48))
    run("run", f"a{suffix}", "-o", f"b{suffix}", *options, load=load)
    assert said(Path(f"b{suffix}")) == expected


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_photographs(run: Run, suffix: str) -> None:
    Image.fromarray(np.zeros((48, 64), np.uint16)).save("a.png")
    run("run", "a.png", "-o", f"b{suffix}", load=Drawing)
    assert said(Path(f"b{suffix}")) == (TOOL, GENERATED)


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize(("load", "options", "expected"), CASES)
def test_videos(run: Run, suffix: str, load: Callable, options: tuple[str, ...], expected: tuple[str, str]) -> None:
    source = make_video(Path("a.mkv"))
    target = Path(f"b{suffix}")
    run("run", source, "-o", target, *options, load=load)
    assert said(target) == expected
    assert read(target).times == read(source).times
    if suffix in (".mp4", ".mov"):
        kinds = [kind for kind, _ in boxes(target)]
        assert kinds.index(b"moov") < kinds.index(b"mdat"), "it cannot be played while it comes"
        assert kinds.count(b"uuid") == bool(expected[0])
        assert sum(size for _, size in boxes(target)) == target.stat().st_size


def boxes(path: Path) -> list[tuple[bytes, int]]:
    """Kind and size of each box of a file."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind, size))
        at += size
    return found


@needs_exiftool
@pytest.mark.parametrize("suffix", [*PHOTOGRAPHS, *VIDEOS])
def test_exiftool_shows_the_same(run: Run, suffix: str) -> None:
    make = make_video if suffix in VIDEOS else make_photo
    source = make(Path("a.mkv" if suffix in VIDEOS else f"a{suffix}"))
    run("run", source, "-o", f"b{suffix}", load=Drawing)
    found = exiftool(Path(f"b{suffix}"))
    groups = ("Matroska",) * 2 if suffix in (".mkv", ".webm") else ("XMP-iptcExt", "XMP-xmp")
    assert found[f"{groups[0]}:DigitalSourceType"] == GENERATED
    assert found[f"{groups[1]}:CreatorTool"] == TOOL
    assert len([name for name in found if name.startswith("XMP")]) in (0, 2)


def test_tags_of_matroska_have_the_right_checksum(run: Run) -> None:
    run("run", make_video(Path("a.mkv")), "-o", "b.mkv", load=Drawing)
    data = Path("b.mkv").read_bytes()
    named = data.index(TAGS)  # where they are, in the list of what the file holds
    start = data.index(TAGS, named + 1) + 4
    length = 9 - data[start].bit_length()
    content = start + length
    end = content + (int.from_bytes(data[start:content]) & (1 << 7 * length) - 1)
    assert data[content : content + 2] == b"\xbf\x84"
    assert int.from_bytes(data[content + 2 : content + 6], "little") == zlib.crc32(data[content + 6 : end])
    assert b"RESERVED" not in data
    with pytest.raises(MediaError, match="no room"):
        write_tags(Path("b.mkv"), {})
    with pytest.raises(MediaError, match="not written as Matroska"):
        write_tags(make_photo(Path("c.png")), {})


@pytest.mark.parametrize("name", ["a.bmp", "a.ts"])
def test_formats_that_cannot_say_it(run: Run, name: str) -> None:
    source = make_photo(Path("a.bmp")) if name == "a.bmp" else make_video(Path("a.mp4"))
    run("run", source, "-o", f"out/{name}", "--report", "r.json", load=Drawing)
    assert "cannot say that its faces are generated" in json.loads(Path("r.json").read_text())["inputs"][0]["notes"][0]
    run("run", source, "-o", f"quiet/{name}", "--report", "q.json", "--no-disclosure", load=Drawing)
    assert json.loads(Path("q.json").read_text())["inputs"][0]["notes"] == []


def test_members_and_cells_say_what_single_files_say(run: Run) -> None:
    photo, video = make_photo(Path("a.jpg")), make_video(Path("b.mp4"))
    with zipfile.ZipFile("in.zip", "w") as archive:
        for path in (photo, video):
            archive.write(path)
    pq.write_table(pa.table({"picture": [photo.read_bytes()]}), "in.parquet")
    run("run", "in.zip", "in.parquet", "-o", "out", load=Drawing)
    with zipfile.ZipFile("out/in.zip") as archive:
        archive.extractall("members")
    Path("members/c.jpg").write_bytes(pq.read_table("out/in.parquet")["picture"][0].as_py())
    assert [said(path) for path in sorted(Path("members").iterdir())] == [(TOOL, GENERATED)] * 3
    run("run", "in.zip", "-o", "quiet.zip", "--no-disclosure", load=Drawing)
    assert TOOL.encode() not in Path("quiet.zip").read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_videos_that_were_joined(tmp_path: Path, suffix: str) -> None:
    class DrawingHalves(Halves):
        def render(self, *args: object, **settings: object):  # type: ignore[no-untyped-def]
            for done in super().render(*args, **settings):  # type: ignore[arg-type]
                yield Anonymized(done.frames, done.faces, (Outcome.GENERATED,) * len(done.faces))

    source = make_source(tmp_path)
    for anonymizer, expected in ((DrawingHalves(), (TOOL, GENERATED)), (Halves(), (TOOL, ""))):
        done = in_segments(job(source, f"out{suffix}"), anonymizer, EXACT)
        assert done.error is None
        assert anonymizer.rendered > done.frames, "it was not split"
        assert said(done.job.target) == expected
        assert read(done.job.target).times == read(source).times


def test_labelled_photographs_keep_their_orientation_beside_it(run: Run) -> None:
    Path("in").mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "a camera"
    Image.new("RGB", (64, 48)).save("in/a.jpg", exif=exif)
    Path("in/a.txt").write_bytes(yolo())
    Path("in/classes.txt").write_text("car\nperson\nface\n")
    run("run", "in", "-o", "out", load=Drawing)
    with Image.open("out/a.jpg") as picture:
        assert dict(picture.getexif()) == {0x0112: 6}
    assert said(Path("out/a.jpg")) == (TOOL, GENERATED)


def test_it_is_a_setting(run: Run) -> None:
    Path("in").mkdir()
    make_photo(Path("in/a.jpg"))
    run("run", "in", "-o", "out", "--no-disclosure", "--report", "r.json", load=Drawing)
    assert json.loads(Path("r.json").read_text())["settings"]["output"]["disclosure"] is False
    assert "other settings (disclosure)" in run("run", "in", "-o", "out", load=Drawing, code=2).stderr


def test_sound_and_pictures_are_where_the_file_says(run: Run) -> None:
    """Offsets hold with a box behind: the second half of the video comes out as it does when all is read."""
    run("run", make_video(Path("a.mp4")), "-o", "b.mp4", load=Drawing)
    whole = read(Path("b.mp4"))
    with av.open("b.mp4") as container:
        stream = container.streams.video[0]
        container.seek(int(whole.times[20] / stream.time_base), stream=stream)
        last = list(container.decode(stream))[-1]
    assert last.pts * last.time_base == whole.times[-1]
