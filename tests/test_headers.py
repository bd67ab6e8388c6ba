"""What streams that are copied tell their decoder names nobody, and is still enough to decode them."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_samples import SECRET, named_profile
from photo_samples import SRGB, grey_profile, planted_jpeg, save, scene
from PIL import Image, ImageCms
from video_samples import FFMPEG, make_video, packets, read, through

from anonymizer.errors import MediaError
from anonymizer.media.headers import plain_header
from anonymizer.media.icc import plain_profile

STYLE = "Style: Default,Arial,20,&H00FFFFFF,&H000000FF,&H0,&H0,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1"
ASS = f"""[Script Info]
; Script by {SECRET}
Title: {SECRET}
Original Script: {SECRET}
ScriptType: v4.00+
PlayResX: 64
[Aegisub Project Garbage]
Audio File: /home/{SECRET}/take.wav
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
{STYLE}
[Fonts]
fontname: {SECRET}.ttf
M#4%56
[Graphics]
filename: {SECRET}.jpg
M)35A8
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.04,0:00:00.20,Default,,0,0,0,,Hello
"""


def sounds(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


@pytest.mark.parametrize("codec", ["libvorbis", "flac"])
def test_sound_whose_header_holds_comments_and_pictures(tmp_path: Path, codec: str) -> None:
    video, ogg, source = tmp_path / "v.mkv", tmp_path / "a.ogg", tmp_path / "in.mkv"
    make_video(video, range(50), audio="libopus")
    options = ["-metadata", f"ARTIST={SECRET}", "-metadata", f"METADATA_BLOCK_PICTURE={SECRET}"]
    subprocess.run([FFMPEG, "-v", "error", "-i", video, "-vn", "-c:a", codec, *options, ogg], check=True)
    copy = ["-map", "0:v", "-map", "1:a", "-c", "copy", source]
    subprocess.run([FFMPEG, "-v", "error", "-i", video, "-i", ogg, *copy], check=True)
    target = through(source, tmp_path / "out.mkv")
    assert packets(target, "audio") == packets(source, "audio")
    assert (sounds(target) == sounds(source)).all()
    assert SECRET.encode() not in target.read_bytes()


def test_vorbis_that_names_a_person(tmp_path: Path) -> None:
    """FFmpeg itself writes Vorbis into Matroska with comments that it was given, as other programs do."""
    ogg, source = tmp_path / "a.ogg", tmp_path / "in.mkv"
    video = make_video(tmp_path / "v.mkv", range(50), audio="libopus")
    subprocess.run([FFMPEG, "-v", "error", "-i", video, "-vn", "-c:a", "libvorbis", ogg], check=True)
    with av.open(str(ogg)) as container:
        stream = container.streams.audio[0]
        header = bytes(stream.codec_context.extradata or b"")
        named = _with_comment(header)
        with av.open(str(source), "w") as output:
            pictures = output.add_stream("libx264", rate=25)
            pictures.width, pictures.height = 64, 48
            copy = output.add_stream_from_template(stream)
            copy.codec_context.extradata = named
            for _ in range(5):
                output.mux(pictures.encode(av.VideoFrame.from_ndarray(scene())))
            output.mux(pictures.encode(None))
            for packet in container.demux(stream):
                if packet.size:
                    packet.stream = copy
                    output.mux(packet)
    assert SECRET.encode() in source.read_bytes()
    target = through(source, tmp_path / "out.mkv")
    assert SECRET.encode() not in target.read_bytes()
    assert (sounds(target) == sounds(source)).all()
    plain = plain_header("vorbis", header)
    assert plain_header("vorbis", named) == plain_header("vorbis", plain) == plain


def _with_comment(header: bytes) -> bytes:
    """Vorbis headers, in Xiph's lacing, with a comment in the second."""
    sizes = list(header[1:3])
    assert header[0] == 2
    assert max(sizes) < 255
    first, rest = header[3 : 3 + sizes[0]], header[3 + sum(sizes) :]
    text = f"ARTIST={SECRET}{'!' * 300}".encode()
    second = b"\x03vorbis" + bytes(4) + (1).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text + b"\x01"
    return bytes((2, sizes[0], 255, len(second) - 255)) + first + second + rest


def test_subtitles_whose_header_holds_titles_fonts_and_pictures(tmp_path: Path) -> None:
    text = save(tmp_path / "text.ass", ASS.encode())
    video, source = make_video(tmp_path / "v.mkv"), tmp_path / "in.mkv"
    subprocess.run([FFMPEG, "-v", "error", "-i", video, "-i", text, "-map", "0", "-map", "1", "-c", "copy", source])
    assert SECRET.encode() in source.read_bytes()
    target = through(source, tmp_path / "out.mkv")
    data = target.read_bytes()
    assert SECRET.encode() not in data
    assert b"M)35A8" not in data
    assert STYLE.encode() in data
    assert b"PlayResX: 64" in data
    assert packets(target, "subtitles") == packets(source, "subtitles")
    with av.open(str(target)) as container:
        assert "Hello" in str([line.ass for packet in container.demux(subtitles=0) for line in packet.decode()])
    assert read(target).times == read(source).times


def test_other_headers() -> None:
    assert plain_header("webvtt", b"WEBVTT by Jane\n\nNOTE by Jane\n\nSTYLE\n::cue {color: red}\n\nX") == (
        b"WEBVTT\n\nSTYLE\n::cue {color: red}"
    )
    assert plain_header("dvd_subtitle", b"# Jane\nsize: 720x576\nid: Jane\npalette: 000000\n") == (
        b"size: 720x576\npalette: 000000\n"
    )
    info = bytes(range(34))
    assert plain_header("flac", b"fLaC\x80\x00\x00\x22" + info + planted_jpeg()) == info
    assert plain_header("flac", info) == info
    assert plain_header("aac", b"\x12\x10") == b"\x12\x10"
    assert plain_header("ass", b"") == b""


@given(st.binary(max_size=400))
def test_a_broken_vorbis_header_is_refused(header: bytes) -> None:
    if header:
        with pytest.raises(MediaError, match="cannot be read"):
            plain_header("vorbis", b"\x02" + header)


# Profiles of colour


def opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(BytesIO(profile))


def colours(profile: bytes) -> np.ndarray:
    """What those of a picture are in Lab."""
    picture = ImageCms.profileToProfile(
        Image.fromarray(scene()), opened(profile), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    return np.asarray(picture)


@pytest.mark.parametrize("profile", [SRGB, named_profile()])
def test_a_profile_keeps_its_colours_and_no_name(profile: bytes) -> None:
    plain = plain_profile(profile)
    assert ImageCms.getProfileDescription(opened(plain)).strip() == "RGB"
    assert SECRET.encode() not in plain
    assert set(plain[24:36] + plain[40:64] + plain[80:128]) == {0}, "a day, a machine, a program"
    assert plain_profile(plain) == plain
    assert (colours(plain) == colours(profile)).all()
    assert colours(plain).std() > 10


def test_what_is_no_profile_is_none() -> None:
    assert plain_profile(b"") == plain_profile(SRGB[:100]) == plain_profile(grey_profile(1.0)) == b""
