"""The output files: TFRecords of examples and, beside them, Parquet files of the facts without the images.

Statistics, duplicates and the report read the facts, which are a hundredth of the data. Record n of an examples' shard
and row n of the facts' shard of the same number are the same image.
"""

import os
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from components.image_example_gen.facts import Fact, Facts
from components.image_example_gen.pixels import PERCEPTUAL_HASH
from transform import features

ROWS = 5_000
"""Rows of facts held in memory per file before they are written: 8 MB, and up to 3,000 files may be open."""
BATCH = 128
"""Records read at a time."""
BYTES = (features.LABEL, features.CONTENT_HASH, features.PATH, features.FORMAT, features.GROUP, PERCEPTUAL_HASH)
INTEGERS = tuple(name for name in features.HEADER_FACTS if name != features.FORMAT)
# TFXIO reads a list per value, as tf.Examples have.
SCHEMA = pa.schema(
    [pa.field(name, pa.large_list(pa.large_binary())) for name in BYTES]
    + [pa.field(name, pa.large_list(pa.int64())) for name in INTEGERS]
    + [pa.field(name, pa.large_list(pa.float32())) for name in features.PIXEL_FACTS]
)


class ShardWriter:
    """One shard of one split. Its two files appear when it is closed, whole, under their final names."""

    def __init__(self, examples: str, facts: str):
        self._names = {examples: partial(examples), facts: partial(facts)}
        for name in self._names:
            tf.io.gfile.makedirs(os.path.dirname(name))
        # TFX reads gzip, and encoded images do not shrink: stored as they are, a photo is written 20 times as fast.
        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=0)
        self._records = tf.io.TFRecordWriter(self._names[examples], options)
        self._stream = FileSystems.create(self._names[facts], compression_type=CompressionTypes.UNCOMPRESSED)
        self._parquet = pq.ParquetWriter(self._stream, SCHEMA, compression="zstd")
        self._rows: list[Facts] = []

    def write(self, serialized: bytes, facts: Facts) -> None:
        """Adds one image."""
        self._records.write(serialized)
        self._rows.append(facts)
        if len(self._rows) == ROWS:
            self._flush()

    def _flush(self) -> None:
        self._parquet.write_table(to_table(self._rows))
        self._rows.clear()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._parquet.close()
        self._stream.close()
        self._records.close()
        for name, unfinished in self._names.items():
            if kind is None:
                tf.io.gfile.rename(unfinished, name, overwrite=True)
            else:
                tf.io.gfile.remove(unfinished)


def to_table(rows: Sequence[Facts]) -> pa.Table:
    """Facts as they are written."""
    named = zip(SCHEMA.names, SCHEMA.types, strict=True)
    columns = [to_lists([row.get(name) for row in rows], kind) for name, kind in named]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def to_lists(column: Sequence[Fact | None], kind: pa.LargeListType) -> pa.Array:
    """Lists of one value, and null where there is none."""
    values = pa.array(column, kind.value_type)
    ends = np.cumsum(values.is_valid().to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]))
    missing = values.is_null() if values.null_count else None
    return pa.LargeListArray.from_arrays(offsets, values.drop_null(), kind, mask=missing)


def open_shard(examples: str, facts: str, split: str, shard: int, shards: int) -> ShardWriter:
    """A shard of a split in the folders of examples and facts."""
    return ShardWriter(examples_file(examples, split, shard, shards), facts_file(facts, split, shard, shards))


def partial(path: str) -> str:
    """A name for what is being written; no reader's pattern matches it, and a second try has another."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{os.getpid()}-{os.urandom(4).hex()}-{name}")


def examples_file(folder: str, split: str, shard: int, shards: int) -> str:
    """Where a shard of examples is."""
    return os.path.join(folder, f"Split-{split}", f"data_tfrecord-{shard:05}-of-{shards:05}.gz")


def facts_file(folder: str, split: str, shard: int, shards: int) -> str:
    """Where a shard of facts is."""
    return os.path.join(folder, f"Split-{split}", f"facts-{shard:05}-of-{shards:05}.parquet")


def facts_files(folder: str, split: str) -> list[str]:
    """All shards of a split's facts, in order."""
    return sorted(tf.io.gfile.glob(os.path.join(folder, f"Split-{split}", "*.parquet")))


def read_table(file: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A shard of facts as lists per value, as they are written."""
    with tf.io.gfile.GFile(file, "rb") as stream:
        return pq.read_table(pa.BufferReader(stream.read()), columns=list(columns) if columns else None)


def read_facts(folder: str, split: str, columns: Sequence[str]) -> pa.Table:
    """A split's facts as plain values, null where there is none; with its `split`, `shard` and `row`."""
    tables = []
    for shard, file in enumerate(facts_files(folder, split)):
        table = read_table(file, columns)
        plain = {name: flat(table[name]) for name in columns}
        plain |= {
            "split": pa.repeat(split, len(table)),
            "shard": pa.repeat(pa.scalar(shard, pa.int32()), len(table)),
            "row": pa.array(np.arange(len(table))),
        }
        tables.append(pa.table(plain))
    return pa.concat_tables(tables) if tables else pa.table({})


def flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of at most one value → values."""
    chunks = []
    for chunk in column.chunks:
        values = chunk.flatten()
        if len(values) != len(chunk):
            valid = chunk.is_valid().to_numpy(zero_copy_only=False)
            positions = pa.array(valid.cumsum() - 1, mask=~valid)
            values = values.take(positions)
        chunks.append(values)
    return pa.chunked_array(chunks, column.type.value_type)


def read_records(file: str) -> Iterator[bytes]:
    """Serialized examples of a shard."""
    for batch in tf.data.TFRecordDataset(file, compression_type="GZIP").batch(BATCH).as_numpy_iterator():
        yield from batch


def to_facts(row: dict) -> Facts:
    """A row of `read_table(...).to_pylist()` as it was given to `ShardWriter.write`."""
    return {name: value[0] for name, value in row.items() if value}
