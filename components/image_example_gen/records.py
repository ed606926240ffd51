"""One image as a serialized tf.Example, in the wire format of Protocol Buffers.

It is written directly, without TensorFlow, so that a process that has not imported it can do so, in a third of the time
of the message class, most of whose work is the same for every image. What comes out is byte for byte what
`tf.train.Example.SerializeToString(deterministic=True)` gives.
"""

import struct
from functools import lru_cache
from typing import NamedTuple

from components.image_example_gen.facts import Fact, Facts
from transform import features

NAMES = sorted(
    (
        features.IMAGE, features.LABEL, features.CONTENT_HASH, features.PATH, features.GROUP,
        *features.HEADER_FACTS, *features.PIXEL_FACTS,
    )
)  # fmt: skip
"""Features of a record, in the order in which maps are serialized. A perceptual hash is none: it only serves to look
for duplicates."""
BYTES_LIST, FLOAT_LIST, INT64_LIST = b"\x0a", b"\x12", b"\x1a"
"""Tags of what a feature may be: its first, second and third field, each with a length."""
FIELD = b"\x0a"
"""The tag of every other message's only, or first, field: `features`, `feature`, `key`, `value`."""
MAP_VALUE = b"\x12"
FLOAT32 = struct.Struct("<f")


class Record(NamedTuple):
    """One image as it is written, without the encoded image itself."""

    facts: Facts
    before: bytes
    """The beginning of the serialized tf.Example, up to the encoded image."""
    after: bytes
    """Its end."""

    def around(self, encoded: bytes) -> bytes:
        """The serialized tf.Example."""
        return self.before + encoded + self.after


def serialize(facts: Facts, size: int) -> Record:
    """Features → the tf.Example around an encoded image.

    Args:
      facts: raw features by name.
      size: bytes of the encoded image.
    """
    before: list[bytes] = []
    after: list[bytes] = []
    parts = before
    for name in NAMES:
        if name == features.IMAGE:
            before.append(opening(name, BYTES_LIST, size))
            parts = after
        elif (value := facts.get(name)) is not None:
            tag, content = encode(value)
            parts += opening(name, tag, len(content)), content
    head, tail = b"".join(before), b"".join(after)
    return Record(facts, FIELD + varint(len(head) + size + len(tail)) + head, tail)


def encode(value: Fact) -> tuple[bytes, bytes]:
    """The tag and the only value of a feature; numbers are packed and thus look as bytes do."""
    if isinstance(value, bytes):
        return BYTES_LIST, value
    if isinstance(value, float):
        return FLOAT_LIST, FLOAT32.pack(value)
    return INT64_LIST, varint(value)


@lru_cache(4096)
def opening(name: str, tag: bytes, size: int) -> bytes:
    """What comes before `size` bytes of the only value of a feature: the heads of all messages around them."""
    key = name.encode()
    head = FIELD + varint(size)
    head = tag + varint(len(head) + size) + head
    head = FIELD + varint(len(key)) + key + MAP_VALUE + varint(len(head) + size) + head
    return FIELD + varint(len(head) + size) + head


@lru_cache(4096)
def varint(number: int) -> bytes:
    """An integer ≥ 0, seven bits to a byte, the lowest first."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
