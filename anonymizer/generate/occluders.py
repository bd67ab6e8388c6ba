"""Draws what stands before faces: hands, hair, glasses, masks, microphones, plain things. For training only.

Everything is painted, or cut from portraits of people who do not exist. Pictures are ``(S, S, 3)`` float32 in 0..1 with
the face in the middle, points in pixels, ``chance`` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]  # float32
Chance = np.random.Generator
CHEEKS, BROW, LIPS = (50, 280), 10, 13  # points of the mesh
EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
MASKED = (234, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 454, 347, 197, 118)  # outline of a mouth mask
TEMPLES = (127, 356)
CLOTHS = ((0.95, 0.95, 0.95), (0.6, 0.8, 0.95), (0.05, 0.05, 0.06), (0.7, 0.85, 0.8))  # colours of masks
CORNER = 0.18  # side of what is cut from corners of portraits, over theirs
SUNNY = 0.35  # share of glasses that are dark
FRACTION = 4  # bits of coordinates behind the point


class Layer(NamedTuple):
    """What is painted: ``colour (S, S, 3)``, ``alpha (S, S)``."""

    colour: Picture
    alpha: Picture


class Scene(NamedTuple):
    """The face that is to be hidden in part, its mesh ``(468, 2)``, and another portrait with its own."""

    picture: Picture
    points: Picture
    other: Picture
    other_points: Picture

    @property
    def size(self) -> int:
        return len(self.picture)

    @property
    def unit(self) -> float:
        """Width of the face."""
        return float(np.ptp(self.points[:, 0]))


def _fixed(points: Picture) -> NDArray[np.int32]:
    return np.round(points * (1 << FRACTION)).astype(np.int32)


def _polygon(size: int, points: Picture) -> Picture:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, FRACTION)
    return (mask / 255).astype(np.float32)


def _lines(size: int, points: Picture, width: float, closed: bool = False) -> Picture:
    mask = np.zeros((size, size), np.uint8)
    cv2.polylines(mask, [_fixed(points)], closed, 255, max(1, round(width)), cv2.LINE_AA, FRACTION)
    return (mask / 255).astype(np.float32)


def _clipped(colour: NDArray[np.floating]) -> Picture:
    return np.clip(colour, 0, 1).astype(np.float32)


def _noise(size: int, cells: int, chance: Chance) -> Picture:
    """Smooth, about -1..1."""
    grid = chance.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def _texture(scene: Scene, chance: Chance) -> Picture:
    """A plain colour, a pattern, or a magnified corner of the other portrait."""
    size, kind = scene.size, chance.integers(4)
    colour = chance.uniform(0, 1, 3).astype(np.float32)
    if kind == 0:  # from a corner, where there is no skin that might pass for this one's
        side = int(chance.uniform(0.06, CORNER) * size)
        y, x = (int(chance.integers(2)) * (size - side) for _ in range(2))
        return cv2.resize(scene.other[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_LINEAR)
    shade = 0.15 * _noise(size, int(chance.integers(2, 7)), chance)[..., None]
    plain = _clipped(colour + shade)
    if kind == 1:  # stripes or checks
        y, x = np.mgrid[:size, :size] / size
        angle, count = chance.uniform(0, np.pi), chance.uniform(4, 25)
        wave = np.sin(2 * np.pi * count * (x * np.cos(angle) + y * np.sin(angle)))
        if chance.integers(2):
            wave = wave * np.sin(2 * np.pi * count * (y * np.cos(angle) - x * np.sin(angle)))
        return np.where(wave[..., None] > 0, plain, 1 - plain).astype(np.float32)
    return plain


def _skin(scene: Scene, chance: Chance) -> Picture:
    """The skin of this face, or of the other, without features, in a light of its own."""
    face, points = (scene.picture, scene.points) if chance.random() < 0.5 else (scene.other, scene.other_points)
    x, y = points[CHEEKS[chance.integers(2)]].astype(int).clip(12, scene.size - 13)
    colour = face[y - 8 : y + 8, x - 8 : x + 8].reshape(-1, 3).mean(0) * chance.uniform(0.7, 1.25)
    fine = 1 + 0.12 * _noise(scene.size, 6, chance) + 0.03 * _noise(scene.size, 60, chance)
    return _clipped(colour * fine[..., None])


def hand(scene: Scene, chance: Chance) -> Layer:
    """A palm and some fingers that reach into the face from outside, darker towards their edges."""
    size, unit = scene.size, scene.unit
    middle, towards = scene.points.mean(0), chance.uniform(0, 2 * np.pi)
    out = np.array([np.cos(towards), np.sin(towards)], np.float32)
    palm = middle + out * unit * chance.uniform(0.5, 1.0)
    alpha, relief = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)

    def add(mask: Picture, width: float) -> None:
        nonlocal alpha, relief
        soft = cv2.GaussianBlur(mask, (0, 0), max(1.0, width / 4))
        relief = np.where(mask > 0.5, soft, relief)
        alpha = np.maximum(alpha, mask)

    across = np.array([-out[1], out[0]])
    broad = unit * chance.uniform(0.2, 0.4)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)[:, None]
    add(_polygon(size, palm + (1.2 * out * np.cos(turn) + across * np.sin(turn)) * broad), broad)
    width = broad * chance.uniform(0.4, 0.6)
    spread = chance.uniform(0.1, 0.5)
    for finger in range(chance.integers(1, 6)):
        side = (finger - 2) / 2
        root = palm + across * side * broad - out * broad * 0.8
        way = -out + across * (side * spread + chance.uniform(-0.1, 0.1))
        bend = across * chance.uniform(-0.3, 0.3) * unit
        tip = root + way * unit * chance.uniform(0.25, 0.6)
        steps = np.linspace(0, 1, 12)[:, None]
        add(_lines(size, (root + (tip - root) * steps + bend * steps**2).astype(np.float32), width), width)
    shade = (0.55 + 0.5 * relief)[..., None]
    return Layer(_clipped(_skin(scene, chance) * shade), alpha)


def _hair_colour(scene: Scene, chance: Chance) -> Picture:
    face, points = (scene.picture, scene.points) if chance.random() < 0.5 else (scene.other, scene.other_points)
    x, y = points[BROW].astype(int)
    above = face[max(0, y - 45) : max(8, y - 20), max(0, x - 25) : x + 25]
    return above.reshape(-1, 3).mean(0) * chance.uniform(0.6, 1.2)


def strands(scene: Scene, chance: Chance) -> Layer:
    """Locks that fall from the top or the side of the head over the face."""
    size, unit = scene.size, scene.unit
    base = _hair_colour(scene, chance) * 255
    colour, alpha = np.full((size, size, 3), base, np.uint8), np.zeros((size, size), np.uint8)
    for _ in range(chance.integers(1, 4)):
        root = scene.points[BROW] + np.array([chance.uniform(-0.5, 0.5), chance.uniform(-0.35, 0.0)]) * unit
        length, fall = unit * chance.uniform(0.3, 1.1), chance.uniform(-0.9, 0.9)
        bend, thick = chance.uniform(-0.6, 0.6), unit * chance.uniform(0.02, 0.2)
        steps = np.linspace(0, 1, 14)[:, None]
        for _ in range(chance.integers(4, 60)):
            start = root + np.array([chance.normal(0, thick), chance.normal(0, 0.05 * unit)])
            angle = fall + chance.normal(0, 0.08)
            end = np.array([np.sin(angle), np.cos(angle)]) * length * chance.uniform(0.6, 1)
            curve = np.array([bend, 0]) * length * chance.uniform(0.7, 1.3)
            line, width = [_fixed(start + end * steps + curve * steps * (1 - steps))], int(chance.integers(1, 4))
            shade = (base * chance.uniform(0.6, 1.5)).clip(0, 255).tolist()
            cv2.polylines(colour, line, False, shade, width, cv2.LINE_AA, FRACTION)
            cv2.polylines(alpha, line, False, 255, width, cv2.LINE_AA, FRACTION)
    return Layer(colour.astype(np.float32) / 255, alpha.astype(np.float32) / 255)


def fringe(scene: Scene, chance: Chance) -> Layer:
    """Hair of a portrait pulled down over the forehead, with a ragged edge."""
    size, unit = scene.size, scene.unit
    face, points = (scene.picture, scene.points) if chance.random() < 0.5 else (scene.other, scene.other_points)
    top = int(points[BROW, 1].clip(24, size))
    edge = scene.points[BROW, 1] + unit * chance.uniform(0.05, 0.45)
    stretched = cv2.resize(face[: top - 8], (size, max(8, int(edge + 0.2 * unit))), interpolation=cv2.INTER_LINEAR)
    colour = np.zeros((size, size, 3), np.float32)
    colour[: len(stretched)] = stretched[:size]
    x = np.arange(size)
    ragged = 0.12 * _noise(size, int(chance.integers(5, 40)), chance)[0] + 0.06 * _noise(size, 80, chance)[0]
    slant = chance.uniform(-0.6, 0.6) * (x - scene.points[BROW, 0]) / unit
    limit = edge + unit * (ragged + 0.3 * slant)
    alpha = np.clip((limit - np.arange(size)[:, None]) / chance.uniform(1.5, 10), 0, 1)
    return Layer(colour, alpha.astype(np.float32))


def glasses(scene: Scene, chance: Chance) -> Layer:
    """Two rims, a bridge and temples; dark or mirroring lenses sometimes."""
    size, points = scene.size, scene.points
    width = scene.unit * chance.uniform(0.008, 0.05)
    (left, right), along = _rims(scene, chance)
    alpha = np.maximum(_lines(size, left, width, True), _lines(size, right, width, True))
    reach = along * np.ptp(left @ along) / 2
    middles, lift = (left.mean(0), right.mean(0)), -0.15 * np.array([0, np.linalg.norm(reach)])
    for start, end in (
        (middles[0] + reach, middles[1] - reach),
        (middles[0] - reach, points[TEMPLES[0]]),
        (middles[1] + reach, points[TEMPLES[1]]),
    ):
        alpha = np.maximum(alpha, _lines(size, np.stack([start + lift, end]), width))
    rim = chance.uniform(0, 1) ** 2 * chance.uniform(0.3, 1, 3)
    colour = rim * (1 + 0.3 * _noise(size, 30, chance)[..., None])
    if chance.random() < SUNNY:
        lenses = np.maximum(_polygon(size, left), _polygon(size, right))
        tint = chance.uniform(0, 0.35) * chance.uniform(0.3, 1, 3) + 0.15 * _noise(size, 5, chance)[..., None]
        colour = np.where((lenses * (1 - alpha))[..., None] > 0.5, tint, colour)
        alpha = np.maximum(alpha, lenses * chance.uniform(0.85, 1))
    return Layer(_clipped(colour), alpha)


def _rims(scene: Scene, chance: Chance) -> tuple[tuple[Picture, Picture], Picture]:
    """Outlines ``(40, 2)`` of two lenses, between round and square, and the direction from the one to the other."""
    power, wide, high = 2 / chance.uniform(2, 6), chance.uniform(0.75, 1.15), chance.uniform(0.45, 0.95)
    along = scene.points[EYES[1][0]] - scene.points[EYES[0][0]]
    along = along / np.linalg.norm(along)
    down = np.array([-along[1], along[0]])
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = (np.sign(part) * np.abs(part) ** power for part in (np.cos(turn), np.sin(turn)))
    rims = []
    for eye in EYES:
        corners = scene.points[list(eye)]
        half = np.linalg.norm(corners[0] - corners[1]) * wide
        middle = corners.mean(0) + np.array([0, 0.02 * scene.unit])
        rims.append((middle + (np.outer(x, along) + np.outer(y, down) * high) * half).astype(np.float32))
    return (rims[0], rims[1]), along


def mask(scene: Scene, chance: Chance) -> Layer:
    """Cloth over mouth and nose, with folds."""
    points = scene.points[list(MASKED)].copy()
    points[-2, 1] += chance.uniform(-0.05, 0.25) * scene.unit
    points += chance.normal(0, 0.01 * scene.unit, points.shape)
    colour = _texture(scene, chance) if chance.random() < 0.4 else chance.choice(CLOTHS)
    folds = 1 + 0.12 * np.sin(np.arange(scene.size) / scene.unit * chance.uniform(10, 40))[:, None, None]
    shade = folds * (1 + 0.15 * _noise(scene.size, 4, chance)[..., None])
    return Layer(_clipped(colour * shade), _polygon(scene.size, points))


def microphone(scene: Scene, chance: Chance) -> Layer:
    """A dark head on a stick, before the mouth."""
    size, unit = scene.size, scene.unit
    at = scene.points[LIPS] + np.array([chance.uniform(-0.3, 0.3), chance.uniform(0, 0.4)]) * unit
    radius, turn = unit * chance.uniform(0.06, 0.2), np.linspace(0, 2 * np.pi, 30, endpoint=False)
    down = at + np.array([chance.uniform(-0.8, 0.8), 1]) * unit * 1.5
    stick = _lines(size, np.stack([at, down]), radius * chance.uniform(0.5, 1.3))
    ball = _polygon(size, at + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    shade = chance.uniform(0, 0.5) * (1 + 0.5 * _noise(size, 50, chance)) + 0.2 * _noise(size, 5, chance)
    return Layer(_clipped(shade[..., None] * chance.uniform(0.7, 1, 3)), np.maximum(stick, ball))


def thing(scene: Scene, chance: Chance) -> Layer:
    """A shape with three to eight corners, or round ones, anywhere."""
    size, unit = scene.size, scene.unit
    centre = scene.points.mean(0) + chance.uniform(-0.7, 0.7, 2) * unit
    count = int(chance.integers(3, 9))
    turn = np.sort(chance.uniform(0, 2 * np.pi, count)) if count < 7 else np.linspace(0, 2 * np.pi, 40, endpoint=False)
    away = unit * chance.uniform(0.1, 0.6, 2) * (chance.uniform(0.6, 1, len(turn))[:, None] if count < 7 else 1)
    corners = centre + np.stack([np.cos(turn), np.sin(turn)], axis=1) * away
    return Layer(_texture(scene, chance), _polygon(size, corners.astype(np.float32)))


KINDS: dict[Callable[[Scene, Chance], Layer], float] = {
    hand: 0.27,
    glasses: 0.23,
    strands: 0.14,
    fringe: 0.1,
    thing: 0.14,
    mask: 0.06,
    microphone: 0.06,
}
"""What is drawn -> how often."""


def hide(scene: Scene, chance: Chance, kind: int | None = None) -> tuple[Picture, Picture]:
    """The face with something before it: the picture, and how far each pixel is hidden ``(S, S)``, in 0..1.

    Args:
        scene: the face.
        chance: decides what, and where.
        kind: a place in ``KINDS``; by default one or two of any.
    """
    picture, hidden = scene.picture, np.zeros(scene.picture.shape[:2], np.float32)
    count = 1 + (chance.random() < 0.25)
    places = chance.choice(len(KINDS), count, p=list(KINDS.values()), replace=False) if kind is None else [kind]
    for draw in (list(KINDS)[place] for place in places):
        layer = draw(scene, chance)
        if chance.random() < 0.5:
            picture = _shade(picture, layer.alpha, chance)
        picture = picture + (layer.colour - picture) * layer.alpha[..., None]
        hidden = np.maximum(hidden, layer.alpha)
    return picture.astype(np.float32), hidden


def _shade(picture: Picture, alpha: Picture, chance: Chance) -> Picture:
    """The shadow of what is before the face falls on it, and is no part of it."""
    shift = np.array([[1, 0, chance.uniform(-6, 6)], [0, 1, chance.uniform(0, 8)]], np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(alpha, shift, alpha.shape), (0, 0), chance.uniform(1, 6))
    darker: Picture = picture * (1 - chance.uniform(0.1, 0.5) * shadow[..., None])
    return darker
