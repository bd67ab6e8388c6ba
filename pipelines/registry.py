"""The registry of subjects as a file: KEYFILE.subjects, beside the key file. It is biometric data.

Every change is a transaction: under a lock (``flock`` of the key file), the registry is read, changed, and another file
takes its place, whole. So any number of processes of one machine may work with it, and be killed at any moment.

Format, version 3::

    9 bytes    b"SUBJECTS3"
    8 bytes    the name of the key, see ``keys``
    12 bytes   nonce, random each time
    the rest   AES-256-GCM, with 16 bytes of tag at the end, of safetensors; the bytes before are authenticated with it

    views (N, 256) float16, owners (N,) int64           whose they are: numbers of subjects, in the order of the list
    met (M, 2) int64                                    subjects who were seen at the same time
    rest (B,) uint8                                     JSON: name (hex, random, of the registry), count (numbers
                                                        given), subjects: [number, first day, last day, look]

Earlier versions knew people by other numbers, or gave them other personas: such files are refused.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from anonymizer.errors import ConfigError, MediaError
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.jury import EMBEDDING
from anonymizer.media.files import cause_of
from anonymizer.subjects import Subject, Subjects, nobody
from anonymizer.troupe import draw
from pipelines.keys import Key, path_of
from pipelines.sealed import Sealed

MAGIC, EARLIER = b"SUBJECTS3", (b"SUBJECTS1", b"SUBJECTS2")
HEAD = len(MAGIC) + 8

State = tuple[int, int, int]  # of a file: what tells it from those that it takes the place of


class Registry:
    """Subjects in a file, which is read and written with a key. A ``Casting``.

    Args:
        key_file: where the key is; the registry lies beside it.
        count: of the personas that all subjects share; None for one a subject.

    Attributes:
        path: of the registry; there is none as long as nobody is known.
        key: the name of the key.
        envelope: for what has to be kept of people on the way.
        personas: those that all share. They depend on the key alone: after a purge they are the same.

    Raises:
        ConfigError: the key cannot be used.
    """

    def __init__(self, key_file: Path, count: int | None = None) -> None:
        self._key_file, self._key = key_file, Key.read(key_file)
        self.personas = draw(self._key.seeds, count)
        self.path, self.key, self.envelope = path_of(key_file), self._key.name, Sealed(self._key.work)
        self._known: tuple[State, Subjects] | None = None  # as last read or written
        self._was_there = False

    def cast(
        self, views: Mapping[int, Tensor], met: Collection[tuple[int, int]], looks: Mapping[int, Look]
    ) -> dict[int, Persona]:
        """See ``Casting``."""
        with self._change() as subjects:
            table = subjects.link(views, met, looks, datetime.datetime.now(datetime.UTC).date())
            return {who: subjects.persona(self._key.seeds, one, self.personas) for who, one in table.items()}

    def read(self) -> Subjects:
        """All subjects; nobody, if there is no registry.

        Raises:
            ConfigError: the registry is of another key.
            MediaError: it is damaged, or cannot be read.
        """
        with self._locked():
            return self._read()

    def forget(self, numbers: Collection[int]) -> None:
        """Remember nothing of these subjects, for good.

        Raises:
            ConfigError: there is no such subject.
        """
        with self._change() as subjects:
            if missing := sorted(set(numbers) - subjects.known.keys()):
                raise ConfigError(f"there is no subject {', '.join(map(str, missing))}")
            subjects.forget(set(numbers))

    @contextmanager
    def _change(self) -> Iterator[Subjects]:
        """A transaction: what is read, and written if it is changed."""
        with self._locked():
            subjects = self._read()
            before = subjects.state
            self._known = None  # until it is written
            yield subjects
            self._known = self._write(subjects) if subjects.state != before else (_state(self.path), subjects)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self._key_file):
            yield

    def _read(self) -> Subjects:
        try:
            state = _state(self.path)
            if self._known and self._known[0] == state:
                return self._known[1]
            content = self.path.read_bytes()
        except FileNotFoundError as error:
            if self._was_there:
                raise MediaError("the registry is not there any more", path=self.path) from error
            return Subjects(secrets.token_bytes(16))
        except OSError as error:
            raise MediaError(f"the registry cannot be read: {cause_of(error)}", path=self.path) from error
        self._known, self._was_there = (state, _unpacked(self._decrypted(content))), True
        return self._known[1]

    def _decrypted(self, content: bytes) -> bytes:
        head, sealed = content[:HEAD], content[HEAD:]
        if head.startswith(MAGIC) and head != self._head:
            raise ConfigError(f"the registry is not of the key in {self._key_file}", path=self.path)
        if head.startswith(EARLIER):
            cause = "the registry is of an earlier version: `anonymizer subjects purge` begins anew"
            raise MediaError(cause, path=self.path)
        try:
            return Sealed(self._key.cipher).unseal(sealed, head)
        except ValueError as error:
            cause = "the registry is damaged, or none: put back a copy, or `anonymizer subjects purge` begins anew"
            raise MediaError(cause, path=self.path) from error

    @property
    def _head(self) -> bytes:
        return MAGIC + bytes.fromhex(self.key)

    def _write(self, subjects: Subjects) -> tuple[State, Subjects]:
        sealed = Sealed(self._key.cipher).seal(_packed(subjects), self._head)
        partial = partial_of(self.path)
        try:
            partial.unlink(missing_ok=True)  # of a process that was killed; nobody else is at work
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._head + sealed)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
            self._was_there = True
            return _state(self.path), subjects
        except OSError as error:
            raise MediaError(f"the registry cannot be written: {cause_of(error)}", path=self.path) from error
        finally:
            partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Where a registry is written before it takes its place."""
    return path.with_name(f".{path.name}.part")


