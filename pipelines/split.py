"""How one long video is split into segments, and the folder in which the work on them is kept until it is done.

A segment can be worked on anywhere. It is read from before its first frame to after its last: so the tracker and the
renderer know of its neighbours what they would know in the whole video. It begins in a frame at which the tracker would
look anyway, a little after a key frame.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from anonymizer.config import MACHINE, SEEDS, Config
from anonymizer.envelope import Envelope, place_of
from anonymizer.errors import MediaError, PassingError, SeekError
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.media.encoders import container_for
from anonymizer.media.files import cause_of, read_marked, state_of, write_marked
from anonymizer.media.output import check_writable
from anonymizer.media.timeline import Timeline
from anonymizer.media.video import VideoReader
from anonymizer.smooth import REACH
from anonymizer.track import CARRIED, ahead
from pipelines.plan import Job
from pipelines.report import made_with
from pipelines.settings import OutputConfig

LENGTH = 1500
"""Frames of a segment, at least: a minute at 25 frames a second."""

LEAD = 32
"""Frames before a segment, at least, from which what is remembered of faces is known: portraits, light, failures."""

FORMAT = 3
"""Of what is kept in folders; work in an earlier one is begun anew."""

TIMELINE, SECRET, PEOPLE = "timeline", "secret", "people"
"""Files in folders."""

SUFFIX = ".segments"
"""Of folders with work on a video."""

UNDIVIDED = "mpegts"
"""The container whose packets must hold what others hold once; such files are not joined."""


@dataclass(frozen=True)
class Segment:
    """A part of a video: numbers of frames, first and after the last.

    Attributes:
        first, lead, start, stop, tail: it is there for the frames from ``start`` to ``stop``. Faces are tracked from
            ``first`` to ``tail``, and rendered from ``lead`` on.
    """

    first: int
    lead: int
    start: int
    stop: int
    tail: int

    @property
    def own(self) -> range:
        """The frames that it is for."""
        return range(self.start, self.stop)


def cut(timeline: Timeline, config: Config, length: int) -> tuple[Segment, ...]:
    """The segments of a video, of at least ``length`` frames, the last one of half of that."""
    span = config.track.span
    lead = -(-max(LEAD, 2 * span) // span) * span
    leads, starts = [0], [0]
    for key in timeline.keys:
        first = -(-key // span) * span
        if first + lead - starts[-1] >= length and len(timeline) - first - lead >= length // 2:
            leads.append(first)
            starts.append(first + lead)
    stops = [*starts[1:], len(timeline)]
    beyond = -(-REACH // span) * span + ahead(config.track)
    tails = [min(stop + beyond, len(timeline)) for stop in stops]
    firsts = [max(lead - -(-CARRIED // span) * span, 0) for lead in leads]
    return tuple(map(Segment, firsts, leads, starts, stops, tails))


@dataclass(frozen=True)
class Agreed:
    """Who is who in a video; see ``agree``.

    Attributes:
        tables: for each segment, the numbers in the whole video of those that it has itself.
        looks: what they seem like, by number in the whole video.
        personas: of those who can be told, by the same number.
        source: names the video.
        marks: of the files of faces that this is about, by segment.
    """

    tables: list[dict[int, int]]
    looks: dict[int, Look]
    personas: dict[int, Persona]
    source: str
    marks: list[str]


@dataclass(frozen=True)
class Split:
    """A video that is worked on in segments. Small, and can be sent anywhere; it depends on nothing but files.

    Attributes:
        folder: beside the target, for this program alone: it holds personal data. Two runs with the same source,
            settings and versions have the same.
        state: size and time of change of the source, in bytes and nanoseconds.
    """

    job: Job
    config: Config
    output: OutputConfig
    folder: Path
    state: tuple[int, int]
    segments: tuple[Segment, ...]

    def timeline(self) -> Timeline:
        """Of the source.

        Raises:
            MediaError: the source is not what it was when it was split, or the folder is gone.
        """
        if state_of(self.job.source.path) != self.state:
            raise MediaError("the file was changed while it was worked on", path=self.job.source.path)
        values = self._read(TIMELINE)
        return Timeline(Fraction(values["unit"]), tuple(values["times"]), tuple(values["keys"]))

    def secret(self) -> int:
        """From which personas are drawn."""
        return int(self._read(SECRET))

    def agreed_on(self) -> list[str]:
        """Of which files of faces it is known who is who: see ``Agreed.marks``.

        Raises:
            PassingError: of none yet.
        """
        return list(self._read(PEOPLE)["marks"])

    def people(self, envelope: Envelope) -> Agreed:
        """Who is who.

        Raises:
            PassingError: nobody knows yet, or somebody with another key.
        """
        try:
            sealed = b64decode(self._read(PEOPLE)["people"])
            values = json.loads(envelope.unseal(sealed, place_of(self.folder / PEOPLE)))
        except ValueError as error:
            raise PassingError(f"work on a video is missing: {cause_of(error)}", path=self.folder / PEOPLE) from error
        tables = [{int(old): new for old, new in table.items()} for table in values.pop("tables")]
        looks = {int(number): Look(**look) for number, look in values.pop("looks").items()}
        personas = {
            int(number): Persona(seed, tuple(attributes), tuple(changes))
            for number, (seed, attributes, changes) in values.pop("personas").items()
        }
        return Agreed(tables, looks, personas, **values)

    def keep_people(self, agreed: Agreed, envelope: Envelope) -> None:
        """Write what ``people`` reads."""
        sealed = envelope.seal(json.dumps(asdict(agreed)).encode(), place_of(self.folder / PEOPLE))
        self._write(PEOPLE, {"marks": agreed.marks, "people": b64encode(sealed).decode()})

    def faces(self, number: int) -> Path:
        """Where the faces of a segment are."""
        return self.folder / f"{number:05}.faces"

    def part(self, number: int) -> Path:
        """Where the packets of a segment are."""
        return self.folder / f"{number:05}.packets"

    def discard(self) -> None:
        """Forget all that was done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self, timeline: Timeline) -> None:
        """Make the folder, or go on with one that is there."""
        try:
            self.folder.mkdir(0o700, exist_ok=True)
        except OSError as error:
            raise MediaError(f"the folder cannot be made: {cause_of(error)}", path=self.folder) from error
        if not (self.folder / SECRET).exists():
            seed = self.config.generate.seed
            self._write(SECRET, secrets.randbelow(SEEDS) if seed is None else seed)
        values = {"unit": str(timeline.unit), "times": timeline.times, "keys": timeline.keys}
        self._write(TIMELINE, values)

    def _write(self, name: str, values: object) -> None:
        write_marked(self.folder / name, json.dumps(values).encode())

    def _read(self, name: str) -> Any:
        path = self.folder / name
        try:
            return json.loads(read_marked(path))
        except (OSError, ValueError) as error:
            raise PassingError(f"work on a video is missing: {cause_of(error)}", path=path) from error


