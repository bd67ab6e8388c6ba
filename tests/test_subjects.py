"""Subjects: who is linked, what personas are drawn from, and the registry as a file that nobody else can read."""

from __future__ import annotations

import datetime
import os
import random
import signal
import stat
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fake_anonymizer import invoke
from scipy.stats import chi2
from scripted_faces import looks
from torch import Tensor

from anonymizer.errors import ConfigError, MediaError
from anonymizer.generate.base import Persona
from anonymizer.generate.likeness import load_likeness
from anonymizer.generate.looks import Look
from anonymizer.generate.personas import Studio
from anonymizer.generate.seeds import derive_seed
from anonymizer.jury import distances
from anonymizer.subjects import Subjects
from pipelines.keys import BYTES, Key, new_key, path_of
from pipelines.registry import EARLIER, MAGIC, Registry, partial_of, purge

DAY = datetime.date(2026, 1, 31)
STRANGERS = 9_000_000  # seed of the first of people who are no personas of a key
MANY = 1 << 14  # subjects, for statistics


def views(*people: int) -> dict[int, Tensor]:
    """One view of each of some people, numbered as they come."""
    return {number: looks(person)[None] for number, person in enumerate(people)}


def link(subjects: Subjects, *people: int, day: datetime.date = DAY, look: Look | None = None) -> list[int]:
    """The subjects of people who are seen together."""
    met = set(combinations(range(len(people)), 2))
    table = subjects.link(views(*people), met, dict.fromkeys(range(len(people)), look or Look()), day)
    return [table[number] for number in range(len(people))]


def cast(registry: Registry, *people: int, look: Look | None = None) -> list[Persona]:
    met = set(combinations(range(len(people)), 2))
    personas = registry.cast(views(*people), met, dict.fromkeys(range(len(people)), look or Look()))
    return [personas[number] for number in range(len(people))]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "my.key"
    path.touch(0o600)
    path.write_bytes(bytes(range(BYTES)))
    return path


@pytest.fixture
def other_file(tmp_path: Path) -> Path:
    path = tmp_path / "other.key"
    path.touch(0o600)
    path.write_bytes(bytes(range(1, BYTES + 1)))
    return path


# Who is who


def test_who_comes_again_is_the_same_subject() -> None:
    subjects = Subjects(b"")
    assert link(subjects, 3, 5) == [0, 1]
    assert link(subjects, 5) == [1]
    assert link(subjects, 7, 3, 5) == [2, 0, 1]


def test_two_faces_of_a_picture_are_two_subjects() -> None:
    subjects = Subjects(b"")
    assert link(subjects, 3) == [0]
    assert link(subjects, 3, 3) == [1, 2]  # either may be the one who was there


def test_of_two_people_of_a_video_who_never_met_both_may_be_one_subject() -> None:
    subjects = Subjects(b"")
    link(subjects, 3)
    assert subjects.link(views(3, 3), set(), {}, DAY) == {0: 0, 1: 0}
    assert subjects.link(views(3, 3), {(0, 1)}, {}, DAY) == {0: 1, 1: 2}


def test_who_is_like_two_subjects_who_met_is_somebody_new() -> None:
    subjects = Subjects(b"")
    near = {
        number: torch.lerp(looks(0), looks(9), share)[None] for number, share in enumerate((0.0, 0.35))
    }  # 0.49 apart
    assert subjects.link(near, {(0, 1)}, {}, DAY) == {0: 0, 1: 1}
    between = {0: torch.lerp(looks(0), looks(9), 0.19)[None]}  # 0.23 and 0.26 from them
    assert subjects.link(between, set(), {}, DAY) == {0: 2}


def test_the_first_look_and_both_days_are_kept() -> None:
    subjects = Subjects(b"")
    old, young = Look(age=66, gender="woman"), Look(age=9)
    link(subjects, 3, look=old)
    link(subjects, 3, look=young, day=DAY + datetime.timedelta(2))
    link(subjects, 3, look=young, day=DAY)  # a clock that goes back
    known = subjects.known[0]
    assert (known.look, known.first, known.last) == (old, DAY, DAY + datetime.timedelta(2))
    assert subjects.persona(b"k" * 32, 0).attributes == old.attributes


