"""Tables of Parquet and Arrow, a group of rows at a time: the same rows, in which photographs and videos are others."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anonymizer.errors import MediaError
from anonymizer.media.files import cause_of, replacing
from pipelines.copies import SMALL, unfit
from pipelines.members import Budget
from pipelines.plan import Job
from pipelines.progress import progress
from pipelines.report import Result
from pipelines.scratch import Scratch, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.cells import Cells

ROWS = 1024
"""Most rows that are decoded together."""

_UNREADABLE = {
    b"PARE": "is encrypted: decrypt it first",
    b"FEA1": "is of the first version of Feather, which is not read: write it anew as Parquet or Arrow",
}
"""First bytes of tables, and why they are not read."""

_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def rewrite_table(job: Job, work: Work) -> Result:
    """Write ``job.target``, whole or not at all.

    Rows, their order and groups, the schema with its metadata, compression and all columns without pictures stay.
    Pictures are whatever bytes hold them, such as the structs of bytes and path of Hugging Face. One that fails becomes
    null and is named in ``missing``; where nulls are not allowed, the table fails.
    """
    result = Result(job)
    start = time.perf_counter()
    with result.guarded():
        _check_installed()
        with job.source.path.open("rb") as file:
            if why := _UNREADABLE.get(file.read(4)):
                raise MediaError(why)
        from pipelines.cells import Cells

        rewrite = _rewrite_parquet if _starts_with(job.source.path, b"PAR1") else _rewrite_arrow
        budget = Budget(job.source.path.stat().st_size, job.source.room)
        job.make_folder()
        try:
            with (
                replacing(job.target) as partial,
                Scratch(job.source) as scratch,
                progress(job.source.path.name, 0, "rows") as advance,
            ):
                rewrite(job.source.path, partial, _Rows(Cells(result, scratch, work, budget), budget, advance))
        finally:
            result.unpacked = budget.used
    result.seconds = time.perf_counter() - start
    return result


class _Rows:
    """Makes batches of rows out of others, in order."""

    def __init__(self, cells: Cells, budget: Budget, advance: Callable[[int], object]) -> None:
        self._cells, self._budget, self._advance = cells, budget, advance
        self._count = 0

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """
        Raises:
            MediaError: the rows are invalid, too much, or may hold a picture that cannot be worked on.
        """
        import numpy as np
        import pyarrow as pa

        from pipelines.cells import Place

        self._budget.spend(batch.nbytes)
        _reading(lambda: batch.validate(full=True))  # hostile files point out of their own memory
        self._cells.check_across(batch, self._count)
        rows = np.arange(self._count, self._count + len(batch))
        self._count += len(batch)
        columns = [
            self._cells.column(values, Place(field.name, rows, field.nullable))
            for field, values in zip(batch.schema, batch.columns, strict=True)
        ]
        self._advance(len(batch))
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _rewrite_parquet(source: Path, target: Path, rows: _Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _reading(lambda: pq.ParquetFile(source)) as file:
        schema = _checked(file.schema_arrow)
        with pq.ParquetWriter(target, schema, **_encoding(file.metadata)) as writer:
            for group in range(file.num_row_groups):
                batches = [rows.batch(batch) for batch in _each(file.iter_batches(ROWS, [group]))]
                table = pa.Table.from_batches(batches, schema)
                writer.write_table(table, row_group_size=max(1, len(table)))


def _rewrite_arrow(source: Path, target: Path, rows: _Rows) -> None:
    import pyarrow as pa

    is_file = _starts_with(source, b"ARROW1")
    options = pa.ipc.IpcWriteOptions(compression=_codec(source, 8 if is_file else 0))
    opened, made = (pa.ipc.open_file, pa.ipc.new_file) if is_file else (pa.ipc.open_stream, pa.ipc.new_stream)
    if not is_file and not _ends_with(source, _END_OF_STREAM):
        raise MediaError("is cut off: has no mark of its end")
    with pa.memory_map(str(source)) as memory, _reading(lambda: opened(memory)) as file:
        schema = _checked(file.schema)
        batches = map(file.get_batch, range(file.num_record_batches)) if is_file else file
        with made(str(target), schema, options=options) as writer:
            for batch in _each(batches):
                writer.write_batch(rows.batch(batch))


def _reading(read: Callable[[], Any]) -> Any:
    """
    Raises:
        MediaError: the table cannot be read.
    """
    try:
        return read()
    except Exception as error:  # of Arrow, of Thrift, of the operating system
        raise MediaError(f"is damaged, encrypted, or no table that can be read: {cause_of(error)}") from error


def _each(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, with ``_reading`` around the making of each."""
    source = iter(batches)
    while (batch := _reading(lambda: next(source, None))) is not None:
        yield batch


def _checked(schema: pa.Schema) -> pa.Schema:
    """
    Raises:
        MediaError: the metadata, or a name, may hold a picture.
    """
    for text in (*_said(schema.metadata), *(text for field in schema for text in _words(field))):
        if len(text) > SMALL and (why := unfit(BytesIO(text).read)):
            raise MediaError(f"its metadata {why}")
    return schema


def _words(field: pa.Field) -> Iterator[bytes]:
    """The name and the metadata of a field, and of those below."""
    yield field.name.encode()
    yield from _said(field.metadata)
    kind = getattr(field.type, "storage_type", field.type)
    for index in range(kind.num_fields):
        yield from _words(kind.field(index))


def _said(metadata: dict[bytes, bytes] | None) -> Iterator[bytes]:
    for pair in (metadata or {}).items():
        yield from pair


def _encoding(metadata: Any) -> dict[str, Any]:
    """How columns are compressed, for ``ParquetWriter``: as in the first group of rows."""
    if not metadata.num_row_groups:
        return {}
    group = metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    codecs = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}
    return {
        "compression": {
            column.path_in_schema: codecs.get(column.compression, column.compression) for column in columns
        },
        "use_dictionary": [column.path_in_schema for column in columns if column.has_dictionary_page],
        "write_page_index": any(column.has_column_index for column in columns),
    }


def _codec(path: Path, start: int) -> str | None:
    """How the first batch of rows is compressed, which is not to be learnt from pyarrow.

    A message is a flatbuffer: field 2 of its table is the header, field 3 of that of a batch the compression, field 0
    of that the codec (Message.fbs of Arrow).
    """
    import pyarrow as pa

    with path.open("rb") as file:
        file.seek(start)
        messages = _reading(lambda: pa.ipc.MessageReader.open_stream(file))
        batch = next((message for message in messages if message.type == "record batch"), None)
    if batch is None:
        return None
    data = batch.metadata.to_pybytes()
    header = _follow(data, _field(data, _follow(data, 0), 2))
    compression = _field(data, header, 3)
    if not compression:
        return None
    codec = _field(data, _follow(data, compression), 0)
    return "zstd" if codec and data[codec] else "lz4"


def _follow(data: bytes, at: int) -> int:
    """Where the offset at a place of a flatbuffer points to."""
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a table in a flatbuffer is; 0 if it has its default."""
    places = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, places)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", data, places + at)[0] if at < size else 0
    return table + offset if offset else 0


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _ends_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(mark)))
        return file.read() == mark


def _check_installed() -> None:
    """
    Raises:
        MediaError: there is no pyarrow.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MediaError("tables need pyarrow: pip install 'anonymizer[parquet]'") from error
