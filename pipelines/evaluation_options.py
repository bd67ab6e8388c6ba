"""The options of ``anonymizer evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.options import group, option

dataset = click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))

measured = group(
    "What is measured",
    option("--people", metavar="N", type=click.IntRange(1), help="Only the first N people."),
    option(
        "--recognizer",
        "recognizers",
        metavar="FILE",
        multiple=True,
        type=click.Path(exists=True, path_type=Path, dir_okay=False),
        help="Try this one as well: an ONNX network of ArcFace's kind; may be repeated.",
    ),
    option(
        "--report",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write all figures, as JSON.",
    ),
    option(
        "--plot",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Draw the ROC curves, to .png or whatever else matplotlib writes.",
    ),
)
