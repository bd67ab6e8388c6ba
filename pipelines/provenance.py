"""``anonymizer provenance``: what a file says about itself."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def provenance(file: Path) -> None:
    """Print what a file says about itself, as JSON: IPTC's source type, the program, and content credentials (C2PA).

    Exit code 1 if there are credentials that do not hold: the file is not what was signed.
    """
    from anonymizer.credentials import TYPES, read_credentials
    from anonymizer.errors import ConfigError
    from anonymizer.media.statement_reader import read_statement

    says, kind = read_statement(file)
    try:
        credentials = read_credentials(file, kind) if kind in TYPES else None
    except ConfigError as error:
        credentials = None
        click.echo(f"not looked for: {error}", err=True)
    told = {
        "tool": says.tool or None,
        "digital source type": says.source_type or None,
        "credentials": credentials._asdict() if credentials else None,
    }
    click.echo(json.dumps(told, indent=2))
    if credentials and not credentials.holds:
        raise click.exceptions.Exit(1)
