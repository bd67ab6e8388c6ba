"""``anonymizer report``: whether what a run told is still true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import PlaceType
from pipelines.places import Place

if TYPE_CHECKING:
    from pipelines.told import Output, Told


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
    help="Whose signature it must bear: a certificate of the key, or of who issued that (PEM).",
)
def verify(job: Place, head: str | None, signer: Path | None) -> None:
    """Check a JSON report, a ledger, or the output folder beside which one lies.

    Whether any line was changed, added, moved or removed; whether it is signed as its settings say, and the signature
    holds; whether all outputs are as they were written; and, by a ledger, whether the folder holds anything else: so
    it does while a run is at work, or after one was broken off. Names of outputs in a report are those of the run:
    check in the folder in which it was started, or beside which the report lies. Who can write an unsigned record can
    also make up another; then only --head proves that it is the one that was written. A ledger may have grown since.
    """
    from pipelines.failures import printable
    from pipelines.told import read_told

    told = read_told(job)
    wrong = [*told.wrong, *_forged(told, head), *_unsigned(told, signer)]
    if not told.wrong:
        wrong += [*_changed(told.outputs), *_untold(told)]
    for line in wrong:
        click.echo(f"Error: {told.path}: {printable(line)}", err=True)
    if wrong:
        raise click.exceptions.Exit(1)
    click.echo(f"as it was written: {told.lines} lines, {len(told.outputs)} outputs; {told.heads[-1]}")
    click.echo(_signed_by(told, signer))


def _forged(told: Told, head: str | None) -> Iterator[str]:
    if head and head.lower() not in told.heads:
        yield f"ends with {told.heads[-1]}: it is not the record that ends with {head}"


def _unsigned(told: Told, signer: Path | None) -> Iterator[str]:
    """What is wrong with the signature, or with there being none."""
    from anonymizer.errors import MediaError
    from pipelines.signature import is_of, read_certificate, read_signature

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
    if signer and not is_of(signed.certificate, read_certificate(signer)):
        yield f"is signed by {signed.signer}, with neither the key of {signer} nor a certificate that this issued"


def _signed_by(told: Told, signer: Path | None) -> str:
    from datetime import UTC, datetime

    from pipelines.signature import read_signature, validity

    if told.signature is None:
        return "not signed: whoever can write it can make up another, unless you noted how it ends (--head)"
    signed = read_signature(told.signature)
    known = f"as {signer} demands" if signer else "as its certificate says, which anybody can make (--signer)"
    return f"signed by {signed.signer}, {known}; {validity(signed.certificate, datetime.now(UTC))}"


def _changed(outputs: list[Output]) -> Iterator[str]:
    from anonymizer.errors import MediaError
    from anonymizer.media.files import cause_of
    from pipelines.report import fingerprint
    from pipelines.storage import fingerprint_of

    for output in outputs:
        where = output.place
        try:
            same = (fingerprint(where) if isinstance(where, Path) else fingerprint_of(where)) == output.sha256
        except (OSError, ValueError, MediaError) as error:
            yield f"line {output.line}: {where} cannot be read: {cause_of(error)}"
            continue
        if not same:
            yield f"line {output.line}: {where} is not what was written"


def _untold(told: Told) -> Iterator[str]:
    """What lies in the output folder, and no line tells of: it may be an original."""
    known = {output.place for output in told.outputs}
    for where in _files_in(told.folder):
        if where not in known:
            yield f"no line tells of {where}"


def _files_in(folder: Place | None) -> Iterator[Place]:
    """
    Raises:
        MediaError: it cannot be looked through.
    """
    import os

    from anonymizer.errors import MediaError
    from anonymizer.media.files import cause_of
    from pipelines.places import joined
    from pipelines.storage import listing

    def fail(error: OSError) -> None:
        raise MediaError(f"cannot be looked through: {cause_of(error)}", path=error.filename) from error

    if isinstance(folder, str):
        yield from (joined(folder, name) for name in listing(folder))
    elif folder and folder.exists():
        for here, folders, names in os.walk(folder, onerror=fail):
            links = [name for name in folders if Path(here, name).is_symlink()]
            yield from (Path(here, name) for name in sorted([*names, *links]))
