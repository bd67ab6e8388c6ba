"""Who is who: when two faces pass for one person, and which numbers the people of a video have."""

import pytest
import torch
import torch.nn.functional as F
from scripted_faces import CONFIG, EVERY, Box, Knowing, covers, frames_of, looks, run, scene, square, still
from torch import Tensor

from anonymizer.batches import UNTRACKED
from anonymizer.config import Config
from anonymizer.motion import LINGER
from anonymizer.people import KEPT, LINK, PEOPLE, People


def between(a: Tensor, b: Tensor, share: float) -> Tensor:
    return torch.lerp(a, b, share)


def ask(people: People, *embeddings: Tensor, present: tuple[int, ...] = ()) -> list[int | None]:
    return people.recognize(torch.stack(embeddings), [present] * len(embeddings))


@pytest.fixture
def two() -> People:
    people = People()
    for person in range(2):
        people.remember(people.stranger(), looks(person))
    return people


def test_known_people_are_known_again(two: People) -> None:
    assert ask(two, looks(1), looks(0), looks(2)) == [1, 0, None]
    assert ask(two, between(looks(0), looks(9), LINK / 2**0.5 - 0.01)) == [0]
    assert ask(two, between(looks(0), looks(9), LINK / 2**0.5 + 0.01)) == [None]


def test_who_is_in_the_picture_does_not_come_in(two: People) -> None:
    assert ask(two, looks(0), present=(0,)) == [None]
    assert ask(two, looks(0), present=(1,)) == [0]


def test_who_is_like_two_people_who_met_is_somebody_new(two: People) -> None:
    middle = between(looks(0), looks(1), 0.5)
    for number, share in enumerate((0.25, 0.75)):  # 0.35 from the middle
        two.remember(number, between(looks(0), looks(1), share))
    assert ask(two, middle) == [0]
    two.meet([1, 0], [0, 1])
    two.meet([1, 2], [1, 2])
    assert ask(two, middle) == [None]
    assert ask(two, between(looks(0), looks(1), 0.65)) == [1]  # 0.14 and 0.57: no doubt


def test_who_is_like_one_person_and_hardly_less_like_another_is_somebody_new() -> None:
    people = People()
    for way in (1, 2):
        people.remember(people.stranger(), between(looks(0), looks(way), (LINK - 0.14 + 0.08 * way) / 2**0.5))
    assert ask(people, between(looks(0), looks(5), 0.01)) == [None]


def test_a_person_with_two_numbers_goes_on_with_the_first() -> None:
    people = People()
    for way in (1, 2):  # 0.52 apart, and 0.37 from what is between them
        people.remember(people.stranger(), between(looks(0), looks(way), 0.26))
    assert ask(people, looks(0)) == [0]
    assert ask(people, looks(0), present=(0,)) == ask(people, looks(0), present=(1,)) == [None]
    people.remember(0, looks(0))
    assert ask(people, between(looks(0), looks(2), 0.1)) == [0]


def test_few_numbers_for_a_person_who_pulls_faces_and_none_for_two_people() -> None:
    people, generator = People(), torch.Generator().manual_seed(1)
    numbers: tuple[set[int], ...] = (set(), set())
    for turn in range(80):
        person = turn % 2
        expression = F.normalize(torch.randn(4, generator=generator), dim=0)
        view = looks(person) + 0.53 * F.pad(expression, (2, 250))  # from each other by up to 1.06
        known = ask(people, view)[0]
        number = people.stranger() if known is None else known
        people.remember(number, view)
        numbers[person].add(number)
    assert not numbers[0] & numbers[1]
    assert max(map(len, numbers)) <= 5


def test_of_those_who_met_no_more_is_remembered_than_of_people(two: People) -> None:
    for _ in range(50):
        passer = two.stranger()
        two.meet([0, passer, 1], [passer, 0, 1])
    assert two.met == {(0, 1), (0, passer), (1, passer)}


def test_of_two_faces_that_are_like_one_person_neither_is_known(two: People) -> None:
    near = between(looks(0), looks(5), 0.05)
    assert ask(two, looks(0), near) == [None, None]
    assert ask(two, looks(0), between(looks(0), looks(5), 0.25)) == [0, None]


def test_what_cannot_be_told_is_nobody(two: People) -> None:
    assert ask(two, torch.full((256,), torch.nan), looks(1)) == [None, 1]
    assert two.recognize(torch.zeros(0, 256), []) == []


def test_several_looks_of_a_person_are_kept_but_not_many() -> None:
    people = People()
    person = people.stranger()
    for look in range(KEPT + 3):
        people.remember(person, looks(look))
    assert ask(people, looks(0)) == ask(people, looks(KEPT - 1)) == [person]
    assert ask(people, looks(KEPT)) == [None]


def test_those_not_seen_for_longest_are_forgotten() -> None:
    people = People()
    generator = torch.Generator().manual_seed(0)
    crowd = torch.randn(PEOPLE + 1, 256, generator=generator)
    for embedding in crowd[:-1]:
        people.remember(people.stranger(), embedding)
    people.remember(0, crowd[0])  # comes back
    people.remember(people.stranger(), crowd[-1])
    assert ask(people, crowd[0], crowd[1], crowd[2], crowd[-1]) == [0, None, 2, PEOPLE]
    assert len(people._known) == PEOPLE


@pytest.mark.parametrize("config", [CONFIG, EVERY])
@pytest.mark.parametrize("cuts", [[], None, [3, 31, 32, 70]])
def test_a_known_person_who_comes_back_has_the_same_number(config: Config, cuts: list[int] | None) -> None:
    def script(n: int) -> dict[Box, float]:
        return {} if 20 <= n < 50 else {square(100 if n < 50 else 200, 100, 60): 0.9}

    tracked, _ = run(script, still(80), config, cuts, Knowing(lambda n, x, y: 3))
    assert frames_of(tracked, 0) == [*range(20 + LINGER), *range(50 - LINGER, 80)]
    assert not frames_of(tracked, 1)


