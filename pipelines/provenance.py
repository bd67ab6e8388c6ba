"""``anonymizer provenance``: what a file says about itself."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def provenance(file: Path) -> None:
    """Print what a file says about itself, as JSON: IPTC's source type, the program, and content credentials (C2PA).

    "holds" says whether the file is what was signed; "trusted" whether whoever signed it is known here, and else it
    may have been anybody. Exit code 1 if there are credentials that do not hold.
    """
    from anonymizer.credentials import TYPES, read_credentials
    from anonymizer.errors import ConfigError
    from anonymizer.media.statement_reader import read_statement

    says, kind = read_statement(file)
    credentials, why = None, None if kind in TYPES else "this format has no place for them"
    try:
        credentials = read_credentials(file, kind) if not why else None
    except ConfigError as error:
        why = f"not looked for: {error}"
    told = {
        "tool": says.tool or None,
        "digital source type": says.source_type or None,
        "credentials": credentials._asdict() if credentials else why,
    }
    click.echo(json.dumps(told, indent=2))
    if credentials and not credentials.holds:
        raise click.exceptions.Exit(1)
