"""Who stays visible: the rules for one picture, and for the frames of a video."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anonymizer.batches import UNTRACKED, Faces, Frames
from anonymizer.consent import LINK, MARGIN, NEAR, Consents, Judgment, Person, Verdict, is_kept
from anonymizer.identity import TEMPLATE
from anonymizer.watch import EVERY, GAP, Watch, Watched

AXES = torch.eye(256)
ANN, BEA = AXES[:2]
TODAY = datetime.date(2026, 11, 28)


def near(one: Tensor, away: float, axis: int = 9) -> Tensor:
    """An embedding of length 1 at a distance from another one."""
    cosine = 1 - away**2 / 2
    return cosine * one + (1 - cosine**2) ** 0.5 * AXES[axis]


def consents(*views: Tensor, until: datetime.date | None = None) -> Consents:
    people = tuple(Person(name, until, view[None]) for name, view in zip(("ann", "bea"), views, strict=False))
    return Consents("", people, lambda: TODAY)


def judge(known: Consents, *faces: Tensor, clear: bool = True) -> list[Verdict | None]:
    judged = known.judge(torch.stack(faces), torch.tensor([clear] * len(faces)))
    return [judgment and judgment.verdict for judgment in judged]


def test_who_is_surely_known_stays() -> None:
    known = consents(ANN, BEA)
    assert judge(known, near(ANN, LINK - 0.01)) == [Verdict.KEPT]
    assert known.judge(near(ANN, 0.1)[None], torch.ones(1))[0] == Judgment("ann", pytest.approx(0.1), Verdict.KEPT)
    assert judge(known, near(ANN, 0.1), near(BEA, 0.1), AXES[5]) == [Verdict.KEPT, Verdict.KEPT, None]


def test_who_is_in_doubt_does_not() -> None:
    twin = near(ANN, 0.2)
    assert judge(consents(ANN), near(ANN, LINK + 0.01)) == [Verdict.FAR]
    assert judge(consents(ANN), near(ANN, NEAR + 0.01)) == [None]
    assert judge(consents(ANN), near(ANN, 0.1), clear=False) == [Verdict.UNCLEAR]
    assert judge(consents(ANN, twin), near(ANN, 0.1)) == [Verdict.DOUBT]
    assert judge(consents(ANN), near(ANN, 0.1), near(ANN, 0.1 + MARGIN - 0.01, 8)) == [Verdict.TWICE] * 2
    assert judge(consents(ANN), near(ANN, 0.1), near(ANN, 0.1 + MARGIN + 0.01, 8)) == [Verdict.KEPT, Verdict.TWICE]
    assert judge(consents(ANN), torch.full((256,), torch.nan), near(ANN, 0.1)) == [None, Verdict.KEPT]


@pytest.mark.parametrize(("days", "verdict"), [(1, Verdict.KEPT), (0, Verdict.EXPIRED), (-1, Verdict.EXPIRED)])
def test_consents_expire(days: int, verdict: Verdict) -> None:
    assert judge(consents(ANN, until=TODAY + datetime.timedelta(days)), near(ANN, 0.1)) == [verdict]


def test_a_consent_that_has_expired_still_puts_others_in_doubt() -> None:
    people = (Person("ann", None, ANN[None]), Person("twin", TODAY, near(ANN, 0.2)[None]))
    assert judge(Consents("", people, lambda: TODAY), near(ANN, 0.05)) == [Verdict.KEPT]
    assert judge(Consents("", people, lambda: TODAY), near(ANN, 0.09)) == [Verdict.DOUBT]


@given(st.lists(st.floats(0.01, 0.5), min_size=1, max_size=4), st.floats(0.01, 0.5))
def test_nobody_stays_beside_somebody_as_near(others: list[float], away: float) -> None:
    faces = [near(ANN, away), *(near(ANN, other, 10 + place) for place, other in enumerate(others))]
    verdicts = judge(consents(ANN), *faces)
    distances = [away, *others]
    for place, verdict in enumerate(verdicts):
        rest = [distance for other, distance in enumerate(distances) if other != place]
        if verdict is Verdict.KEPT:
            assert distances[place] < LINK
            assert min(rest) > distances[place] + MARGIN - 1e-3


# Videos

LANDMARKS = TEMPLATE / 150 * 100


class Scripted:
    """A jury that is told what it sees: ``looks (F, T, 256)``, by frame of the video and number of the face."""

    def __init__(self, looks: Sequence[Sequence[Tensor]]) -> None:
        self._looks = looks
        self.count = 0

    def views(self, frames: Frames, faces: Faces) -> Tensor:
        self.count += len(faces)
        numbers = [round(float(frames.times[frame]) * 25) for frame in faces.frame.tolist()]
        rows = zip(numbers, faces.tracks.tolist(), strict=True)
        return torch.stack([self._looks[number][track] for number, track in rows])


def faces_at(places: Sequence[Sequence[float | None]], seen: Sequence[bool], but: int = -1) -> list[Faces]:
    """For each frame faces of 100 pixels, the left side of each by number; none where there is none.

    Args:
        seen: whether the detector looked.
        but: the number of a face that it never sees.
    """
    found = []
    for here, sees in zip(places, seen, strict=True):
        tracks = [track for track, left in enumerate(here) if left is not None]
        shifts = torch.tensor([[left, 0.0] for left in here if left is not None]).reshape(-1, 2)
        count = len(tracks)
        boxes = torch.cat([shifts, shifts + 100], dim=1)
        landmarks = LANDMARKS + shifts[:, None]
        numbers = torch.tensor(tracks, dtype=torch.int64)
        flags = torch.full((count,), sees) & (numbers != but)
        found.append(Faces(torch.zeros(count, dtype=torch.int64), boxes, landmarks, torch.ones(count), numbers, flags))
    return found


def watch(
    looks: Sequence[Sequence[Tensor]],
    places: Sequence[Sequence[float | None]],
    seen: Sequence[bool],
    size: int = 7,
    but: int = -1,
) -> tuple[Watched, Scripted]:
    jury = Scripted(looks)
    watching = Watch(consents(ANN, BEA), jury)  # type: ignore[arg-type]
    found = faces_at(places, seen, but)
    for start in range(0, len(found), size):
        part = found[start : start + size]
        rows = [face.frame + number for number, face in enumerate(part)]
        faces = Faces.cat([Faces(**{**vars(face), "frame": row}) for face, row in zip(part, rows, strict=True)])
        times = tuple(Fraction(start + number, 25) for number in range(len(part)))
        watching.look(Frames(torch.zeros(len(part), 8, 8, 3, dtype=torch.uint8), times), faces)
    return watching.finish(), jury


def kept(watched: Watched, track: int = 0) -> list[int]:
    return sorted(frame for frame, tracks in watched.tracks.items() if track in tracks)


LOOKS_AT = [frame % 16 == 0 for frame in range(100)]  # as the tracker does where nothing happens
STILL: list[list[float | None]] = [[0.0]] * 100
ME = near(ANN, 0.1)
STRANGER = near(ANN, 1.0)


def test_stays_between_views_that_agree() -> None:
    watched, jury = watch([[ME]] * 100, STILL, LOOKS_AT)
    assert kept(watched) == list(range(97))  # not after the last view
    assert jury.count == 7
    [decision] = watched.decisions
    assert decision.frames == (0, 96)
    assert decision.times == (0, Fraction(96, 25))


def test_a_view_of_somebody_else_ends_it_from_the_view_before() -> None:
    looks = [[ME] if frame < 40 else [STRANGER] for frame in range(100)]
    assert kept(watch(looks, STILL, LOOKS_AT)[0]) == list(range(33))
    looks = [[STRANGER] if 40 <= frame < 50 else [ME] for frame in range(100)]
    assert kept(watch(looks, STILL, LOOKS_AT)[0]) == [*range(33), *range(64, 97)]
    looks = [[ME] if frame < 40 else [near(BEA, 0.1)] for frame in range(100)]
    watched, _ = watch(looks, STILL, LOOKS_AT)
    assert kept(watched) == [*range(33), *range(48, 97)]
    assert [decision.judgment.who for decision in watched.decisions] == ["ann", "bea"]


def test_one_view_alone_keeps_nothing() -> None:
    looks = [[ME] if frame == 32 else [near(ANN, LINK + 0.02)] for frame in range(100)]
    watched, _ = watch(looks, STILL, LOOKS_AT)
    assert not kept(watched)
    verdicts = [(decision.judgment.verdict, decision.frames) for decision in watched.decisions]
    assert verdicts == [(Verdict.FAR, (0, 16)), (Verdict.ALONE, (32, 32)), (Verdict.FAR, (48, 96))]


def test_views_must_be_near_in_time() -> None:
    step = int(GAP * 25)
    for gap, there in ((step, True), (step + 1, False)):
        seen = [frame in (0, gap) for frame in range(60)]
        assert bool(kept(watch([[ME]] * 60, STILL[:60], seen)[0])) == there


def test_a_jump_or_an_absence_ends_it() -> None:
    jumps: list[list[float | None]] = [[0.0] if frame < 40 else [90.0] for frame in range(100)]
    assert kept(watch([[ME]] * 100, jumps, LOOKS_AT)[0]) == [*range(33), *range(48, 97)]
    leaves: list[list[float | None]] = [[None] if frame == 40 else [0.0] for frame in range(100)]
    assert kept(watch([[ME]] * 100, leaves, LOOKS_AT)[0]) == [*range(33), *range(48, 97)]


def test_where_nobody_is_seen_no_view_counts() -> None:
    assert not kept(watch([[ME]] * 100, STILL, [False] * 100)[0])
    places: list[list[float | None]] = [[0.0, 300.0]] * 100
    watched, _ = watch([[ME, near(BEA, 0.1)]] * 100, places, LOOKS_AT, but=0)
    assert not kept(watched, 0)
    assert kept(watched, 1)


def test_two_who_look_the_same_are_both_replaced() -> None:
    places: list[list[float | None]] = [[0.0, 300.0]] * 100
    assert not watch([[ME, near(ANN, 0.12, 8)]] * 100, places, LOOKS_AT)[0].tracks


def test_views_are_not_taken_more_often_than_needed() -> None:
    _, jury = watch([[ME]] * 100, STILL, [True] * 100)
    assert jury.count == 100 // int(EVERY * 25)


def test_a_face_that_is_only_assumed_never_stays() -> None:
    watching = Watch(consents(ANN), Scripted([[ME] * 2] * 100))  # type: ignore[arg-type]
    faces = faces_at([[0.0]], [True])[0]
    faces = Faces(**{**vars(faces), "tracks": torch.tensor([UNTRACKED])})
    for number in range(40):
        frames = Frames(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), (Fraction(number, 25),))
        watching.look(frames, faces)
    assert not watching.finish().tracks


@given(st.lists(st.sampled_from([ME, STRANGER]), min_size=30, max_size=60), st.integers(1, 60), st.data())
def test_batches_change_nothing(looks: list[Tensor], size: int, data: st.DataObject) -> None:
    seen = data.draw(st.lists(st.booleans(), min_size=len(looks), max_size=len(looks)))
    script = [[look] for look in looks]
    whole, _ = watch(script, STILL[: len(looks)], seen, len(looks))
    cut, _ = watch(script, STILL[: len(looks)], seen, size)
    assert whole == cut
    views = [frame for frame, sees in enumerate(seen) if sees]
    for frame in kept(whole):
        assert any(0 <= frame - view <= GAP * 25 and looks[view] is ME for view in views)
        assert any(0 <= view - frame <= GAP * 25 and looks[view] is ME for view in views)


def test_only_one_verdict_keeps() -> None:
    assert [verdict for verdict in Verdict if is_kept(Judgment("ann", 0.1, verdict))] == [Verdict.KEPT]
