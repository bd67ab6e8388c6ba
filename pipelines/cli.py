"""The command ``anonymizer``. Options only fill settings; torch and the media libraries load when work starts."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anonymizer.config import Config
from anonymizer.errors import AnonymizerError, ConfigError
from pipelines import face_options, keep_options, key_options, options
from pipelines.models import models
from pipelines.options import HeadedCommand, config_from, output_from
from pipelines.places import Place
from pipelines.proof import audit, bench, evaluate
from pipelines.provenance import provenance
from pipelines.subjects import subjects
from pipelines.trial_signer import test_signer
from pipelines.verify import report

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer

# Torch reads these when it is loaded. Threads that wait must not spin: beside a busy neighbour that makes everything
# several times slower. Each of the four stages of a video has a thread, which shares the cores with the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // 4)))

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
            from pipelines.failures import one_line

            logging.getLogger(__name__).debug("%s", error, exc_info=True)
            raise click.ClickException(one_line(error)) from error
        finally:
            signal.signal(signal.SIGTERM, before)


def load(config: Config, **subjects: Any) -> Anonymizer:
    """The boundary to the networks; ``main(obj=...)`` puts another in its place."""
    from anonymizer.anonymize import Anonymizer

    return Anonymizer(config, **subjects)


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

    The first run downloads the networks, about 160 MB. A face that cannot be replaced is covered. Where something
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
@key_options.linking
@keep_options.keeping
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
    key_file: Path | None,
    keep: Path | None,
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
    references = keep_options.references_in(keep)
    known = {"key": key_options.key_name(key_file, settings), "keep": references and references.name}
    config, written = config_from(settings | known), output_from(settings)
    from pipelines.run import Run

    asked = Run(
        inputs, output, reports, operator, force, retry, workers or 0, cluster, config, written, key_file, references
    )
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
    from pipelines.failures import one_line
    from pipelines.inputs import find
    from pipelines.inspection import faces_in
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


for command in (audit, bench, evaluate, models, provenance, report, subjects, test_signer):
    main.add_command(command)

if __name__ == "__main__":
    main()
