"""The options of ``anonymizer faces``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from anonymizer.config import SEEDS
from pipelines.options import group, option


class RangeType(click.ParamType):
    """A number, or two of them with ``..`` between."""

    name = "range"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """To the least and the most."""
        if isinstance(value, tuple):
            return value
        try:
            least, _, most = value.partition("..")
            return float(least), float(most or least)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor a range such as 20..40", parameter, context)


class ChangeType(click.ParamType):
    """The name of an attribute, and the values that it takes."""

    name = "change"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """To both."""
        if isinstance(value, tuple):
            return value
        name, sign, values = value.partition("=")
        if not sign or not values:
            self.fail(f"{value!r} is no change such as age=20,40,60", parameter, context)
        return name, values


def drawn(name: str, help: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """An option for a number that is drawn between two ends for each person."""
    return option(f"--{name}", metavar="A[..B]", type=RangeType(), help=help)


people = group(
    "Who they are",
    drawn("age", "Apparent age in years, 1 to 80."),
    option("--gender", type=click.Choice(["woman", "man"]), help="As most would take it."),
    drawn("skin", "Typology angle in degrees, from -50 (dark) to 60 (light)."),
    option("--beard/--no-beard", default=None, help="By default none."),
    option("--glasses/--no-glasses", default=None, help="By default none."),
)

poses = group(
    "What they do",
    drawn("yaw", "Degrees by which the head is turned to the right of the picture, -45 to 45."),
    drawn("pitch", "Degrees by which it is bent down, -25 to 25."),
    drawn("mouth", "From 0, shut, to 1, wide open."),
    drawn("smile", "From 0, none, to 1, broad."),
    drawn("eyes", "From 0, narrow, to 1, wide open."),
    drawn("gaze", "From -1, left in the picture, to 1."),
    option(
        "--edit",
        "change",
        metavar="NAME=V,V",
        type=ChangeType(),
        help="Draw each person several times, otherwise the same: age=20,40,60 or glasses=no,yes.",
    ),
)

pictures = group(
    "Files",
    option(
        "-o",
        "--output",
        metavar="OUTPUT",
        type=click.Path(path_type=Path),
        default="faces",
        show_default=True,
        help="A folder, or one contact sheet: a name that ends in .png or .jpg.",
    ),
    option("--count", metavar="N", type=click.IntRange(1), default=8, show_default=True, help="People."),
    option(
        "--size", metavar="N", type=click.IntRange(32, 1024), default=512, show_default=True, help="Side in pixels."
    ),
    option("--seed", metavar="N", type=click.IntRange(0, SEEDS - 1), help="Draw the same people again."),
    option("--force", is_flag=True, help="Replace files that exist."),
)
