"""Archives, member by member: the same names, order, times and files, in which photographs and videos are others.

An archive is read twice. First to its end, as nobody wants to learn after a night of work that it is refused; then
again, when each member in turn becomes a file for a short while, is worked on as in a folder, and joins the new
archive.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

from anonymizer.errors import LeakError, MediaError
from anonymizer.media.files import replacing
from pipelines import tars, zips
from pipelines.inputs import Kind
from pipelines.members import Add, Budget, Member, Names, sound, spoken
from pipelines.plan import Job
from pipelines.progress import progress, say
from pipelines.report import Result
from pipelines.scratch import Scratch, Work

DEPTH = 3
"""How many archives an archive may lie in."""


def rewrite_archive(job: Job, work: Work) -> Result:
    """Write ``job.target``, whole or not at all. Members that fail are left out of it, and named in ``missing``.

    Members that belong to one that failed, such as the labels of a sample of WebDataset, stay.
    Videos in containers that cannot be written become Matroska, and so does the suffix of their name.
    """
    result = Result(job)
    start = time.perf_counter()
    with result.guarded():
        if job.source.depth > DEPTH:
            raise MediaError(f"is not opened: lies in {job.source.depth} archives, which is more than {DEPTH}")
        archive = _Archive(result)
        archive.test()
        job.make_folder()
        with (
            replacing(job.target) as partial,
            Scratch(job.source) as scratch,
            archive.write(partial) as add,
            progress(job.source.path.name, archive.files, "members") as advance,
            closing(work(archive.jobs(scratch))) as results,
        ):
            for done in results:
                archive.take(scratch.labelled(done), add)
                scratch.discard(done.job)
                advance(1)
            archive.finish(add)
    result.seconds = time.perf_counter() - start
    return result


@dataclass(frozen=True)
class _Waiting:
    """A member that was read and is not yet written; a folder has no job."""

    member: Member
    job: Job | None


class _Archive:
    """One archive on its way: ``test`` it, then write another with what becomes of its ``jobs``, one by one.

    Attributes:
        files: how many members are no folders, once it is tested.
    """

    def __init__(self, result: Result) -> None:
        self.files = 0
        self._result = result
        self._source = result.job.source
        self._format = zips if zips.is_zip(self._source.path) else tars
        self._names = Names()
        self._waiting: deque[_Waiting] = deque()
        self._paid = self._budget()

    def test(self) -> None:
        """Read all of it.

        Raises:
            MediaError: it is hostile or damaged, and nothing must be made of it.
        """
        if zips.is_late(self._source.path):
            raise MediaError("is refused: is a zip archive with other bytes before it, such as one that unpacks itself")
        for member in self._read(self._budget(), self._names):
            for _ in member.chunks():
                pass
            self.files += member.data is not None

    def write(self, path: Path) -> AbstractContextManager[Add]:
        """Open the new archive, of the same format, at ``path``."""
        return self._format.write(path, self._source.path)

    def jobs(self, scratch: Scratch) -> Iterator[Job]:
        """What is to be done with each file in it."""
        for member in self._read(self._paid, Names()):
            job = None
            if member.data is not None:
                label = f"{self._source.name}: {spoken(member.name)}"
                job = scratch.job(member.name, label, member.chunks(), self._paid.room)
            self._waiting.append(_Waiting(member, job))
            if job:
                yield job

    def take(self, done: Result, add: Add) -> None:
        """Write the next file, with the folders before it, unless it failed.

        Raises:
            LeakError: the result is that of another.
        """
        self._folders(add)
        waiting = self._waiting.popleft()
        if waiting.job != done.job:
            raise LeakError("a member that is to be written is not the next one that was read")
        member = waiting.member
        self._paid.spend(done.unpacked)
        name = self._renamed(member.name, done)
        if done.error is None:
            add(member, name, done.job.target)
        self._result.include(done)

    def finish(self, add: Add) -> None:
        """Write the last folders.

        Raises:
            LeakError: there are files without a result.
        """
        self._folders(add)
        if self._waiting:
            raise LeakError(f"nothing became of {spoken(self._waiting[0].member.name)}")

    def _folders(self, add: Add) -> None:
        while self._waiting and self._waiting[0].job is None:
            member = self._waiting.popleft().member
            add(member, member.name, None)

    def _budget(self) -> Budget:
        return Budget(self._source.path.stat().st_size, self._source.room)

    def _read(self, budget: Budget, names: Names) -> Iterator[Member]:
        members = self._format.read(self._source.path, budget)
        try:
            while member := sound(lambda: next(members, None)):
                names.add(member.name)
                yield member
        finally:
            self._result.unpacked = max(self._result.unpacked, budget.used)
            members.close()

    def _renamed(self, name: str, done: Result) -> str:
        """The name of a video says in which container it is; its error is set if there is another of that name."""
        old, new = done.job.source.path.suffix, done.job.target.suffix
        if done.job.source.kind is not Kind.VIDEO or old == new or done.error:
            return name
        other = name.removesuffix(old) + new
        if other in self._names:
            done.error = f"{done.job.source.name}: its result would take the place of {spoken(other)}"
        else:
            self._names.add(other)
            say(f"{done.job.source.name}: becomes {spoken(other)}, as its container cannot be written", err=True)
        return other
