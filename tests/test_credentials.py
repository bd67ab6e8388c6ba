"""Content credentials: what they say, that they hold, and that nothing of the original is in them."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import c2pa
import pytest
from bench.manifests import unpacked, verify
from cryptography.hazmat.primitives.asymmetric import ec
from fake_anonymizer import Blind, FakeAnonymizer, Run, files, make_photo, make_video
from metadata_readers import exiftool, needs_exiftool, said
from metadata_samples import SECRET, telling_photo
from split_samples import EXACT, Halves, in_segments, job, make_source
from test_disclosure import GENERATED, PHOTOGRAPHS, TOOL, Drawing, boxes
from video_samples import packets, read

from anonymizer.credentials import TYPES
from anonymizer.generate.base import Outcome
from anonymizer.provenance import in_words
from pipelines.settings import OutputConfig
from pipelines.trial_signer import make_signer

SIGNED = ("a.jpg", "a.png", "a.tif", "a.webp", "a.gif", "a.avif", "a.heic", "a.mp4", "a.mov")
BOXED = ("MP4", "MOV", "AVIF", "HEIF")
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"ftypavif")
"""How files of pictures begin, of which a thumbnail would be one."""


@pytest.fixture
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options that sign."""
    return ("--sign", *map(str, make_signer(tmp_path_factory.mktemp("signer"))))


def make(path: Path) -> Path:
    return make_video(path) if path.suffix in (".mp4", ".mov", ".mkv") else make_photo(path, (64, 48))


def manifests(path: Path, kind: str) -> dict[str, Any]:
    """What the library itself reads, without the settings of this program."""
    with path.open("rb") as file, c2pa.Reader(TYPES[kind], file) as reader:
        told: dict[str, Any] = json.loads(reader.detailed_json())
        return told


@pytest.mark.parametrize("name", SIGNED)
def test_what_is_signed_holds(run: Run, signer: tuple[str, ...], name: str) -> None:
    source, target = make(Path(name)), Path("b").with_suffix(Path(name).suffix)
    run("run", source, "-o", target, *signer, load=Drawing)
    told = json.loads(run("provenance", target).stdout)
    assert (told["tool"], told["digital source type"]) == said(target) == (TOOL, GENERATED)
    credentials = told["credentials"]
    assert (credentials["holds"], credentials["trusted"]) == (True, False)
    assert credentials["signer"] == "Test signer, For tests only"
    opened, edited = credentials["actions"]
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["digitalSourceType"] == GENERATED
    assert edited["softwareAgent"] == dict(zip(("name", "version"), TOOL.split(), strict=True))
    assert sum(edited["parameters"]["anonymizer.faces"].values()) == (1 if source.suffix in PHOTOGRAPHS else 30)
    assert edited["parameters"]["anonymizer.method"] == "generate"
    assert edited["parameters"]["anonymizer.frames"] == (1 if source.suffix in PHOTOGRAPHS else 30)
    assert "when" not in edited
    assert credentials["problems"] == []
    told = verify(target)
    assert told, "by a reader that is not of the library"
    assert told[:-1] == ("Test signer", True, True, True)
    assert len(told.created) == 3, "whoever signs says all of it"
    assert {"c2pa.actions.v2", "c2pa.ingredient.v3"} < told.created
    assert files() == sorted((str(target), name))


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_a_signed_video_is_the_same_video(run: Run, signer: tuple[str, ...], name: str) -> None:
    source = make_source(Path.cwd()).rename(name)
    for target, options in {"plain": (), "signed": signer}.items():
        run("run", source, "-o", Path(target).with_suffix(source.suffix), *options, load=Drawing)
    plain, signed = (Path(target).with_suffix(source.suffix) for target in ("plain", "signed"))
    assert packets(signed, "video") == packets(plain, "video")
    assert packets(signed, "audio") == packets(plain, "audio")
    assert read(signed).times == read(source).times
    kinds = [kind for kind, _ in boxes(signed)]
    assert kinds.index(b"moov") < kinds.index(b"mdat")


@pytest.mark.parametrize("name", SIGNED)
def test_nothing_of_the_original_is_in_them(run: Run, signer: tuple[str, ...], name: str) -> None:
    source, target = make(Path(name)), Path("b").with_suffix(Path(name).suffix)
    run("run", source, "-o", target, *signer, load=Drawing)
    kind = {"tif": "TIFF", "jpg": "JPEG", "heic": "HEIF"}.get(target.suffix[1:], target.suffix[1:].upper())
    told = manifests(target, kind if kind in TYPES else kind.lower())
    stores = [store["assertion_store"] for store in told["manifests"].values()]
    assert [set(store) for store in stores] == [
        {
            "c2pa.actions.v2",
            "c2pa.ingredient.v3",
            f"c2pa.hash.{'bmff.v3' if kind in BOXED else 'data'}",
        }
    ]
    assert set(stores[0]["c2pa.ingredient.v3"]) == {"dc:title", "instanceID", "relationship"}
    assert "thumbnail" not in json.dumps(told)


