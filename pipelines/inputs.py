"""Which files a command is about, and what each of them is."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from anonymizer.errors import AnonymizerError, MediaError
from anonymizer.media.demux import Demuxer
from anonymizer.media.files import cause_of
from anonymizer.media.formats import FORMATS, is_photograph
from pipelines.places import Place, why_not
from pipelines.storage import Stored, is_prefix, listing


class Kind(StrEnum):
    """What a file is: a table is one of Parquet or Arrow, a file anything else, a remote file is not fetched yet."""

    PHOTO = "photograph"
    VIDEO = "video"
    ARCHIVE = "archive"
    TABLE = "table"
    FILE = "file"
    REMOTE = "remote file"

    @property
    def verb(self) -> str:
        """What is done with it."""
        return "copy" if self is Kind.FILE else "anonymize"


_VIDEOS = "mp4 m4v mov qt mkv webm avi mpg mpeg ts mts m2ts 3gp 3g2 wmv asf flv ogv mxf"
SUFFIXES = {
    **{f".{suffix}": Kind.VIDEO for suffix in _VIDEOS.split()},
    **dict.fromkeys((".zip", ".tar"), Kind.ARCHIVE),
    **dict.fromkeys((".parquet", ".arrow", ".arrows", ".feather"), Kind.TABLE),
    **{suffix: Kind.PHOTO for form in FORMATS.values() for suffix in form.suffixes},
}
"""What a name claims. It decides only where the content is not recognized: such a file is damaged, not left out."""

MARKS = {b"PK\x03\x04": Kind.ARCHIVE, b"PK\x05\x06": Kind.ARCHIVE, b"PAR1": Kind.TABLE, b"ARROW1": Kind.TABLE}
TAR_MARK = (257, b"ustar")
ARROW_STREAM = b"\xff\xff\xff\xff"
STREAMS = (".arrow", ".arrows", ".ipc")
COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""First bytes of archives and tables. Those of a stream of Arrow are too common, and what is compressed has none of its
own: there the name counts as well."""

EXAMPLES = 5
"""How many of the files that are left out for one reason are named."""


@dataclass(frozen=True)
class Source:
    """A file to work on.

    Attributes:
        path: where it lies on this machine; of a remote file that is not fetched, its URL, as names are made of it.
        folder: the input under which it was found, None if it is an input itself.
        depth: how many archives it lies in.
        origin: where it comes from if that is not this machine.
        label: of what lies in an archive or a table, what people are told in place of ``path``.
        room: of what lies in an archive, how many bytes it may unpack to at most; None if there is no such bound.
    """

    path: Path
    kind: Kind
    folder: Path | None = None
    depth: int = 0
    origin: Stored | None = None
    label: str = ""
    room: int | None = None

    @property
    def name(self) -> str:
        """What people know it by: its path or URL, or where in which archive it lies."""
        return self.label or (self.origin.url if self.origin else str(self.path))


@dataclass(frozen=True)
class Skipped:
    """Something in a folder that is left out, and why."""

    path: Place
    why: str


@dataclass
class Found:
    """What lies behind the inputs of a command.

    Attributes:
        sources: files to work on, in order.
        skipped: what else the folders hold.
        failures: what cannot be worked on; each error names its path.
    """

    sources: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[AnonymizerError] = field(default_factory=list)

    def as_lines(self) -> Iterator[str]:
        """What is left out and what failed, for people."""
        for why in dict.fromkeys(skipped.why for skipped in self.skipped):
            names = [str(skipped.path) for skipped in self.skipped if skipped.why == why]
            more = ", ..." if len(names) > EXAMPLES else ""
            yield f"left out, {why}: {len(names)} ({', '.join(names[:EXAMPLES])}{more})"
        yield from (f"Error: {error}" for error in self.failures)


def find(inputs: Sequence[Place], outputs: Iterable[Place] = ()) -> Found:
    """Find the files behind ``inputs``: files, and folders that are walked in sorted order.

    Links are not followed out of a folder, and ``outputs`` inside of one are left out.

    Raises:
        ConfigError: an input lies in a store that is unknown or whose library is not installed.
    """
    found = Found()
    results = {Path(output) if isinstance(output, str) else output.resolve() for output in outputs}
    for given in inputs:
        if isinstance(given, str):
            _add_remote(found, given, results)
            continue
        if not is_folder(given):
            _add(found, given, None)
            continue
        folder = given.resolve() if given.name in ("", "..") else given
        for path in _walk(found, folder, results):
            _add(found, path, folder)
    return found


