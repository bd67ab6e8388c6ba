"""The words of the command line: options under headings, and the settings that they fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from anonymizer.config import PRESETS, SEEDS, Config, DetectorName, Method, Occluders, Trait
from anonymizer.errors import ConfigError
from pipelines.places import Place, place
from pipelines.settings import Audio, Codec, LabelUse, OutputConfig

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


class Option(click.Option):
    """An option that stands under a heading of its command's help."""

    def __init__(self, *args: Any, heading: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.heading = heading


class HeadedCommand(click.Command):
    """A command whose help lists the options under their headings."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section a heading, in the order in which the headings come up."""
        sections: dict[str, list[tuple[str, str]]] = {}
        plain = [parameter for parameter in self.get_params(context) if isinstance(parameter, click.Option)]
        for parameter in sorted(plain, key=lambda parameter: not isinstance(parameter, Option)):
            if record := parameter.get_help_record(context):
                sections.setdefault(getattr(parameter, "heading", "Other"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def group(heading: str, *declared: tuple[tuple[str, ...], dict[str, Any]]) -> Decorator:
    """A decorator that adds options under ``heading``, in their order."""

    def decorate(command: Command) -> Command:
        for names, settings in reversed(declared):
            command = click.option(*names, cls=Option, heading=heading, **settings)(command)
        return command

    return decorate


def option(*names: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What ``click.option`` takes."""
    return names, settings


class PlaceType(click.ParamType):
    """A path, or the URL of a file or folder that lies elsewhere."""

    name = "path"

    def convert(self, value: str, parameter: click.Parameter | None, context: click.Context | None) -> Place:
        """A ``Path``, or the text of a URL."""
        return place(value)


class TraitsType(click.ParamType):
    """Names of traits, with commas between them, or "none"."""

    name = "traits"

    def convert(
        self, value: str | tuple[Trait, ...], parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[Trait, ...]:
        """The traits, in one order."""
        if isinstance(value, tuple):
            return value
        said, known = [] if value == "none" else value.split(","), get_args(Trait)
        for name in said:
            if name not in known:
                self.fail(f"{name!r} is none of {', '.join(known)}; or say none", parameter, context)
        return tuple(name for name in known if name in said)


def as_words(settings: dict[str, Any]) -> list[str]:
    """Settings as they are said on the command line."""
    said = {name: ",".join(value) or "none" if isinstance(value, tuple) else value for name, value in settings.items()}
    return [f"--{name.replace('_', '-')}={value}" for name, value in said.items() if value is not None]


inputs = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=PlaceType())

files = group(
    "Files",
    option(
        "-o",
        "--output",
        metavar="OUTPUT",
        type=PlaceType(),
        help="Where to write: a file for one input file, a folder otherwise; or a URL, such as s3://bucket/folder.",
    ),
    option("--force", is_flag=True, help="Replace outputs that exist."),
    option("--retry", is_flag=True, help="Try again what failed time and again in runs before."),
    option("--dry-run", is_flag=True, help="Only say what would be done."),
    option(
        "--report",
        "reports",
        metavar="FILE",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write all settings and results, to .html for people, otherwise as JSON; may be repeated.",
    ),
    option("--operator", metavar="NAME", default="", help="Who runs this, for the record."),
)

datasets = group(
    "Datasets",
    option(
        "--labels",
        type=click.Choice(get_args(LabelUse)),
        default="use",
        show_default=True,
        help="Look again where COCO, YOLO or Pascal VOC files of a folder say that people and faces are.",
    ),
    option(
        "--copy",
        metavar="SUFFIX",
        multiple=True,
        help="Copy files such as .npy as they are, though they may hold pictures; may be repeated.",
    ),
)

replacing = group(
    "What replaces a face",
    option(
        "--method",
        type=click.Choice(get_args(Method)),
        default="generate",
        show_default=True,
        help="A person who does not exist, or only a cover.",
    ),
    option(
        "--match",
        metavar="TRAITS",
        type=TraitsType(),
        default=",".join(get_args(Trait)),
        show_default=True,
        help="What the new face has in common with the old one, as it seems and in coarse steps; or none.",
    ),
    option(
        "--occluders",
        type=click.Choice(get_args(Occluders)),
        default="keep",
        show_default=True,
        help="What stands before a face, such as hands, hair and glasses: it stays, or is replaced with it.",
    ),
    option(
        "--seed",
        metavar="N",
        type=click.IntRange(0, SEEDS - 1),
        help="Draw the same people again in another run; without it, nobody can.",
    ),
)

finding = group(
    "How faces are found",
    option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default="balanced",
        show_default=True,
        help="Speed against small and half-hidden faces.",
    ),
    option(
        "--detector",
        type=click.Choice(get_args(DetectorName)),
        help="The network that looks for them; by default that of the preset.",
    ),
    option(
        "--threshold",
        metavar="P",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="How sure it must be, between 0 and 1; lower finds more. By default that of the preset.",
    ),
)

videos = group(
    "Videos",
    option(
        "--audio",
        type=click.Choice(get_args(Audio)),
        default="keep",
        show_default=True,
        help="Keep the sound bit for bit, drop it, or disguise voices.",
    ),
    option(
        "--codec",
        type=click.Choice(get_args(Codec)),
        help="By default h264, in WebM vp9.",
    ),
    option(
        "--crf",
        metavar="N",
        type=click.IntRange(0, 63),
        help="Quality, lower is better; by default one whose losses are hard to see.",
    ),
    option("--encoder", metavar="NAME", help="One of FFmpeg's encoders, such as h264_nvenc."),
)

photographs = group(
    "Photographs",
    option(
        "--quality",
        metavar="Q",
        type=click.IntRange(1, 100),
        help="Of JPEG and other lossy formats; by default that of the original.",
    ),
)

provenance = group(
    "What results say of themselves",
    option(
        "--no-disclosure",
        "disclosure",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Do not say in the metadata of results that faces are generated, nor by what.",
    ),
    option(
        "--sign",
        metavar="CERT KEY",
        nargs=2,
        type=click.Path(dir_okay=False),
        envvar="ANONYMIZER_SIGN",
        help="Sign results (C2PA) with a chain of certificates and a private key, PEM files of ES256. With "
        "ANONYMIZER_SIGN=CERT:KEY in the environment, every run signs.",
    ),
)

DEVICE = option(
    "--device",
    metavar="D",
    default="auto",
    show_default=True,
    help="cpu, cuda, cuda:N, or auto: a GPU if there is one.",
)

device = group("Machine", DEVICE)

machine = group(
    "Machine",
    DEVICE,
    option(
        "--batch-size",
        metavar="N",
        type=click.IntRange(min=1),
        help="Frames that go through the networks together; by default what suits the machine.",
    ),
)

scaling = group(
    "Machine",
    option(
        "--workers",
        metavar="N",
        type=click.IntRange(min=1),
        help="Processes that share the files; by default one, which uses all cores.",
    ),
    option(
        "--cluster",
        metavar="ADDRESS",
        help="Work on a Ray cluster: its address, auto, or local for one that is started here.",
    ),
)


def config_from(settings: dict[str, Any]) -> Config:
    """The preset, and what was said on the command line in place of it.

    Raises:
        ConfigError: settings contradict each other.
    """
    base = PRESETS[settings["preset"]]
    detect = replace(base.detect, detector=settings["detector"] or base.detect.detector)
    if (threshold := settings["threshold"]) is not None:
        detect = replace(detect, threshold=threshold, low=min(detect.low, threshold))
    names = ("method", "match", "occluders", "seed", "key", "personas")
    said = {name: settings[name] for name in names if name in settings}
    return replace(
        base,
        detect=detect,
        generate=replace(base.generate, **said),
        device=settings["device"],
        batch_size=settings["batch_size"] or base.batch_size,
        keep=settings.get("keep"),
    )


def output_from(settings: dict[str, Any]) -> OutputConfig:
    """The settings of the files to be written.

    Raises:
        ConfigError: settings contradict each other.
    """
    if settings["sign"] and not settings["disclosure"]:
        raise ConfigError("--sign and --no-disclosure contradict each other")
    copied = tuple(f".{suffix.lower().lstrip('.')}" for suffix in settings["copy"])
    said = {field.name: settings[field.name] for field in fields(OutputConfig)}
    return OutputConfig(**said | {"copy": copied})
