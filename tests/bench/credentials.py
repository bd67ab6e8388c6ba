"""Signed results of every format, read by others: ``python tests/bench/credentials.py [--keep FOLDER]``.

The sample photograph and a part of the sample video are stored in each format that the program writes, and go through
the command with ``--sign`` and a key for tests. Printed is a table of what others make of the results: ExifTool, of the
source type and of the credentials; and ``manifests``, a reader of the specification that shares nothing with the
library that signs: whether signature, assertions and file hold, whether what was done is claimed by the signer, and
what it says when one byte of the file is another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import click
import pillow_heif
from manifests import Verdict, verify
from PIL import Image

from pipelines.trial_signer import make_signer

SAMPLES = Path(__file__).parents[2] / "sample_media"
PICTURES = {"JPEG": "jpg", "PNG": "png", "WebP": "webp", "TIFF": "tif", "GIF": "gif", "AVIF": "avif", "HEIF": "heic"}
PICTURES |= {"BMP": "bmp"}
VIDEOS = {"MP4": "libx264", "MOV": "libx264", "MKV": "libx264", "WebM": "libvpx-vp9", "TS": "libx264"}
FRAMES = 10
SUFFIXES = {**PICTURES, **{name: name.lower() for name in VIDEOS}}
HOLDS = {True: "holds", False: "does not hold"}


def make(folder: Path) -> None:
    """The samples in all formats."""
    pillow_heif.register_heif_opener()
    with Image.open(SAMPLES / "portrait.jpg") as picture:
        for name, suffix in PICTURES.items():
            picture.convert("RGB").save(folder / f"{name}.{suffix}")
    for name, codec in VIDEOS.items():
        with (
            av.open(str(SAMPLES / "conversation.mp4")) as source,
            av.open(str(folder / f"{name}.{name.lower()}"), "w") as target,
        ):
            video = source.streams.video[0]
            stream = target.add_stream(codec, rate=video.average_rate)
            stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
            for frame, _ in zip(source.decode(video), range(FRAMES), strict=False):
                target.mux(stream.encode(frame.reformat(format="yuv420p")))
            target.mux(stream.encode(None))


def exiftool(path: Path) -> tuple[str, str]:
    """What ExifTool says of the source type, and where it sees credentials."""
    command = ["exiftool", "-json", "-a", "-u", "-ee", "-G1", str(path)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    types = [str(value) for name, value in told.items() if name.endswith(("DigitalSourceType", "DIGITAL_SOURCE_TYPE"))]
    seen = sorted({name.split(":")[0] for name in told if name.startswith("JUMBF")})
    seen += [name.split(":")[-1] for name in told if "C2PA" in name]
    return types[0].rsplit("/", 1)[-1] if types else "–", seen[0] if seen else "–"


def altered(path: Path, folder: Path) -> Verdict | None:
    """The verdict on a copy of which a byte in the middle is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    copy = folder / path.name
    copy.write_bytes(data)
    return verify(copy)


def rows(folder: Path, work: Path) -> Iterator[list[str]]:
    """A row a format."""
    for name, suffix in SUFFIXES.items():
        path = folder / f"{name}.{suffix}"
        found, changed = verify(path), altered(path, work)
        if not found or not changed:
            yield [name, *exiftool(path), "no credentials", "", "", "", ""]
            continue
        held = [HOLDS[held] for held in (found.signature, found.assertions, found.file)]
        claimed = "created" if any(label.startswith("c2pa.actions") for label in found.created) else "gathered"
        yield [name, *exiftool(path), *held, claimed, HOLDS[changed.file]]


@click.command()
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the results in this folder.")
def main(keep: Path | None) -> None:
    """Print the table."""
    with TemporaryDirectory() as name:
        work = Path(name)
        (work / "in").mkdir()
        (work / "altered").mkdir()
        make(work / "in")
        out = keep or work / "out"
        certificates, key = map(str, make_signer(work / "signer"))
        program = [sys.executable, "-m", "pipelines.cli", "run", str(work / "in"), "-o", str(out)]
        subprocess.run([*program, "--seed", "1", "--sign", certificates, key], check=True, capture_output=True)
        version = subprocess.run(["exiftool", "-ver"], capture_output=True, check=True, text=True).stdout.strip()
        head = ["format", f"ExifTool {version}: source type", "credentials"]
        head += ["signature", "assertions", "file", "actions", "file, one byte changed"]
        for row in (head, ["---"] * len(head), *rows(out, work / "altered")):
            click.echo(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
