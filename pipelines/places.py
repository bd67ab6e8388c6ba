"""What names a file: a path on this machine, or the URL of one in a store. Light to import."""

from __future__ import annotations

import re
from pathlib import Path

from anonymizer.errors import ConfigError

Place = Path | str
"""A path on this machine, or the text of a URL."""

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


def place(text: str) -> Place:
    """What a user means by ``text``; a URL of ``file://`` is a path.

    Raises:
        ConfigError: it holds a password, which would end up in reports.
    """
    if not (match := _URL.match(text)):
        return Path(text)
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme in ("file", "local"):
        return Path(rest)
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and ":" in user) or (scheme in ("http", "https") and "?" in rest):
        raise ConfigError(f"name no password or key in a {scheme}:// URL: leave it to the environment")
    slash = rest.endswith("/") or "/" not in rest  # a bucket is a folder, even if its name looks like that of a file
    return f"{scheme}://{rest.rstrip('/')}{'/' if slash and rest else ''}"


def scheme_of(url: str) -> str:
    """``s3`` of ``s3://bucket/name``."""
    return url.partition("://")[0]


def joined(folder: str, name: str) -> str:
    """The URL of ``name``, parts of which are divided by slashes, in ``folder``."""
    return f"{folder}{name}" if folder.endswith("/") else f"{folder}/{name}"


def why_not(name: str) -> str:
    """Why a file of this name is not touched, as a sentence without its subject; empty if nothing is wrong with it."""
    parts = name.split("/")
    if _UNSAFE.search(name):
        return "has a backslash or a control character in its name"
    if "" in parts:
        return "has an empty part in its name"
    return "has . or .. for a part of its name" if {".", ".."} & set(parts) else ""
