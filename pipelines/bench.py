"""How fast this installation is, stage by stage, beside what bounds it and what another program reaches."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from anonymizer.batches import Faces, Frames
from anonymizer.config import Config
from anonymizer.errors import ConfigError, MediaError
from pipelines.inputs import Kind, Source
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig
from pipelines.video import anonymize_video

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymized, Anonymizer

SAMPLES = Path(__file__).parents[1] / "sample_media"

SELF = "anonymizer"

PEERS = {"deface": {"deface, opencv": ["--backend", "opencv"], "deface, onnxruntime": ["--backend", "onnxrt"]}}
"""Program -> the ways to run it that are worth comparing with -> their options."""

NOTHING = 1e-3
"""Seconds below which a stage had nothing to do, and no rate is given."""

Seconds = list[float]


class Untouched:
    """In place of an anonymizer: does nothing, so that reading and writing remain, which bound every run."""

    config = Config()
    sees_twice = False

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def stream(self, batches: Iterable[Frames]) -> Iterator[Anonymized]:
        """Pass all frames on."""
        from anonymizer.anonymize import Anonymized

        return (Anonymized(batch, Faces.none(), ()) for batch in batches)


@dataclass
class Measured:
    """Seconds of every repetition, all on one clip.

    Attributes:
        stages: by stage; they overlap in time, so that together they take longer than ``job``.
        job: from the open file to the closed one, without loading the networks.
        transcode: the same without any stage but reading and writing.
        commands: whole commands, by name, from start to exit.
    """

    clip: Path
    device: str
    frames: int = 0
    faces: int = 0
    stages: dict[str, Seconds] = field(default_factory=dict)
    job: Seconds = field(default_factory=list)
    transcode: Seconds = field(default_factory=list)
    commands: dict[str, Seconds] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Medians, per frame and per face, and ratios of the repetitions that ran in turn."""
        names = {**self.stages, "whole": self.job, "transcode": self.transcode}
        return {
            "clip": str(self.clip),
            "device": self.device,
            "frames": self.frames,
            "faces": self.faces,
            "repetitions": len(self.job),
            "stages": {name: self._figures(seconds) for name, seconds in names.items()},
            "whole_to_transcode": _ratio(self.transcode, self.job),
            "commands": {name: self._figures(seconds) for name, seconds in self.commands.items()},
            "ratios": {
                name: _ratio(seconds, self.commands[SELF]) for name, seconds in self.commands.items() if name != SELF
            },
        }

    def _figures(self, seconds: Seconds) -> dict[str, float | None]:
        middle = median(seconds)
        return {
            "seconds": round(middle, 3),
            "ms_per_frame": round(1000 * middle / self.frames, 2),
            "ms_per_face": round(1000 * middle / self.faces, 2) if self.faces else None,
            "frames_per_second": round(self.frames / middle, 2) if middle > NOTHING else None,
        }


def _ratio(slower: Seconds, faster: Seconds) -> float:
    return round(median(one / other for one, other in zip(slower, faster, strict=True)), 3)


def sample_clip() -> Path:
    """The video that comes with the source code.

    Raises:
        ConfigError: it is not there.
    """
    clips = sorted(SAMPLES.glob("*.mp4"))
    if not clips:
        raise ConfigError("name a video: the sample comes with the source code only, not with the installed package")
    return clips[0]


def commands(peer: str | None, settings: Sequence[str]) -> dict[str, list[str]]:
    """This program's command and those of ``peer``, by name, up to the clip; empty without a peer.

    Raises:
        ConfigError: the peer is not installed.
    """
    if peer is None:
        return {}
    beside = Path(sys.executable).with_name(peer)
    found = str(beside) if beside.is_file() else shutil.which(peer)
    if found is None:
        raise ConfigError(f"{peer} is not installed: there is no such command on the PATH")
    others = {name: [found, *options] for name, options in PEERS[peer].items()}
    return {SELF: [sys.executable, "-m", "pipelines.cli", "run", *settings], **others}


def measure(clip: Path, anonymizer: Anonymizer, repeat: int, compared: dict[str, list[str]]) -> Measured:
    """Run everything ``repeat`` times, in turn, so that a busy machine slows all alike.

    Raises:
        MediaError: the clip cannot be anonymized, or a command fails.
    """
    measured = Measured(clip, str(anonymizer.device))
    for _ in range(repeat):
        measured.transcode.append(_job(clip, Untouched(anonymizer.batch_size)).seconds)
        before = dict(anonymizer.timings)
        result = _job(clip, anonymizer)
        networks = {name: total - before.get(name, 0.0) for name, total in anonymizer.timings.items()}
        for name in ("decode", *networks, "encode"):
            measured.stages.setdefault(name, []).append(networks.get(name, 0.0) + result.stages[name])
        measured.job.append(result.seconds)
        measured.frames, measured.faces = result.frames, result.faces.total()
        for name, command in compared.items():
            measured.commands.setdefault(name, []).append(_command(clip, command))
    return measured


def _job(clip: Path, anonymizer: Any) -> Result:
    with TemporaryDirectory(prefix="anonymizer-") as folder:
        result = anonymize_video(Job(Source(clip, Kind.VIDEO), Path(folder, "out.mkv")), anonymizer, OutputConfig())
    if result.error:
        raise MediaError(result.error)
    return result


def _command(clip: Path, command: Sequence[str]) -> float:
    with TemporaryDirectory(prefix="anonymizer-") as folder:
        start = time.perf_counter()
        done = subprocess.run(
            [*command, clip, "-o", Path(folder, "out.mp4")], capture_output=True, text=True, errors="replace"
        )
        seconds = time.perf_counter() - start
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise MediaError(f"{' '.join(command)} failed: {last[0]}", path=clip)
    return seconds


def as_table(figures: dict[str, Any]) -> str:
    """The figures as people read them."""
    lines = [
        f"{figures['clip']}: {figures['frames']} frames, {figures['faces']} faces, on {figures['device']}, "
        f"median of {figures['repetitions']}",
        f"{'':20}{'s':>9}{'ms/frame':>10}{'ms/face':>10}{'frames/s':>10}",
    ]
    for name, row in {**figures["stages"], **figures["commands"]}.items():
        cells = [row["seconds"], row["ms_per_frame"], row["ms_per_face"], row["frames_per_second"]]
        texts = ["-" if cell is None else f"{cell:.2f}" for cell in cells]
        lines.append(f"{name:20}{texts[0]:>9}{texts[1]:>10}{texts[2]:>10}{texts[3]:>10}")
    lines.append(f"whole / transcode: {figures['whole_to_transcode']:.3f} of its frames per second")
    lines += [f"{SELF} / {name}: {ratio:.2f} times its frames per second" for name, ratio in figures["ratios"].items()]
    return "\n".join(lines)
