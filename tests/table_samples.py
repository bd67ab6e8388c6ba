"""Makes tables of every format, reads and rewrites them."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fake_anonymizer import BOX, FakeAnonymizer
from PIL import Image

from pipelines.inputs import Kind, Source, kind_of
from pipelines.jobs import anonymize
from pipelines.plan import Job
from pipelines.report import Result
from pipelines.settings import OutputConfig
from pipelines.tables import rewrite_table

HF = {b"huggingface": b'{"info": {"features": {"image": {"_type": "Image"}}}}'}
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=4, compression="zstd", use_dictionary=["label"])


def write_arrow(table: pa.Table, path: Path, made: Callable[..., pa.RecordBatchWriter], codec: str | None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with made(str(path), table.schema, options=options) as writer:
        for batch in table.to_batches(max_chunksize=4):
            writer.write_batch(batch)


FORMATS: dict[str, Callable[[pa.Table, Path], None]] = {
    "a.parquet": write_parquet,
    "file.arrow": partial(write_arrow, made=pa.ipc.new_file, codec=None),
    "lz4.feather": partial(write_arrow, made=pa.ipc.new_file, codec="lz4"),
    "stream.arrow": partial(write_arrow, made=pa.ipc.new_stream, codec=None),
    "zstd.arrows": partial(write_arrow, made=pa.ipc.new_stream, codec="zstd"),
}


def write(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    FORMATS[path.name](table, path)
    return path


def read(path: Path) -> tuple[pa.Table, list[int], set[str | None]]:
    """The table, the sizes of its groups of rows, its compression."""
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        codecs = {group.column(number).compression for group in groups for number in range(group.num_columns)}
        return file.read(), [group.num_rows for group in groups], codecs
    data = path.read_bytes()
    stream = pa.ipc.open_file(data) if data.startswith(b"ARROW1") else pa.ipc.open_stream(data)
    table = stream.read_all()
    codec = "lz4" if b"\x04\x22\x4d\x18" in data else "zstd" if b"\x28\xb5\x2f\xfd" in data else None
    return table, [len(chunk) for chunk in table.column(0).chunks], {codec}


def rewrite(path: Path, anonymizer: type[FakeAnonymizer] = FakeAnonymizer) -> Result:
    """Into a folder ``out`` beside it."""
    assert kind_of(path) is Kind.TABLE
    work = partial(anonymize, anonymizer=anonymizer(), output=OutputConfig())  # type: ignore[arg-type]
    return rewrite_table(Job(Source(path, Kind.TABLE), path.parent / "out" / path.name), work)


def form_if_covered(data: bytes) -> str | None:
    x0, y0, x1, y1 = BOX
    with Image.open(io.BytesIO(data)) as picture:
        box = picture.convert("L").crop((x0 + 2, y0 + 2, x1 - 2, y1 - 2))
        assert box.getextrema()[1] < 48  # type: ignore[operator]
        return picture.format