@pytest.mark.parametrize("name", SIGNED)
def test_no_pixels_are_in_them(run: Run, signer: tuple[str, ...], name: str) -> None:
    """By a reader that is not of the library: no box of a picture, nothing that begins like one, nothing large."""
    source, target = make(Path(name)), Path("b").with_suffix(Path(name).suffix)
    run("run", source, "-o", target, *signer, load=Drawing)
    parts = unpacked(target)
    assert any("c2pa.actions" in label for label in parts)
    for label, content in parts.items():
        assert label.split()[-1] in ("jumd", "cbor"), "pictures lie in boxes of their own: bfdb, bidb"
        assert not [start for start in PICTURES if start in content], label
        assert len(content) < 16_000, label
    assert sum(map(len, parts.values())) < 20_000


def test_no_pixels_are_in_the_bytes_that_are_added(run: Run, signer: tuple[str, ...]) -> None:
    make_photo(Path("a.jpg"), (640, 480))
    for name, options in {"plain.jpg": (), "signed.jpg": signer}.items():
        run("run", "a.jpg", "-o", name, *options, load=Drawing)
    plain, signed = Path("plain.jpg").read_bytes(), Path("signed.jpg").read_bytes()
    scan = plain[plain.index(b"\xff\xda") :]
    assert signed.endswith(scan)
    added = signed[: -len(scan)]
    assert len(added) < 20_000
    assert not any(picture in added[2:] for picture in PICTURES)


@pytest.mark.parametrize(
    ("load", "options", "action"),
    [(FakeAnonymizer, ("--method", "solid"), "c2pa.edited"), (Blind, (), "c2pa.transcoded")],
)
def test_what_is_not_generated_is_not_said_to_be(
    run: Run, signer: tuple[str, ...], load: object, options: tuple[str, ...], action: str
) -> None:
    run("run", make_photo(Path("a.jpg")), "-o", "b.jpg", *signer, *options, load=load)
    done = json.loads(run("provenance", "b.jpg").stdout)["credentials"]["actions"][1]
    assert done["action"] == action
    assert "digitalSourceType" not in done
    assert done.get("description") == ("faces covered" if action == "c2pa.edited" else None)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ({Outcome.GENERATED, Outcome.AVERAGE}, "faces replaced by those of nobody who exists"),
        ({Outcome.KEPT}, "faces kept"),
        ({Outcome.STEEP_POSE, Outcome.KEPT}, "faces covered, or kept"),
        (set(Outcome), "faces replaced by those of nobody who exists, or covered, or kept"),
    ],
)
def test_what_is_said_of_faces_is_true_of_all(outcomes: set[Outcome], words: str) -> None:
    assert in_words(outcomes) == words


def test_a_file_that_was_altered_does_not_hold(run: Run, signer: tuple[str, ...]) -> None:
    run("run", make_photo(Path("a.jpg")), "-o", "b.jpg", *signer, load=Drawing)
    data = bytearray(Path("b.jpg").read_bytes())
    data[-20] ^= 1
    Path("b.jpg").write_bytes(data)
    told = json.loads(run("provenance", "b.jpg", code=1).stdout)["credentials"]
    assert told["holds"] is False
    assert "assertion.dataHash.mismatch" in told["problems"]


@pytest.mark.parametrize("name", SIGNED)
def test_others_see_what_was_altered(run: Run, signer: tuple[str, ...], name: str) -> None:
    source, target = make(Path(name)), Path("b").with_suffix(Path(name).suffix)
    run("run", source, "-o", target, *signer, load=Drawing)
    data = target.read_bytes()
    for what, other, expected in (
        (b"c2pa.edited", b"c2pa.opened", (True, False, True)),  # in an assertion
        (b"claim_generator_info", b"claim_generator_none", (False, True, True)),
        (b"CreatorTool", b"CreatorFool", (True, True, False)),  # in XMP
    ):
        assert what in data
        target.write_bytes(data.replace(what, other))
        told = verify(target)
        assert told
        assert (told.signature, told.assertions, told.file) == expected, what


