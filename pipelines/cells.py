"""What tables hold, by type: bytes are worked on like files, text is searched for pictures, the rest stays."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from anonymizer.errors import LeakError, MediaError
from pipelines.copies import inside
from pipelines.members import Budget
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.scratch import Scratch, Work

SMALL = 64
"""Bytes that hold no face, whatever they are."""

PIXELS = 256
"""Numbers of 8 or 16 bits without sign that, in a list of one row, may be a picture."""


@dataclass(frozen=True)
class Place:
    """Where values stand: the column, the row of each, and whether the table may do without one."""

    column: str
    rows: NDArray[np.int64]
    nullable: bool

    def name(self, index: int) -> str:
        """``column image.bytes, row 7``; rows count from 0, -1 where it is not known."""
        return f"column {self.column}, row {self.rows[index]}"


class Cells:
    """Makes other columns out of those of one table.

    A cell that fails becomes null, which ``result.missing`` tells, where the column may hold nulls.
    """

    def __init__(self, result: Result, scratch: Scratch, work: Work, budget: Budget) -> None:
        self._result, self._scratch, self._work, self._budget = result, scratch, work, budget

    def column(self, values: pa.Array, place: Place) -> pa.Array:
        """The same values, in which photographs and videos are others.

        Raises:
            MediaError: they may hold a picture that cannot be worked on, or a cell failed where there must be one.
        """
        kind = values.type
        if _is_text(kind) or _is_number(kind):
            return _searched(values, place)
        if _is_bytes(kind) or pa.types.is_fixed_size_binary(kind):
            return self._bytes(values, [None] * len(values), place)
        if pa.types.is_struct(kind):
            return self._struct(values, place)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return self._list(values, place)
        if isinstance(kind, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind, self.column(values.storage, place))
        parts = _parts(values)
        if parts and not any(_has_bytes(part.type) for part in parts):
            for part in parts:
                self.column(part, Place(place.column, np.full(len(part), -1), nullable=False))
            return values
        raise MediaError(f"column {place.column} is of a type that is not read: {kind}")

    def _struct(self, values: pa.StructArray, place: Place) -> pa.StructArray:
        fields = list(values.type)
        names = [field.name for field in fields]
        old = values.flatten()  # null where the whole is, so that nothing is hidden there
        new = []
        for field, child in zip(fields, old, strict=True):
            inner = Place(f"{place.column}.{field.name}", place.rows, field.nullable)
            if field.name == "bytes" and "path" in names and _is_bytes(field.type):
                new.append(self._bytes(child, old[names.index("path")].to_pylist(), inner))
            else:
                new.append(self.column(child, inner))
        gone = values.is_null()
        if place.nullable and "bytes" in names and "path" in names:  # a picture with a name, but no bytes, is a link
            at = names.index("bytes")
            gone = pc.or_(gone, pc.and_not(new[at].is_null(), old[at].is_null()))
        return pa.StructArray.from_arrays(new, fields=fields, mask=gone)

    def _list(self, values: Any, place: Place) -> pa.Array:
        _check_pixels(values, place)
        inner = values.type.value_field
        if not _has_cells(inner.type):
            return _searched(values, place)
        if pa.types.is_fixed_size_list(values.type):
            size = values.type.list_size
            children = values.values[values.offset * size : (values.offset + len(values)) * size]
            lengths = np.full(len(values), size)
        else:
            children = values.flatten()
            lengths = pc.fill_null(values.value_lengths(), 0).to_numpy(zero_copy_only=False)
        below = Place(place.column, place.rows.repeat(lengths), inner.nullable)
        new = self.column(children, below)
        if pa.types.is_fixed_size_list(values.type):
            return pa.FixedSizeListArray.from_arrays(new, type=values.type, mask=values.is_null())
        ends = np.concatenate([[0], np.cumsum(lengths)])
        large = pa.types.is_large_list(values.type)
        offsets = pa.array(ends, pa.int64() if large else pa.int32())
        made = pa.LargeListArray if large else pa.ListArray
        return made.from_arrays(offsets, new, type=values.type, mask=values.is_null())

    def _bytes(self, values: pa.Array, paths: list[str | None], place: Place) -> pa.Array:
        """Work on each cell, and put them together anew: nothing that no cell holds is left."""
        cells: list[bytes | None] = [None] * len(values)
        waiting: deque[tuple[int, Job]] = deque()

        def jobs() -> Iterator[Job]:
            for index, (value, path) in enumerate(zip(values, paths, strict=True)):
                cell = value.as_py()
                if cell is None or len(cell) <= SMALL:
                    cells[index] = cell
                    continue
                label = f"{self._result.job.source.name}: {place.name(index)}"
                job = self._scratch.job(path or "", label, [cell], self._budget.room)
                waiting.append((index, job))
                yield job

        with closing(self._work(jobs())) as results:
            for done in results:
                index, job = waiting.popleft()
                if job != done.job:
                    raise LeakError("a cell that is to be written is not the next one that was read")
                cells[index] = self._taken(self._scratch.labelled(done), place)
        if waiting:
            raise LeakError(f"nothing became of {place.name(waiting[0][0])}")
        return pa.array(cells, values.type)

    def _taken(self, done: Result, place: Place) -> bytes | None:
        self._budget.spend(done.unpacked)
        if done.error and not place.nullable:
            raise MediaError(f"no row can be left out, but one failed: {done.error}")
        self._result.include(done)
        cell = None if done.error else done.job.target.read_bytes()
        self._scratch.discard(done.job)
        return cell


def _searched(values: pa.Array, place: Place) -> pa.Array:
    """The values themselves; all their memory is searched, also what no cell shows.

    Raises:
        MediaError: there is a picture in it.
    """
    found = (inside(memoryview(data)) for data in values.buffers() if data)
    if not (why := next(filter(None, found), "")):
        return values
    index = next((index for index, value in enumerate(values) if _is_text(values.type) and _shows(value)), None)
    where = f"column {place.column}" if index is None else place.name(index)
    raise MediaError(f"{where}: {why}, which cannot be worked on there")


def _shows(text: pa.Scalar) -> bool:
    return text.is_valid and bool(inside(memoryview(text.as_buffer())))


def _check_pixels(values: Any, place: Place) -> None:
    """
    Raises:
        MediaError: lists of numbers are as long as pictures.
    """
    count = 1
    while hasattr(values.type, "value_field"):
        count *= pc.max(values.value_lengths()).as_py() or 0
        values = values.values
    if values.type in (pa.uint8(), pa.uint16()) and count >= PIXELS:
        raise MediaError(f"column {place.column} may hold pictures as bare pixels")


def _parts(values: Any) -> list[pa.Array]:
    """What makes up an array that is only looked at: the rows of its parts are not known."""
    if pa.types.is_dictionary(values.type):
        return [values.dictionary]
    return [values.keys, values.items] if pa.types.is_map(values.type) else []


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    """Whether values are numbers, times or nothing."""
    return bool(pa.types.is_null(kind) or pa.types.is_primitive(kind) or pa.types.is_decimal(kind))


def _children(kind: pa.DataType) -> list[pa.DataType]:
    if isinstance(kind, pa.BaseExtensionType):
        return [kind.storage_type]
    return [kind.field(index).type for index in range(kind.num_fields)]


def _has_bytes(kind: pa.DataType) -> bool:
    return _is_bytes(kind) or pa.types.is_fixed_size_binary(kind) or any(map(_has_bytes, _children(kind)))


def _has_cells(kind: pa.DataType) -> bool:
    """Whether values of a type are more than numbers."""
    children = _children(kind)
    return any(map(_has_cells, children)) if children else not _is_number(kind)
