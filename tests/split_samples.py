"""Videos in segments for tests, and an anonymizer without networks that works in two halves."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fake_anonymizer import FakeAnonymizer
from video_samples import make_video

from anonymizer import Config, GenerateConfig, Outcome, TrackConfig
from anonymizer.anonymize import Anonymized
from anonymizer.batches import Faces, Frames
from anonymizer.people import People
from pipelines.inputs import Kind, Source
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.segments import anonymize_in_segments, stages
from pipelines.settings import OutputConfig
from pipelines.split import Split, split
from pipelines.video import anonymize_video
from pipelines.workers import Alone

CONFIG = Config(track=TrackConfig(stride=4, window=4), generate=GenerateConfig(method="solid"))
COUNT, LENGTH = 170, 40
EXACT = OutputConfig(crf=0)  # H.264 without losses


class Halves(FakeAnonymizer):
    """Tracks and renders what ``FakeAnonymizer`` finds, and counts the frames."""

    def __init__(self, config: Config = CONFIG) -> None:
        super().__init__(config)
        self.tracked = self.rendered = 0

    def track(
        self, batches: Iterable[Frames], people: People | None = None, lead: int = 0
    ) -> Iterator[tuple[Frames, Faces]]:
        for batch in batches:
            self.tracked += len(batch)
            yield batch, self.inspect(batch)

    def render(self, tracked: Iterable[tuple[Frames, Faces]], looks: object, **_: Any) -> Iterator[Anonymized]:
        for frames, faces in tracked:
            self.rendered += len(frames)
            pixels = frames.pixels.clone()
            for frame, (x0, y0, x1, y1) in zip(faces.frame.tolist(), faces.boxes.int().tolist(), strict=True):
                pixels[frame, y0:y1, x0:x1] = 0
            yield Anonymized(Frames(pixels, frames.times), faces, (Outcome.COVERED,) * len(faces))


def make_source(folder: Path) -> Path:
    """A video with B-frames and sound, a key frame every tenth frame."""
    return make_video(folder / "in.mp4", range(COUNT), options={"g": "10", "bf": "2"}, audio="aac")


def job(source: Path, name: str = "out.mp4") -> Job:
    return Job(Source(source, Kind.VIDEO), source.with_name(name))


def work_on(source: Path, name: str = "out.mp4") -> Split:
    """The video, split."""
    work = split(job(source, name), CONFIG, EXACT, LENGTH)
    assert work is not None
    return work


def run(work: Split, anonymizer: Any) -> None:
    """Do what is left to do, but for the joining."""
    for step in (step for stage in stages(work) for step in stage if not step.done):
        step.run(anonymizer)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def in_segments(what: Job, anonymizer: Any, output: OutputConfig = EXACT, length: int = LENGTH) -> Result:
    """All of a video, in segments if it can be split."""
    result = Result(what)
    with result.guarded():
        work = split(what, anonymizer.config, output, length)
        done = anonymize_in_segments(work, Alone(lambda config: anonymizer, anonymizer.config)) if work else None
        return done or anonymize_video(what, anonymizer, output)
    return result