@needs_exiftool
def test_a_signer_may_be_configured_for_all_runs(
    run: Run, signer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo(Path("in.jpg"))
    monkeypatch.setenv("ANONYMIZER_SIGN", ":".join(signer[1:]))
    run("run", "in.jpg", "-o", "out.jpg")
    assert json.loads(run("provenance", "out.jpg").stdout)["credentials"]["holds"]


def test_a_signed_file_names_nobody_but_the_signer(run: Run, signer: tuple[str, ...]) -> None:
    run("run", telling_photo(Path("a.jpg")), "-o", "b.jpg", *signer, load=Drawing)
    assert SECRET.encode() not in Path("b.jpg").read_bytes()
    told = {name: str(value) for name, value in exiftool(Path("b.jpg")).items()}
    assert any("C2PA" in name or "JUMBF" in name for name in told)
    assert not [name for name, value in told.items() if "Date" in name and value != "0000:00:00 00:00:00"]
    assert not [name for name, value in told.items() if re.search(r"20\d\d[:-]\d\d[:-]\d\d", value) or "a.jpg" in value]


def test_members_and_joined_videos_are_signed(run: Run, signer: tuple[str, ...], tmp_path: Path) -> None:
    with zipfile.ZipFile("in.zip", "w") as archive:
        archive.write(make_photo(Path("a.jpg")))
    run("run", "in.zip", "-o", "out.zip", *signer, load=Drawing)
    with zipfile.ZipFile("out.zip") as archive:
        archive.extractall("members")
    assert json.loads(run("provenance", "members/a.jpg").stdout)["credentials"]["holds"]
    source, output = make_source(tmp_path), OutputConfig(crf=EXACT.crf, sign=(signer[1], signer[2]))
    done = in_segments(job(source), Halves(), output)
    assert done.error is None
    credentials = json.loads(run("provenance", done.job.target).stdout)["credentials"]
    assert credentials["holds"]
    assert credentials["actions"][1]["parameters"]["anonymizer.faces"] == {"covered": done.frames}


@pytest.mark.parametrize("name", ["a.mkv", "a.bmp"])
def test_formats_that_cannot_be_signed_say_so(run: Run, signer: tuple[str, ...], name: str) -> None:
    target = Path("b").with_suffix(Path(name).suffix)
    run("run", make(Path(name)), "-o", target, *signer, "--report", "r.json", load=Drawing)
    assert any("is not signed" in note for note in json.loads(Path("r.json").read_text())["inputs"][0]["notes"])
    assert json.loads(run("provenance", target).stdout)["credentials"] == "this format has no place for them"


def test_who_cannot_sign_learns_it_before_the_work(run: Run, signer: tuple[str, ...], tmp_path: Path) -> None:
    make_photo(Path("in/a.jpg"))
    other = tmp_path / "other"
    other.mkdir()
    _, key = make_signer(other)
    certificates, wrong = make_signer(tmp_path, ec.SECP384R1())
    for pair in ((signer[1], key), (certificates, wrong), (signer[1], "in/a.jpg"), ("none.pem", signer[2])):
        assert "Error" in run("run", "in", "-o", "out", "--sign", *pair, load=Drawing, code=2).stderr
    assert "--no-disclosure" in run("run", "in", "-o", "out", *signer, "--no-disclosure", load=Drawing, code=2).stderr
    assert not Path("out").exists()


def test_without_the_library(run: Run, signer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    run("run", make_photo(Path("a.jpg")), "-o", "b.jpg", *signer, load=Drawing)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert "pip install 'anonymizer[c2pa]'" in run("run", "a.jpg", "-o", "c.jpg", *signer, load=Drawing, code=2).stderr
    told = run("provenance", "b.jpg")
    assert json.loads(told.stdout)["credentials"].startswith("not looked for: ")
    assert json.loads(told.stdout)["digital source type"] == GENERATED


def test_files_that_say_nothing(run: Run) -> None:
    make_video(Path("a.ts"))
    make_video(Path("c.webm"), codec="libvpx-vp9")
    for path in (make_photo(Path("a.jpg")), make_video(Path("b.mp4")), "a.ts", "c.webm"):
        told = json.loads(run("provenance", path).stdout)
        none = None if Path(path).suffix in (".jpg", ".mp4") else "this format has no place for them"
        assert told == {"tool": None, "digital source type": None, "credentials": none}
    Path("d.jpg").write_text("no picture")
    assert "neither" in run("provenance", "d.jpg", code=1).stderr


def test_xmp_of_other_programs_is_read(run: Run) -> None:
    from PIL import Image

    packet = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"><i:DigitalSourceType>here</i:DigitalSourceType>
    </rdf:Description></rdf:RDF></x:xmpmeta>"""
    for xmp in (packet, "<x"):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", xmp=xmp.encode())
        Path("a.jpg").write_bytes(file.getvalue())
        if xmp == packet:
            assert json.loads(run("provenance", "a.jpg").stdout)["digital source type"] == "here"
        else:
            assert "XMP is damaged" in run("provenance", "a.jpg", code=1).stderr