def is_folder(place: Place) -> bool:
    """Whether this is a folder, as far as one may know: what is wrong with a path is said when it is opened.

    Raises:
        ConfigError, MediaError: a store cannot be asked.
    """
    if isinstance(place, str):
        return is_prefix(place)
    try:
        return place.is_dir()
    except OSError:
        return False


def kind_of(path: Path) -> Kind:
    """What a file is: by its content, or by its suffix where the content is not recognized.

    Raises:
        MediaError: it is no regular file, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MediaError("is not a regular file", path=path)
        path.open("rb").close()
    except OSError as error:
        raise MediaError(cause_of(error), path=path) from error
    if is_photograph(path):
        return Kind.PHOTO
    if kind := _by_mark(path):
        return kind
    return Kind.VIDEO if _is_video(path) else SUFFIXES.get(path.suffix.lower(), Kind.FILE)


def recognized(path: Path, folder: Path | None) -> Kind:
    """``kind_of`` a file that was found in ``folder``, None for an input, which must be something to work on.

    Raises:
        MediaError: it is not, or cannot be read.
    """
    kind = kind_of(path)
    if kind is Kind.FILE and folder is None:
        raise MediaError("is neither photograph, video, archive nor table that can be read", path=path)
    return kind


def _by_mark(path: Path) -> Kind | None:
    """What the first bytes say, of archives and tables."""
    if path.name.lower().endswith(COMPRESSED):
        return Kind.ARCHIVE
    with path.open("rb") as file:
        start = file.read(TAR_MARK[0] + len(TAR_MARK[1]))
    if start[TAR_MARK[0] :] == TAR_MARK[1]:
        return Kind.ARCHIVE
    if start.startswith(ARROW_STREAM) and path.suffix.lower() in STREAMS:
        return Kind.TABLE
    return next((kind for mark, kind in MARKS.items() if start.startswith(mark)), None)


def _is_video(path: Path) -> bool:
    try:
        with Demuxer(path) as demuxer:
            demuxer.main_video()
            return True
    except MediaError:
        return False


def _add(found: Found, path: Path, folder: Path | None) -> None:
    try:
        found.sources.append(Source(path, recognized(path, folder), folder))
    except MediaError as error:
        found.failures.append(error)


def _add_remote(found: Found, url: str, outputs: Collection[Path]) -> None:
    try:
        files = listing(url)
        if not files:
            raise MediaError("there is no such file, prefix or bucket", path=url)
    except MediaError as error:
        found.failures.append(error)
        return
    folder = Path(url)
    results = [output for output in outputs if folder in output.parents]
    for name, stored in files.items():
        if reason := why_not(name or url.partition("://")[2].strip("/")):
            found.failures.append(MediaError(f"it {reason}", path=stored.url))
        elif not name:
            found.sources.append(Source(folder, Kind.REMOTE, origin=stored))
        elif any(part.startswith(".") for part in name.split("/")):
            found.skipped.append(Skipped(stored.url, "hidden"))
        elif any(Path(folder, name).is_relative_to(result) for result in results):
            found.skipped.append(Skipped(stored.url, "holds the results"))
        else:
            found.sources.append(Source(Path(folder, name), Kind.REMOTE, folder, origin=stored))


def _walk(found: Found, folder: Path, outputs: set[Path]) -> Iterator[Path]:
    """The files under ``folder``, sorted; what is passed over is noted in ``found``."""

    def failed(error: OSError) -> None:
        found.failures.append(MediaError(f"the folder cannot be read: {cause_of(error)}", path=error.filename))

    top = folder.resolve()
    for here, folders, files in os.walk(folder, onerror=failed):
        try:
            folders[:] = _kept(found, here, folders, top, outputs)
            yield from (Path(here, name) for name in _kept(found, here, files, top, outputs))
        except OSError as error:  # such as a folder that may be listed but not entered
            folders.clear()
            failed(error)


def _kept(found: Found, here: str, names: Sequence[str], top: Path, outputs: set[Path]) -> list[str]:
    reasons = {name: _why_not(Path(here, name), top, outputs) for name in sorted(names)}
    found.skipped += [Skipped(Path(here, name), why) for name, why in reasons.items() if why]
    return [name for name, why in reasons.items() if not why]


def _why_not(path: Path, top: Path, outputs: set[Path]) -> str:
    """Why something in a folder is passed over; empty if it is not."""
    if path.name.startswith("."):
        return "hidden"
    if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(top)):
        return "link to something else than a file of this folder"
    if path.resolve() in outputs:
        return "holds the results"
    return "" if path.is_file() or path.is_dir() else "no regular file"