def test_cut_away_and_back() -> None:
    shots = [scene(seed).expand(30, -1, -1, -1) for seed in (1, 2, 1, 3)]
    people = [(0, 1), (2, 1), (1, 0), (3, 2)]  # on the left and on the right of each shot

    def script(n: int) -> dict[Box, float]:
        return {square(80, 100, 60): 0.9, square(220, 100, 60): 0.9}

    tracked, _ = run(script, torch.cat(shots), jury=Knowing(lambda n, x, y: people[n // 30][x > 150]))
    where = [{number: bool(box[0] > 150) for number, box in faces.items()} for faces in tracked[::30]]
    assert where == [{0: False, 1: True}, {2: False, 1: True}, {1: False, 0: True}, {3: False, 2: True}]
    assert all(set(faces) == set(tracked[n // 30 * 30]) for n, faces in enumerate(tracked))


@pytest.mark.parametrize("people", [1, 2])
def test_a_cut_between_pictures_that_are_alike_is_one_if_people_change(people: int) -> None:
    one, other = scene(1).float() - 128, scene(2).float() - 128
    alike = (128 + 0.65 * one + 0.76 * other).clamp(0, 255).byte()  # unlikeness 0.35
    pictures = torch.cat([scene(1).expand(22, -1, -1, -1), alike.expand(30, -1, -1, -1)])
    jury = Knowing(lambda n, x, y: 0 if n < 22 else people - 1)
    tracked, _ = run(lambda n: {square(100, 100, 60): 0.9}, pictures, jury=jury)
    assert [list(faces) for faces in tracked] == [[0]] * 22 + [[people - 1]] * 30


def test_two_faces_at_a_time_are_two_people() -> None:
    def script(n: int) -> dict[Box, float]:
        return {square(80, 100, 60): 0.9} | ({square(220, 100, 60): 0.9} if n >= 30 else {})

    tracked, _ = run(script, still(80), jury=Knowing(lambda n, x, y: 0))
    assert frames_of(tracked, 0) == list(range(80))
    assert frames_of(tracked, 1) == list(range(30 - LINGER, 80))


def test_who_is_like_two_others_is_somebody_new() -> None:
    def script(n: int) -> dict[Box, float]:
        if 30 <= n < 60:
            return {}
        return {square(80, 100, 60): 0.9} | ({square(220, 100, 60): 0.9} if n < 30 else {})

    tracked, _ = run(script, still(90), jury=Knowing(lambda n, x, y: 0))
    assert frames_of(tracked, 2) == list(range(60 - LINGER, 90))


def test_people_who_cannot_be_told_are_new_each_time_and_are_not_asked_for_in_every_frame() -> None:
    jury = Knowing(lambda n, x, y: -1)
    tracked, _ = run(lambda n: {} if 60 <= n < 90 else {square(100, 100, 60): 0.9}, still(150), EVERY, None, jury)
    assert frames_of(tracked, 1) == list(range(90 - LINGER, 150))
    assert len(jury.asked) <= 120 / EVERY.track.window + 2


def test_a_person_is_learnt_from_a_later_view() -> None:
    def script(n: int) -> dict[Box, float]:
        return {} if 80 <= n < 110 else {square(100, 100, 30 if n < 45 else 60): 0.9}

    tracked, _ = run(script, still(140), jury=Knowing(lambda n, x, y: 0 if n >= 60 else -1))
    assert {number for faces in tracked for number in faces} == {0}


def test_a_small_face_is_not_recognized() -> None:
    jury = Knowing(lambda n, x, y: 0)
    tracked, _ = run(lambda n: {} if 20 <= n < 50 else {square(100, 100, 38): 0.9}, still(80), jury=jury)
    assert frames_of(tracked, 1) == list(range(50 - LINGER, 80))
    assert not jury.asked


@pytest.mark.parametrize("config", [CONFIG, EVERY])
@pytest.mark.parametrize("away", [0, 1, 4])
def test_who_is_seen_elsewhere_is_not_waited_for_where_they_were(config: Config, away: int) -> None:
    def script(n: int) -> dict[Box, float]:
        return {square(80, 100, 60): 0.9} if n < 30 else {square(230, 100, 60): 0.9} if n >= 30 + away else {}

    tracked, _ = run(script, still(60), config, None, Knowing(lambda n, x, y: 0))
    assert {number for faces in tracked for number in faces} == {0, UNTRACKED}
    assert all(covers({0: tracked[n][0]}, *script(n)) for n in range(60) if script(n))
    assert all(covers(tracked[n], square(80, 100, 60)) for n in range(30 + LINGER))  # perhaps still there
    assert all(covers(tracked[n], square(230, 100, 60)) for n in range(30 + away - LINGER, 60))  # perhaps already there


def test_who_is_found_again_while_a_double_is_seen_keeps_the_number() -> None:
    def script(n: int) -> dict[Box, float]:
        there = {} if 35 <= n < 49 else {square(80, 100, 60): 0.9}  # lost until long after the double has a number
        return there | ({square(230, 100, 60): 0.9} if n >= 35 else {})

    tracked, _ = run(script, still(90), EVERY, None, Knowing(lambda n, x, y: 0))
    assert all(covers({0: tracked[n][0]}, square(80, 100, 60)) for n in range(90))
    assert all(covers({1: tracked[n][1]}, square(230, 100, 60)) for n in range(35, 90))
