"""The stores of fsspec: which there are, what they promise, and their errors in plain words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from anonymizer.errors import AnonymizerError, ConfigError, MediaError, PassingError
from anonymizer.media.files import cause_of
from pipelines.places import scheme_of

OBJECTS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
"""Schemes of stores whose objects appear when they are complete -> the extra of this package with their library."""

RENAMING = frozenset({"memory", "sftp", "ssh", "smb", "hdfs"})
"""Schemes of stores where a file takes another name in one step."""

_PASSING_NUMBERS = frozenset({errno.EBUSY, errno.EREMOTEIO, errno.EAGAIN, errno.ENETUNREACH, errno.EHOSTUNREACH})
_PASSING_NAMES = frozenset(
    {
        "HTTPClientError",
        "EndpointConnectionError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ServiceRequestError",
        "ServiceResponseError",
    }
)
"""Errors that may pass: as s3fs translates them, and classes of botocore, aiohttp and Azure."""


class StoppedError(Exception):
    """The transfer is not wanted any more."""


def check_writable(url: str) -> None:
    """
    Raises:
        ConfigError: the store is none where a file can appear complete.
    """
    scheme = scheme_of(url)
    if scheme not in OBJECTS and scheme not in RENAMING:
        known = ", ".join(f"{name}://" for name in ("file", *OBJECTS, *sorted(RENAMING)))
        raise ConfigError(f"results cannot be written to {scheme}://, as they might be seen half done; known: {known}")


def opened(url: str) -> tuple[Any, str]:
    """The file system of fsspec that ``url`` lies in, and its name there.

    Raises:
        ConfigError: it is unknown, or its library is not installed.
    """
    kind = _library(scheme_of(url))
    # Not fsspec.url_to_fs(), which takes :: in names for a chain of stores.
    return kind(**kind._get_kwargs_from_urls(url)), kind._strip_protocol(url)


@cache
def _library(scheme: str) -> Any:
    import fsspec

    try:
        return fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        raise ConfigError("there is no such kind of store") from error
    except ImportError as error:
        if scheme in OBJECTS:
            raise ConfigError(f'{scheme}:// needs: pip install "anonymizer[{OBJECTS[scheme]}]"') from error
        raise ConfigError(f"{scheme}:// needs a library: {cause_of(error)}") from error


def is_s3(url: str) -> bool:
    """Whether the store speaks the language of S3."""
    return OBJECTS.get(scheme_of(url)) == "s3"


@contextmanager
def told(url: str) -> Iterator[None]:
    """Tell errors of libraries in one line that names the file.

    Raises:
        MediaError: for all errors but those of this program; ``PassingError`` where another try may succeed.
    """
    try:
        yield
    except AnonymizerError as error:
        error.path = error.path or url
        raise
    except StoppedError:
        raise
    except FileNotFoundError as error:
        raise MediaError("there is no such file, prefix or bucket", path=url) from error
    except Exception as error:
        kind = PassingError if _may_pass(error) else MediaError
        raise kind(cause_of(error), path=url) from error


def _may_pass(error: BaseException | None) -> bool:
    while error is not None:
        status = _status(error)
        if (
            isinstance(error, TimeoutError | ConnectionError)
            or (isinstance(error, OSError) and error.errno in _PASSING_NUMBERS)
            or status >= 500
            or status in (408, 429)
            or _PASSING_NAMES & {kind.__name__ for kind in type(error).__mro__}
        ):
            return True
        error = error.__cause__
    return False


def _status(error: BaseException) -> int:
    """The status of HTTP; 0 if there is none. Every library has a place of its own for it."""
    response = getattr(error, "response", None)
    told = [getattr(error, key, None) for key in ("status", "status_code", "code")]
    if isinstance(response, dict):  # of botocore
        told.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return next((status for status in told if isinstance(status, int)), 0)
