"""The folder of ``--keep``: reference photographs of those who consented to stay visible, and for how long::

    DIR/NAME.jpg                one photograph of NAME
    DIR/NAME/any.jpg            several
    DIR/NAME/consent.toml       until = 2027-01-01, the first day on which the consent holds no more
    DIR/consent.toml            [NAME], and below it the same

Whatever else lies there is an error, as is a name that nobody has: else a consent might be taken for one that holds.
"""

from __future__ import annotations

import datetime
import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import cause_of

if TYPE_CHECKING:
    from anonymizer.consent import Consents

TERMS = "consent.toml"
UNTIL = "until"


@dataclass(frozen=True)
class Reference:
    """What lies in the folder of a person."""

    name: str
    until: datetime.date | None
    photographs: tuple[Path, ...]


@dataclass(frozen=True)
class References:
    """All people of a folder.

    Attributes:
        name: 16 digits that change with every file.
    """

    folder: Path
    name: str
    people: tuple[Reference, ...]

    @classmethod
    def read(cls, folder: Path) -> References:
        """Find out who consented; photographs are not looked at yet.

        Raises:
            ConfigError: nobody did, or a file does not belong there or says something else.
            MediaError: something cannot be read.
        """
        photographs, terms = _files(folder)
        if not photographs:
            raise ConfigError(f"holds no reference photographs, such as NAME.jpg or NAME/1.jpg (--keep {folder})")
        until = {}
        for name, path, said in terms:
            if name not in photographs:
                raise ConfigError(f"nobody here is called {name!r}: {', '.join(photographs)}", path=path)
            if name in until:
                raise ConfigError(f"the consent of {name!r} is told twice", path=path)
            until[name] = _until(said, path)
        files = [*(path for paths in photographs.values() for path in paths), *(path for _, path, _ in terms)]
        people = tuple(Reference(name, until.get(name), tuple(paths)) for name, paths in photographs.items())
        return cls(folder, _digest(folder, files), people)

    def expired(self, today: datetime.date) -> list[Reference]:
        """Those whose consent holds no more."""
        return [person for person in self.people if person.until is not None and today >= person.until]

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        gone = self.expired(datetime.date.today())
        return {
            person.name: {
                "photographs": len(person.photographs),
                UNTIL: person.until and person.until.isoformat(),
                "expired": person in gone,
            }
            for person in self.people
        }

    def consents(self, device: str) -> Consents:
        """Look at the photographs.

        Args:
            device: where the networks run, as ``Config.device`` has it.

        Raises:
            MediaError: one cannot be read, or does not show one face clearly.
            ConfigError: files were changed since they were read.
        """
        from anonymizer.consent import Consents, Person

        enroll = _Enroller(device)
        people = [Person(person.name, person.until, enroll.embed(person.photographs)) for person in self.people]
        if References.read(self.folder) != self:
            raise ConfigError("was changed while it was read", path=self.folder)
        return Consents(self.name, tuple(people))


class _Enroller:
    """Embeds the one face of each reference photograph."""

    def __init__(self, device: str) -> None:
        from anonymizer import device as devices
        from anonymizer.config import DetectConfig
        from anonymizer.detect import DETECTORS, Both
        from anonymizer.detect.blazeface import BlazeFaceDetector
        from anonymizer.identity import CROPS, Recognizer
        from anonymizer.jury import Jury

        place = devices.pick(device)
        self._place = place
        self._detector = Both(DETECTORS["centerface"](DetectConfig(), place), BlazeFaceDetector(place))
        self._jury = Jury(Recognizer(place), place, CROPS)

    def embed(self, photographs: tuple[Path, ...]) -> Any:
        """``(K, 256)``."""
        import torch

        return torch.cat([self._one(path) for path in photographs])

    def _one(self, path: Path) -> Any:
        import torch

        from anonymizer.batches import Frames
        from anonymizer.identity import clearness
        from anonymizer.media.image import read_image

        frames = Frames(torch.from_numpy(read_image(path).pixels)[None].to(self._place), (Fraction(0),))
        faces = self._detector.detect(frames)
        if len(faces) != 1:
            cause = f"a reference photograph must show one face, and this one shows {len(faces) or 'none'}"
            raise MediaError(f"{cause}: cut out the person's" if len(faces) else cause, path=path)
        view = self._jury.views(frames, faces)
        if not (clearness(faces) > 0).all() or not view.isfinite().all():
            raise MediaError("the face is too small, too blurred or turned away too far to know it by", path=path)
        return view


Terms = list[tuple[str, Path, Any]]  # name, file, what it says


def _files(folder: Path) -> tuple[dict[str, list[Path]], Terms]:
    """Photographs by name, sorted, and what is said of consents."""
    photographs: dict[str, list[Path]] = defaultdict(list)
    terms: Terms = []
    for path in _entries(folder):
        if path.is_dir():
            for inner in _entries(path):
                if inner.name == TERMS:
                    terms.append((path.name, inner, _toml(inner)))
                else:
                    photographs[path.name].append(_photograph(inner))
            if path.name not in photographs:
                raise ConfigError("holds no reference photographs", path=path)
        elif path.name == TERMS:
            terms += [(name, path, said) for name, said in _toml(path).items()]
        else:
            photographs[path.stem].append(_photograph(path))
    return dict(sorted(photographs.items())), terms


def _entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder, sorted; not what is hidden."""
    try:
        return iter(sorted(path for path in folder.iterdir() if not path.name.startswith(".")))
    except OSError as error:
        raise ConfigError(f"the folder cannot be read: {cause_of(error)}", path=folder) from error


def _photograph(path: Path) -> Path:
    from anonymizer.media.formats import is_photograph

    if not path.is_file() or not is_photograph(path):
        raise MediaError("is no photograph that can be read, and nothing else belongs beside references", path=path)
    return path


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read as TOML: {cause_of(error)}", path=path) from error


def _until(said: Any, path: Path) -> datetime.date | None:
    """When a consent ends.

    Raises:
        ConfigError: anything else is said.
    """
    if not isinstance(said, dict) or said.keys() - {UNTIL}:
        unknown = ", ".join(sorted(said.keys() - {UNTIL})) if isinstance(said, dict) else said
        raise ConfigError(f"nothing but `{UNTIL} = 2027-01-01` is known, below the [NAME], not: {unknown}", path=path)
    until = said.get(UNTIL)
    if until is not None and type(until) is not datetime.date:
        raise ConfigError(f"{UNTIL} must be a date such as 2027-01-01, not {until}", path=path)
    return until


def _digest(folder: Path, files: list[Path]) -> str:
    """Names and contents of files, as 16 digits.

    Raises:
        MediaError: one cannot be read.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MediaError(cause_of(error), path=path) from error
        digest.update(hashlib.sha256(str(path.relative_to(folder)).encode(errors="surrogateescape")).digest())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
