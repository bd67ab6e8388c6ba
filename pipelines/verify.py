"""``anonymizer report``: whether what a run told is still true."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipelines.options import PlaceType
from pipelines.places import Place

SQLITE = b"SQLite format 3\0"
"""How ledgers begin."""


@click.group()
def report() -> None:
    """Check what `run` recorded, in reports and in ledgers."""


@report.command()
@click.argument("job", type=PlaceType())
@click.option("--head", metavar="SHA256", help="What it ended with when you looked, or what the run printed.")
@click.option(
    "--signer",
    metavar="CERT",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Whose signature it must bear: a certificate (PEM).",
)
def verify(job: Place, head: str | None, signer: Path | None) -> None:
    """Check a JSON report, a ledger, or the output folder beside which one lies.

    Whether any line was changed, added, moved or removed; whether it is signed as its settings say, and the signature
    holds; and whether all outputs are as they were written. Names of outputs in a report are those of the run: check
    in the folder in which it was started. Who can write an unsigned record can also make up another; then only --head
    proves that it is the one that was written. A ledger may have grown since then.
    """
    told = _read(job)
    wrong = [*told.wrong, *_forged(told, head), *_unsigned(told, signer), *_changed(told.outputs)]
    for line in wrong:
        click.echo(f"Error: {told.path}: {line}", err=True)
    if wrong:
        raise click.exceptions.Exit(1)
    click.echo(f"as it was written: {told.lines} lines, {len(told.outputs)} outputs; {told.heads[-1]}")
    click.echo(_signed_by(told.signature, signer))


@dataclass(frozen=True)
class Output:
    """What was written.

    Attributes:
        line: in which it is told of.
        sha256: what it was then.
    """

    line: int
    place: Place
    sha256: str


@dataclass(frozen=True)
class Told:
    """A record, as far as it can be checked without its outputs.

    Attributes:
        wrong: lines about what is not as it was in itself.
        lines: how many results it has.
        heads: with which it ended, first to last.
        signature: of the last head; None if there is none.
        signs: whether its settings say that there is one.
    """

    path: Path
    wrong: list[str]
    lines: int
    outputs: list[Output]
    heads: list[str]
    signature: str | None
    signs: bool


def _read(job: Place) -> Told:
    from pipelines.ledger_files import ledger_of

    ledger = ledger_of(job)
    path = ledger if isinstance(job, str) or (ledger.exists() and not job.is_file()) else job
    try:
        with path.open("rb") as file:
            is_ledger = file.read(len(SQLITE)) == SQLITE
    except OSError as error:
        raise click.UsageError(f"there is no report or ledger: {path}: {error.strerror}") from error
    return _of_ledger(path) if is_ledger else _of_report(path)


def _of_report(path: Path) -> Told:
    from pipelines.chain import HEAD, ITEMS, SIGNATURE, first_broken, head_of
    from pipelines.places import place

    told = _json(path)
    wrong = []
    if number := first_broken(told):
        name = told[ITEMS][number - 1].get("input")
        wrong.append(f"line {number} ({name}) was changed, or one before it was added, removed or moved")
    elif told[HEAD] != head_of(told):
        wrong.append("the last lines were removed, or settings, versions or other facts changed")
    lines = enumerate(told[ITEMS], start=1)
    found = [(number, line.get("output"), line.get("sha256", {}).get("output")) for number, line in lines]
    outputs = [Output(number, place(output), digest) for number, output, digest in found if output and digest]
    signs = bool(told.get("settings", {}).get("output", {}).get("sign"))
    return Told(path, wrong, len(told[ITEMS]), outputs, [told[HEAD]], told.get(SIGNATURE), signs)


def _json(path: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        if all(isinstance(line, dict) for line in told["inputs"]) and isinstance(told["head"], str):
            return told
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise click.ClickException(f"{path}: is no JSON report of a run, and no ledger: {error!r}") from error
    raise click.ClickException(f"{path}: is no JSON report of a run, and no ledger")


def _of_ledger(path: Path) -> Told:
    from pipelines.chain import START
    from pipelines.journal import read_history

    try:
        with closing(sqlite3.connect(_only_read(path), uri=True, isolation_level=None)) as base:
            base.execute("BEGIN")  # one moment of it, also while a run is at work
            found = read_history(base)
            outputs = [*_outputs_of(base, path.with_suffix(""), found.last.values())]
    except sqlite3.DatabaseError as error:
        raise click.ClickException(f"{path}: is no ledger, or is damaged: {error}") from error
    heads = found.heads or [START]
    return Told(path, found.wrong, len(found.heads), outputs, heads, found.signature, found.signs)


def _only_read(path: Path) -> str:
    """The URI by which SQLite reads a ledger and leaves nothing beside it, where it may not even write.

    If a run is at work, or was killed, there is a log of what it wrote last.
    """
    at_work = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'' if at_work else '&immutable=1'}"


def _outputs_of(base: sqlite3.Connection, root: Path, numbers: Collection[int]) -> Iterator[Output]:
    """What was written into the folder ``root``, or into a store."""
    from pipelines.journal import item
    from pipelines.places import place

    for number in numbers:
        said = item(base, number)
        if said.get("hash_out"):
            named = place(said["result"]["output"])
            if isinstance(named, Path):  # by its name, which the target need not tell exactly; below this very folder
                named = root.joinpath(*named.parts[-len(Path(said["target"]).parts) :])
            yield Output(number, named, said["hash_out"])


def _forged(told: Told, head: str | None) -> Iterator[str]:
    if head and head not in told.heads:
        yield f"ends with {told.heads[-1]}: it is not the record that ends with {head}"


def _unsigned(told: Told, signer: Path | None) -> Iterator[str]:
    """What is wrong with the signature, or with there being none."""
    from anonymizer.errors import MediaError
    from pipelines.signature import read_certificate, read_signature

    if told.signature is None:
        if signer or told.signs:
            yield "is not signed" if not told.signs else "was signed, and the signature is gone"
        return
    try:
        signed = read_signature(told.signature)
    except MediaError as error:
        yield f"its {error}"
        return
    if signed.head != told.heads[-1] and not told.wrong:
        yield f"its signature, by {signed.signer}, is of another record"
    if signer and signed.certificate != read_certificate(signer):
        yield f"is signed by {signed.signer}, with another certificate than that of {signer}"


def _signed_by(signature: str | None, signer: Path | None) -> str:
    from pipelines.signature import read_signature

    if signature is None:
        return "not signed: whoever can write it can make up another, unless you noted how it ends (--head)"
    known = f"as {signer} demands" if signer else "as its certificate says, which anybody can make (--signer)"
    return f"signed by {read_signature(signature).signer}, {known}"


def _changed(outputs: Iterable[Output]) -> Iterator[str]:
    from anonymizer.errors import MediaError
    from pipelines.report import fingerprint
    from pipelines.storage import fingerprint_of

    for output in outputs:
        where = output.place
        try:
            same = (fingerprint(where) if isinstance(where, Path) else fingerprint_of(where)) == output.sha256
        except (OSError, MediaError) as error:
            yield f"line {output.line}: {where} cannot be read: {error}"
            continue
        if not same:
            yield f"line {output.line}: {where} is not what was written"
