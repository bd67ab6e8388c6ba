"""What names a file: a path on this machine, or the URL of one in a store. Light to import."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from anonymizer.errors import ConfigError

Place = Path | str
"""A path on this machine, or the text of a URL."""

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


def place(text: str) -> Place:
    """What a user means by ``text``; a URL of ``file://`` is a path.

    Raises:
        ConfigError: it holds a password, which would end up in reports, or is of ``file://`` and no path of this
            machine.
    """
    if not (match := _URL.match(text)):
        return Path(text)
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme == "local":
        return Path(rest)
    if scheme == "file":
        return _path(rest)
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and ":" in user) or (scheme in ("http", "https") and "?" in rest):
        raise ConfigError(f"name no password or key in a {scheme}:// URL: leave it to the environment")
    slash = rest.endswith("/") or "/" not in rest  # a bucket is a folder, even if its name looks like that of a file
    return f"{scheme}://{rest.rstrip('/')}{'/' if slash and rest else ''}"


def _path(rest: str) -> Path:
    """What a URL of ``file://`` names, as RFC 8089 has it."""
    host, slash, path = rest.partition("/")
    path = os.fsdecode(unquote_to_bytes(path))
    if host.lower() not in ("", "localhost") or not slash or "\0" in path:
        raise ConfigError("a file:// URL names a path of this machine: file:///folder/name")
    return Path(slash + path)


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
