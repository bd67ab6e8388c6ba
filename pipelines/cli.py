"""The command ``anonymizer``. Options only fill settings; torch and the media libraries load when work starts."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anonymizer.config import Config
from anonymizer.errors import AnonymizerError, ConfigError
from pipelines import evaluation_options, face_options, options
from pipelines.models import models
from pipelines.options import HeadedCommand, config_from, output_from
from pipelines.places import Place
from pipelines.provenance import provenance
from pipelines.record import report

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer

# Torch reads these when it is loaded. Threads that wait must not spin: beside a busy neighbour that makes everything
# several times slower. Each of the four stages of a video has a thread, which shares the cores with the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // 4)))

Load = Callable[[Config], "Anonymizer"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: by custom 128 + SIGINT."""


class Cli(click.Group):
    """Turns every end of a command into one line and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; SIGTERM ends it like Ctrl-C."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return super().invoke(context)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        except KeyboardInterrupt:
            click.echo("stopped: finished files stay, unfinished ones are removed", err=True)
            context.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            from pipelines.report import one_line

            logging.getLogger(__name__).debug("%s", error, exc_info=True)
            raise click.ClickException(one_line(error)) from error
        finally:
            signal.signal(signal.SIGTERM, before)


def load(config: Config) -> Anonymizer:
    """The boundary to the networks; ``main(obj=...)`` puts another in its place."""
    from anonymizer.anonymize import Anonymizer

    return Anonymizer(config)


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="anonymizer")
@click.option("--debug", is_flag=True, help="Show the traceback of every error.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """Replace every face in photographs and videos by the face of a person who does not exist.

    \b
      anonymizer run party.jpg               writes party_anonymized.jpg
      anonymizer run talk.mp4 -o safe.mp4    sound, length and every frame are kept
      anonymizer run photos/ -o safe/        a whole folder; its tree is kept

    The first run downloads the networks, about 50 MB. A face that cannot be replaced is covered. Where something
    goes wrong, nothing is written for that file, and the program says so. `anonymizer COMMAND --help` tells more.
    """
    context.obj = context.obj or load
    if debug:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("pipelines").setLevel(logging.DEBUG)


@main.command(cls=HeadedCommand)
@options.inputs
@options.files
@options.replacing
@options.finding
@options.videos
@options.photographs
@options.datasets
@options.provenance
@options.machine
@options.scaling
@click.pass_context
def run(
    context: click.Context,
    inputs: tuple[Place, ...],
    output: Place | None,
    force: bool,
    dry_run: bool,
    reports: tuple[Path, ...],
    operator: str,
    retry: bool,
    workers: int | None,
    cluster: str | None,
    **settings: Any,
) -> None:
    """Anonymize photographs, videos, archives and tables of them, and folders.

    Without -o, results lie beside the inputs as NAME_anonymized. Inputs are never changed. Of folders, hidden files
    are left out, and what is no picture is copied unless it may hold one. Place, time, camera and other metadata are
    dropped. Of a folder, the same command again does only what is left: FOLDER.ledger, beside the output, knows.

    \b
      anonymizer run talk.mp4 --audio disguise --preset thorough
      anonymizer run archive/ -o safe/ --report report.json --report report.html
      anonymizer run s3://bucket/photos -o s3://other/photos

    Exit code: 0 all done, 1 something failed (a message names it), 2 wrong usage.
    """
    config, written = config_from(settings), output_from(settings)
    from pipelines.run import Run

    asked = Run(inputs, output, reports, operator, force, retry, workers or 0, cluster, config, written)
    context.exit(0 if (asked.dry() if dry_run else asked.run(context.obj)) else 1)


@main.command(cls=HeadedCommand)
@options.inputs
@options.finding
@options.machine
@click.pass_context
def inspect(context: click.Context, inputs: tuple[Place, ...], **settings: Any) -> None:
    """Say which faces would be replaced: a line of JSON for each.

    Its keys: path; box (x0, y0, x1, y1); score; landmarks (the eyes, the nose, the corners of the mouth); track (one
    number for one face of a video, null in photographs); for videos also time (in seconds, exact) and seconds. Places
    are in pixels from the top left of the upright picture.
    """
    config = config_from({**settings, "method": "solid"})
    from pipelines.inputs import find
    from pipelines.inspection import faces_in
    from pipelines.report import one_line
    from pipelines.staging import at_hand

    found = find(inputs)
    for line in found.as_lines():
        click.echo(line, err=True)
    failed = bool(found.failures)
    anonymizer: Anonymizer | None = None
    for source in found.sources:
        anonymizer = anonymizer or context.obj(config)
        try:
            with at_hand(source) as local:
                for face in faces_in(local, anonymizer):
                    click.echo(json.dumps(face))
        except AnonymizerError as error:
            failed = True
            click.echo(f"Error: {one_line(error, source.name)}", err=True)
    context.exit(1 if failed else 0)


@main.command(cls=HeadedCommand)
@click.argument("original", type=click.Path(exists=True, path_type=Path))
@click.argument("anonymized", type=click.Path(exists=True, path_type=Path))
@options.comparing
@options.device
@click.pass_context
def audit(
    context: click.Context, original: Path, anonymized: Path, step: int, report: Path | None, device: str
) -> None:
    """Look for real faces that are left in ANONYMIZED, which this or any other program made of ORIGINAL.

    Both are photographs, videos, or folders with the same names. Two detectors look for faces in the original; those
    that both see, and that have not changed, or that dlib's recognizer still knows, are leaks. So is what the result
    says beyond its pictures and sound. Times and sound that differ are told, too.

    Exit code: 0 clean, 1 something leaks or cannot be compared, 2 wrong usage.
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


@main.command(cls=HeadedCommand)
@click.argument("clip", metavar="[INPUT]", required=False, type=click.Path(path_type=Path))
@options.measuring
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


@main.command(cls=HeadedCommand)
@evaluation_options.dataset
@evaluation_options.measured
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


@main.command(cls=HeadedCommand)
@face_options.pictures
@face_options.people
@face_options.poses
@options.device
def faces(
    output: Path,
    count: int,
    size: int,
    seed: int | None,
    force: bool,
    change: tuple[str, str] | None,
    gender: Any,
    beard: bool | None,
    glasses: bool | None,
    device: str,
    **numbers: tuple[float, float] | None,
) -> None:
    """Draw faces of people who do not exist, for mock-ups, tests and training.

    What is not asked for is left to chance; where a range is, each person gets a number from it. Every file says in
    its metadata that it was made by a network (IPTC digital source type).

    \b
      anonymizer faces -o people/ --count 20 --age 20..60 --yaw -30..30
      anonymizer faces -o ageing.png --count 4 --edit age=15,30,45,60,75
    """
    from pipelines import faces as drawing

    ranges = {name: ends for name, ends in numbers.items() if ends is not None}
    look = drawing.Look(gender=gender, beard=beard, glasses=glasses)
    asked = drawing.wanted(count, seed, ranges, look, change)
    if output.suffix.lower() in drawing.SHEETS:
        drawing.write_sheet(output, asked, len(asked) // count if change else 0, size, device, force)
    else:
        for path in drawing.write_files(output, asked, size, device, force):
            click.echo(path)


main.add_command(models)
main.add_command(provenance)
main.add_command(report)

if __name__ == "__main__":
    main()
