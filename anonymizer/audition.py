"""Chooses whom people are replaced by before faces are drawn, so that nobody is replaced by somebody who is alike.

Of the personas to whom a seed leads, the first one is taken whose looks at rest, as they are guessed from the style,
are unlike all that is known of the person. So the choice depends on no face that is made.

Such a guess tells only roughly how far the face will be that is made, with other hair, light, pose and expression: the
``audit`` looks at that. The limits are such that a quarter of all personas pass (``tests/bench/auditions.py``), so
that whoever could tell the style of a persona would learn two bits of who is hidden by each choice, or three where
nobody passes, and the least alike of eight is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from anonymizer.generate.base import Persona
from anonymizer.generate.likeness import load_likeness
from anonymizer.generate.personas import Studio
from anonymizer.jury import distances, normalized

# distances of embeddings of length 1 from which a persona is unlike a person to each of the ``jury``
UNLIKE = torch.tensor([0.54, 1.37])
CANDIDATES = 8  # personas of whom one is chosen


class Audition:
    """Holds what personas are guessed to look like against what is known of people.

    Args:
        studio: knows their styles.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio, self._likeness = studio, load_likeness()

    def choose(self, personas: Mapping[int, Persona], views: Mapping[int, Tensor]) -> dict[int, int]:
        """After how many tries somebody is found who is unlike each person: the first one, or the least alike of all.

        Args:
            personas: by person, with whom the tries begin; see ``Persona.another``.
            views: by person, embeddings ``(K, 256)`` of the real face, of any length.
        """
        away: dict[int, list[float]] = {who: [] for who in personas}
        for tries in range(CANDIDATES):
            left = [who for who, margins in away.items() if max(margins, default=-1.0) < 0]
            if not left:
                break
            tried = [personas[who].another(tries) for who in left]
            margins = self._margins(self._studio.likely_styles(tried), [views[who] for who in left])
            for who, persona, margin in zip(left, tried, margins, strict=True):
                away[who].append(self._sure(persona, views[who]) if margin >= 0 else margin)
        return {who: self._most(personas[who], margins, views[who]) for who, margins in away.items()}

    def _most(self, persona: Persona, margins: list[float], views: Tensor) -> int:
        """The try with the largest margin; all of those that are larger than it are sure."""
        sure: dict[int, float] = {}
        while (best := max(range(len(margins)), key=lambda tries: sure.get(tries, margins[tries]))) not in sure:
            sure[best] = self._sure(persona.another(best), views)
        return best

    def _sure(self, persona: Persona, views: Tensor) -> float:
        """The margin of somebody as they are drawn: few look otherwise than is likely, but that takes longer."""
        return self._margins(self._studio.styles([persona]), [views])[0]

    def _margins(self, styles: Tensor, views: Sequence[Tensor]) -> list[float]:
        """By how much people of styles ``(N, 512)`` are further from all ``views`` of somebody each than ``UNLIKE``."""
        guesses = self._likeness.guess(styles)
        far = [beyond(guess, normalized(seen)).amin() for guess, seen in zip(guesses, views, strict=True)]
        return [float(margin.nan_to_num(-math.inf)) for margin in far]


def beyond(guesses: Tensor, views: Tensor) -> Tensor:
    """By how much personas who look like ``guesses (..., 256)`` are further from ``views (..., 256)`` than ``UNLIKE``,
    to whoever finds them most alike: ``(...)``.
    """
    return (distances(views, guesses) - UNLIKE).amin(-1)
