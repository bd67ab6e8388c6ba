"""``anonymizer subjects``: who keeps a persona in all files, as the registry of a key knows."""

from __future__ import annotations

from pathlib import Path

import click

from anonymizer.errors import ConfigError

PATH = click.Path(path_type=Path, dir_okay=False)

key_file = click.option("--key-file", metavar="FILE", type=PATH, required=True, help="The key; as `run` takes it.")


@click.group()
def subjects() -> None:
    """Make a key, and see and forget the subjects of one: people who get the same new face everywhere.

    \b
      anonymizer subjects new-key my.key
      anonymizer run photos/ --key-file my.key
      anonymizer subjects list --key-file my.key

    Who is who is kept in my.key.subjects: embeddings of faces, encrypted with the key. That is biometric data.
    """


@subjects.command("new-key")
@click.argument("file", metavar="FILE", type=PATH)
def new_key(file: Path) -> None:
    """Make a key file: 32 random bytes that only you can read. Keep it: without it, pseudonyms are lost."""
    from pipelines import keys

    keys.new_key(file)
    click.echo(f"made {file}")


@subjects.command("list")
@key_file
def list_(key_file: Path) -> None:
    """List the subjects: number, first and last day on which a file was worked on, embeddings."""
    from pipelines.registry import Registry

    known = Registry(key_file).read()
    views = known.people.embeddings
    click.echo(f"{'subject':>8}  {'first seen':12}{'last seen':12}embeddings")
    for number, subject in known.known.items():
        click.echo(f"{number:8}  {subject.first!s:12}{subject.last!s:12}{len(views[number]):10}")


@subjects.command()
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True, type=click.IntRange(min=0))
@key_file
def forget(numbers: tuple[int, ...], key_file: Path) -> None:
    """Remove what is known of subjects, for good: if they come again, they get other numbers and faces."""
    from pipelines.registry import Registry

    Registry(key_file).forget(numbers)
    click.echo(f"forgotten: {', '.join(map(str, sorted(set(numbers))))}")


@subjects.command()
@key_file
def purge(key_file: Path) -> None:
    """Delete the registry of a key, whatever it holds. Nobody who comes afterwards gets a face that was given."""
    from pipelines.registry import path_of, purge

    if not purge(key_file):
        raise ConfigError("there is no registry", path=path_of(key_file))
    click.echo(f"deleted {path_of(key_file)}")