def purge(key_file: Path) -> bool:
    """Delete the registry of a key file, whatever it holds; whether there was one.

    Raises:
        ConfigError: there is no such key file.
        MediaError: it cannot be deleted.
    """
    path = path_of(key_file)
    with locked(key_file):
        try:
            partial_of(path).unlink(missing_ok=True)
            existed = path.exists()
            path.unlink(missing_ok=True)
        except OSError as error:
            raise MediaError(f"cannot be deleted: {cause_of(error)}", path=path) from error
    return existed


@contextmanager
def locked(key_file: Path) -> Iterator[None]:
    """Wait until no other process or thread works with the registry of a key file, and keep others from it.

    Raises:
        ConfigError: there is no such file, or where it lies nothing can be locked.
    """
    try:
        file = key_file.open("rb")
    except OSError as error:
        raise ConfigError(f"the key file cannot be read: {cause_of(error)}", path=key_file) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            cause = f"the key file cannot be locked, put it on a disk of this machine: {cause_of(error)}"
            raise ConfigError(cause, path=key_file) from error
        yield


def _state(path: Path) -> State:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _packed(subjects: Subjects) -> bytes:
    people = subjects.people
    owners = [number for number, views in people.embeddings.items() for _ in views]
    rest = {
        "name": subjects.name.hex(),
        "count": people.count,
        "subjects": [
            (number, known.first.isoformat(), known.last.isoformat(), vars(known.look))
            for number, known in subjects.known.items()
        ],
    }
    tensors = {
        "views": torch.cat([torch.zeros(0, 2 * EMBEDDING), *people.embeddings.values()]).half(),
        "owners": torch.tensor(owners, dtype=torch.int64),
        "met": torch.tensor(sorted(people.met), dtype=torch.int64).reshape(-1, 2),
        "rest": torch.frombuffer(bytearray(json.dumps(rest).encode()), dtype=torch.uint8),
    }
    return save(tensors)


def _unpacked(data: bytes) -> Subjects:
    tensors = load(data)
    rest = json.loads(tensors["rest"].numpy().tobytes())
    numbers, counts = tensors["owners"].unique_consecutive(return_counts=True)
    views = tensors["views"].float().split(counts.tolist())
    people = nobody(dict(zip(numbers.tolist(), views, strict=True)))
    people.count = rest["count"]
    people.met = {(one, other) for one, other in tensors["met"].tolist()}
    day = datetime.date.fromisoformat
    known = {number: Subject(day(first), day(last), Look(**look)) for number, first, last, look in rest["subjects"]}
    return Subjects(bytes.fromhex(rest["name"]), people, known)
