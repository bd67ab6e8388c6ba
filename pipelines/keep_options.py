"""The options ``--keep`` and ``--personas`` of ``anonymizer run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.options import group, option

if TYPE_CHECKING:
    from pipelines.keep import References

keeping = group(
    "What replaces a face",
    option(
        "--personas",
        metavar="K",
        type=click.IntRange(min=1),
        help="K new faces for all, so that each stands for many people; with --match none only, as they suit nobody in "
        "particular. Two people who are seen together have different ones, as long as K allows. Videos are read twice.",
    ),
    option(
        "--keep",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="Leave people visible who consented: DIR/NAME.jpg or DIR/NAME/1.jpg show who they are, `until = "
        "2027-01-01` in DIR/NAME/consent.toml ends a consent. Who is not surely known is replaced. Videos are read "
        "twice.",
    ),
)


def references_in(folder: Path | None) -> References | None:
    """Who consented, if anybody is to be kept.

    Raises:
        ConfigError, MediaError: the folder is not as it should be.
    """
    from pipelines.keep import References

    return References.read(folder) if folder else None
