"""Raw examples, read in batches whose memory is bounded whatever the size of the images."""

from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from transform.config import TransformConfig

ENCODED_BYTES = 16 * 2**20
"""Encoded images of a batch, all together."""
PIXEL_BYTES = 8 * 2**20
"""What the graph makes of them, all together."""
IMAGES = 1000
"""Images of a batch at most: more of them are no faster."""
READ = 8
"""Records read at a time; each may be as large as `TransformConfig.max_bytes`."""


def batches(files: Sequence[str], config: TransformConfig) -> Iterator[list[bytes]]:
    """Serialized examples of GZIP'd TFRecords, grouped."""
    return grouped(read(files), config)


def read(files: Sequence[str]) -> Iterator[bytes]:
    """Serialized examples of GZIP'd TFRecords."""
    for some in tf.data.TFRecordDataset(list(files), compression_type="GZIP").batch(READ).as_numpy_iterator():
        yield from some


def grouped(
    examples: Iterable[bytes],
    config: TransformConfig,
    encoded_bytes: int = ENCODED_BYTES,
    pixel_bytes: int = PIXEL_BYTES,
) -> Iterator[list[bytes]]:
    """Batches in the order of the examples, each as large as both budgets allow, and of one at least."""
    most = max(1, min(IMAGES, pixel_bytes // (config.height * config.width * config.channels)))
    batch: list[bytes] = []
    size = 0
    for example in examples:
        if batch and (len(batch) == most or size + len(example) > encoded_bytes):
            yield batch
            batch, size = [], 0
        batch.append(example)
        size += len(example)
    if batch:
        yield batch