def split(job: Job, config: Config, output: OutputConfig, length: int = LENGTH, least: int = 2) -> Split | None:
    """Decide on the segments of a video, and on the folder for them: one that was begun is used, all others go.

    Args:
        length: frames of a segment, at least.
        least: segments from which splitting is worth it, unless it was begun.

    Returns:
        None if it is too short, or has to be read from start to end: no index, key frames that are none, frames
        without times, a target whose packets cannot be joined.

    Raises:
        ConfigError: the target cannot be written.
        MediaError: the source cannot be read, the folder cannot be written to, or the sound does not fit the target.
    """
    begun = folders(job.target)
    found = _found(job, config, output, length, least, begun)
    for folder in begun:
        if not found or folder != found[0].folder:
            shutil.rmtree(folder, ignore_errors=True)
    if not found:
        return None
    work, timeline = found
    work.prepare(timeline)
    return work


def folders(target: Path) -> list[Path]:
    """The folders of work on ``target`` that was begun, by any run."""
    return [path for path in target.parent.glob(f".{_digits(target.name)}.*{SUFFIX}") if path.is_dir()]


def forget(target: Path) -> None:
    """Delete all work on ``target`` that was begun."""
    for folder in folders(target):
        shutil.rmtree(folder, ignore_errors=True)


def _found(
    job: Job, config: Config, output: OutputConfig, length: int, least: int, begun: Collection[Path]
) -> tuple[Split, Timeline] | None:
    path = job.source.path
    if container_for(job.target).format == UNDIVIDED:
        return None
    state = state_of(path)
    try:
        timeline = Timeline.of(path)
    except SeekError:
        return None
    segments = cut(timeline, config, length)
    if len(segments) < (2 if begun else least) or not _can_be_cut(job, output, timeline, segments):
        return None
    name = f".{_digits(job.target.name)}.{_fingerprint(job, config, output, segments)}{SUFFIX}"
    work = Split(job, config, output, job.target.with_name(name), state, segments)
    return (work, timeline) if len(segments) >= least or work.folder in begun else None


def _can_be_cut(job: Job, output: OutputConfig, timeline: Timeline, segments: tuple[Segment, ...]) -> bool:
    """Whether each segment begins as it should when it is read from the middle of the file.

    Raises:
        ConfigError, MediaError: the result could not be written: that is to be known before all the work.
    """
    job.make_folder()
    with VideoReader(job.source.path) as reader:
        check_writable(job.target, reader.info, output.codec, output.crf, output.encoder, output.audio)
        try:
            for first in {first for segment in segments for first in (segment.first, segment.lead)}:
                list(reader.excerpt(timeline, first, first + 1, 1))
        except MediaError:
            return False
    return True


def _fingerprint(job: Job, config: Config, output: OutputConfig, segments: tuple[Segment, ...]) -> str:
    """16 digits that change with whatever changes the result."""
    with job.source.path.open("rb") as file:
        source = hashlib.file_digest(file, "blake2b").hexdigest()
    settings = {name: value for name, value in config.as_dict().items() if name not in MACHINE}
    facts = [FORMAT, source, settings, asdict(output), [asdict(segment) for segment in segments], made_with()]
    return _digits(json.dumps(facts))


def _digits(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
