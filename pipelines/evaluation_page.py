"""The figures of ``anonymizer evaluate`` as people read them: a table, and curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anonymizer.errors import ConfigError
from pipelines.report import describe

Figures = Mapping[str, Any]

FEW = "too small"
UNKNOWN = "too few pairs"


def as_table(figures: Figures) -> str:
    """All figures but the curves."""
    parts = (_heading, _recognition, _faces, _utility, _groups, _published)
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part(figures))))


def _heading(figures: Figures) -> Iterator[str]:
    generate, detect = figures["settings"]["generate"], figures["settings"]["detect"]
    yield f"{figures['dataset']}: {figures['people']} people, {figures['people_with_two_photographs']} in the gallery"
    words = [generate["method"], detect["detector"]]
    if generate["method"] == "generate":
        seed = "secret" if generate["seed"] is None else generate["seed"]
        words += [
            f"match {','.join(generate['match']) or 'none'}",
            f"occluders {generate['occluders']}",
            f"seed {seed}",
        ]
    yield f"settings: {'; '.join(words)}"
    yield from figures["notes"]


def _recognition(figures: Figures) -> Iterator[str]:
    """A block a recognizer, a line an attacker."""
    if not figures["recognition"]:
        return
    rows: list[tuple[str, ...]] = [("recognized, % (95% interval)", "rank-1", "TAR at FAR 1e-3", "TAR at FAR 1e-4")]
    for name, found in figures["recognition"].items():
        rows.append((f"{name}: {found['people']} people, chance {_percent(found['chance'])}", "", "", ""))
        for attack, shares in found["attacks"].items():
            cells = [_estimate(shares["rank_1"]), *(_estimate(share) for share in shares["tar"].values())]
            rows.append((f"  {attack}", *cells))
        rows.append(("  the same photograph passes", "", _estimate(found["same_photograph"]), ""))
    yield from _aligned(rows)
    yield from (f"{name}: {what}" for name, what in figures["attacks"].items())


def _faces(figures: Figures) -> Iterator[str]:
    yield describe(Counter(figures["outcomes"]))
    for detector, found in figures["still_found"].items():
        share = _percent(found["after"] / found["before"]) if found["before"] else "-"
        yield f"still found as faces: {share} of {found['before']} by {detector}"


def _utility(figures: Figures) -> Iterator[str]:
    utility = figures["utility"]
    if not utility["faces"]:
        yield "utility: no face was found, with a mesh, before and after"
        return
    moved, pose = utility["displacement"], utility["pose"]
    yield f"what {utility['faces']} faces keep, that have a mesh before and are found after"
    for name, title in (("mesh", "468 points of the mesh"), ("landmarks", "5 landmarks of the detector")):
        mean, most = (_percent(moved[name][figure]) for figure in ("mean", "95th"))
        yield f"{title}: moved by {mean} of the distance between the eyes, 95th percentile {most}"
    degrees = ", ".join(f"{name} {value:.2f}" for name, value in pose.items())
    yield f"head pose, degrees off: {degrees}"
    lengths = ", ".join(f"{name} {_kept(kept)}" for name, kept in utility["expression"].items())
    yield f"expression, distances between the eyes off (correlation): {lengths}"
    if utility["gaze"]["faces"]:
        yield f"gaze, widths of an eye off (correlation): {_kept(utility['gaze'])}, {utility['gaze']['faces']} faces"
    else:
        yield "gaze: left out, as all eyes are too small"


def _groups(figures: Figures) -> Iterator[str]:
    names = list(figures["recognition"])
    heads = [f"{title} {name}" for name in names for title in ("rank-1", "TAR 1e-3")]
    rows = [("as they seem", "people", "still found", "covered", *heads)]
    for group, found in figures["groups"].items():
        cells = [_percent(found.get(figure)) for figure in ("still_found", "covered")]
        shares = found.get("recognition", {})
        cells += [_percent(shares.get(name, {}).get(figure)) for name in names for figure in ("rank_1", "tar")]
        if "covered" not in found:
            cells = [FEW]
        rows.append((group, str(found["people"]), *cells))
    yield from _aligned(rows)
    yield from figures["groups_left_out"]


def _published(figures: Figures) -> Iterator[str]:
    yield "what others report of themselves, with other recognizers, detectors and people"
    yield from _aligned(list(figures["published"].items()))


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    columns = max(len(row) for row in rows)
    full = [(*row, *[""] * (columns - len(row))) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*full, strict=True)]
    for first, *others in full:
        cells = [cell.ljust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _estimate(share: Mapping[str, float] | None) -> str:
    if share is None:
        return UNKNOWN
    return f"{100 * share['value']:.2f} ({100 * share['low']:.2f}-{100 * share['high']:.2f})"


def _kept(kept: Mapping[str, float | None]) -> str:
    correlation = kept["correlation"]
    return f"{kept['error']:.3f} ({'-' if correlation is None else f'{correlation:.2f}'})"


def plot(figures: Figures, path: Path) -> None:
    """Draw the ROC curves of all attackers, a panel a recognizer.

    Raises:
        ConfigError: there is nothing to draw, or matplotlib is not installed.
        MediaError: the file cannot be written.
    """
    from anonymizer.media.files import replacing

    if not figures["recognition"]:
        raise ConfigError("there are no curves to plot, as nobody was compared")
    figure = drawing()(figsize=(5 * len(figures["recognition"]), 4.5), layout="constrained")
    panels = figure.subplots(1, len(figures["recognition"]), sharey=True, squeeze=False)[0]
    for panel, (name, found) in zip(panels, figures["recognition"].items(), strict=True):
        for attack, shares in found["attacks"].items():
            points = [(far, tar) for far, tar in zip(*shares["roc"].values(), strict=True) if tar is not None]
            panel.plot(*zip(*points, strict=True), label=attack)
        panel.plot(shares["roc"]["far"], shares["roc"]["far"], ":", color="grey", label="chance")
        panel.set(title=name, xscale="log", xlabel="false accept rate", ylabel="true accept rate", ylim=(-0.02, 1.02))
        panel.legend()
    with replacing(path) as partial:
        figure.savefig(partial)


def drawing() -> Any:
    """matplotlib's ``Figure``.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('plots need matplotlib: pip install ".[evaluate]"') from error
    return Figure
