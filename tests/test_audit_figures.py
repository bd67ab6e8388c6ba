"""What the audit did: told by the painter, summed in results, whatever a file is, and in reports."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from fractions import Fraction
from math import inf
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fake_anonymizer import FakeAnonymizer, Run, make_photo, make_video
from split_samples import COUNT, Halves, in_segments, job, make_source
from test_audit import FAR, ONE, OTHER, Scripted, face_of_noise
from torch import Tensor

from anonymizer import Frames, Outcome
from anonymizer.anonymize import Anonymized
from anonymizer.audit import EVERY, Audit
from anonymizer.audit_figures import NOTHING, AuditFigures
from anonymizer.evidence import Evidence
from anonymizer.trust import Belief


class Audited(FakeAnonymizer):
    """Says of every picture that a face was looked at, and drawn again."""

    def stills(self, frames: Frames, evidence: Evidence | None = None) -> Anonymized:
        count = len(frames)
        return replace(super().stills(frames, evidence), audit=AuditFigures(2 * count, 2 * count, count, 0.7, 0.8))


class AuditedHalves(Halves):
    """The same of the batches of a video in segments."""

    def render(self, *args, **settings):  # type: ignore[no-untyped-def]
        for done in super().render(*args, **settings):
            yield replace(done, audit=AuditFigures(by_detail=len(done.frames), nearest_other=0.9))


def test_figures_add_up_and_hold_nothing_that_json_does_not() -> None:
    one, two = AuditFigures(4, 2, 1, 0.7, inf), AuditFigures(1, 1, 0, 0.8, 0.62345)
    assert one + two == two + one == AuditFigures(5, 3, 1, 0.7, 0.62345)
    told = {"by_detail": 5, "by_recognizer": 3, "redrawn": 1, "nearest_own": 0.7, "nearest_other": 0.6234}
    assert (one + two).as_dict() == told
    for figures in (one, NOTHING):
        assert AuditFigures.of(json.loads(json.dumps(figures.as_dict(), allow_nan=False))) == figures


def test_figures_of_who_was_let_through(picture: Tensor) -> None:
    """Somebody is refused, and leaves no distance; who passed is looked at again after some seconds."""
    real, new = torch.stack([ONE, OTHER]), torch.stack([ONE + 0.3 * FAR[0], OTHER + 0.8 * FAR[1]])
    audit, figures = Audit(Scripted(real, new), moving=True), NOTHING  # type: ignore[arg-type]
    belief = Belief.blind(face_of_noise(torch.tensor([0, 0])))
    for seconds in (0, 1, EVERY):
        before = Frames(picture[None], (Fraction(seconds),))
        *_, told = audit.judge(before, Frames(before.pixels.flip(1, 2), before.times), belief, [Outcome.GENERATED] * 2)
        figures += told
    assert (figures.by_detail, figures.by_recognizer, figures.redrawn) == (6, 5, 3)
    assert figures.nearest_own == pytest.approx(0.8)
    assert figures.nearest_other == pytest.approx((1 + 1 + 0.8**2) ** 0.5)


def test_what_cannot_be_recognized_has_no_distance(picture: Tensor) -> None:
    nobody = torch.full((2, 128), torch.nan)
    before = Frames(picture[None], (Fraction(0),))
    after = Frames(before.pixels.flip(1, 2), before.times)
    for real, new in ((nobody, FAR), (FAR, nobody)):
        audit = Audit(Scripted(real, new), moving=False)  # type: ignore[arg-type]
        belief = Belief.blind(face_of_noise(torch.tensor([0, 0])))
        *_, told = audit.judge(before, after, belief, [Outcome.GENERATED] * 2)
        assert told == AuditFigures(by_detail=2, by_recognizer=2)


def test_reports_hold_them_whatever_a_file_is(run: Run) -> None:
    photo = make_photo(Path("in/1.jpg"))
    make_video(Path("in/2.mp4"), range(0, 500, 100))
    with zipfile.ZipFile("in/3.zip", "w") as archive:
        archive.write("in/1.jpg", "a.jpg")
        archive.write("in/2.mp4", "b.mp4")
    pq.write_table(pa.table({"image": [photo.read_bytes()] * 3}), "in/4.parquet")
    Path("in/5.txt").write_text("no picture")
    run("run", "in", "-o", "out", "--report", "r.json", load=Audited)
    told = [line["audit"] for line in json.loads(Path("r.json").read_text())["inputs"]]
    assert [audit["redrawn"] for audit in told] == [1, 5, 6, 3, 0]
    assert told[2] == {"by_detail": 12, "by_recognizer": 12, "redrawn": 6, "nearest_own": 0.7, "nearest_other": 0.8}
    assert told[4] == NOTHING.as_dict()
    run("run", "in", "-o", "out", "--report", "r.html", load=Audited)
    page = Path("r.html").read_text()
    assert "personas drawn anew" in page
    assert "0.800" in page


def test_segments_hand_them_on(tmp_path: Path) -> None:
    """What is rendered around a segment counts, too, as it was looked at."""
    done = in_segments(job(make_source(tmp_path)), AuditedHalves())
    assert done.error is None
    assert COUNT < done.audit.by_detail < 2 * COUNT
    assert done.audit == AuditFigures(by_detail=done.audit.by_detail, nearest_other=0.9)
