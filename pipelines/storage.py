"""Files that lie elsewhere: in any store that fsspec knows, named by URLs. Its libraries find the credentials.

Nothing that is incomplete ever shows under the name of a result: stores of objects show one when its upload is
complete; elsewhere it is written under another name and renamed.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from anonymizer.errors import MediaError, PassingError
from pipelines.places import joined, scheme_of
from pipelines.stores import OBJECTS, StoppedError, check_writable, is_s3, opened, told

PART = 16 << 20
PARTS = 10_000
"""Bytes of a part of a large object on S3, so that memory does not grow with it, and how many there may be at most."""


@dataclass(frozen=True)
class Stored:
    """A file in a store, as it was listed.

    Attributes:
        size: in bytes; -1 if it is no plain file, or the store does not tell.
        version: what differs when the content does: the ETag or the time of the last change.
    """

    url: str
    size: int
    version: str


def identity(url: str) -> str:
    """The same for all URLs of one file, such as those of ``s3://`` and ``s3a://``."""
    store, name = opened(url)
    return f"{type(store).__name__} {store.storage_options} {name}"


def is_prefix(url: str) -> bool:
    """Whether files lie below ``url``, rather than one at it.

    Raises:
        ConfigError, MediaError: as of ``listing``.
    """
    with told(url):
        store, name = opened(url)
        try:
            return url.endswith("/") or store.info(name)["type"] == "directory"
        except FileNotFoundError:
            return False


def listing(url: str) -> dict[str, Stored]:
    """What lies at ``url``: files by their names below it, sorted, or one without a name if it is a file itself.

    Empty objects that stand for folders are passed over.

    Raises:
        ConfigError: the store is unknown, or its library is not installed.
        MediaError: it cannot be listed; ``PassingError`` if that may pass.
    """
    with told(url):
        store, root = opened(url)
        with suppress(FileNotFoundError):
            if not url.endswith("/") and (info := store.info(root))["type"] == "file":
                return {"": _stored(url, info)}
        # Stores of files pass silently over folders that cannot be listed unless they are told not to.
        options = {} if store.async_impl else {"on_error": "raise"}
        try:
            infos = store.find(root, detail=True, **options)
        except FileNotFoundError:
            if is_s3(url):  # which says so of buckets only
                raise
            return {}
        finally:
            store.invalidate_cache()
    names = {name.removeprefix(root).removeprefix("/"): info for name, info in sorted(infos.items())}
    return {
        name or "/": _stored(joined(url, name), info)
        for name, info in names.items()
        if info["size"] or not (name.endswith("/") or name == "")
    }


def fetch(stored: Stored, path: Path, stop: Event) -> None:
    """Write the content to ``path``, in portions until ``stop`` is set.

    Raises:
        MediaError: it cannot be fetched whole, or is not what was listed; ``PassingError`` if that may pass.
        StoppedError: ``stop`` was set.
    """
    with told(stored.url):
        store, name = opened(stored.url)
        if stored.size < 0:
            raise MediaError("is no file of known size")
        store.get_file(name, str(path), callback=_until(stop), **_portions(stored.url, stored.size))
        if _stored(stored.url, store.info(name)) != stored:
            raise MediaError("has changed since it was listed; run the command again")
        if (size := path.stat().st_size) != stored.size:
            raise PassingError(f"{size} of {stored.size} bytes arrived")


def fingerprint_of(url: str) -> str:
    """SHA-256 of what lies at ``url``.

    Raises:
        MediaError: it cannot be read.
    """
    with told(url):
        store, name = opened(url)
        with store.open(name, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def publish(path: Path, url: str, stop: Event) -> None:
    """Make the file ``path`` appear at ``url``, whole or not at all.

    Raises:
        ConfigError: the store shows files that are not complete.
        MediaError: it cannot be written; ``PassingError`` if that may pass.
        StoppedError: ``stop`` was set.
    """
    check_writable(url)
    with told(url):
        store, name = opened(url)
        size = path.stat().st_size
        if scheme_of(url) in OBJECTS:
            _abandon(store, name, size)
            try:
                store.put_file(str(path), name, callback=_until(stop), **_portions(url, size))
            except BaseException as error:
                _abandon(store, name, size)
                if stop.is_set() and isinstance(error, Exception):  # aborting may fail while a part is on its way
                    raise StoppedError from error
                raise
            _check(store, name, path)
            return
        folder = name.rpartition("/")[0]
        partial = f"{folder}/.{secrets.token_hex(8)}.part"
        # In memory a copy is one step; what fsspec has for moving there takes a name for a pattern.
        rename = store.cp_file if scheme_of(url) == "memory" else store.mv
        try:
            store.makedirs(folder, exist_ok=True)
            store.put_file(str(path), partial, callback=_until(stop))
            _check(store, partial, path)
            rename(partial, name)
        finally:
            with suppress(Exception):  # as there is none any more
                store.rm_file(partial)


def _stored(url: str, info: dict[str, Any]) -> Stored:
    size = info["size"] if info["type"] == "file" and info["size"] is not None else -1
    keys = ("ETag", "etag", "LastModified", "last_modified", "mtime", "created")
    version = next((info[key] for key in keys if info.get(key)), "")
    # The library of a store may quote it, or give a date or its seconds, now this and now that.
    return Stored(url, size, str(getattr(version, "timestamp", lambda: version)()).strip('"'))


def _portions(url: str, size: int) -> dict[str, int]:
    """Options of a transfer: s3fs would hold half a gigabyte of each file."""
    if not is_s3(url):
        return {}
    return {"chunksize": max(PART, -(-size // PARTS)), "max_concurrency": 2}


def _until(stop: Event) -> Any:
    """A callback that ends a transfer once ``stop`` is set; then s3fs aborts an upload in parts."""
    from fsspec.callbacks import Callback

    class Until(Callback):
        def relative_update(self, inc: int = 1) -> None:
            if stop.is_set():
                raise StoppedError

    return Until()


def _check(store: Any, name: str, path: Path) -> None:
    """Hold what was written to ``path``; S3 itself compares checksums with those that its library sends.

    Raises:
        PassingError: it is something else; it is removed.
    """
    info, size = store.info(name), path.stat().st_size
    if info["size"] != size:
        cause = f"{info['size']} of {size} bytes were written"
    elif "md5Hash" in info and base64.b64decode(info["md5Hash"]) != _md5(path):
        cause = "what was written has another checksum"
    else:
        return
    store.rm_file(name)
    raise PassingError(cause)


def _md5(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()


def _abandon(store: Any, name: str, size: int) -> None:
    """Abort uploads in parts that failed or killed runs have left: nobody sees them, but they are paid for."""
    if size < 2 * PART or not hasattr(store, "abort_mpu"):
        return
    bucket, key, _ = store.split_path(name)
    with suppress(Exception):  # as it needs a permission of its own
        found = store.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads", ())
        for upload in found:
            if upload["Key"] == key:
                store.abort_mpu(bucket, key, upload["UploadId"])