def test_the_number_of_who_is_forgotten_is_never_given_again() -> None:
    subjects = Subjects(b"")
    link(subjects, 3, 5)
    subjects.forget([1])
    assert subjects.people.met == set()
    assert link(subjects, 5, 3) == [2, 0]


# Personas


def bits(seeds: list[int]) -> Tensor:
    """``(N, 63)`` float64."""
    return torch.tensor([[seed >> bit & 1 for bit in range(63)] for seed in seeds], dtype=torch.float64)


def seeds_of(content: bytes, tmp_path: Path, name: bytes = b"registry") -> list[int]:
    """Of many subjects of the key with this content."""
    path = tmp_path / content.hex()[:16]
    path.touch(0o600)
    path.write_bytes(content)
    key = Key.read(path).seeds
    return [derive_seed(key, name, subject) for subject in range(MANY)]


def test_seeds_are_the_same_with_the_same_key_only(tmp_path: Path) -> None:
    key, other = b"a" * BYTES, b"a" * (BYTES - 1) + b"b"
    seeds = seeds_of(key, tmp_path)
    assert seeds == seeds_of(key, tmp_path)
    assert not set(seeds) & set(seeds_of(other, tmp_path))
    assert not set(seeds) & set(seeds_of(key, tmp_path, b"another"))
    assert len(set(seeds)) == MANY


def test_seeds_are_uniform_and_those_of_two_keys_independent(tmp_path: Path) -> None:
    """Whoever sees all personas under two keys can tell neither which belong together nor the order of subjects."""
    one, other = (seeds_of(content * BYTES, tmp_path) for content in (b"a", b"b"))
    limit = 1e-6  # probability that a test fails by chance
    for seeds in (one, other):
        counts = torch.bincount(torch.tensor([seed >> 55 for seed in seeds]), minlength=256)
        statistic = ((counts - MANY / 256) ** 2 / (MANY / 256)).sum()
        assert chi2.sf(float(statistic), 255) > limit
    # every bit of the one with every bit of the other, of the same subject and of the one after it: 2 x 63 x 63
    a, b = bits(one) - 0.5, bits(other) - 0.5
    for shifted in (b, b.roll(1, 0), a.roll(1, 0)):
        correlation = 4 * a.T @ shifted / MANY  # standard deviation 1 / sqrt(MANY)
        assert correlation.abs().max() * MANY**0.5 < 6.5
    distance = (bits(one) != bits(other)).double().sum(1)
    expected = torch.distributions.Binomial(63, torch.tensor(0.5)).log_prob(torch.arange(20.0, 44)).exp() * MANY
    found = torch.histc(distance.float(), 24, 19.5, 43.5)
    assert chi2.sf(float(((found - expected) ** 2 / expected).sum()), 23) > limit


def test_personas_of_two_keys_look_as_different_as_those_of_two_people(
    key_file: Path, other_file: Path, studio: Studio
) -> None:
    """Whoever could tell their styles cannot join what was made with two keys; people look like others drawn so."""
    count = 400
    people = load_likeness().guess(studio.styles([Persona(STRANGERS + number) for number in range(count)]))
    seen = {number: (view / 2**0.5)[None] for number, view in enumerate(people)}
    together = set(combinations(range(count), 2))
    guesses = []
    for file in (key_file, other_file):
        personas = Registry(file).cast(seen, together, {})
        guesses.append(load_likeness().guess(studio.styles([personas[number] for number in range(count)])))
    apart = distances(guesses[0][:, None], guesses[1]).sum(2)
    nearer = (apart.diagonal()[:, None] < apart).float().sum(1) / (count - 1)
    assert abs(nearer.mean() - 0.5) < 4 * nearer.std() / count**0.5, "50% is nothing"


# The file


def test_another_process_knows_who_came(key_file: Path) -> None:
    one, two = cast(Registry(key_file), 3, 5, look=Look(age=37, skin=-10.0))
    assert one.seed != two.seed
    assert cast(Registry(key_file), 5) == [two]
    registry = Registry(key_file)
    assert cast(registry, 7)[0].seed not in (one.seed, two.seed)
    assert cast(registry, 5, 3) == [two, one]
    assert Registry(key_file).read().people.met == {(0, 1)}


