"""``anonymizer evaluate``: how well this installation hides people, and what it keeps of their faces.

The gallery holds a photograph of each person, probes are another one of each, anonymized. Of each, the face nearest to
the middle counts. A probe in which no face is found any more is looked at where it was: attackers may know that, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer import identity
from anonymizer.batches import Faces, Frames, Meshes
from anonymizer.config import Config
from anonymizer.detect import DETECTORS
from anonymizer.errors import ConfigError
from anonymizer.face_model import load_face_model
from anonymizer.generate.base import FAILURES, Outcome
from anonymizer.mesh import MeshEstimator
from anonymizer.traits import TRAITS, TraitReader
from pipelines import attacks, figures
from pipelines.identities import Person, batches, people_in
from pipelines.progress import progress
from pipelines.recognizers import Embeddings, Onnx, Recognizer, at_hand, named
from pipelines.report import made_with
from pipelines.utility import Change, comparable, compare, summary
from pipelines.views import View, nearest, same

if TYPE_CHECKING:
    from anonymizer.anonymize import Anonymizer

TRIED = 64  # people by whom it is found out how to feed a network
COVERS = (Outcome.COVERED, Outcome.NOT_SEEN, *FAILURES)
OTHER = "mtcnn"  # the detector that looks as well, as it has nothing in common with the default one
NOBODY = "nobody can be recognized: there are no two people with two photographs each"
PUBLISHED = {
    "CIAGAN": "LFW's pairs, one of each anonymized, FaceNets of CASIA-WebFace and VGGFace2: TAR at FAR 1e-3 1.9-3.3%",
    "RiDDLE": "LFW, as CIAGAN: 1.1-3.2%",
    "G2Face": "LFW, identification rate 0.7-0.9%",
    "FAMS": "CelebA-HQ and FFHQ, anonymized against originals of the same photographs: rank-1 0.8-9.8%",
    "DeepPrivacy2": "COCO, faces still detected 94.2% (best method 98.0%)",
}
"""What others report of themselves, with other recognizers, detectors and people: only the order of size compares."""

Advance = Callable[[int], object]
Mask = NDArray[np.bool_]


@dataclass
class Seen:
    """What was seen of people, batch by batch; nothing else is kept of their photographs.

    Attributes:
        embeddings: by role, see ``attacks.Embedded``: a list a batch, of one array a recognizer, NaN without a face.
        changes: faces of the probes, all of them, before and after.
        outcomes: how many faces had which.
        found: by detector, how many faces of the probes it finds before, and how many of those after.
        traits: ``(P, 4)``, what people seem like; see ``TraitReader.measure``.
        faces: ``(P, 3)`` bool, whether the face of a person was found, is found in the result, is only covered.
    """

    embeddings: dict[str, list[list[Embeddings]]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    found: dict[str, tuple[int, int]] = field(default_factory=dict)
    traits: list[Tensor] = field(default_factory=list)
    faces: list[Tensor] = field(default_factory=list)

    def known(self, recognizer: int) -> dict[str, Embeddings]:
        """Embeddings by role, a row a person."""
        return {role: np.concatenate([part[recognizer] for part in parts]) for role, parts in self.embeddings.items()}

    def count(self, detector: str, before: Tensor, after: Tensor) -> None:
        """Faces ``(N,)`` that a detector finds in originals, and in results."""
        was, still = self.found.get(detector, (0, 0))
        self.found[detector] = was + int(before.sum()), still + int((before & after).sum())


class Evaluator:
    """Looks at people before and after.

    Args:
        anonymizer: what is evaluated.
        parrot: the same without its key.
        raw: the same without the audit.

    Attributes:
        device: where networks run.
        seen: what was seen so far.
    """

    def __init__(self, anonymizer: Anonymizer, parrot: Anonymizer, raw: Anonymizer) -> None:
        self._anonymizer, self._parrot, self._raw = anonymizer, parrot, raw
        self.device = anonymizer.device
        self._estimator = MeshEstimator(self.device)
        self._reader = TraitReader((), identity.Recognizer(self.device))
        self._model = load_face_model()
        self._other = DETECTORS[OTHER](anonymizer.config.detect, self.device)
        self.seen = Seen()

    def choose(self, candidates: Sequence[Onnx], people: Sequence[Person]) -> Onnx:
        """The one that tells the originals of ``people`` apart best."""
        pairs = [(person.probe, person.gallery) for person in people if person.gallery][:TRIED]
        parts: list[list[list[Embeddings]]] = [[], []]
        for paths, column in zip(zip(*pairs, strict=True), parts, strict=True):
            for frames in batches(paths, self._anonymizer.batch_size):
                faces = self._anonymizer.inspect(frames)
                column.append(_embed(candidates, self._view(frames, faces), nearest(faces, frames)))
        probes, gallery = ([np.concatenate(arrays) for arrays in zip(*column, strict=True)] for column in parts)
        apart = [_separation(*pair) for pair in zip(probes, gallery, strict=True)]
        return candidates[int(np.argmax(apart))]

    def galleries(self, paths: Sequence[Path], recognizers: Sequence[Recognizer], advance: Advance) -> None:
        """Look at photographs of the gallery, as they are and as the parrot anonymizes them."""
        for frames in batches(paths, self._anonymizer.batch_size):
            done = self._parrot.stills(frames)
            rows = nearest(done.faces, frames)
            after, _ = self._after(done.frames, done.faces)
            self._add("gallery", _embed(recognizers, self._view(frames, done.faces), rows))
            self._add("parrot", _embed(recognizers, after, rows))
            advance(len(frames))

    def probes(self, paths: Sequence[Path], recognizers: Sequence[Recognizer], advance: Advance) -> None:
        """Anonymize photographs, and compare what comes of them; for those who cannot be recognized, without any
        recognizers.
        """
        for frames in batches(paths, self._anonymizer.batch_size):
            done = self._anonymizer.stills(frames)
            rows, before = nearest(done.faces, frames), self._view(frames, done.faces)
            after, still = self._after(done.frames, done.faces)
            if recognizers:
                self._add("original", _embed(recognizers, before, rows))
                self._add("hidden", _embed(recognizers, after, rows))
                self._add("raw", _embed(recognizers, self._after(self._raw.stills(frames).frames, done.faces)[0], rows))
            usable = comparable(before) & still
            self.seen.changes.append(compare(before.rows(usable), after.rows(usable), self._model))
            self.seen.outcomes.update(done.outcomes)
            self._detect(before, done.frames, still)
            self._describe(before, rows, still, torch.tensor([outcome in COVERS for outcome in done.outcomes]))
            advance(len(frames))

    def _add(self, role: str, embeddings: list[Embeddings]) -> None:
        self.seen.embeddings.setdefault(role, []).append(embeddings)

    def _view(self, frames: Frames, faces: Faces) -> View:
        return View(frames, faces, self._estimator.measure(frames, faces) if len(faces) else Meshes.none())

    def _after(self, frames: Frames, faces: Faces) -> tuple[View, Tensor]:
        """What became of ``faces`` in the results ``frames``, row by row, and whether each is still found ``(N,)``."""
        found = self._anonymizer.inspect(frames)
        place = same(faces, found)
        still = place >= 0
        rows = torch.where(still, place, len(found) + torch.arange(len(faces)))
        return self._view(frames, Faces.cat([found, faces])[rows]), still

    def _detect(self, before: View, results: Frames, still: Tensor) -> None:
        threshold = self._anonymizer.config.detect.threshold
        self.seen.count(f"{self._anonymizer.config.detect.detector} and blazeface", torch.ones_like(still), still)
        found = [self._other.detect(frames) for frames in (before.frames, results)]
        was, there = (same(before.faces, faces[faces.scores >= threshold]) >= 0 for faces in found)
        self.seen.count(f"{OTHER}, of those that it finds before", was, there)

    def _describe(self, before: View, rows: Tensor, still: Tensor, covered: Tensor) -> None:
        there = rows >= 0
        traits, faces = torch.full((len(rows), len(TRAITS)), torch.nan), torch.zeros(len(rows), 3, dtype=torch.bool)
        seen = rows[there]
        traits[there] = self._reader.measure(before.frames, before.faces[seen])
        faces[there] = torch.stack([torch.ones_like(seen, dtype=torch.bool), still[seen], covered[seen]], dim=1)
        self.seen.traits.append(traits)
        self.seen.faces.append(faces)


def _embed(recognizers: Iterable[Recognizer], view: View, rows: Tensor) -> list[Embeddings]:
    """The faces in ``rows (P,)`` of a view, -1 for none: an array ``(P, D)`` a recognizer."""
    there, embedded = rows >= 0, []
    for recognizer in recognizers:
        vectors = recognizer.embed(view.rows(rows[there]))
        embedded.append(np.full((len(rows), vectors.shape[1]), np.nan))
        embedded[-1][there.numpy()] = vectors
    return embedded


def _complete(*columns: Embeddings) -> Mask:
    complete: Mask = ~np.any([np.isnan(column).any(1) for column in columns], axis=0)
    return complete


def _separation(probes: Embeddings, gallery: Embeddings) -> float:
    known = _complete(probes, gallery)
    return figures.separation(figures.distances(probes[known], gallery[known])) if known.sum() > 1 else 0.0


def evaluate(
    folder: Path, count: int | None, files: Sequence[Path], config: Config, load: Callable[..., Anonymizer]
) -> dict[str, Any]:
    """All figures, as plain values.

    Args:
        folder: see ``identities.people_in``.
        count: of people, None for all.
        files: ONNX networks that try to recognize people, besides those ``at_hand``.
        config: how faces are replaced.
        load: makes what replaces them, as ``Anonymizer`` does.

    Raises:
        ConfigError, WeightsError, MediaError: a setting is wrong, a network or a photograph cannot be read.
    """
    people = people_in(folder, count)
    pairs = [person for person in people if person.gallery]
    if len({file.name for file in files}) < len(files):
        raise ConfigError("two recognizers have the same file name")
    candidates = named(files)
    keyless = replace(config, generate=replace(config.generate, seed=None))
    evaluator = Evaluator(load(config), load(keyless), load(config, audited=False))
    recognizers, notes = _recognizers(evaluator, pairs, candidates)
    with progress("evaluate", len(people) + len(pairs), "photographs") as advance:
        if recognizers:
            evaluator.galleries([person.gallery for person in pairs if person.gallery], recognizers, advance)
        evaluator.probes([person.probe for person in people[: len(pairs)]], recognizers, advance)
        evaluator.probes([person.probe for person in people[len(pairs) :]], (), advance)
    return {
        "dataset": str(folder),
        "people": len(people),
        "people_with_two_photographs": len(pairs),
        "settings": config.as_dict(),
        **made_with(),
        **_figures(evaluator.seen, recognizers),
        "attacks": attacks.ATTACKS,
        "published": PUBLISHED,
        "notes": notes,
    }


def _recognizers(
    evaluator: Evaluator, pairs: Sequence[Person], candidates: Sequence[Sequence[Onnx]]
) -> tuple[list[Recognizer], list[str]]:
    """Those that work, and lines about those that do not."""
    if len(pairs) < 2:
        return [], [NOBODY]
    there = list(at_hand(evaluator.device))
    notes = [line for line in there if isinstance(line, str)]
    recognizers = [recognizer for recognizer in there if not isinstance(recognizer, str)]
    for choices in candidates:
        chosen = evaluator.choose(choices, pairs)
        notes.append(f"{chosen.name}: fed {chosen.scale}, which tells originals apart best")
        recognizers.append(chosen)
    return recognizers, notes


def _figures(seen: Seen, recognizers: Sequence[Recognizer]) -> dict[str, Any]:
    known = [seen.known(number) for number in range(len(recognizers))]
    faces, traits = torch.cat(seen.faces).numpy(), torch.cat(seen.traits).numpy()
    compared = np.zeros(len(faces), dtype=np.bool_)
    if known:
        complete = _complete(*(column for roles in known for column in roles.values()))
        compared[: len(complete)] = complete
        known = [{role: column[complete] for role, column in roles.items()} for roles in known]
    names = [recognizer.name for recognizer in recognizers] if compared.sum() > 1 else []
    by_name = dict(zip(names, known, strict=False))
    hits = {name: attacks.naive_hits(roles) for name, roles in by_name.items()}
    return {
        "recognition": {name: attacks.recognition(roles) for name, roles in by_name.items()},
        "outcomes": dict(seen.outcomes),
        "still_found": {name: {"before": was, "after": still} for name, (was, still) in seen.found.items()},
        "utility": summary(Change.cat(seen.changes)),
        "groups": attacks.by_group(attacks.groups(traits), faces, compared, hits),
        "groups_left_out": attacks.left_out(traits),
    }
