"""The first page to read: composes the stages.

frames -> faces (detect, track) -> what is taken from them (observe, smooth) -> new faces (generate) -> frames (blend)
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from anonymizer import device as devices
from anonymizer.aspects import Chooser
from anonymizer.audit import Audit
from anonymizer.audition import Audition
from anonymizer.batches import Faces, Frames
from anonymizer.casting import Director, cast_frames
from anonymizer.config import Config
from anonymizer.consent import Consents, Decision, Judgment, is_kept, judge_pictures
from anonymizer.detect import DETECTORS, Both
from anonymizer.detect.blazeface import BlazeFaceDetector
from anonymizer.envelope import Envelope, Plain
from anonymizer.errors import ConfigError
from anonymizer.evidence import Evidence, find
from anonymizer.face_model import load_face_model
from anonymizer.foreseen import Foreseen, between, look_at, set_apart
from anonymizer.generate import GENERATORS
from anonymizer.generate.base import Persona
from anonymizer.generate.looks import Look
from anonymizer.generate.seeds import digest
from anonymizer.generate.steady import Steady
from anonymizer.generate.synthetic import Synthetic
from anonymizer.identity import CROPS, PLAIN, Recognizer
from anonymizer.jury import Jury
from anonymizer.mesh import MeshEstimator
from anonymizer.observe import Observer, keep_light
from anonymizer.occlusion import OcclusionEstimator
from anonymizer.paint import Anonymized, Painter, cover
from anonymizer.people import People
from anonymizer.prefetch import prefetch
from anonymizer.smooth import smooth
from anonymizer.subjects import Casting
from anonymizer.track import follow
from anonymizer.traits import UNKNOWN, TraitReader
from anonymizer.troupe import Troupe
from anonymizer.trust import Belief
from anonymizer.watch import Watch

BATCHES_AHEAD = 1  # that wait between the threads that track, observe and render

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


class Anonymizer:
    """Replaces every face that is found. Networks are loaded, and fetched if need be, on construction.

    Args:
        config: all settings.
        subjects: knows people in all files, and gives them their personas; without it, every file has its own.
        consents: of people who stay visible where a face is surely theirs.
        audited: whether new faces and personas are held against the real ones; not only to measure what that does.

    Attributes:
        device: where the networks run.
        batch_size: frames that are best given together.
        timings: seconds spent so far, by stage.

    Raises:
        WeightsError: a network's weights are missing or altered.
        ConfigError: the device does not exist, or the settings name another key than that of the subjects, other
            consents, or another number of personas.

    Example:
        >>> anonymizer = Anonymizer(Config(generate=GenerateConfig(seed=7)))
        >>> safe = anonymizer.image(picture)  # (H, W, 3) uint8 RGB, numpy or torch
    """

    def __init__(
        self,
        config: Config | None = None,
        subjects: Casting | None = None,
        consents: Consents | None = None,
        *,
        audited: bool = True,
    ) -> None:
        self.config, self.subjects, self.consents = config or Config(), subjects, consents
        if self.config.generate.key != (subjects.key if subjects else None):
            raise ConfigError("the subjects are not those of the key that the settings name")
        if self.config.keep != (consents.name if consents else None):
            raise ConfigError("the consents are not those that the settings name: were files of them changed?")
        self.device = devices.pick(self.config.device)
        self.batch_size = self.config.batch_size or devices.batch_size(self.device)
        self.timings: dict[str, float] = defaultdict(float)
        first = DETECTORS[self.config.detect.detector](self.config.detect, self.device)
        self._detector = Both(first, BlazeFaceDetector(self.device))
        generates = self.config.generate.method == "generate"
        estimator = MeshEstimator(self.device) if generates else None
        self._observer = self._make_observer(estimator) if estimator else None
        recognizer = Recognizer(self.device) if generates or consents else None
        crops = CROPS if subjects or consents else PLAIN
        self._jury = Jury(recognizer, self.device, crops) if recognizer else None
        self._auditor = self._jury if audited and generates else None
        match = self.config.generate.match
        self._reader = TraitReader(match, recognizer) if generates and match and recognizer else None
        generator = GENERATORS[self.config.generate.method](
            self.config.generate, self.device, estimator, self.batch_size
        )
        self._painter = Painter(generator, self._clock)
        seed, count = self.config.generate.seed, self.config.generate.personas
        self._secret = secrets.randbits(63) if seed is None else seed
        auditioned = audited and not subjects
        self._audition = Audition(generator.studio) if auditioned and isinstance(generator, Synthetic) else None
        self._director = Director(self._secret, count, subjects, self._audition)
        if len(self._director.few) != (count or 0):
            raise ConfigError("the subjects have not as many personas as the settings say")

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
            )
            for start in range(0, len(frames), self.batch_size)
        ]
        done = Anonymized.cat(parts) if parts else Anonymized(frames, Faces.none(), ())
        return replace(done, frames=Frames(done.frames.pixels.to(place), done.frames.times))

    def stream(self, batches: Iterable[Frames], foreseen: Foreseen | None = None) -> Iterator[Anonymized]:
        """A video: people keep their personas, and are hidden from the frame in which they enter.

        The tracker looks ahead, so that frames come out later than they go in, cut into other batches, but all of
        them and in order.

        Args:
            batches: the frames, in order.
            foreseen: what was found in the same batches before; needed if this ``sees_twice``, as who somebody is may
                only be seen long after they have entered.

        Raises:
            ConfigError: nothing was foreseen, but has to be.
        """
        if foreseen:
            pairs = foreseen.paired(self._upload(batch) for batch in batches)
            return self._render(pairs, foreseen, self._secret, b"", ())
        if self.sees_twice:
            raise ConfigError("to know the people of a video, it has to be seen twice: see Anonymizer.foresee")
        people = People()
        return self.render(self.track(batches, people), people.looks)

    @property
    def sees_twice(self) -> bool:
        """Whether videos have to be foreseen."""
        return self.subjects is not None or self.config.whole

    @property
    def envelope(self) -> Envelope:
        """For what is kept of the people of a video until it is done; with a key nobody else can read it."""
        return self.subjects.envelope if self.subjects else Plain()

    def foresee(self, batches: Iterable[Frames]) -> Foreseen:
        """Look at all of a video before any of it is rendered, to know who its people are; see ``stream``."""
        people = People()
        watch = Watch(self.consents, self._jury) if self.consents and self._jury else None
        found, watched, source = look_at(self.track(batches, people), watch)
        others, kept = set_apart(found, watched.tracks)
        # whose face stays at times is no subject: that would tell whose persona it is in other files
        personas = self._director.people(people, without=set(kept.tracks.tolist()))
        troupe = self._director.video(source, others, personas)
        return Foreseen(others, people.looks, personas, troupe, kept, watched.decisions)

    def cast(self, people: People, looks: Mapping[int, Look], secret: int, source: bytes) -> dict[int, Persona]:
        """The personas of those who can be told in a video that is rendered in parts, by number; see ``render``."""
        return self._director.parts(people, looks, secret, source)

    def track(
        self, batches: Iterable[Frames], people: People | None = None, lead: int = 0
    ) -> Iterator[tuple[Frames, Faces]]:
        """The first half of ``stream``: each batch with the faces in it, which are numbered; see ``track.follow``."""
        uploaded = (self._upload(batch) for batch in batches)
        tracks = follow(uploaded, self._detector, self.config, self._jury, self._reader, people, lead)
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
            personas: of those who have one in all videos, or in all parts of this one, by number; see ``cast``.
            secret: what personas are drawn from; by default the seed of the settings, or this object's own secret.
            source: names the video, so that every video has its own personas; by default its first picture of a face.
                With it these frames are only a part of the video, and personas last: the audit draws no others, as
                those of people who can be told were chosen before.
            fresh: numbers of frames in which portraits are chosen whatever came before; see ``aspects.Chooser``.
        """
        known = Foreseen((), looks, personas or {})
        return self._render(tracked, known, self._secret if secret is None else secret, source, fresh)

    def _render(
        self,
        tracked: Iterable[tuple[Frames, Faces]],
        known: Foreseen,
        secret: int,
        source: bytes,
        fresh: Collection[int],
    ) -> Iterator[Anonymized]:
        steady, chooser, start = Steady(), Chooser(fresh), 0
        audit = self._audit(moving=True, lasting=bool(source), troupe=known.troupe)
        with (
            closing(prefetch(tracked, BATCHES_AHEAD)) as found,
            closing(prefetch(self._observed(found), BATCHES_AHEAD)) as observed,
        ):
            for frames, belief in smooth(keep_light(observed)):
                # not the first frame, which is black in many videos
                if not source and len(belief.faces):
                    source = digest(frames.pixels[belief.faces.frame[0]])
                personas = cast_frames(secret, source, belief.faces, known.looks, known.personas)
                belief, kept = chooser.choose(belief, len(frames)), between(known.kept, start, start + len(frames))
                yield self._painter.replace(frames, belief, personas, kept=kept, audit=audit, steady=steady)
                start += len(frames)

    def inspect(self, frames: Frames, evidence: Evidence | None = None) -> Faces:
        """The faces that ``stills`` would replace or cover."""
        return Faces.cat(self._find(frames, evidence or Evidence.none()))

    def _find(self, frames: Frames, evidence: Evidence) -> tuple[Faces, Faces]:
        with self._clock("detect"):
            return find(self._detector, frames, evidence, self.config.detect.threshold)

    def _upload(self, frames: Frames) -> Frames:
        return Frames(frames.pixels.to(self.device, non_blocking=True), frames.times)

    def _still_batch(self, frames: Frames, evidence: Evidence) -> Anonymized:
        found, missed = self._find(frames, evidence)
        judged = self._judged(frames, found)
        stays = torch.tensor([is_kept(judgment) for judgment in judged], dtype=torch.bool)
        belief = self._observe(frames, found[~stays])
        looks = self._reader.read(frames, belief.faces) if self._reader else [UNKNOWN] * len(belief.faces)
        personas, troupe = self._director.pictures(self._jury, frames, belief.faces, looks)
        audit = self._audit(moving=False, troupe=troupe)
        done = cover(self._painter.replace(frames, belief, personas, kept=found[stays], audit=audit), missed)
        return replace(done, decisions=tuple(Decision(judgment) for judgment in judged if judgment))

    def _judged(self, frames: Frames, faces: Faces) -> list[Judgment | None]:
        """Which faces of independent pictures are of somebody who consented."""
        if not self.consents or not self._jury:
            return [None] * len(faces)
        with self._clock("recognize"):
            return judge_pictures(self.consents, self._jury, frames, faces, faces.seen)

    def _observed(self, found: Iterable[tuple[Frames, Faces]]) -> Iterator[tuple[Frames, Belief]]:
        return ((frames, self._observe(frames, faces)) for frames, faces in found)

    def _observe(self, frames: Frames, faces: Faces) -> Belief:
        with self._clock("mesh"):
            return self._observer.observe(frames, faces) if self._observer else Belief.blind(faces)

    def _audit(self, *, moving: bool, lasting: bool = False, troupe: Troupe | None = None) -> Audit | None:
        if not self._auditor:
            return None
        lasting |= self.subjects is not None
        return Audit(self._auditor, moving=moving, lasting=lasting, troupe=troupe, audition=self._audition)

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
