"""Whatever is printed reads back as the same numbers and texts, and looks as RapidJSON prints it."""

import json
import math

import hypothesis.extra.numpy as arrays
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving import json_tensors
from serving.json_writer import Writer, show

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=12,
)
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)


def printed(value: object, one_line: bool = False) -> str:
    writer = Writer()
    writer.one_line = one_line
    writer.value(value)
    return writer.text()


@given(JSON, st.booleans())
def test_what_is_printed_reads_back(value: object, one_line: bool) -> None:
    assert json.loads(printed(value, one_line)) == value


@given(JSON)
def test_it_looks_as_python_s_own_with_four_spaces(value: object) -> None:
    text = printed(value)
    if "e" not in text and "\\u" not in text:  # they write exponents and control characters in other ways
        assert text == json.dumps(value, indent=4, ensure_ascii=False)


@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_floats_read_back_as_the_same_float(array: np.ndarray) -> None:
    for layout, key in (("column", "outputs"), ("row", "predictions")):
        text = json_tensors.write_outputs({"y": array}, layout)  # type: ignore[arg-type]
        read = np.array(json.loads(text)[key], np.float32)
        np.testing.assert_array_equal(read, array)


@given(arrays.arrays(np.float64, SHAPES), arrays.arrays(np.int64, 3))
def test_doubles_and_integers_read_back(doubles: np.ndarray, integers: np.ndarray) -> None:
    text = json_tensors.write_outputs({"d": doubles, "i": integers}, "column")
    read = json.loads(text)["outputs"]
    np.testing.assert_array_equal(np.array(read["d"], np.float64), doubles)
    assert read["i"] == integers.tolist()


@given(st.lists(st.binary(), min_size=1, max_size=4))
def test_bytes_read_back(contents: list[bytes]) -> None:
    array = np.array(contents, object)
    text = json_tensors.write_outputs({"s": array, "s_bytes": array}, "row").decode("utf-8", "surrogateescape")
    rows = json.loads(text)["predictions"]
    assert [row["s"].encode("utf-8", "surrogateescape") for row in rows] == contents
    back, _ = json_tensors.read_inputs({"inputs": [row["s_bytes"] for row in rows]}, {"x": "string"})
    assert back["x"].tolist() == contents


@given(JSON)
def test_a_value_in_an_error_is_short(value: object) -> None:
    assert len(show([value, "a" * 10_000, value])) < 2000


def test_a_number_stays_a_decimal() -> None:
    assert json_tensors.write_outputs({"y": np.array([1e6, 2.0, 1e-7, math.inf], np.float32)}, "column").split() == [
        b"{", b'"outputs":', b"[", b"1e+06,", b"2.0,", b"1e-07,", b"Infinity", b"]", b"}",
    ]  # fmt: skip
