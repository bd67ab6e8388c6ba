"""People who do not exist, drawn from seeds and drawn again in any pose."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from anonymizer import device as engines
from anonymizer import weights
from anonymizer.aspects import CELL
from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.errors import WeightsError
from anonymizer.face_model import load_face_model
from anonymizer.generate.bare import bare
from anonymizer.generate.base import Persona
from anonymizer.generate.condition import ATTRIBUTES, Wanted, load_condition
from anonymizer.generate.flaws import flaws
from anonymizer.generate.heads import SIZES, EarlyExit
from anonymizer.generate.looks import Look
from anonymizer.mesh import MeshEstimator
from anonymizer.networks.mobile_stylegan import SynthesisNetwork
from anonymizer.occlusion import load_network

DRAWN, LOOKED_AT = 64, 4  # styles from which somebody's is chosen, and the most of them that are looked at
CORRECTIONS = 2  # times that a portrait is drawn again which misses what was ordered
TOLERANCE = 0.2  # by which it may miss that, in steps of ``CELL``
AGE, AGES = ATTRIBUTES.index("age"), (22.0, 42.0)  # years that look least odd on other heads, unless one is asked for
ASIDE, GLASSES = ATTRIBUTES.index("light from aside"), ATTRIBUTES.index("glasses")
SMALL, SKETCH = SIZES[:2]  # sides of the portraits that are measured: for smaller ones in pictures, and for all others
AT_REST = (0.0, 0.0, 0.0, 0.9)  # condition of the portraits that tell what people look like
CACHED = 256 << 20  # bytes of portraits that are kept
KNOWN = 1024  # people whose styles are kept


class Portrait(NamedTuple):
    """A persona as the network drew it: ``pixels (3, S, S)`` float32 in 0..1, mesh ``points (468, 3)`` in pixels;
    ``style (512,)`` that the network was given.
    """

    pixels: Tensor
    points: Tensor
    style: Tensor


class Order(NamedTuple):
    """A portrait that is wanted: of whom, under which ``CONDITIONS``, how many pixels a side."""

    persona: Persona
    condition: Wanted
    size: int


class Studio:
    """Draws portraits of personas, in batches, and keeps those that it may need again.

    Args:
        device: where the networks run.
        estimator: measures each portrait.
        truncation: see ``GenerateConfig``.
        batch_size: portraits that are drawn together.
        bared: whether what hangs over faces and is around them is painted over, for faces that go onto other heads.
    """

    def __init__(
        self,
        device: torch.device,
        estimator: MeshEstimator,
        truncation: float,
        batch_size: int,
        *,
        bared: bool = False,
    ) -> None:
        self._mapping = weights.load("mapping")
        self._synthesis = cast(SynthesisNetwork, weights.load("synthesis"))
        self._engines: dict[int, engines.Engine] = {}
        self._condition, self._model = load_condition(), load_face_model()
        self._unless_wanted = _numbers(Look(glasses=False, beard=False).attributes)
        self._unless_wanted[ASIDE] = self._condition.usual[ASIDE]
        self._device, self._estimator = device, estimator
        self._truncation, self._batch_size = truncation, batch_size
        self._occlusion, self._bared = load_network(device), bared
        self._styles: OrderedDict[Persona, Tensor] = OrderedDict()
        self._cache: OrderedDict[Order, Portrait] = OrderedDict()
        self._bytes = 0

    def portraits(self, orders: Sequence[Order], keep: bool) -> list[Portrait]:
        """One portrait an order. What it shows is decided by the order and ``keep``, not by what else is drawn with it.

        Args:
            orders: may name the same portrait several times.
            keep: whether the same portraits may be asked for again, as in videos; they are measured, and so corrected,
                more exactly, and small ones show what larger ones do.

        Raises:
            WeightsError: the networks give no numbers.
        """
        found = {order: self._recall(order) for order in dict.fromkeys(orders) if keep and order in self._cache}
        missing = [order for order in dict.fromkeys(orders) if order not in found]
        for size in sorted({order.size for order in missing}):
            same = [order for order in missing if order.size == size]
            for start in range(0, len(same), self._batch_size):
                group = same[start : start + self._batch_size]
                drawn = dict(zip(group, self._draw(group, keep), strict=True))
                found |= drawn
                if keep:
                    self._store(drawn)
        return [found[order] for order in orders]

    def at_rest(self, personas: Sequence[Persona]) -> list[Portrait]:
        """Portraits from the front, at rest, ``SKETCH`` pixels a side: one and the same of each, for all that asks."""
        return self.portraits([Order(persona, AT_REST, SKETCH) for persona in personas], keep=True)

    def likely_styles(self, personas: Sequence[Persona]) -> Tensor:
        """The ``styles`` of most of them, without looking at anybody: ``(N, 512)``."""
        return self._changed(torch.stack([self._candidates(persona)[0] for persona in personas]), personas)

    def styles(self, personas: Sequence[Persona]) -> Tensor:
        """What the network draws people from, as they happen to look: ``(N, 512)``.

        Which of some styles that is hangs on a rough drawing of each: in few cases another device chooses another one.

        Raises:
            WeightsError: the networks give no numbers.
        """
        found = torch.stack([self._recalled_style(persona) for persona in personas])
        while len(self._styles) > KNOWN:
            self._styles.popitem(last=False)
        return found

    def _draw(self, orders: list[Order], keep: bool) -> list[Portrait]:
        """Portraits of one size. What they show is found out with sketches, as large ones take long to draw.

        Where they are kept one sketch serves for the smallest, too, so that a face that grows shows no step.
        """
        size = orders[0].size
        if size == SKETCH:
            return self._sketch(orders, keep)
        draw, side = (self._sketch, SMALL) if size < SMALL and not keep else (self.portraits, SKETCH)
        sketches = draw([order._replace(size=side) for order in orders], keep)
        points = torch.stack([sketch.points for sketch in sketches]) * (size / side)
        if size < side:
            pictures = F.avg_pool2d(torch.stack([sketch.pixels for sketch in sketches]), side // size)
        else:
            pictures = self._finished(self._picture(torch.stack([sketch.style for sketch in sketches]), size), points)
        return [
            sketch._replace(pixels=picture, points=mesh)
            for sketch, picture, mesh in zip(sketches, pictures, points, strict=True)
        ]

    def _sketch(self, orders: list[Order], exact: bool) -> list[Portrait]:
        """Those that miss what was ordered are ordered again, by as much the other way."""
        size = orders[0].size
        styles = self.styles([order.persona for order in orders])
        wanted = torch.stack([_numbers(order.condition) for order in orders])
        portraits = self._take(self._condition.steer(styles, wanted), size, exact)
        missed = self._missed(portraits, wanted)
        asked = _corrected(wanted, missed, wanted)
        for _ in range(CORRECTIONS):
            rows = (_worst(missed) > TOLERANCE).nonzero()[:, 0]
            if not len(rows):
                break
            drawn = self._take(self._condition.steer(styles[rows], asked[rows]), size, exact)
            off = self._missed(drawn, wanted[rows])
            asked[rows] = _corrected(asked[rows], off, wanted[rows])
            closer = (_worst(off) < _worst(missed[rows])).nonzero()[:, 0]
            missed[rows[closer]] = off[closer]
            for new, row in zip(closer.tolist(), rows[closer].tolist(), strict=True):
                portraits[row] = drawn[new]
        pictures = self._finished(*_pictures(portraits))
        return [portrait._replace(pixels=picture) for portrait, picture in zip(portraits, pictures, strict=True)]

    def _missed(self, portraits: Sequence[Portrait], wanted: Tensor) -> Tensor:
        """By how much, ``(N, 4)``; 0 where nothing is wanted."""
        points = torch.stack([portrait.points for portrait in portraits])
        return (self._model.conditions(points) - wanted).nan_to_num(0)

    @torch.inference_mode()
    def _take(self, w: Tensor, size: int, exact: bool) -> list[Portrait]:
        """Sketches of a size, of styles ``w (N, 512)``, measured."""
        picture = self._picture(w, size)
        frames = stills(picture)
        measure = self._estimator.measure if exact else self._estimator.estimate
        points = measure(frames, whole_pictures(len(w), size)).points
        if not points.isfinite().all():
            raise WeightsError("the mesh network finds no numbers in a portrait: does the device compute rightly?")
        return [Portrait(*row) for row in zip(picture, points, w, strict=True)]

    @torch.inference_mode()
    def _picture(self, w: Tensor, size: int) -> Tensor:
        """``(N, 3, size, size)`` in 0..1, of styles ``w (N, 512)``."""
        return ((self._engine(size)(w.to(self._device)) + 1) / 2).clamp(0, 1)

    def _finished(self, pictures: Tensor, points: Tensor) -> Tensor:
        return bare(pictures, points, self._occlusion) if self._bared else pictures

    def _engine(self, size: int) -> engines.Engine:
        """The network for portraits of a size, loaded when it is first needed."""
        if size not in self._engines:
            module = EarlyExit(self._synthesis, size)
            self._engines[size] = engines.compile(module, self._device, torch.zeros(1, 512))
        return self._engines[size]

    def _recalled_style(self, persona: Persona) -> Tensor:
        if persona not in self._styles:
            self._styles[persona] = self._changed(self._draw_style(persona)[None], [persona])[0]
        self._styles.move_to_end(persona)
        return self._styles[persona]

    def _changed(self, w: Tensor, personas: Sequence[Persona]) -> Tensor:
        return self._condition.become(w, torch.stack([_numbers(persona.changes) for persona in personas]))

    def _draw_style(self, persona: Persona) -> Tensor:
        """The style ``(512,)`` of a persona: of the candidates the first one that shows no flaws, or the fewest.

        One at a time, so that it does not hang on what else is drawn.
        """
        glasses = _numbers(persona.attributes)[GLASSES, None] > self._condition.usual[GLASSES]
        candidates, found = self._candidates(persona), list[float]()
        for style in candidates:
            found.append(float(self._flaws(style[None], glasses)))
            if not found[-1]:
                break
        return candidates[found.index(min(found))]

    def _flaws(self, w: Tensor, glasses: Tensor) -> Tensor:
        """What ``flaws`` sees in styles ``(N, 512)`` at rest, roughly, of whom some wear ``glasses (N,)``: ``(N,)``."""
        wanted = torch.tensor(AT_REST).expand(len(w), -1)
        pixels, points = _pictures(self._take(self._condition.steer(w, wanted), SMALL, exact=False))
        return flaws(pixels, points, self._model.normals(points), self._occlusion, glasses)

    def _candidates(self, persona: Persona) -> Tensor:
        """Styles ``(LOOKED_AT, 512)``: of many that the seed draws, those with the fewest flaws as predicted, who are
        nearest to what is wanted and to what fits most heads, made into that: without flaws, beard, glasses and light
        from aside, and of middle age, unless they are asked for.
        """
        noise = torch.randn(DRAWN, 512, generator=torch.Generator().manual_seed(persona.seed))
        w = self._condition.truncate(self._mapping(noise), self._truncation)
        excess = (self._condition.flaws(w) - self._condition.flaw_limits).clamp(min=0)
        shown, asked = self._condition.attributes(w), _numbers(persona.attributes)
        wanted = torch.where(asked.isnan(), self._unless_wanted, asked)
        aim = torch.where(wanted.isnan(), shown, wanted)
        if asked[AGE].isnan():
            aim[:, AGE] = shown[:, AGE].clamp(*AGES)
        away = (shown - aim).abs() / self._condition.spread
        best = (excess.sum(1) + away.sum(1)).argsort()[:LOOKED_AT]
        return self._condition.become(w[best], aim[best], self._condition.flaw_limits)

    def _recall(self, order: Order) -> Portrait:
        self._cache.move_to_end(order)
        return self._cache[order]

    def _store(self, drawn: dict[Order, Portrait]) -> None:
        self._cache |= drawn
        self._bytes += sum(portrait.pixels.nbytes for portrait in drawn.values())
        while self._bytes > CACHED:
            _, oldest = self._cache.popitem(last=False)
            self._bytes -= oldest.pixels.nbytes


def _pictures(portraits: Sequence[Portrait]) -> tuple[Tensor, Tensor]:
    """Pixels ``(N, 3, S, S)`` and meshes ``(N, 468, 3)``."""
    return torch.stack([portrait.pixels for portrait in portraits]), torch.stack([p.points for p in portraits])


def _numbers(values: Wanted) -> Tensor:
    """NaN for None."""
    return torch.tensor([math.nan if value is None else value for value in values])


def _corrected(asked: Tensor, missed: Tensor, wanted: Tensor) -> Tensor:
    """What to ask for next, ``(N, 4)``; near what is wanted, as further away portraits are no likenesses any more."""
    step = torch.tensor(CELL)
    return torch.clamp(asked - missed, wanted - step, wanted + step)


def _worst(missed: Tensor) -> Tensor:
    """The most by which conditions ``(N, 4)`` are missed, in steps of ``CELL``: ``(N,)``."""
    return (missed.abs() / torch.tensor(CELL)).amax(1)


def stills(pictures: Tensor) -> Frames:
    """Pictures ``(N, 3, S, S)`` in 0..1 as frames."""
    return Frames((pictures * 255).round().byte().permute(0, 2, 3, 1), (Fraction(0),) * len(pictures))


def whole_pictures(count: int, size: int) -> Faces:
    """Where the face lies in pictures that the network made: always in the middle."""
    box = torch.tensor([[0.2, 0.25, 0.8, 0.85]]) * size
    landmarks = torch.tensor([[[0.38, 0.47], [0.62, 0.47], [0.5, 0.6], [0.4, 0.72], [0.6, 0.72]]]) * size
    return Faces(
        torch.arange(count),
        box.expand(count, -1),
        landmarks.expand(count, -1, -1),
        torch.ones(count),
        torch.full((count,), UNTRACKED),
        torch.ones(count, dtype=torch.bool),
    )
