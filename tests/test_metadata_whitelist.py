"""Of all that files can tell, only what the README lists survives: by format, as ExifTool reads it."""

from __future__ import annotations

import re
from pathlib import Path

import av
import pytest
from camera_samples import MAKERS, noted_photo, previewed_photo, tracked_video
from fake_anonymizer import Run
from metadata_readers import exiftool, needs_exiftool
from metadata_samples import SCAN, SECRET, telling_photo, telling_video
from test_disclosure import GENERATED, TOOL, Drawing

pytestmark = needs_exiftool

SIZES = r"Image(Width|Height|Length|PixelDepth|SpatialExtent) CleanAperture BitsPerSample BitDepth\w* "

WHITELIST = {
    "File": SIZES + "FileType(Extension)? MIMEType ExifByteOrder EncodingProcess ColorComponents YCbCrSubSampling",
    "JFIF": "JFIFVersion ResolutionUnit [XY]Resolution",
    "PNG": SIZES + "ColorType Compression Filter Interlace ProfileName",
    "IFD0": SIZES + r"Compression Photometric\w+ PlanarConfiguration RowsPerStrip SamplesPerPixel Strip\w+ Predictor",
    "RIFF": SIZES + "(Horizontal|Vertical)Scale VP8Version WebP_Flags AlphaIsUsed",
    "GIF": SIZES + "BackgroundColor BitsPerPixel ColorResolutionDepth GIFVersion HasColorMap TransparentColor",
    "ICC-header": ".*",  # what stands there is looked at below
    "ICC_Profile": "ProfileDescription ProfileCopyright MediaWhitePoint (Red|Green|Blue)(MatrixColumn|TRC)",
    "XMP-xmp": "CreatorTool",
    "XMP-iptcExt": "DigitalSourceType",
    "Meta": "PrimaryItemReference",
    "QuickTime": SIZES
    + r"""MovieHeaderVersion NextTrackID MatrixStructure (Create|Modify)Date Duration TimeScale MediaData(Offset|Size)?
        Preferred(Rate|Volume) (Preview|Selection)(Time|Duration) (Poster|Current)Time Handler(Type|VendorID) Free Wide
        (Major|Minor|Compatible)\w+ (General|Gen|Color|Chroma|Matrix|Transfer|Temporal|Num|Min|Max)\w+
        PrimaryItemReference (Constraint|Parallelism|Average|Constant|Seq|High|Twelve)\w+ (HEVC|AV1)ConfigurationVersion
        InitialDelaySamples QuickTime_(HEVCConfig|ColorRep)_0x\w+""",
    "Track": SIZES
    + r"""(Track|Media)HeaderVersion Track(ID|Layer|Volume|Duration) MatrixStructure Balance MediaLanguageCode
        (Track|Media)(Create|Modify)Date Media(Duration|TimeScale) Handler(Class|Type|Description|VendorID) VendorID
        ChunkOffset Sample(Sizes?|To\w+|GroupDescription|Time|Duration) SyncSampleTable TimeToSampleTable CompressorID
        CompositionTimeToSample Unknown_(edts|esds|btrt|mp4a|ftab) PurchaseFileFormat AVCConfiguration GraphicsMode
        OpColor PixelAspectRatio VideoFrameRate (Average|Max)Bitrate BufferSize SourceImage(Width|Height) [XY]Resolution
        Audio\w+ LayoutFlags OtherFormat NullMediaHeader Gen(Media|Flags|Graphics|Op|Balance)\w*
        Text\w* (Foreground|Background|Font)\w* (Horizontal|Vertical)Justification DefaultTextBox
        CodecID CodecPrivate DisplayUnit Track(Default|Lacing|Language|Number|Type|UID) MaxBlockAdditionID
        Matroska_0x(15b0|16aa|16bb)""",
    "Matroska": r"""CreatorTool DigitalSourceType CRC-32 Cue\w+ DocType\w* Duration EBML\w+ MuxingApp WritingApp Seek\w+
        TagTrackUID TimecodeScale Matroska_0x00(32|70)""",
}
"""Names by group: what decoders need, the colours, and what a file says about itself."""

