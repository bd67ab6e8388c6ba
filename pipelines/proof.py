"""The commands that show what the program is worth: ``audit``, ``evaluate`` and ``bench``, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anonymizer.errors import ConfigError
from pipelines import options
from pipelines.options import HeadedCommand, config_from, group, option

if TYPE_CHECKING:
    from pipelines.workers import Load

_REPORT = option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all that was found to a file, as JSON.",
)

_compared = group(
    "What is compared",
    option(
        "--step",
        metavar="N",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Compare every N-th frame of videos.",
    ),
    _REPORT,
)

_measured = group(
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
    _REPORT,
    option(
        "--plot",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Draw the ROC curves, to .png or whatever else matplotlib writes.",
    ),
)

_timed = group(
    "What is measured",
    option("--against", type=click.Choice(["deface"]), help="Run this program too, in turn with this one."),
    option(
        "--repeat",
        metavar="N",
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        help="How often; the median counts.",
    ),
    option(
        "--json",
        "target",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write the figures to a file.",
    ),
)


@click.command(cls=HeadedCommand)
@click.argument("original", type=click.Path(exists=True, path_type=Path))
@click.argument("anonymized", type=click.Path(exists=True, path_type=Path))
@_compared
@options.device
@click.pass_context
def audit(
    context: click.Context, original: Path, anonymized: Path, step: int, report: Path | None, device: str
) -> None:
    """Look for real faces that are left in ANONYMIZED, which this or any other program made of ORIGINAL.

    Both are photographs, videos, or folders with the same names. Two detectors look for faces in the original; those
    that have not changed, or that dlib's recognizer still knows, are leaks, or have to be looked at where one network
    alone takes them for faces. So is what the result says beyond its pictures and sound. Times and sound that differ
    are told, too.

    Exit code: 0 clean, 1 something leaks, has to be looked at or cannot be compared, 2 wrong usage.
    """
    from pipelines import audit as auditing
    from pipelines.report import write

    results = list(auditing.audit(original, anonymized, step, device))
    for result in results:
        for line in result.as_lines():
            click.echo(line, err=True)
    click.echo(auditing.as_table(results))
    if report is not None:
        write(report, {"files": [result.as_dict() for result in results]})
    context.exit(0 if results and all(result.clean for result in results) else 1)


@click.command(cls=HeadedCommand)
@click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_measured
@options.replacing
@options.finding
@options.machine
@click.pass_obj
def evaluate(
    load: Load,
    dataset: Path,
    people: int | None,
    recognizers: tuple[Path, ...],
    report: Path | None,
    plot: Path | None,
    **settings: Any,
) -> None:
    """Measure how well people are hidden, and what is kept of their faces.

    DATASET is a folder of photographs of known people, best two of each: NAME_0001.jpg and NAME_0002.jpg, as Labeled
    Faces in the Wild has them, or folders NAME. One photograph of each is anonymized and compared with the other one
    of everybody. Nothing is written but what is asked for.

    \b
      anonymizer evaluate lfw/ --people 30
      anonymizer evaluate lfw/ --recognizer arcface.onnx --report figures.json --plot roc.png
    """
    config = config_from(settings)
    from pipelines import evaluation_page
    from pipelines.evaluate import evaluate as measure
    from pipelines.report import write

    for target in (report, plot):
        if target is not None and dataset.resolve() in target.resolve().parents:
            raise ConfigError(f"{target} would lie among the photographs")
    if plot is not None:
        evaluation_page.drawing()  # may be missing: better known before an hour of work
    figures = measure(dataset, people, recognizers, config, load)
    click.echo(evaluation_page.as_table(figures))
    if report is not None:
        write(report, figures)
    if plot is not None:
        evaluation_page.plot(figures, plot)


@click.command(cls=HeadedCommand)
@click.argument("clip", metavar="[INPUT]", required=False, type=click.Path(path_type=Path))
@_timed
@options.replacing
@options.finding
@options.machine
@click.pass_obj
def bench(
    load: Load, clip: Path | None, against: str | None, repeat: int, target: Path | None, **settings: Any
) -> None:
    """Measure the frames per second of a video, stage by stage.

    Stages run at the same time: "whole" is what a video takes, "transcode" what reading and writing alone take.
    Without INPUT, the sample that comes with the source code is measured.
    """
    from pipelines import bench as benchmark
    from pipelines.report import write

    clip = clip or benchmark.sample_clip()
    commands = benchmark.commands(against, options.as_words(settings))
    figures = benchmark.measure(clip, load(config_from(settings)), repeat, commands).as_dict()
    click.echo(benchmark.as_table(figures))
    if target is not None:
        write(target, figures)
