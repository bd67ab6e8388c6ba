"""Places for files, such as a test has here or on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
from fake_anonymizer import make_photo


class Store:
    """A place to put files and to see what is there; the names of its files are relative to ``root``."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._files, self._top = fsspec.core.url_to_fs(root)

    def put(self, name: str, content: bytes) -> str:
        self._files.makedirs(f"{self._top}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(f"{self._top}/{name}", content)
        return f"{self.root}/{name}"

    def tree(self) -> dict[str, bytes]:
        self._files.invalidate_cache()
        names = self._files.find(self._top)
        return {name.removeprefix(f"{self._top}/"): self._files.cat_file(name) for name in names}


class S3(Store):
    def __init__(self, root: str, client: Any) -> None:
        self.root, self.client = root, client
        self._bucket, _, self._top = root.removeprefix("s3://").partition("/")
        client.create_bucket(Bucket=self._bucket)

    def put(self, name: str, content: bytes) -> str:
        self.client.put_object(Bucket=self._bucket, Key=f"{self._top}/{name}", Body=content)
        return f"{self.root}/{name}"

    def tree(self) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=self._bucket, Prefix=f"{self._top}/").get("Contents", [])
        names = [entry["Key"] for entry in found]
        return {
            name.removeprefix(f"{self._top}/"): self.client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
            for name in names
        }

    def uploads(self) -> int:
        return len(self.client.list_multipart_uploads(Bucket=self._bucket).get("Uploads", ()))

    def etag(self, name: str) -> str:
        return str(self.client.head_object(Bucket=self._bucket, Key=f"{self._top}/{name}")["ETag"])


def photo(folder: Path) -> bytes:
    """The content of a photograph."""
    return make_photo(folder / "photo.jpg").read_bytes()
