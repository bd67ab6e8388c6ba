"""Photographs, one by one."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch

from anonymizer.batches import Frames
from anonymizer.evidence import Evidence
from anonymizer.media.formats import format_of
from anonymizer.media.image import Image, Pixels, read_image, write_image
from pipelines.labels import evidence_of
from pipelines.marking import marks_of
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymized, Anonymizer


def as_frames(image: Image) -> Frames:
    """A photograph as a batch of one."""
    return Frames(torch.from_numpy(image.pixels)[None], (Fraction(0),))


def alpha_without_faces(image: Image, anonymizer: Anonymizer, evidence: Evidence | None = None) -> Pixels | None:
    """Transparency can draw a face by itself: make it opaque where a face shows before white or before black."""
    if image.alpha is None:
        return None
    peak = np.iinfo(image.pixels.dtype).max
    share = image.alpha[..., None] / np.float32(peak)
    alpha = image.alpha.copy()
    for ground in (0, peak):
        shown = (image.pixels * share + ground * (1 - share)).astype(image.pixels.dtype)
        for box in anonymizer.inspect(as_frames(replace(image, pixels=shown)), evidence).boxes.tolist():
            x0, y0, x1, y1 = (max(0, round(side)) for side in box)
            alpha[y0:y1, x0:x1] = peak
    return alpha


def anonymize_photo(job: Job, anonymizer: Anonymizer, networks: Executor, output: OutputConfig) -> Result:
    """Write the target of one job, whole or not at all; the anonymizer is used on the one thread of ``networks``."""
    result = Result(job)

    def replace_faces(image: Image, evidence: Evidence) -> tuple[Anonymized, Pixels | None]:
        with result.clock("networks"):
            return anonymizer.stills(as_frames(image), evidence), alpha_without_faces(image, anonymizer, evidence)

    with result.guarded():
        with result.clock("decode"):
            # labels hold coordinates: whether programs turn the picture or not, they find it as it was
            image = read_image(job.source.path, keep_orientation=bool(job.labels))
        evidence, result.notes = evidence_of(job.labels if output.labels == "use" else (), image)
        done, alpha = networks.submit(replace_faces, image, evidence).result()
        result.add(done)
        with result.clock("encode"):
            job.make_folder()
            pixels = done.frames.pixels[0].cpu().numpy()
            says = marks_of(result, format_of(job.target, image.format), anonymizer.config, output)
            new = replace(image.with_pixels(pixels), alpha=alpha)
            write_image(job.target, new, quality=output.quality, says=says)
    result.seconds = sum(result.stages.values())
    return result