EMPTY = ("", 0, "0000:00:00 00:00:00")
VALUES = {
    ".*Date(Time)?": EMPTY,
    "HandlerDescription": ("VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler"),
    "HandlerVendorID|VendorID": ("Apple", "FFmpeg"),
    "(Muxing|Writing)App": ("Lavf",),
    "ProfileDescription|ProfileCopyright": ("RGB",),
    "ProfileName": ("ICC Profile",),
    "(Device|Profile|CMM)\\w*(Manufacturer|Model|Creator|Type)|ProfileID": (*EMPTY, "0", "Little-endian"),
    "MediaLanguageCode|TrackLanguage": ("fra", "fr", "und", "Unknown (32767)"),
    "CreatorTool": (TOOL,),
    "DigitalSourceType": (GENERATED,),
}
"""What texts and days may be, by name."""


def told(path: Path) -> list[str]:
    """Names under which a file tells the secret, or holds another picture."""
    found = {name: str(value) for name, value in exiftool(path, "-b").items()}
    return [name for name, value in found.items() if SECRET in value or "48.8" in value or "2024:05:06" in value]


def assert_clean(path: Path) -> None:
    data = path.read_bytes()
    for text in (SECRET, "JaneDoe", "48.85", "2024:05:06", "secret"):
        for encoded in (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")):
            assert encoded not in data, text
    assert SCAN not in data
    assert not told(path)
    assert not [f"{name}: {value}" for name, value in exiftool(path).items() if not is_allowed(name, value)]


def is_allowed(name: str, value: object) -> bool:
    group, _, tag = name.partition(":")
    known = WHITELIST.get("Track" if group.startswith("Track") else group, "").split()
    if not any(re.fullmatch(pattern, tag) for pattern in known):
        return False
    return all(value in values for pattern, values in VALUES.items() if re.fullmatch(pattern, tag))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".heic", ".avif", ".gif"])
def test_photographs(run: Run, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    source = telling_photo(Path(f"a{suffix}"))
    assert len(told(source)) >= 10
    run("run", source, "-o", f"b{suffix}", load=Drawing)
    assert_clean(Path(f"b{suffix}"))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_videos(run: Run, suffix: str) -> None:
    source, target = telling_video(Path(f"a{suffix}")), Path(f"b{suffix}")
    assert len(told(source)) >= 8
    assert (SECRET in pictures(source)) == (suffix != ".webm"), "cameras tell things in between pictures"
    assert (kinds(source) != ["video", "audio", "subtitle"]) == (suffix != ".webm")
    run("run", source, "-o", target, load=Drawing)
    assert_clean(target)
    assert SECRET not in pictures(target)
    assert kinds(target) == ["video", "audio", "subtitle"]


@pytest.mark.parametrize("maker", MAKERS)
def test_notes_of_makers(run: Run, maker: str) -> None:
    source = noted_photo(Path("a.jpg"), maker)
    group = maker.split()[0].capitalize()
    assert any(name.startswith(group) for name in told(source)), "ExifTool reads them"
    assert (SCAN in source.read_bytes()) == (maker != "Canon")
    run("run", source, "-o", "b.jpg", load=Drawing)
    assert_clean(Path("b.jpg"))


def test_previews_and_videos_behind_the_picture(run: Run) -> None:
    source = previewed_photo(Path("a.jpg"))
    assert "MPImage2:PreviewImage" in exiftool(source, "-b")
    assert SCAN in source.read_bytes()
    run("run", source, "-o", "b.jpg", load=Drawing)
    assert_clean(Path("b.jpg"))
    data = Path("b.jpg").read_bytes()
    assert data.endswith(b"\xff\xd9")
    assert b"ftyp" not in data


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_tracks_of_telemetry(run: Run, suffix: str) -> None:
    source, target = tracked_video(Path(f"a{suffix}")), Path(f"b{suffix}")
    assert kinds(source) == ["video", "data"]
    for planted in (b"GPS5 48.8584", b"gpmd", SECRET.encode(), SCAN):
        assert planted in source.read_bytes()
    run("run", source, "-o", target, load=Drawing)
    assert_clean(target)
    assert kinds(target) == ["video"]
    assert b"gpmd" not in target.read_bytes()


def pictures(path: Path) -> str:
    """The packets of a video as text."""
    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(video=0)).decode("latin-1")


def kinds(path: Path) -> list[str]:
    """Of the streams of a file."""
    with av.open(str(path)) as container:
        return [stream.type for stream in container.streams]
