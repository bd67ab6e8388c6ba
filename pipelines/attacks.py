"""How well attackers of several kinds know people again, all together and by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymizer.traits import CERTAIN, TRAITS
from pipelines import figures
from pipelines.recognizers import Embeddings

FARS = {"1e-3": 1e-3, "1e-4": 1e-4}
CURVE = np.geomspace(1e-4, 1, 41)
ATTACKS = {
    "originals": "nothing is anonymized: what the recognizer can do",
    "naive": "anonymized photographs are compared with originals",
    "without the audit": "as naive; the program takes the first persona, and does not look at what it made",
    "parrot": "the gallery is anonymized too, by the same program, without the key",
    "retrained threshold": "as naive; the threshold is set on anonymized photographs of strangers",
}
"""Who tries to know people again, and how. In all but the last two, the threshold is set on originals of strangers."""
FEWEST = 30  # people of whom a group must be
WORN, NOT_WORN = 0.0, -0.4  # of glasses, where they were ordered 1 and -1: surely some, surely none

Mask = NDArray[np.bool_]
Embedded = Mapping[str, Embeddings]
"""By role, a row a person: ``original``, its results ``hidden`` and, without the audit, ``raw``; ``gallery`` and its
result ``parrot``.
"""


def recognition(known: Embedded) -> dict[str, Any]:
    """What one recognizer makes of people, of whom all have a row in every role."""
    apart = _distances(known)
    own = np.linalg.norm(known["hidden"] - known["original"], axis=1)
    return {
        "people": len(own),
        "chance": 1 / len(own),
        "attacks": {name: _attack(*apart[name]) for name in ATTACKS},
        "same_photograph": _plain(figures.accepted(own, apart["naive"][1], FARS["1e-3"])),
    }


def _distances(known: Embedded) -> dict[str, tuple[figures.Array, figures.Array]]:
    """For each of ``ATTACKS`` the distances that count, and those that set the threshold."""
    originals = figures.distances(known["original"], known["gallery"])
    naive, raw = (figures.distances(known[role], known["gallery"]) for role in ("hidden", "raw"))
    parrot = figures.distances(known["hidden"], known["parrot"])
    pairs = ((originals, originals), (naive, originals), (raw, originals), (parrot, parrot), (naive, naive))
    return dict(zip(ATTACKS, pairs, strict=True))


def _attack(found: figures.Array, reference: figures.Array) -> dict[str, Any]:
    own = found.diagonal()
    return {
        "rank_1": _plain(figures.rank_one(found)),
        "tar": {name: _plain(figures.accepted(own, reference, far)) for name, far in FARS.items()},
        "roc": {"far": CURVE.tolist(), "tar": figures.roc(own, reference, CURVE.tolist())},
    }


def _plain(estimate: figures.Estimate | None) -> dict[str, float] | None:
    return estimate._asdict() if estimate else None


def naive_hits(known: Embedded) -> dict[str, NDArray[np.float64]]:
    """For each person how far the naive attacker names them first, and, if that can be told, whether they pass at a
    false accept rate of 1e-3.
    """
    found, reference = _distances(known)["naive"]
    hits, impostors = {"rank_1": figures.first(found)}, figures.strangers(reference)
    if figures.enough(len(impostors), FARS["1e-3"]):
        hits["tar"] = (found.diagonal() < figures.limit(impostors, FARS["1e-3"])).astype(np.float64)
    return hits


def groups(traits: NDArray[np.float32]) -> dict[str, Mask]:
    """Who belongs to which group, as photographs seem to show it; who is in doubt belongs to none.

    Args:
        traits: ``(P, 4)``, see ``anonymizer.traits.TraitReader.measure``.

    Returns:
        Name -> ``(P,)``. Thirds are of those whose number is known; without colours there are none of the skin.
    """
    read = dict(zip(TRAITS, traits.T, strict=True))
    found = {"women": read["man"] < -CERTAIN, "men": read["man"] > CERTAIN}
    found |= _thirds("age", read["age"]) | _thirds("skin tone (ITA)", read["skin"])
    return found | {"glasses": read["glasses"] >= WORN, "no glasses": read["glasses"] <= NOT_WORN}


def left_out(traits: NDArray[np.float32]) -> list[str]:
    """The groups that there are none of, and why."""
    lines = ["facial hair: left out, as what reads traits hardly tells it in photographs"]
    grey = np.isnan(traits[:, TRAITS.index("skin")]).all()
    return lines + (["skin tone: left out, as the photographs are grey"] if grey else [])


def _thirds(title: str, values: NDArray[np.float32]) -> dict[str, Mask]:
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    low, high = np.quantile(known, (1 / 3, 2 / 3))
    return {
        f"{title} below {low:.0f}": values < low,
        f"{title} {low:.0f} to {high:.0f}": (values >= low) & (values <= high),
        f"{title} above {high:.0f}": values > high,
    }


def by_group(
    members: Mapping[str, Mask], faces: Mask, compared: Mask, hits: Mapping[str, Mapping[str, figures.Array]]
) -> dict[str, dict[str, Any]]:
    """Figures of all people whose face was found, and of each group; of a group of less than ``FEWEST``, only how many.

    Args:
        members: name -> ``(P,)``, see ``groups``.
        faces: ``(P, 3)``, whether a face was found, is found in the result, is only covered.
        compared: ``(P,)``, of whom there is a row in ``hits``.
        hits: by recognizer, see ``naive_hits``.
    """
    found: dict[str, dict[str, Any]] = {}
    places = np.cumsum(compared) - 1
    for name, belongs in {"all": np.ones_like(compared), **members}.items():
        there = belongs & faces[:, 0]
        found[name] = {"people": int(there.sum())}
        if name != "all" and there.sum() < FEWEST:
            continue
        _, still, covered = (float(share) for share in faces[there].mean(0))
        found[name] |= {"still_found": still, "covered": covered}
        rows = places[belongs & compared]
        if len(rows) >= FEWEST or (name == "all" and len(rows)):
            found[name]["recognition"] = {
                recognizer: {figure: float(values[rows].mean()) for figure, values in those.items()}
                for recognizer, those in hits.items()
            }
    return found
