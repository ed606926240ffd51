"""JSON ↔ tensors, by the rules and in the words of TensorFlow Serving's REST API (its `json_tensor.cc`).

A request's tensors come by row, `{"instances": [...]}`, answered with `{"predictions": [...]}`, or by column,
`{"inputs": ...}`, answered with `{"outputs": ...}`. Bytes are `{"b64": "..."}`.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from serving.errors import RequestError, invalid
from serving.json_writer import Writer, decimals, quote, quote_base64, quote_bytes, show

Layout = Literal["row", "column"]

_PARSE_ERRORS = {
    "Expecting property name": "Missing a name for object member.",
    "Illegal trailing comma": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid control character": "Invalid encoding in string.",
}
_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
_FLOATS = ("float32", "float64")
_INTEGERS = ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64")


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object at the start of a request's body; NaN and Infinity are numbers, what follows it is ignored.

    Raises:
      RequestError: INVALID_ARGUMENT.
    """
    try:
        if not body:
            raise invalid("JSON Parse error: The document is empty")
        text = body.decode("utf-8-sig")
        start = len(text) - len(text.lstrip(" \t\r\n"))
        if start == len(text):
            raise invalid(f"JSON Parse error: The document is empty. at offset: {len(body)}")
        document, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        reason, offset = _parse_error(error), len(error.doc[: error.pos].encode(errors="replace"))
        raise invalid(f"JSON Parse error: {reason} at offset: {offset}") from error
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: The body is not UTF-8 at offset: {error.start}") from error
    except RecursionError as error:
        raise invalid("JSON Parse error: The document is nested too deeply") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {show(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature a request names, or an empty string.

    Raises:
      RequestError: INVALID_ARGUMENT.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read_inputs(document: Mapping[str, Any], dtypes: Mapping[str, str]) -> tuple[dict[str, np.ndarray], Layout]:
    """The tensors of a request and the layout its answer should have.

    Args:
      document: the request.
      dtypes: TensorFlow's name of each input's dtype, such as `string` or `float32`, by the input's name.

    Returns:
      Arrays by input name: numbers in the input's own dtype, strings as objects of `bytes`.

    Raises:
      RequestError: INVALID_ARGUMENT.
    """
    by_row, by_column = "instances" in document, "inputs" in document
    if by_row and by_column:
        raise invalid(
            f"JSON Value: {show(document)} Not formatted correctly expecting only"
            " one of 'inputs' or 'instances' keys to exist "
        )
    if by_row:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {show(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {show(document)} No values in 'instances' array")
        return _read_rows(instances, dtypes), "row"
    if by_column:
        return _read_columns(document["inputs"], dtypes), "column"
    raise invalid("Missing 'inputs' or 'instances' key")


def write_outputs(outputs: Mapping[str, np.ndarray], layout: Layout) -> bytes:
    """The answer to a request.

    A single output goes without its name. Strings are text, except in outputs named `…_bytes`, which are base64.

    Raises:
      RequestError: INVALID_ARGUMENT; outputs that differ in their first dimension cannot be answered by row.
    """
    writer = Writer()
    writer.begin("{")
    if layout == "column":
        writer.raw('"outputs"')
        _write_object(writer, {name: (array, _texts(name, array)) for name, array in outputs.items()})
    else:
        writer.raw('"predictions"')
        _write_rows(writer, outputs)
    writer.end()
    return writer.text().encode("utf-8", "surrogateescape")


def _read_rows(instances: list[Any], dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if len(dtypes) > 1 and not isinstance(instances[0], dict):
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    named = _is_named(instances[0])
    rows: dict[str, list[np.ndarray]] = {name: [] for name in dtypes}
    for index, instance in enumerate(instances):
        if named != _is_named(instance):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {index} of input list")
        for name, value in instance.items() if named else [(next(iter(dtypes)), instance)]:
            try:
                if name not in dtypes:
                    raise invalid(f"JSON object: does not have named input: {name}")
                rows[name].append(_read_row(value, dtypes[name], rows[name]))
            except RequestError as error:
                key = f" key: {name}" if named else ""
                raise invalid(
                    f"Failed to process element: {index}{key} of 'instances' list. Error: {error.code}: {error.message}"
                ) from error
        if named and set(instance) != set(dtypes):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: {show(instance)}"
                f" keys must be equal to: {','.join(sorted(dtypes))}"
            )
    return {name: np.stack(arrays) for name, arrays in rows.items()}


def _read_row(value: Any, dtype: str, before: list[np.ndarray]) -> np.ndarray:
    """One row of one input, of the shape of the rows before it."""
    array = _read(value, dtype)
    if not before:
        return array
    first = before[0]
    if array.size != first.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        raise invalid(f"Expecting shape {_show_shape(first)} but got: {_show_shape(array)}")
    return array


def _read_columns(inputs: Any, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not _is_named(inputs):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        return {name: _read(inputs, dtype) for name, dtype in dtypes.items()}
    for name in dtypes:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _read(inputs[name], dtype) for name, dtype in dtypes.items()}


def _read(value: Any, dtype: str) -> np.ndarray:
    """Nested lists → one array. Its shape is that of the first elements, and every list must agree with it."""
    shape = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    flat: list[Any] = []
    _flatten(value, 0, shape, dtype, flat)
    array = np.empty(len(flat), object if dtype == "string" else dtype)
    with np.errstate(over="ignore"):
        array[:] = flat
    return array.reshape(shape)


def _flatten(value: Any, level: int, shape: list[int], dtype: str, flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1}"
                f" in the JSON DOM. Expected at level: {len(shape)}"
            )
        flat.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for element in value:
        _flatten(element, level + 1, shape, dtype, flat)


def _scalar(value: Any, dtype: str) -> Any:
    if dtype == "string":
        if isinstance(value, dict):
            return _decode(value)
        if isinstance(value, str):
            try:
                return value.encode()
            except UnicodeEncodeError as error:
                raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from error
    elif dtype == "bool":
        if isinstance(value, bool):
            return value
    elif dtype in _FLOATS:
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):
                return float(value)
    elif dtype in _INTEGERS:
        limits = np.iinfo(dtype)
        if isinstance(value, int) and not isinstance(value, bool) and limits.min <= value <= limits.max:
            return value
    else:
        raise RequestError("UNIMPLEMENTED", f"Conversion of JSON Value: {show(value)} to type: {_name(dtype)}")
    raise invalid(f"JSON Value: {show(value)} Type: {_kind(value)} is not of expected type: {_name(dtype)}")


def _decode(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _write_rows(writer: Writer, outputs: Mapping[str, np.ndarray]) -> None:
    size = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    columns = {name: (array, _texts(name, array)) for name, array in outputs.items()}
    writer.begin("[")
    for index in range(size):
        if len(columns) > 1:
            writer.begin("{")
        writer.one_line = True
        for name, (array, texts) in columns.items():
            if len(columns) > 1:
                writer.raw(quote(name))
            per_row = len(texts) // size
            _write_nested(writer, texts[index * per_row : (index + 1) * per_row], array.shape[1:])
        writer.one_line = False
        if len(columns) > 1:
            writer.end()
    writer.end()


def _write_object(writer: Writer, columns: Mapping[str, tuple[np.ndarray, list[Any]]]) -> None:
    if len(columns) > 1:
        writer.begin("{")
    for name, (array, texts) in columns.items():
        if len(columns) > 1:
            writer.raw(quote(name))
        _write_nested(writer, texts, array.shape)
    if len(columns) > 1:
        writer.end()


def _write_nested(writer: Writer, texts: list[Any], shape: tuple[int, ...]) -> None:
    """Elements in their order as nested lists of a shape; a tuple is the text of an object's one key and value."""
    if not shape:
        if not isinstance(texts[0], tuple):
            return writer.raw(texts[0])
        writer.begin("{")
        writer.raw(texts[0][0])
        writer.raw(texts[0][1])
        return writer.end()
    if len(shape) == 1 and writer.one_line and texts and not isinstance(texts[0], tuple):
        return writer.raws(texts)
    writer.begin("[")
    part = len(texts) // shape[0] if shape[0] else 0
    for index in range(shape[0]):
        _write_nested(writer, texts[index * part : (index + 1) * part], shape[1:])
    return writer.end()


def _texts(name: str, array: np.ndarray) -> list[Any]:
    """An array's elements as JSON texts, in their order."""
    if array.dtype.kind in "OSU":
        flat = array.ravel().tolist()
        if name.endswith("_bytes"):
            return [('"b64"', quote_base64(content)) for content in flat]
        return [quote_bytes(content) for content in flat]
    if array.dtype.name in _FLOATS:
        return decimals(array)
    if array.dtype.name in _INTEGERS:
        return [str(number) for number in array.ravel().tolist()]
    if array.dtype == bool:
        return ["true" if value else "false" for value in array.ravel().tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {_name(array.dtype.name)}")


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _kind(value: Any) -> str:
    """What rapidjson calls the type of a value."""
    if value is None or isinstance(value, bool):
        return "Null" if value is None else str(value)
    if isinstance(value, int | float):
        return "Number"
    return "String" if isinstance(value, str) else "Array" if isinstance(value, list) else "Object"


def _name(dtype: str) -> str:
    return _NAMES.get(dtype, dtype)


def _parse_error(error: json.JSONDecodeError) -> str:
    """RapidJSON's sentence for what Python's decoder found."""
    for beginning, sentence in _PARSE_ERRORS.items():
        if error.msg.startswith(beginning):
            return sentence
    if error.msg.startswith("Expecting ',' delimiter"):
        inside = re.sub(r'"(?:[^"\\]|\\.)*"', "", error.doc[: error.pos], flags=re.DOTALL)
        while (shorter := re.sub(r"\[[^\[\]{}]*\]|\{[^\[\]{}]*\}", "", inside)) != inside:
            inside = shorter
        kind = "} after an object member" if inside.rfind("{") > inside.rfind("[") else "] after an array element"
        return f"Missing a comma or {kind}."
    return "Invalid value."


def _show_shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"
