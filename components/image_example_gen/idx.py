"""IDX files, LeCun's format of MNIST: raw pixels in one file, numbered classes in another."""

import io
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import Image

from components.image_example_gen.config import DataConfig
from components.image_example_gen.sources import DataError, Item, Part, Source, group_of, named, stamp
from components.image_example_gen.storage import StorageError, open_decompressed, why


class Pair(NamedTuple):
    """The two files and the shape of the images."""

    images: str
    labels: str
    shape: tuple[int, ...]


def open_idx(path: str, config: DataConfig) -> Source:
    """A file of images and the file of labels beside it as a source.

    Raises:
      DataError: one of them is missing or not what it should be.
    """
    labels = re.sub(r"images([-.])idx[34]", r"labels\1idx1", path)
    if labels == path:
        raise DataError(f"{path}: the name of an IDX file of images holds images-idx3, that of its labels labels-idx1.")
    count, *shape = read_shape(path)
    if len(shape) not in (2, 3) or shape[2:] not in ([], [3], [1]):
        raise DataError(f"{path} holds arrays of shape {shape}, not images.")
    if read_shape(labels) != [count]:
        raise DataError(f"{labels} does not hold one label for each of the {count:,} images of {path}.")
    files = [stamp(path), stamp(labels)]

    def parts(shards: int) -> list[Part]:
        return [Part(read_pair, Pair(path, labels, tuple(shape)), tuple(range(shards)))]

    return Source(files, lambda: count, parts)


def read_shape(path: str) -> list[int]:
    """The lengths of an IDX file's dimensions.

    Raises:
      DataError: it is not an IDX file of unsigned bytes.
    """
    try:
        with open_decompressed(path) as stream:
            return header(stream)
    except StorageError:
        raise
    except Exception as error:  # each file system has its own
        raise DataError(f"{path} cannot be read as an IDX file of bytes: {why(error)}.") from error


def header(stream: Any) -> list[int]:
    """Reads the header and leaves the stream at the first value."""
    zero, kind, dimensions = struct.unpack(">HBB", stream.read(4))
    if zero or kind != 8:
        raise ValueError("it does not begin as one")
    return list(struct.unpack(f">{dimensions}I", stream.read(4 * dimensions)))


def read_pair(pair: Pair, config: DataConfig) -> Iterator[Item]:
    """Encodes each image as PNG, the same bytes every time."""
    height, width, *channels = pair.shape
    size = height * width * (channels[0] if channels else 1)
    with open_decompressed(pair.images) as images, open_decompressed(pair.labels) as labels:
        number = header(images)[0]
        header(labels)
        for index in range(number):
            pixels, label = images.read(size), labels.read(1)
            place = f"{pair.images}#{index}"
            if len(pixels) != size or not label:
                raise DataError(f"{place}: the file ends before its {number:,} images do.")
            image = Image.frombytes("RGB" if channels == [3] else "L", (width, height), pixels)
            buffer = io.BytesIO()
            # Levels above 1 take twice the time and save 4 %.
            image.save(buffer, "PNG", compress_level=1)
            yield Item(place, named(label[0], config, place), buffer.getvalue(), group_of(place, config))
