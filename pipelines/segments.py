"""One long video in steps that can be done anywhere, and again: track, agree on who is who, render, join.

All steps of a stage may be done at the same time; a stage begins when the one before is done. Each step writes one
file, whole or not at all, so that of work that was broken off at most one step a worker is done again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from anonymizer.agree import agree
from anonymizer.anonymize import Anonymized
from anonymizer.aspects import SETTLED
from anonymizer.batches import Faces, Frames
from anonymizer.errors import ConfigError, LeakError, SeekError
from anonymizer.media.parts import Part, PartWriter, is_written, join
from anonymizer.media.timeline import Timeline
from anonymizer.media.video import VideoReader
from anonymizer.people import People
from anonymizer.prefetch import prefetch
from anonymizer.sightings import Sightings
from anonymizer.smooth import REACH
from pipelines.report import Result
from pipelines.split import LENGTH, Segment, Split, split
from pipelines.video import BATCHES_AHEAD, anonymize_video, tell_left_out

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer
    from pipelines.plan import Job
    from pipelines.settings import OutputConfig


class Step(Protocol):
    """Work that can be sent to another process, and depends on nothing but files."""

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


def anonymize_in_segments(job: Job, anonymizer: Anonymizer, output: OutputConfig, length: int = LENGTH) -> Result:
    """Do all steps, one after the other; a video that cannot be split is done as a whole.

    What a run that was broken off has done is not done again.
    """
    result, start = Result(job), time.perf_counter()
    written = False
    with result.guarded():
        work = split(job, anonymizer.config, output, length)
        written = work is not None and _finished(work, anonymizer, result)
    if not written and result.error is None:
        return anonymize_video(job, anonymizer, output)
    result.seconds = time.perf_counter() - start
    return result


def _finished(work: Split, anonymizer: Anonymizer, result: Result) -> bool:
    """Do all steps; False if the video turns out to be one that cannot be split."""
    try:
        for step in (step for stage in stages(work) for step in stage if not step.done):
            step.run(anonymizer)
    except SeekError:
        work.discard()
        return False
    finish(work, result)
    return True


@dataclass(frozen=True)
class Track:
    """Find the faces of a segment."""

    work: Split
    number: int

    @property
    def done(self) -> bool:
        """Whether its file is there."""
        return self.work.faces(self.number).exists()

    def run(self, anonymizer: Anonymizer) -> None:
        """See ``Step``."""
        _check_settings(self.work, anonymizer)
        segment, timeline = self.work.segments[self.number], self.work.timeline()
        shared = {at for near in self.work.segments for at in (near.lead, near.start)}
        people = People()
        with (
            VideoReader(self.work.job.source.path) as reader,
            closing(_read(reader, timeline, segment.lead, segment.tail, anonymizer)) as batches,
        ):
            tracked = anonymizer.track(batches, people, lead=segment.start - segment.lead)
            found = Sightings.collect(tracked, people, timeline.unit, segment.lead, segment.own, shared)
        if tuple(found.times.tolist()) != timeline.times[segment.lead : segment.tail]:
            raise LeakError("not all frames of a segment were looked at", path=self.work.job.source.path)
        found.save(self.work.faces(self.number))


@dataclass(frozen=True)
class Agree:
    """Give the people of all segments one number each."""

    work: Split

    @property
    def done(self) -> bool:
        """Whether its file is there."""
        return self.work.has_people()

    def run(self, anonymizer: Anonymizer) -> None:
        """See ``Step``."""
        segments = (Sightings.load(self.work.faces(number)) for number in range(len(self.work.segments)))
        self.work.keep_people(*agree(segments, [segment.own for segment in self.work.segments]))


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
            part.close(reader.end, {"faces": dict(counted.faces)})

    def _rendered(self, batches: Iterable[Frames], anonymizer: Anonymizer, timeline: Timeline) -> Iterator[Anonymized]:
        tables, source = self.work.people()
        found = Sightings.load(self.work.faces(self.number)).renumbered(tables[self.number])
        # before each joint both segments choose portraits whatever came before, so that they choose the same
        fresh = {segment.start - SETTLED - found.first for segment in self.work.segments[1:]}
        pairs = _paired(batches, found, timeline)
        return anonymizer.render(pairs, secret=self.work.secret(), source=bytes.fromhex(source), fresh=fresh)


def finish(work: Split, result: Result) -> None:
    """Join the segments to ``work.job.target``, count what became of the faces, and delete the folder.

    Raises:
        MediaError: a segment is missing or altered, or writing fails.
    """
    parts = [work.part(number) for number in range(len(work.segments))]
    timeline, output = work.timeline(), work.output
    with VideoReader(work.job.source.path) as reader:
        tell_left_out(reader.info)
        join(
            work.job.target,
            parts,
            reader.info,
            timeline,
            codec=output.codec,
            crf=output.crf,
            encoder=output.encoder,
            audio=output.audio,
        )
    result.frames = len(timeline)
    for part in parts:
        result.faces += Counter(Part.read(part).notes["faces"])
    work.discard()


def _check_settings(work: Split, anonymizer: Anonymizer) -> None:
    if anonymizer.config != work.config:
        raise ConfigError("the settings are not those with which the video was split")


def _read(
    reader: VideoReader, timeline: Timeline, start: int, stop: int, anonymizer: Anonymizer
) -> Generator[Frames, None, None]:
    return prefetch(reader.excerpt(timeline, start, stop, anonymizer.batch_size), BATCHES_AHEAD)


def _paired(batches: Iterable[Frames], found: Sightings, timeline: Timeline) -> Iterator[tuple[Frames, Faces]]:
    """Frames with the faces that were found in them.

    Raises:
        LeakError: nobody looked at a frame.
    """
    start = found.first
    for frames in batches:
        stop = start + len(frames)
        times = found.times[start - found.first : stop - found.first].tolist()
        if [time * timeline.unit for time in times] != list(frames.times):
            raise LeakError("nobody looked for faces in a frame", time=frames.times[0])
        yield frames, found.between(start, stop)
        start = stop


def _own(stream: Iterable[Anonymized], segment: Segment) -> Iterator[Anonymized]:
    """The frames that a segment is for."""
    start = segment.lead
    for done in stream:
        stop = start + len(done.frames)
        first, end = (min(max(number, start), stop) - start for number in (segment.start, segment.stop))
        inside = (done.faces.frame >= first) & (done.faces.frame < end)
        outcomes = tuple(outcome for outcome, row in zip(done.outcomes, inside.tolist(), strict=True) if row)
        faces = done.faces[inside]
        yield Anonymized(done.frames[first:end], replace(faces, frame=faces.frame - first), outcomes)
        start = stop
