"""Chooses whom people are replaced by before anything is rendered, so that nobody is replaced by somebody who is alike.

It is for those whose personas last, in all files of a key or in all segments of a video: the ``audit`` draws nobody
else for them once they are shown. Of the personas to whom a seed leads, the first one is taken whose portrait, at rest
and from the front, looks unlike all that is known of the person. So the choice depends on no picture that is made.

A portrait tells only roughly how far the face will be that is made of it, with other hair, light, pose and expression.
Of 360 faces, six personas for each of 60 people of Labeled Faces in the Wild, the correlation of both distances is 0.64
within a person (grey portraits, several a persona, or faces without hair seemed no better). Hence a limit that one
portrait of a stranger in ten passes: most people get the least alike of eight. With a key, of 60 faces in those
photographs 28% are nearer than 0.75, by dlib's distance in the picture, and none nearer than 0.6, instead of 58% and 7%
with the first persona; in other photographs of the same people, of 60 again, 28% and 2% instead of 57% and 7%.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer.face_model import features
from anonymizer.generate.base import Persona
from anonymizer.generate.personas import SKETCH, Studio, stills, whole_pictures
from anonymizer.identity import Recognizer

UNLIKE = 0.6  # distance of embeddings of length 1 from which a portrait is unlike a person
TRIES = 7  # personas after the first one


class Audition:
    """Holds portraits of personas against what is known of people.

    Args:
        studio: draws the portraits.
        recognizer: embeds them, as it did the people.
    """

    def __init__(self, studio: Studio, recognizer: Recognizer) -> None:
        self._studio, self._recognizer = studio, recognizer

    def choose(self, personas: Mapping[int, Persona], views: Mapping[int, Tensor]) -> dict[int, int]:
        """After how many tries somebody is found who is unlike each person: the first one, or the least alike of all.

        Args:
            personas: by person, with whom the tries begin; see ``Persona.another``.
            views: by person, embeddings ``(K, 128)`` of the real face, of any length.
        """
        away: dict[int, list[float]] = {who: [] for who in personas}
        for tries in range(1 + TRIES):
            left = [who for who, distances in away.items() if max(distances, default=0) < UNLIKE]
            portraits = self._embed([personas[who].another(tries) for who in left])
            for who, portrait in zip(left, portraits, strict=True):
                away[who].append(float((F.normalize(views[who], dim=1) - portrait).norm(dim=1).amin().nan_to_num(0)))
        return {who: distances.index(max(distances)) for who, distances in away.items()}

    def _embed(self, personas: Sequence[Persona]) -> Tensor:
        """Embeddings of portraits ``(N, 128)``, of length 1."""
        if not personas:
            return torch.zeros(0, 128)
        portraits = self._studio.at_rest(personas)
        points = torch.stack([portrait.points for portrait in portraits])
        faces = replace(whole_pictures(len(portraits), SKETCH), landmarks=features(points))
        frames = stills(torch.stack([portrait.pixels for portrait in portraits]))
        return F.normalize(self._recognizer.embed(frames, faces), dim=1)
