"""``anonymizer report``: whether what a run told is still true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click


@click.group()
def report() -> None:
    """Check what `run --report` wrote."""


@report.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--head", metavar="SHA256", help="What the run said that its report ends with, if you noted it.")
def verify(file: Path, head: str | None) -> None:
    """Check a JSON report: that no line was changed or removed, and that all outputs are as they were written.

    Names of outputs are those of the run: check in the folder in which it was started. Whoever can write the report
    can also make up another; only --head proves that it is the one that the run wrote.
    """
    told = _read(file)
    wrong = [*_altered(told, head), *_changed_outputs(told)]
    for line in wrong:
        click.echo(f"Error: {file}: {line}", err=True)
    if wrong:
        raise click.exceptions.Exit(1)
    click.echo(f"as it was written: {len(told['inputs'])} lines, {len(_outputs(told))} outputs; {told['head']}")


def _read(file: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(file.read_text())
        if all(isinstance(line, dict) for line in told["inputs"]) and isinstance(told["head"], str):
            return told
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise click.ClickException(f"{file}: is no JSON report of a run: {error!r}") from error
    raise click.ClickException(f"{file}: is no JSON report of a run")


def _altered(told: dict[str, Any], head: str | None) -> Iterator[str]:
    """What is not as it was in the report itself."""
    from pipelines.chain import first_broken, head_of

    if number := first_broken(told):
        name = told["inputs"][number - 1].get("input")
        yield f"line {number} of the results ({name}) was changed, or one before it was added, removed or moved"
    elif told["head"] != head_of(told):
        yield "the last lines of the results were removed, or settings, versions or other facts changed"
    if head and told["head"] != head:
        yield f"ends with {told['head']}: it is not the report that ends with {head}"


def _outputs(told: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Number of the line, place and SHA-256 of each output."""
    lines = enumerate(told["inputs"], start=1)
    hashes = [(number, line.get("output"), line.get("sha256", {}).get("output")) for number, line in lines]
    return [(number, output, digest) for number, output, digest in hashes if output and digest]


def _changed_outputs(told: dict[str, Any]) -> Iterator[str]:
    from anonymizer.errors import MediaError
    from pipelines.places import place
    from pipelines.report import fingerprint
    from pipelines.storage import fingerprint_of

    for number, output, digest in _outputs(told):
        where = place(output)
        try:
            same = (fingerprint(where) if isinstance(where, Path) else fingerprint_of(where)) == digest
        except (OSError, MediaError) as error:
            yield f"line {number} of the results: {output} cannot be read: {error}"
            continue
        if not same:
            yield f"line {number} of the results: {output} is not what was written"
