"""What tables hold, by type: bytes are worked on like files, text and numbers are searched for pictures.

All columns are put together anew: nothing that no cell shows is left in them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from anonymizer.errors import LeakError, MediaError
from pipelines.copies import SMALL, inside
from pipelines.members import Budget
from pipelines.pixels import FEW, NUMBERS, are_pixels
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.scratch import Scratch, Work

SIDE = 16
"""Columns of bytes from which a table may be a picture itself."""

POINTS = (0, 2, 4)
"""Lengths of lists that are points and boxes."""


@dataclass(frozen=True)
class Place:
    """Where values stand: the column, the row of each, whether the table may do without one, in how many lists, and
    what rows are.
    """

    column: str
    rows: NDArray[np.int64]
    nullable: bool
    depth: int = 0
    unit: str = "row"

    def name(self, index: int) -> str:
        """``column image.bytes, row 7``; rows count from 0."""
        return self.at(self.rows[index])

    def at(self, row: int) -> str:
        """The same, by the row."""
        return f"column {self.column}, {self.unit} {row}"


class Cells:
    """Makes other columns out of those of one table.

    A cell that fails becomes null, which ``result.missing`` tells, where the column may hold nulls.
    """

    def __init__(self, result: Result, scratch: Scratch, work: Work, budget: Budget) -> None:
        self._result, self._scratch, self._work, self._budget = result, scratch, work, budget

    def check_across(self, batch: pa.RecordBatch, first: int) -> None:
        """
        Raises:
            MediaError: the columns of one row together may be a picture.
        """
        columns = [column for column in _leaves(batch.columns) if _may_hold_pixels(column.type)]
        if sum(column.type == pa.uint8() for column in columns) >= SIDE:
            raise MediaError(f"may be a picture: has {SIDE} columns of bytes or more")
        if len(columns) >= NUMBERS:
            table = np.stack([_floats(column) for column in columns], axis=1)
            for index, row in enumerate(table):
                if are_pixels(row):
                    raise MediaError(f"row {first + index} may hold a picture, a pixel a column")

    def column(self, values: pa.Array, place: Place) -> pa.Array:
        """The same values, in which photographs and videos are others.

        Raises:
            MediaError: they may hold a picture that cannot be worked on, or a cell failed where there must be one.
        """
        kind = values.type
        if _is_text(kind):
            return _searched(values, place)
        if _is_number(kind):
            _check_pixels(values, np.ones(len(values), np.int64), place)
            return _compact(values)
        if _is_bytes(kind) or pa.types.is_fixed_size_binary(kind):
            return self._bytes(values, [None] * len(values), place)
        if pa.types.is_struct(kind):
            return self._struct(values, place)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return self._list(values, place)
        if isinstance(kind, pa.BaseExtensionType):  # a tensor is one list, whatever its shape
            inner = replace(place, depth=place.depth + max(0, len(getattr(kind, "shape", ())) - 1))
            return pa.ExtensionArray.from_storage(kind, self.column(values.storage, inner))
        if pa.types.is_dictionary(kind) and not _has_bytes(kind.value_type):
            return self._dictionary(values, place)
        if pa.types.is_map(kind) and not _has_bytes(kind):
            entries = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
            self.column(_compact(values).cast(entries), replace(place, nullable=False))
            return _compact(values)
        raise MediaError(f"column {place.column} is of a type that is not read: {kind}")

    def _dictionary(self, values: pa.DictionaryArray, place: Place) -> pa.DictionaryArray:
        """The same dictionary, also what no row shows: it belongs to all rows of a file."""
        if _is_number(values.type.value_type):
            self.column(values.dictionary_decode(), place)
        words = np.arange(len(values.dictionary))
        new = self.column(values.dictionary, Place(place.column, words, nullable=False, unit="word"))
        return pa.DictionaryArray.from_arrays(_compact(values.indices), new, ordered=values.type.ordered)

    def _struct(self, values: pa.StructArray, place: Place) -> pa.StructArray:
        fields = list(values.type)
        names = [field.name for field in fields]
        old = values.flatten()  # null where the whole is, so that nothing is hidden there
        new = []
        for field, child in zip(fields, old, strict=True):
            inner = replace(place, column=f"{place.column}.{field.name}", nullable=field.nullable)
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
        inner = values.type.value_field
        if pa.types.is_fixed_size_list(values.type):
            size = values.type.list_size
            children = values.values[values.offset * size : (values.offset + len(values)) * size]
            lengths = np.full(len(values), size)
        else:
            children = values.flatten()
            lengths = pc.fill_null(values.value_lengths(), 0).to_numpy(zero_copy_only=False)
        below = replace(place, nullable=inner.nullable, depth=place.depth + 1)
        if _is_number(inner.type):  # so many that the row of each would not fit into memory
            _check_pixels(children, lengths, below)
            new = _compact(children)
        else:
            new = self.column(children, replace(below, rows=place.rows.repeat(lengths)))
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
        small: Counter[int] = Counter()  # bytes of small cells, by row

        def jobs() -> Iterator[Job]:
            for index, (value, path) in enumerate(zip(values, paths, strict=True)):
                cell = value.as_py()
                if cell is None or len(cell) <= SMALL:
                    small[place.rows[index]] += len(cell or b"")
                    if place.depth and small[place.rows[index]] > SMALL:
                        raise MediaError(f"{place.name(index)} may hold a picture in pieces")
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


def _searched(text: pa.Array, place: Place) -> pa.Array:
    """The same text.

    Raises:
        MediaError: there is a picture in a cell, or in the cells of a row together.
    """
    cells = text.to_pylist()
    for row, part in groupby(zip(place.rows.tolist(), cells, strict=True), key=itemgetter(0)):
        words = "\n".join(cell for _, cell in part if cell)
        if len(words) > SMALL and (why := inside(words.encode(errors="surrogatepass"))):
            raise MediaError(f"{place.at(row)}: {why}, which cannot be worked on there")
    return pa.array(cells, text.type)


def _compact(values: pa.Array) -> pa.Array:
    """The same values, without what is in their memory besides."""
    return values.take(pa.array(np.arange(len(values))))


def _check_pixels(numbers: pa.Array, lengths: NDArray[np.int64], place: Place) -> None:
    """
    Args:
        numbers: what is in lists, list by list.
        lengths: of the lists, whose rows are those of ``place``, of which some may follow each other in one row.

    Raises:
        MediaError: those of one row may be a picture.
    """
    if not place.depth or not len(lengths) or not _may_hold_pixels(numbers.type):
        return
    counts = np.bincount(place.rows - place.rows[0], lengths).astype(np.int64)
    ends = np.cumsum(counts)
    points = place.depth == 2 and bool(np.isin(lengths, POINTS).all())
    for row in np.flatnonzero(counts >= NUMBERS):
        values = _floats(numbers[ends[row] - counts[row] : ends[row]])
        broken = points and bool((values != np.floor(values)).any())
        bytes_ = numbers.type in (pa.int8(), pa.uint8(), pa.uint16()) and len(np.unique(values)) > FEW
        if bytes_ or (not broken and are_pixels(values, nested=place.depth > 1)):
            raise MediaError(f"{place.at(place.rows[0] + row)} may hold a picture as bare pixels")


def _may_hold_pixels(kind: pa.DataType) -> bool:
    return bool(
        _is_number(kind) and not (pa.types.is_temporal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind))
    )


def _floats(numbers: pa.Array) -> NDArray[np.float64]:
    """NaN for null."""
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _leaves(columns: list[pa.Array]) -> Iterator[pa.Array]:
    """The columns, and instead of structs what is in them."""
    for column in columns:
        if pa.types.is_struct(column.type):
            yield from _leaves(column.flatten())
        else:
            yield column


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
