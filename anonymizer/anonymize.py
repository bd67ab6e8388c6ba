"""The first page to read: composes the stages.

frames -> faces (detect, track) -> what is taken from them (observe, smooth) -> new faces (generate) -> frames (blend)
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from anonymizer import device as devices
from anonymizer.aspects import Chooser
from anonymizer.audit import REFUSED, Audit
from anonymizer.batches import Faces, Frames
from anonymizer.blend import compose
from anonymizer.config import Config
from anonymizer.detect import DETECTORS, Both
from anonymizer.detect.blazeface import BlazeFaceDetector
from anonymizer.errors import ConfigError
from anonymizer.evidence import Evidence, find
from anonymizer.face_model import load_face_model
from anonymizer.foreseen import Foreseen
from anonymizer.generate import GENERATORS
from anonymizer.generate.base import Outcome, Persona
from anonymizer.generate.cover import Cover
from anonymizer.generate.looks import Look
from anonymizer.generate.seeds import derive_seed, digest
from anonymizer.generate.steady import Steady
from anonymizer.identity import CROPS, Recognizer
from anonymizer.mesh import MeshEstimator
from anonymizer.observe import Observer, keep_light
from anonymizer.occlusion import OcclusionEstimator
from anonymizer.people import People
from anonymizer.prefetch import prefetch
from anonymizer.smooth import smooth
from anonymizer.subjects import Casting, cast_stills
from anonymizer.track import follow
from anonymizer.traits import UNKNOWN, TraitReader
from anonymizer.trust import Belief

BATCHES_AHEAD = 1  # that wait between the threads that track, observe and render

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


@dataclass(frozen=True)
class Anonymized:
    """Frames without real faces.

    Attributes:
        frames: as many as came in, unchanged outside the faces.
        faces: the faces that were replaced.
        outcomes: what became of each, one a row of ``faces``.
    """

    frames: Frames
    faces: Faces
    outcomes: tuple[Outcome, ...]


class Anonymizer:
    """Replaces every face that is found. Networks are loaded, and fetched if need be, on construction.

    Args:
        config: all settings.
        subjects: knows people in all files, and gives them their personas; without it, every file has its own.

    Attributes:
        device: where the networks run.
        batch_size: frames that are best given together.
        timings: seconds spent so far, by stage.

    Raises:
        WeightsError: a network's weights are missing or altered.
        ConfigError: the device does not exist, or the settings name another key than that of the subjects.

    Example:
        >>> anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=7)))
        >>> safe = anonymizer.image(picture)  # (H, W, 3) uint8 RGB, numpy or torch
    """

    def __init__(self, config: Config | None = None, subjects: Casting | None = None) -> None:
        self.config, self.subjects = config or Config(), subjects
        if self.config.generate.key != (subjects.key if subjects else None):
            raise ConfigError("the subjects are not those of the key that the settings name")
        self.device = devices.pick(self.config.device)
        self.batch_size = self.config.batch_size or devices.batch_size(self.device)
        self.timings: dict[str, float] = defaultdict(float)
        first = DETECTORS[self.config.detect.detector](self.config.detect, self.device)
        self._detector = Both(first, BlazeFaceDetector(self.device))
        generates = self.config.generate.method == "generate"
        estimator = MeshEstimator(self.device) if generates else None
        self._observer = self._make_observer(estimator) if estimator else None
        self._recognizer = Recognizer(self.device, CROPS if subjects else CROPS[:1]) if generates else None
        match = self.config.generate.match
        self._reader = TraitReader(match, self.device) if generates and match else None
        self._generator = GENERATORS[self.config.generate.method](
            self.config.generate, self.device, estimator, self.batch_size
        )
        seed = self.config.generate.seed
        self._secret = secrets.randbits(63) if seed is None else seed

    def _make_observer(self, estimator: MeshEstimator) -> Observer:
        model, keeps = load_face_model(), self.config.generate.occluders == "keep"
        return Observer(estimator, model, OcclusionEstimator(model, self.device) if keeps else None)

    def image(self, pixels: Pixels) -> Pixels:
        """One picture ``(H, W, 3)`` uint8 or uint16 RGB, a numpy array or a tensor on any device; the same back."""
        return self.images(pixels[None])[0]

    def images(self, pixels: Pixels) -> Pixels:
        """Independent pictures of one size ``(N, H, W, 3)`` uint8 or uint16 RGB; the same back."""
        given = torch.from_numpy(np.ascontiguousarray(pixels)) if isinstance(pixels, np.ndarray) else pixels
        frames = self.stills(Frames(given, (Fraction(0),) * len(given))).frames
        return frames.pixels.numpy() if isinstance(pixels, np.ndarray) else frames.pixels

    def frames(self, batches: Iterable[Frames]) -> Iterator[Frames]:
        """The frames of a video, in order, in batches of any length; the same frames back, on the networks' device."""
        return (anonymized.frames for anonymized in self.stream(batches))

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        """Independent pictures. Each is treated alike whichever pictures come with it.

        Args:
            frames: the pictures, upright.
            evidence: what labels say about them; faces that they name and nobody finds are covered.
        """
        place, known = frames.pixels.device, evidence or Evidence.none()
        parts = [
            self._still_batch(
                self._upload(frames[start : start + self.batch_size]),
                known.within(start, start + self.batch_size),
                start,
            )
            for start in range(0, len(frames), self.batch_size)
        ]
        done = Frames.cat([part.frames for part in parts]) if parts else frames
        return Anonymized(
            Frames(done.pixels.to(place), done.times),
            Faces.cat([Faces.none(), *(part.faces for part in parts)]),
            tuple(outcome for part in parts for outcome in part.outcomes),
        )

    def stream(self, batches: Iterable[Frames], foreseen: Foreseen | None = None) -> Iterator[Anonymized]:
        """A video: people keep their personas, and are hidden from the frame in which they enter.

        The tracker looks ahead, so that frames come out later than they go in, cut into other batches, but all of
        them and in order.

        Args:
            batches: the frames, in order.
            foreseen: what was found in the same batches before; needed where there are ``subjects``, as who somebody
                is may only be seen long after they have entered.

        Raises:
            ConfigError: there are subjects, and nothing was foreseen.
        """
        if foreseen:
            pairs = foreseen.paired(self._upload(batch) for batch in batches)
            return self.render(pairs, foreseen.looks, personas=foreseen.personas)
        if self.subjects:
            raise ConfigError("to know the subjects of a video, it has to be seen twice: see Anonymizer.foresee")
        people = People()
        return self.render(self.track(batches, people), people.looks)

    def foresee(self, batches: Iterable[Frames]) -> Foreseen:
        """Look at all of a video before any of it is rendered, to know who its people are; see ``stream``."""
        people = People()
        found = [(frames.times, faces) for frames, faces in self.track(batches, people)]
        return Foreseen(found, people.looks, self.cast(people))

    def cast(self, people: People) -> dict[int, Persona]:
        """The personas of those who were seen in a video, by number, as far as they are subjects."""
        if not self.subjects or not people.embeddings:
            return {}
        return self.subjects.cast(people.embeddings, people.met, people.looks)

    def track(
        self, batches: Iterable[Frames], people: People | None = None, lead: int = 0
    ) -> Iterator[tuple[Frames, Faces]]:
        """The first half of ``stream``: each batch with the faces in it, which are numbered; see ``track.follow``."""
        uploaded = (self._upload(batch) for batch in batches)
        tracks = follow(uploaded, self._detector, self.config, self._recognizer, self._reader, people, lead)
        return self._timed(tracks, "detect and track")

    def render(
        self,
        tracked: Iterable[tuple[Frames, Faces]],
        looks: Mapping[int, Look],
        *,
        personas: Mapping[int, Persona] | None = None,
        secret: int | None = None,
        source: bytes = b"",
        fresh: Collection[int] = (),
    ) -> Iterator[Anonymized]:
        """The second half: replaces the faces that were found.

        Args:
            tracked: the frames in order, each with all of its faces, whose numbers tell people apart.
            looks: what people seem like, by number; personas are drawn to suit. At the latest known when a face of
                theirs comes.
            personas: of those who have one in all videos, by number.
            secret: what personas are drawn from; by default the seed of the settings, or this object's own secret.
            source: names the video, so that every video has its own personas; by default its first picture of a face.
                With it these frames are only a part of the video, and personas last: the audit draws no others.
            fresh: numbers of frames in which portraits are chosen whatever came before; see ``aspects.Chooser``.
        """
        secret = self._secret if secret is None else secret
        steady, chooser, audit = Steady(), Chooser(fresh), self._audit(moving=True, lasting=bool(source))
        known = personas or {}
        with (
            closing(prefetch(tracked, BATCHES_AHEAD)) as found,
            closing(prefetch(self._observed(found), BATCHES_AHEAD)) as observed,
        ):
            for frames, belief in smooth(keep_light(observed)):
                # not the first frame, which is black in many videos
                if not source and len(belief.faces):
                    source = digest(frames.pixels[belief.faces.frame[0]])
                cast = [
                    known.get(track)
                    or Persona(derive_seed(secret, source, track), looks.get(track, UNKNOWN).attributes)
                    for track in belief.faces.tracks.tolist()
                ]
                yield self._replace(frames, chooser.choose(belief, len(frames)), cast, audit, steady)

    def inspect(self, frames: Frames, evidence: Evidence | None = None) -> Faces:
        """The faces that ``stills`` would replace or cover."""
        return Faces.cat(self._find(frames, evidence or Evidence.none()))

    def _find(self, frames: Frames, evidence: Evidence) -> tuple[Faces, Faces]:
        with self._clock("detect"):
            return find(self._detector, frames, evidence, self.config.detect.threshold)

    def _upload(self, frames: Frames) -> Frames:
        return Frames(frames.pixels.to(self.device, non_blocking=True), frames.times)

    def _still_batch(self, frames: Frames, evidence: Evidence, start: int) -> Anonymized:
        found, missed = self._find(frames, evidence)
        belief = self._observe(frames, found)
        faces, sources = belief.faces, [digest(picture) for picture in frames.pixels]
        order = [int((faces.frame[:row] == frame).sum()) for row, frame in enumerate(faces.frame)]
        looks = self._reader.read(frames, faces) if self._reader else [UNKNOWN] * len(faces)
        known = self._known(frames, faces, looks)
        personas = [
            known.get(row) or Persona(derive_seed(self._secret, sources[frame], number), look.attributes)
            for row, (frame, number, look) in enumerate(zip(faces.frame.tolist(), order, looks, strict=True))
        ]
        done = _covered(self._replace(frames, belief, personas, self._audit(moving=False)), missed)
        return replace(done, faces=replace(done.faces, frame=done.faces.frame + start))

    def _known(self, frames: Frames, faces: Faces, looks: Sequence[Look]) -> dict[int, Persona]:
        """The personas of subjects in independent pictures, by row of ``faces``."""
        if not self.subjects or not self._recognizer:
            return {}
        with self._clock("recognize"):
            return cast_stills(self.subjects, self._recognizer, frames, faces, looks)

    def _observed(self, found: Iterable[tuple[Frames, Faces]]) -> Iterator[tuple[Frames, Belief]]:
        return ((frames, self._observe(frames, faces)) for frames, faces in found)

    def _observe(self, frames: Frames, faces: Faces) -> Belief:
        with self._clock("mesh"):
            return self._observer.observe(frames, faces) if self._observer else Belief.blind(faces)

    def _audit(self, *, moving: bool, lasting: bool = False) -> Audit | None:
        lasting |= self.subjects is not None
        return Audit(self._recognizer, moving=moving, lasting=lasting) if self._recognizer else None

    def _replace(
        self,
        frames: Frames,
        belief: Belief,
        personas: list[Persona],
        audit: Audit | None,
        steady: Steady | None = None,
    ) -> Anonymized:
        done, outcomes = (
            self._audited(frames, belief, personas, audit) if audit else self._paint(frames, frames, belief, personas)
        )
        refused = belief.faces[torch.tensor([outcome in REFUSED for outcome in outcomes], dtype=torch.bool)]
        covers, outcomes = steady.hold(frames, belief.faces, outcomes) if steady else ([], outcomes)
        if covers := [*Cover("solid").cover(frames, refused), *covers]:
            done = compose(done, covers)
        return Anonymized(done, belief.faces, tuple(outcomes))

    def _audited(
        self, frames: Frames, belief: Belief, personas: list[Persona], audit: Audit
    ) -> tuple[Frames, list[Outcome]]:
        """New faces; those that the audit refuses are drawn again as somebody else, over the first ones."""
        named = audit.named(belief)
        done, outcomes = self._paint(frames, frames, belief, audit.cast(named.faces, personas))
        outcomes, again = self._judge(audit, frames, done, named, outcomes)
        while again.any():
            rows = again.nonzero()[:, 0]
            part = named.of(rows)
            cast = audit.cast(part.faces, [personas[row] for row in rows.tolist()])
            done, redone = self._paint(frames, done, belief.of(rows), cast)
            redone, again[rows] = self._judge(audit, frames, done, part, redone)
            for row, outcome in zip(rows.tolist(), redone, strict=True):
                outcomes[row] = outcome
        return done, outcomes

    def _judge(
        self, audit: Audit, frames: Frames, done: Frames, belief: Belief, outcomes: list[Outcome]
    ) -> tuple[list[Outcome], Tensor]:
        with self._clock("audit"):
            return audit.judge(frames, done, belief, outcomes)

    def _paint(
        self, frames: Frames, onto: Frames, belief: Belief, personas: list[Persona]
    ) -> tuple[Frames, list[Outcome]]:
        """Replace what is believed of ``frames`` in a copy of ``onto``."""
        with self._clock("generate"):
            patches, outcomes = self._generator.generate(frames, belief, personas)
        with self._clock("blend"):
            return compose(onto, patches), outcomes

    @contextmanager
    def _clock(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[stage] += time.perf_counter() - start

    def _timed(self, items: Iterator[tuple[Frames, Faces]], stage: str) -> Iterator[tuple[Frames, Faces]]:
        while True:
            with self._clock(stage):
                item = next(items, None)
            if item is None:
                return
            yield item


def _covered(done: Anonymized, missed: Faces) -> Anonymized:
    """Cover labelled faces, too, that nobody found."""
    frames = compose(done.frames, Cover("solid").cover(done.frames, missed))
    outcomes = (*done.outcomes, *[Outcome.LABELLED] * len(missed))
    return Anonymized(frames, Faces.cat([done.faces, missed]), outcomes)
