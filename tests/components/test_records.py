"""Records in the wire format of tf.Example."""

import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.image_example_gen.facts import Fact
from components.image_example_gen.pixels import PERCEPTUAL_HASH
from components.image_example_gen.records import NAMES, serialize
from transform import features

BYTES = (features.LABEL, features.CONTENT_HASH, features.PATH, features.GROUP, features.FORMAT)
INTEGERS = [name for name in features.HEADER_FACTS if name not in BYTES]
FACTS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.binary(max_size=300) for name in BYTES},
        **{name: st.integers(0, 2**63 - 1) for name in INTEGERS},
        **{name: st.floats(width=32) for name in features.PIXEL_FACTS},
    },
)


def by_message(facts: dict[str, Fact], encoded: bytes) -> bytes:
    """The same by the message's own class."""
    message = tf.train.Example()
    feature = message.features.feature
    feature[features.IMAGE].bytes_list.value.append(encoded)
    for name, value in facts.items():
        of_kind = feature[name]
        kind = {bytes: of_kind.bytes_list, float: of_kind.float_list, int: of_kind.int64_list}[type(value)]
        kind.value.append(value)  # type: ignore[attr-defined]
    return message.SerializeToString(deterministic=True)


@settings(max_examples=200, deadline=None)
@given(FACTS, st.integers(0, 40_000))
@example({}, 0)
@example({features.LABEL: b"", features.HEIGHT: 0, features.BRIGHTNESS: 0.0}, 127)
@example({name: 1 for name in INTEGERS} | {name: 1.0 for name in features.PIXEL_FACTS}, 2**21)
def test_a_record_is_what_the_message_serializes(facts: dict[str, Fact], size: int) -> None:
    encoded = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert serialize(facts, size).around(encoded) == by_message(facts, encoded)


def test_every_feature_is_written_but_the_perceptual_hash() -> None:
    assert set(NAMES) == {*BYTES, *INTEGERS, *features.PIXEL_FACTS, features.IMAGE}
    assert serialize({PERCEPTUAL_HASH: bytes(32)}, 3) == ({PERCEPTUAL_HASH: bytes(32)}, *serialize({}, 3)[1:])
