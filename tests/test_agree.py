"""Who is who in the segments of one video, and faces that are kept until then."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from scripted_faces import CONFIG, Box, Knowing, Script, Scripted, looks, square, still, video
from torch import Tensor

from anonymizer.agree import agree
from anonymizer.batches import UNTRACKED, Faces
from anonymizer.envelope import Envelope, Plain
from anonymizer.errors import LeakError, MediaError, SeekError
from anonymizer.generate.looks import Look
from anonymizer.people import People
from anonymizer.sightings import NOBODY, Sightings
from anonymizer.track import ahead, follow
from pipelines.sealed import Sealed

UNIT = Fraction(1, 25)
LENGTH = 192
STARTS = (0, 64, 128)
LEAD = 32


def segments(script: Script, who: Knowing | None = None, starts: tuple[int, ...] = STARTS) -> list[Sightings]:
    """What the tracker sees in the segments of a video that begin with ``starts``."""
    found = []
    for start, stop in zip(starts, (*starts[1:], LENGTH), strict=True):
        first, last = max(start - LEAD, 0), min(stop + ahead(CONFIG.track), LENGTH)
        batches = [
            replace(batch, times=tuple(time + first * UNIT for time in batch.times))
            for batch in video(still(last - first), list(range(8, last - first, 8)))
        ]
        people = People()
        tracked = follow(batches, Scripted(script), CONFIG, who, None, people, start - first)
        shared = [number for begin in starts for number in (begin - LEAD, begin)]
        found.append(Sightings.collect(tracked, people, UNIT, first, range(start, stop), shared))
    return found


def own(starts: tuple[int, ...] = STARTS) -> list[range]:
    return [range(start, stop) for start, stop in zip(starts, (*starts[1:], LENGTH), strict=True)]


def joined(found: list[Sightings]) -> list[dict[int, Box]]:
    """The people of each frame, by their number in the whole video."""
    tables = agree(found, own()).tables
    result = []
    for segment, frames, table in zip(found, own(), tables, strict=True):
        faces = segment.renumbered(table).between(frames.start, frames.stop)
        for row in range(len(frames)):
            here = faces[faces.frame == row]
            assert len(set(here.tracks.tolist())) == len(here)
            result.append(dict(zip(here.tracks.tolist(), map(tuple, here.boxes.tolist()), strict=True)))
    return result


def whole(script: Script, who: Knowing | None = None) -> list[dict[int, Box]]:
    """The same without segments."""
    result = []
    for frames, faces in follow(video(still(LENGTH), list(range(8, LENGTH, 8))), Scripted(script), CONFIG, who):
        for row in range(len(frames)):
            here = faces[faces.frame == row]
            result.append(dict(zip(here.tracks.tolist(), map(tuple, here.boxes.tolist()), strict=True)))
    return result


def walks(number: int, first: int = 0, last: int = LENGTH, score: float = 0.9) -> Script:
    """Somebody who walks to the right, in a row of their own."""
    return lambda frame: {square(40 + frame, 40 + 80 * number): score} if first <= frame < last else {}


def both(*scripts: Script) -> Script:
    return lambda frame: {box: score for script in scripts for box, score in script(frame).items()}


def test_what_the_first_segment_says_of_a_person_holds() -> None:
    said = [Look(age=25.0), Look(age=52.0), Look(age=66.0)]
    found = [
        replace(segment, looks=dict.fromkeys(set(segment.faces.tracks.tolist()) - {UNTRACKED}, look))
        for segment, look in zip(segments(both(walks(0), walks(1, 110))), said, strict=True)
    ]
    assert all(segment.looks for segment in found)
    known = agree(found, own())
    first, second = sorted(known.looks)
    assert {first, second} == {number for table in known.tables for number in table.values()} - {NOBODY}
    assert known.looks == {first: said[0], second: said[1]}


def test_segments_begin_where_the_tracker_looks() -> None:
    assert CONFIG.track.span == 16
    assert all(start % CONFIG.track.span == 0 for start in (*STARTS, LEAD))


@pytest.mark.parametrize(
    "script",
    [
        walks(0),
        both(walks(0), walks(1), walks(2, 50, 140)),
        both(walks(0, 0, 64), walks(1, 64), walks(2, 30, 70)),  # at a joint
        both(walks(0, 3, 60), walks(1, 69, 125), walks(2, 127, 132)),
        lambda frame: {},
    ],
)
def test_segments_agree_with_the_whole(script: Script) -> None:
    assert joined(segments(script)) == whole(script)


def test_who_comes_back_in_another_segment_is_known() -> None:
    script = both(walks(0, 0, 40), walks(1, 70, 110), walks(2, 150), walks(1, 10, 60))
    who = Knowing(lambda frame, x, y: {40: 1, 120: 1 if frame > 65 else 2, 200: 2}[round(y)])
    found = joined(segments(script, who))
    assert found == whole(script, who)
    assert {number for here in found for number in here} == {0, 1}


def test_two_who_were_seen_together_are_two() -> None:
    script = both(walks(0), walks(1, 70, 110))
    found = joined(segments(script, Knowing(lambda frame, x, y: 7)))
    assert found[80].keys() == {0, 1}


def test_who_is_in_doubt_is_somebody_new() -> None:
    script = both(walks(0, 0, 40), walks(1, 0, 40), walks(0, 155, 185))
    found = segments(script, Knowing(lambda frame, x, y: round(y) // 80))

    def between(share: float) -> Tensor:
        return torch.lerp(looks(0), looks(1), share)[None]

    found[0] = replace(found[0], people={0: between(0), 1: between(0.35)})  # they met
    found[1] = replace(found[1], people={})
    for share, person in ((0.175, 2), (0.02, 0), (0.33, 1)):
        found[2] = replace(found[2], people={0: between(share)})
        assert joined(found)[165].keys() == {person}


def test_what_somebody_was_sure_of_before_is_a_face_until_it_is_gone() -> None:
    """The tracker believes an unsure face if it was sure of it once, even in a segment that begins later."""
    script = both(
        lambda frame: {square(40 + frame, 40): 0.9 if frame < 10 else 0.25},
        lambda frame: {square(200, 200): 0.25},  # nobody ever is sure of this
    )
    found = segments(script)
    assert found[1].doubtful
    assert found[2].doubtful
    assert joined(found) == whole(script)
    assert all(len(here) == 1 for here in joined(found))


def test_what_names_the_video_is_its_first_picture_with_a_face() -> None:
    found = segments(walks(0, 80, 110))
    assert [bool(segment.source) for segment in found] == [False, True, False]
    assert agree(found, own()).source == found[1].source
    assert agree(segments(lambda frame: {}), own()).source == ""


def test_other_pictures_in_the_same_frames_are_noticed() -> None:
    found = segments(walks(0))
    changed = dict.fromkeys(found[1].pictures, "0" * 32)
    for pictures in ({}, changed):
        with pytest.raises(SeekError, match="other pictures"):
            agree([found[0], replace(found[1], pictures=pictures), found[2]], own())


def test_nobody_is_left_out_by_mistake() -> None:
    [segment] = segments(both(walks(0), walks(1)), starts=(0,))
    with pytest.raises(LeakError, match="who number 1 is"):
        segment.renumbered({0: 0})
    for start, stop in ((-1, 5), (0, LENGTH + 1), (LENGTH, LENGTH + 4)):
        with pytest.raises(LeakError, match="not all were looked at"):
            segment.between(start, stop)
    assert set(segment.renumbered({0: 5, 1: NOBODY}).faces.tracks.tolist()) == {5}


def test_of_two_faces_with_one_number_the_better_known_keeps_it() -> None:
    [segment] = segments(both(walks(0, score=0.8), walks(1, score=0.9)), starts=(0,))
    faces = segment.renumbered({0: 4, 1: 4}).between(10, 11)
    assert dict(zip(faces.boxes[:, 1].tolist(), faces.tracks.tolist(), strict=True)) == {20.0: UNTRACKED, 100.0: 4}


@pytest.mark.parametrize("envelope", [Plain(), Sealed(bytes(32))], ids=["plain", "sealed"])
def test_faces_in_a_file(tmp_path: Path, envelope: Envelope) -> None:
    path = tmp_path / "0.faces"
    with pytest.raises(MediaError, match="are missing"):
        Sightings.load(path, envelope)
    for segment in segments(both(walks(0, 0, 90), walks(1, 0, 70, 0.25)), Knowing(lambda frame, x, y: 3)):
        segment.save(path, envelope)
        loaded = Sightings.load(path, envelope)
        assert vars(loaded.faces).keys() == vars(Faces.none()).keys()
        assert all(torch.equal(value, vars(loaded.faces)[name]) for name, value in vars(segment.faces).items())
        assert torch.equal(loaded.times, segment.times)
        assert loaded.people.keys() == segment.people.keys()
        assert all(torch.equal(value, loaded.people[number]) for number, value in segment.people.items())
        rest = {"first", "doubtful", "pictures", "source"}
        assert {name: vars(loaded)[name] for name in rest} == {name: vars(segment)[name] for name in rest}
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MediaError, match="are missing"):
        Sightings.load(path, envelope)
