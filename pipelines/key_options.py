"""The option ``--key-file`` of ``anonymizer run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from anonymizer.errors import ConfigError
from pipelines.options import group, option

linking = group(
    "What replaces a face",
    option(
        "--key-file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The same person, the same new face in every file of every run with this key, as far as people are surely "
        "known again. Who is who is kept, encrypted, in FILE.subjects; `anonymizer subjects new-key FILE` makes a key. "
        "Videos are read twice.",
    ),
)


def key_name(key_file: Path | None, settings: dict[str, Any]) -> str | None:
    """What tells the key from others; None without one.

    Raises:
        ConfigError: the key cannot be used, or other settings contradict it.
    """
    if key_file is None:
        return None
    if settings["seed"] is not None:
        raise ConfigError("--seed and --key-file contradict each other: personas are drawn from the one or the other")
    if settings["method"] != "generate":
        raise ConfigError(f"--key-file is about new faces, and --method {settings['method']} makes none")
    from pipelines.keys import Key

    return Key.read(key_file).name
