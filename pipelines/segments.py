"""One long video in steps that can be done anywhere, and again: track, agree on who is who, render, join.

All steps of a stage may be done at the same time; a stage begins when the one before is done. Each step writes one
file, whole or not at all, so that of work that was broken off at most one step a worker is done again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from anonymizer.agree import agree
from anonymizer.anonymize import Anonymized
from anonymizer.aspects import SETTLED
from anonymizer.audit_figures import AuditFigures
from anonymizer.batches import Faces, Frames
from anonymizer.errors import ConfigError, LeakError, PassingError, SeekError
from anonymizer.media.encoders import container_for
from anonymizer.media.files import mark_of
from anonymizer.media.parts import Part, PartWriter, is_written, join
from anonymizer.media.timeline import Timeline
from anonymizer.media.video import VideoReader
from anonymizer.people import People
from anonymizer.prefetch import prefetch
from anonymizer.sightings import Sightings
from anonymizer.smooth import REACH
from pipelines.marking import marks_of
from pipelines.progress import progress, say
from pipelines.report import Result
from pipelines.split import Agreed, Segment, Split
from pipelines.video import BATCHES_AHEAD, tell_left_out

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer
    from pipelines.plan import Job
    from pipelines.workers import Workers


class Step(Protocol):
    """Work that can be sent to another process, and depends on nothing but files."""

    @property
    def work(self) -> Split:
        """What it belongs to."""
        ...

    @property
    def done(self) -> bool:
        """Whether its file is there."""
        ...

    def run(self, anonymizer: Anonymizer) -> None:
        """Do it.

        Raises:
            AnonymizerError: the whole video fails. If it is a ``SeekError``, it may do unsplit.
        """
        ...


def stages(work: Split) -> list[list[Step]]:
    """What is to be done, one stage after the other. Then ``finish`` writes the result."""
    numbers = range(len(work.segments))
    return [[Track(work, number) for number in numbers], [Agree(work)], [Render(work, number) for number in numbers]]


@dataclass(frozen=True)
class _Told:
    """What became of a step: the file fails, if there is an error, or is one that cannot be split."""

    error: str | None
    passing: bool
    seek: bool


@dataclass(frozen=True)
class _Task:
    """A step as work for a worker. A ``workers.Task``."""

    step: Step

    def perform(self, anonymizer: Anonymizer) -> Iterator[_Told]:
        result, seek = Result(self.step.work.job), False
        with result.guarded():
            try:
                self.step.run(anonymizer)
            except SeekError:
                seek = True
        yield _Told(result.error, result.passing, seek)


def anonymize_in_segments(work: Split, workers: Workers) -> Result | None:
    """Do all steps that are not done yet, those of a stage at the same time.

    Returns:
        None if the video turns out to be one that cannot be split.
    """
    result, start = Result(work.job), time.perf_counter()
    try:
        return _in_stages(work, workers, result)
    except KeyboardInterrupt:
        say(f"{work.job.source.name}: what is done is kept for the same command in {work.folder}", err=True)
        raise
    finally:
        result.seconds = time.perf_counter() - start


def _in_stages(work: Split, workers: Workers, result: Result) -> Result | None:
    for stage in stages(work):
        told = _run([step for step in stage if not step.done], workers, work.job)
        if any(step.seek for step in told):
            work.discard()
            return None
        if failed := [step for step in told if step.error]:
            result.error, result.passing = failed[0].error, any(step.passing for step in failed)
            break
    else:
        with result.guarded():
            finish(work, result)
        result.sign()
    if result.error and not result.passing:
        work.discard()
    return result


def _run(steps: list[Step], workers: Workers, job: Job) -> list[_Told]:
    """What becomes of ``steps``; when one has failed, no other is begun."""
    if not steps:
        return []
    told: list[_Told] = []
    tasks = (_Task(step) for step in steps if not any(other.error or other.seek for other in told))
    with progress(f"{job.source.name}: {type(steps[0]).__name__.lower()}", len(steps), "steps") as advance:
        for _, value, lost in workers.run(tasks):
            told.append(_Told(f"{job.source.name}: {lost}", True, False) if lost else value)
            advance(1)
    return told


@dataclass(frozen=True)
class Track:
    """Find the faces of a segment."""

    work: Split
    number: int

    @property
    def done(self) -> bool:
        """Whether its file is there."""
        return bool(mark_of(self.work.faces(self.number)))

    def run(self, anonymizer: Anonymizer) -> None:
        """See ``Step``."""
        _check_settings(self.work, anonymizer)
        segment, timeline = self.work.segments[self.number], self.work.timeline()
        shared = {at for near in self.work.segments for at in (near.lead, near.start)}
        people = People()
        with (
            VideoReader(self.work.job.source.path) as reader,
            closing(_read(reader, timeline, segment.first, segment.tail, anonymizer)) as batches,
        ):
            tracked = anonymizer.track(batches, people, lead=segment.start - segment.first)
            found = Sightings.collect(tracked, people, timeline.unit, segment.first, segment.own, shared)
        if tuple(found.times.tolist()) != timeline.times[segment.first : segment.tail]:
            raise LeakError("not all frames of a segment were looked at", path=self.work.job.source.path)
        found.save(self.work.faces(self.number), anonymizer.envelope)


@dataclass(frozen=True)
class Agree:
    """Give the people of all segments one number each."""

    work: Split

    @property
    def done(self) -> bool:
        """Whether its file is there, and is about the faces that are."""
        with suppress(PassingError):
            return self.work.agreed_on() == self._marks()
        return False

    def run(self, anonymizer: Anonymizer) -> None:
        """See ``Step``."""
        _check_settings(self.work, anonymizer)
        marks = self._marks()
        files = map(self.work.faces, range(len(self.work.segments)))
        segments = (Sightings.load(file, anonymizer.envelope) for file in files)
        known = agree(segments, [segment.own for segment in self.work.segments])
        personas = anonymizer.cast(known.people, known.looks, self.work.secret(), bytes.fromhex(known.source))
        agreed = Agreed(known.tables, known.looks, personas, known.source, marks)
        self.work.keep_people(agreed, anonymizer.envelope)

    def _marks(self) -> list[str]:
        return [mark_of(self.work.faces(number)) for number in range(len(self.work.segments))]


@dataclass(frozen=True)
class Render:
    """Replace the faces of a segment, and encode it."""

    work: Split
    number: int

    @property
    def done(self) -> bool:
        """Whether its files are there."""
        return is_written(self.work.part(self.number))

    def run(self, anonymizer: Anonymizer) -> None:
        """See ``Step``."""
        _check_settings(self.work, anonymizer)
        work, timeline = self.work, self.work.timeline()
        segment, output, counted = work.segments[self.number], work.output, Result(work.job)
        tail = min(segment.stop + REACH, segment.tail)
        with (
            VideoReader(work.job.source.path) as reader,
            PartWriter(
                work.part(self.number),
                work.job.target,
                reader.info,
                timeline,
                segment.own,
                codec=output.codec,
                crf=output.crf,
                encoder=output.encoder,
            ) as part,
            closing(_read(reader, timeline, segment.lead, tail, anonymizer)) as batches,
            closing(prefetch(self._rendered(batches, anonymizer, timeline), BATCHES_AHEAD)) as stream,
        ):
            for done in _own(stream, segment):
                counted.add(done)
                part.write(done.frames)
            work.timeline()
            part.close(reader.end, {"faces": dict(counted.faces), "audit": counted.audit.as_dict()})

    def _rendered(self, batches: Iterable[Frames], anonymizer: Anonymizer, timeline: Timeline) -> Iterator[Anonymized]:
        agreed, faces = self.work.people(anonymizer.envelope), self.work.faces(self.number)
        if mark_of(faces) != agreed.marks[self.number]:
            raise PassingError("the faces of a segment are not those that were agreed on", path=faces)
        found = Sightings.load(faces, anonymizer.envelope).renumbered(agreed.tables[self.number])
        # before each joint both segments choose portraits whatever came before, so that they choose the same
        lead = self.work.segments[self.number].lead
        fresh = {segment.start - SETTLED - lead for segment in self.work.segments[1:]}
        pairs = _paired(batches, lead, found, timeline)
        return anonymizer.render(
            pairs,
            agreed.looks,
            personas=agreed.personas,
            secret=self.work.secret(),
            source=bytes.fromhex(agreed.source),
            fresh=fresh,
        )


def finish(work: Split, result: Result) -> None:
    """Join the segments to ``work.job.target``, count what became of the faces, and delete the folder.

    Raises:
        MediaError: a segment is missing or altered, or writing fails.
    """
    parts = [work.part(number) for number in range(len(work.segments))]
    timeline, output = work.timeline(), work.output
    result.frames = len(timeline)
    for part in parts:
        notes = Part.read(part).notes
        result.faces += Counter(notes["faces"])
        result.audit += AuditFigures.of(notes["audit"])
    with VideoReader(work.job.source.path) as reader:
        tell_left_out(reader.info, work.job.source.name)
        join(
            work.job.target,
            parts,
            reader.info,
            timeline,
            codec=output.codec,
            crf=output.crf,
            encoder=output.encoder,
            audio=output.audio,
            says=marks_of(result, container_for(work.job.target).format, work.config, output),
        )
    work.discard()


def _check_settings(work: Split, anonymizer: Anonymizer) -> None:
    config, here = work.config, anonymizer.config
    drawn = replace(here.generate, seed=config.generate.seed)  # the secret is that of the whole
    if replace(here, device=config.device, batch_size=config.batch_size, generate=drawn) != config:
        raise ConfigError("the settings are not those with which the video was split")


def _read(
    reader: VideoReader, timeline: Timeline, start: int, stop: int, anonymizer: Anonymizer
) -> Generator[Frames, None, None]:
    return prefetch(reader.excerpt(timeline, start, stop, anonymizer.batch_size), BATCHES_AHEAD)


def _paired(
    batches: Iterable[Frames], start: int, found: Sightings, timeline: Timeline
) -> Iterator[tuple[Frames, Faces]]:
    """Frames, from the one with the number ``start`` on, with the faces that were found in them.

    Raises:
        LeakError: nobody looked at a frame.
    """
    for frames in batches:
        stop = start + len(frames)
        times = found.times[start - found.first : stop - found.first].tolist()
        if [time * timeline.unit for time in times] != list(frames.times):
            raise LeakError("nobody looked for faces in a frame", time=frames.times[0])
        yield frames, found.between(start, stop)
        start = stop


def _own(stream: Iterable[Anonymized], segment: Segment) -> Iterator[Anonymized]:
    """The frames that a segment is for, with what the audit did around them, too."""
    start = segment.lead
    for done in stream:
        stop = start + len(done.frames)
        first, end = (min(max(number, start), stop) - start for number in (segment.start, segment.stop))
        inside = (done.faces.frame >= first) & (done.faces.frame < end)
        outcomes = tuple(outcome for outcome, row in zip(done.outcomes, inside.tolist(), strict=True) if row)
        faces = done.faces[inside]
        yield Anonymized(done.frames[first:end], replace(faces, frame=faces.frame - first), outcomes, audit=done.audit)
        start = stop
