"""TFRecord files of tf.Examples, as other pipelines write them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from apache_beam.io.tfrecordio import _TFRecordUtil

from components.image_example_gen.config import DataConfig
from components.image_example_gen.folders import walk
from components.image_example_gen.sources import (
    DataError,
    ImageFile,
    Item,
    Part,
    Source,
    group_of,
    is_clutter,
    named,
    split_named,
    stamp,
)
from components.image_example_gen.storage import StorageError, matching, open_decompressed, root_of, why


class Records(NamedTuple):
    """Files that a worker reads, and where their names begin to differ."""

    paths: Sequence[str]
    root: str


def open_tfrecords(path: str, config: DataConfig) -> Source:
    """TFRecord files, by a pattern, or all in a folder, as a source.

    Raises:
      DataError: there are none, or one is damaged.
    """
    root = root_of(path) if "*" in path else path.rstrip("/") + "/"
    if "*" in path:
        files = [ImageFile(found.path, "", found.size, found.modified) for found in matching(path)]
    else:
        inside = (ImageFile(name, "", size, modified) for name, size, modified, _ in walk(root))
        files = [file for file in inside if not is_clutter(file.path[len(root) :])]
        if not files:
            root, files = root_of(path), [stamp(path)]
    files.sort()
    if not files:
        raise DataError(f"{path}: there are no TFRecord files.")

    def parts(shards: int) -> list[Part]:
        paths = [file.path for file in files]
        workers = min(len(paths), shards)
        return [
            Part(read_records, Records(paths[worker::workers], root), tuple(range(worker, shards, workers)))
            for worker in range(workers)
        ]

    return Source(files, lambda: sum(count(file.path) for file in files), parts)


def records(path: str) -> Iterator[bytes]:
    """The records of one file, checksums verified.

    Raises:
      DataError: it is no TFRecord file, or it is cut off.
    """
    try:
        with open_decompressed(path) as stream:
            while (record := _TFRecordUtil.read_record(stream)) is not None:
                yield record
    except StorageError:
        raise
    except Exception as error:  # Beam's ValueError, a file system's, or gzip's
        raise DataError(f"{path} is not a whole TFRecord file: {why(error)}.") from error


def count(path: str) -> int:
    """Number of records in one file."""
    return sum(1 for _ in records(path))


def read_records(what: Records, config: DataConfig) -> Iterator[Item]:
    """Reads files of records one after the other."""
    for path in what.paths:
        for number, record in enumerate(records(path)):
            yield read_record(record, f"{path}#{number}", what.root, config)


def read_record(record: bytes, place: str, root: str, config: DataConfig) -> Item:
    """One serialized tf.Example.

    Raises:
      DataError: it is none, or has not the features that `data.records` names.
    """
    try:
        feature = tf.train.Example.FromString(record).features.feature
    except Exception as error:  # protobuf's DecodeError, whose module depends on its implementation
        raise DataError(f"{place} is not a tf.Example: {error}.") from error
    names = config.records
    for setting, name in (("image", names.image), ("label", names.label)):
        if name not in feature:
            present = ", ".join(sorted(feature))
            raise DataError(f"{place} has no feature {name!r} (data.records.{setting}); it has {present}.")
    path = text(feature, names.path) or place
    group = text(feature, names.group) or group_of(path.removeprefix(root), config)
    split = split_named(text(feature, names.split)) if config.splits.mode == "predefined" else ""
    label = label_of(feature[names.label], config, place)
    encoded = next(iter(feature[names.image].bytes_list.value), b"")
    trouble = "" if label else "no label"
    return Item(path, label, encoded if label else b"", group, split, trouble)


def label_of(value: Any, config: DataConfig, place: str) -> str:
    """The class of a record: bytes are a name, an integer is a position in `data.class_names`."""
    if value.WhichOneof("kind") == "int64_list":
        return named(value.int64_list.value[0], config, place) if value.int64_list.value else ""
    return value.bytes_list.value[0].decode() if value.bytes_list.value else ""


def text(feature: Any, name: str) -> str:
    """A feature's first value as text; "" when there is none."""
    if not name or name not in feature:
        return ""
    kind = feature[name].WhichOneof("kind")
    values = getattr(feature[name], kind).value if kind else []
    return "" if not values else values[0].decode() if isinstance(values[0], bytes) else str(values[0])
