"""Synthetic faces to order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_anonymizer import Run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anonymizer.generate.condition import ATTRIBUTES, CONDITIONS, FLAWS, load_condition
from anonymizer.generate.looks import Look
from anonymizer.provenance import SYNTHETIC
from pipelines.faces import LIST, wanted

STAYS = ("age", "man", "skin", "glasses", "light from aside")

SIZE = ("--size", "64")


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def styles(seed: int, count: int) -> torch.Tensor:
    condition = load_condition()
    noise = torch.randn(count, len(condition.components), generator=torch.Generator().manual_seed(seed))
    return condition.mean + 0.5 * noise @ condition.components


def test_files_and_their_list(run: Run) -> None:
    printed = run("faces", "-o", "a", "--count", 2, "--seed", 5, *SIZE, "--yaw", 25, "--age", "30..50").output
    assert printed.splitlines() == ["a/001.png", "a/002.png"]
    listed = json.loads(Path("a", LIST).read_text())
    assert listed["digital source type"] == SYNTHETIC.source_type
    for entry in listed["faces"]:
        assert 30 <= entry["asked"]["age"] <= 50
        assert abs(entry["shown"]["yaw"] - 25) < 8
        with Image.open(Path("a", entry["file"])) as picture:
            assert picture.size == (64, 64)
            assert SYNTHETIC.source_type in picture.info["XML:com.adobe.xmp"]
    run("faces", "-o", "b", "--count", 1, "--seed", 5, *SIZE, "--yaw", 25, "--age", "30..50")
    assert np.abs(pixels("a/001.png") - pixels("b/001.png")).max() <= 3
    assert np.abs(pixels("a/001.png") - pixels("a/002.png")).mean() > 10


def test_contact_sheet_of_changes(run: Run) -> None:
    run("faces", "-o", "sheet.jpg", "--count", 2, *SIZE, "--edit", "yaw=-30,0,30")
    with Image.open("sheet.jpg") as sheet:
        assert sheet.size == (3 * 64, 2 * 64)
        assert SYNTHETIC.source_type.encode() in sheet.info["xmp"]


def test_files_are_not_replaced_unless_that_is_said(run: Run) -> None:
    Path("a.png").write_bytes(b"mine")
    assert "a.png: exists already" in run("faces", "-o", "a.png", code=1).output
    assert Path("a.png").read_bytes() == b"mine"
    run("faces", "-o", "a.png", "--force", "--count", 1, *SIZE)
    assert pixels("a.png").shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--age", "300"), "age must lie between 1 and 80, not at 300"),
        (("--age", "old"), "neither a number nor a range"),
        (("--edit", "age"), "is no change such as"),
        (("--edit", "hair=1"), "there is no hair to change"),
        (("--edit", "age=old"), "age cannot be old"),
        (("--edit", "gender=cat"), "gender must be woman or man, not cat"),
        (("--edit", "glasses=2"), "glasses must be no or yes, not 2"),
        (("--edit", "smile=yes"), "smile cannot be yes"),
    ],
)
def test_what_cannot_be_ordered(run: Run, options: tuple[str, ...], why: str) -> None:
    assert why in run("faces", *options, code=2).output
    assert not Path("faces").exists()


def test_people_do_not_depend_on_how_many_there_are() -> None:
    ranges = {"age": (20.0, 60.0)}
    many = wanted(5, 7, ranges, Look(), None)
    assert wanted(2, 7, ranges, Look(), None) == many[:2]
    variants = wanted(1, 7, ranges, Look(gender="man"), ("glasses", "no,yes"))
    assert [face.changed.glasses for face in variants] == [False, True]
    assert {face.look.age for face in variants} == {many[0].look.age}


@given(st.integers(0, 1000), st.lists(st.floats(-3, 3), min_size=len(ATTRIBUTES), max_size=len(ATTRIBUTES)))
def test_people_become_what_is_wanted(seed: int, deviations: list[float]) -> None:
    condition = load_condition()
    wanted = condition.usual + torch.tensor(deviations) * condition.spread
    wanted[::2] = torch.nan
    before = styles(seed, 3)
    after = condition.attributes(condition.become(before, wanted.expand(3, -1)))
    expected = torch.where(wanted.isnan(), condition.attributes(before), wanted)
    assert ((after - expected).abs() < 0.02 * condition.spread).all()


@given(st.integers(0, 1000))
def test_nobody_keeps_more_of_a_flaw_than_is_allowed(seed: int) -> None:
    condition = load_condition()
    before = styles(seed, 3)
    after = condition.become(before, torch.full((3, len(ATTRIBUTES)), torch.nan), condition.flaw_limits)
    expected = condition.flaws(before).minimum(condition.flaw_limits)
    assert torch.allclose(condition.flaws(after), expected, atol=0.02)
    assert torch.allclose(condition.attributes(after), condition.attributes(before), rtol=1e-3, atol=0.02)


@given(st.integers(0, 1000), st.floats(-40, 40), st.floats(-20, 20))
def test_heads_turn_and_people_stay(seed: int, yaw: float, pitch: float) -> None:
    condition = load_condition()
    before = styles(seed, 3)
    after = condition.steer(before, torch.tensor([[yaw, torch.nan, 0.2, torch.nan]]).expand(3, -1))
    read = condition.read(after)
    assert torch.allclose(read[:, CONDITIONS.index("yaw")], torch.tensor(yaw), atol=0.3)
    assert torch.allclose(read[:, CONDITIONS.index("mouth open")], torch.tensor(0.2), atol=0.01)
    change = torch.cat(
        [
            (condition.attributes(after) - condition.attributes(before)) / condition.spread,
            condition.flaws(after) - condition.flaws(before),
        ],
        dim=1,
    )
    lasting = [(*ATTRIBUTES, *FLAWS).index(name) for name in (*STAYS, *FLAWS)]
    assert (change.abs()[:, lasting] < 0.02).all()