def test_nobody_else_can_read_it(key_file: Path) -> None:
    cast(Registry(key_file), 3)
    path = path_of(key_file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert looks(3).half().numpy().tobytes()[:16] not in content
    assert b"age" not in content
    registry = Registry(key_file)
    cast(registry, 3)
    assert path.read_bytes() == content  # as there is nothing new
    cast(registry, 4)
    assert path.read_bytes()[:17] == content[:17]
    assert path.read_bytes()[17:29] != content[17:29]  # another nonce


def test_another_key_gives_other_personas_and_reads_nothing(key_file: Path, other_file: Path) -> None:
    [persona] = cast(Registry(key_file), 3)
    assert cast(Registry(other_file), 3) != [persona]
    before = path_of(key_file).read_bytes()
    path_of(key_file).replace(path_of(other_file))
    for touch in (lambda: cast(Registry(other_file), 4), lambda: Registry(other_file).forget([0])):
        with pytest.raises(ConfigError, match="not of the key"):
            touch()
    assert path_of(other_file).read_bytes() == before


@pytest.mark.parametrize("at", [0, 5, 9, 20, 60, -1])
def test_a_damaged_registry_is_never_taken_for_a_new_one(key_file: Path, at: int) -> None:
    cast(Registry(key_file), 3)
    content = bytearray(path_of(key_file).read_bytes())
    content[at] ^= 1
    for damaged in (bytes(content), bytes(content[:40]), b""):
        path_of(key_file).write_bytes(damaged)
        with pytest.raises((ConfigError, MediaError), match="registry is"):
            cast(Registry(key_file), 3)
        assert path_of(key_file).read_bytes() == damaged


def test_a_registry_that_vanishes_is_not_begun_anew(key_file: Path) -> None:
    registry = Registry(key_file)
    cast(registry, 3)
    registry.path.unlink()
    with pytest.raises(MediaError, match="not there any more"):
        cast(registry, 3)
    assert not registry.path.exists()


def test_a_new_registry_of_the_same_key_gives_nobody_a_face_that_was_given(key_file: Path) -> None:
    before = cast(Registry(key_file), 3, 5)
    assert purge(key_file)
    assert not path_of(key_file).exists()
    assert not {persona.seed for persona in before} & {persona.seed for persona in cast(Registry(key_file), 3, 5)}
    assert purge(key_file)
    assert not purge(key_file)


def test_what_cannot_be_written_is_not_known(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(key_file)
    [persona] = cast(registry, 3)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        with pytest.raises(MediaError, match="no space left"):
            cast(registry, 5)
    assert not partial_of(registry.path).exists()
    assert set(registry.read().known) == {0}
    assert cast(registry, 3) == [persona]


def test_the_persona_stays_whatever_is_learnt(key_file: Path) -> None:
    [persona] = cast(Registry(key_file), 3)
    near = {0: F.normalize(looks(3) + 0.2 * looks(6), dim=0)[None]}
    assert Registry(key_file).cast(near, set(), {}) == {0: persona}
    subjects = Registry(key_file).read()
    assert len(subjects.people.embeddings[0]) == 2
    assert cast(Registry(key_file), 3) == [persona]
    assert persona == Persona(derive_seed(Key.read(key_file).seeds, subjects.name, 0))


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_registry_of_an_earlier_version_is_refused(key_file: Path, earlier: bytes) -> None:
    cast(Registry(key_file), 3)
    path = path_of(key_file)
    content = path.read_bytes().replace(MAGIC, earlier)
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"earlier version.*subjects purge"):
        cast(Registry(key_file), 3)
    assert path.read_bytes() == content
    assert purge(key_file)
    cast(Registry(key_file), 3)


CROWD = 24
WORK = f"""
import sys, torch
from pathlib import Path
from pipelines.registry import Registry
registry = Registry(Path(sys.argv[1]))
generator = torch.Generator().manual_seed(int(sys.argv[2]))
print("ready", flush=True)
for person in torch.randperm({CROWD}, generator=generator).tolist():
    registry.cast({{0: torch.eye(256)[person][None]}}, set(), {{}})
while sys.argv[3] == "for ever":
    registry.cast({{0: torch.randn(1, 256, generator=generator)}}, set(), {{}})  # a stranger
"""


def start(key_file: Path, seed: int, how_long: str = "") -> subprocess.Popen[bytes]:
    """A process that sees a crowd in some order, and then perhaps strangers, one after the other."""
    process = subprocess.Popen([sys.executable, "-c", WORK, key_file, str(seed), how_long], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


def test_processes_that_work_at_the_same_time_agree(key_file: Path) -> None:
    processes = [start(key_file, seed) for seed in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    subjects = Registry(key_file).read()
    assert len(subjects.known) == subjects.people.count == CROWD


def test_killed_at_any_moment_it_is_whole(key_file: Path) -> None:
    before: set[int] = set()
    chance = random.Random(0)
    for turn in range(4):
        process = start(key_file, turn, "for ever")
        time.sleep(0.1 + 0.3 * chance.random())
        process.kill()
        assert process.wait() == -signal.SIGKILL
        subjects = Registry(key_file).read()
        assert subjects.known.keys() == set(range(subjects.people.count)) == subjects.people.embeddings.keys()
        assert subjects.known.keys() > before
        before = set(subjects.known)
    cast(Registry(key_file), 100)
    assert {path.name for path in key_file.parent.iterdir()} == {"my.key", "my.key.subjects"}


# Keys


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    new_key(path)
    content = path.read_bytes()
    assert len(content) == BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="exists"):
        new_key(path)
    assert path.read_bytes() == content
    with pytest.raises(ConfigError, match="no such file"):
        new_key(tmp_path / "nowhere" / "my.key")


def test_what_is_derived_from_a_key_tells_nothing_of_it(key_file: Path, other_file: Path) -> None:
    one, other = Key.read(key_file), Key.read(other_file)
    derived = [one.seeds, one.cipher, bytes.fromhex(one.name), other.seeds, other.cipher, bytes.fromhex(other.name)]
    assert len({part[:8] for part in derived}) == 6
    assert not [part for part in derived if part[:8] in key_file.read_bytes()]
    assert one.name in repr(one)
    assert repr(one.seeds) not in repr(one)
    assert repr(one.cipher) not in repr(one)


def test_a_key_that_is_none_is_refused(key_file: Path) -> None:
    key_file.write_bytes(b"short")
    with pytest.raises(ConfigError, match="32 random bytes or more"):
        Key.read(key_file)
    key_file.write_bytes(bytes(1 << 17))
    with pytest.raises(ConfigError, match="random bytes"):
        Key.read(key_file)
    key_file.write_bytes(bytes(BYTES))
    key_file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        Key.read(key_file)
    key_file.unlink()
    with pytest.raises(ConfigError, match="new-key"):
        Key.read(key_file)


# Commands


def test_commands(tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    key = ("--key-file", path)
    assert "new-key" in invoke("subjects", "list", *key, code=2).stderr
    invoke("subjects", "new-key", path)
    assert "exists" in invoke("subjects", "new-key", path, code=2).stderr
    assert invoke("subjects", "list", *key).stdout.splitlines()[1:] == []
    registry = Registry(path)
    cast(registry, 3, 5)
    registry.cast({0: looks(5)[None], 1: F.normalize(looks(5) + 0.2 * looks(6), dim=0)[None]}, set(), {})
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    rows = [line.split() for line in invoke("subjects", "list", *key).stdout.splitlines()[1:]]
    assert rows == [["0", today, today, "1"], ["1", today, today, "2"]]
    assert "no subject 7" in invoke("subjects", "forget", 0, 7, *key, code=2).stderr
    assert "forgotten: 0" in invoke("subjects", "forget", 0, *key).stdout
    assert [line.split()[0] for line in invoke("subjects", "list", *key).stdout.splitlines()[1:]] == ["1"]
    assert cast(registry, 3)[0] == registry.read().persona(Key.read(path).seeds, 2)
    path_of(path).write_bytes(b"damaged")
    assert "damaged" in invoke("subjects", "list", *key, code=1).stderr
    assert "deleted" in invoke("subjects", "purge", *key).stdout
    assert "no registry" in invoke("subjects", "purge", *key, code=2).stderr
