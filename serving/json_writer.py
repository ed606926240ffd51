"""JSON as TensorFlow Serving prints it, byte for byte: what RapidJSON's PrettyWriter does.

Four spaces a level; elements of a list on one line where asked; and a list that was begun with a line per element
and ends so, but whose elements were on one line, closes on a line of its own: `[2.5, 3.0\\n    ]`.
"""

import base64
import json
import math
import re
from typing import Any

import numpy as np

_INDENT = 4
_LOWER_HEX = re.compile(r"\\u00([0-9a-f]{2})")


class Writer:
    """Builds one document.

    Args:
      limit: nothing is begun once the text is so long, and no value is longer; the text is then no JSON.
    """

    def __init__(self, limit: int | None = None):
        self.one_line = False
        self._text: list[str] = []
        self._size = 0
        self._limit = limit
        self._levels: list[tuple[bool, int]] = []  # whether a list, and how many values so far; keys count as values

    def text(self) -> str:
        """What was written so far."""
        return "".join(self._text)

    def begin(self, bracket: str) -> None:
        """Begins a list or an object."""
        if self._before_value():
            self._put(bracket)
        self._levels.append((bracket == "[", 0))

    def end(self) -> None:
        """Ends the list or object that was begun last."""
        is_list, count = self._levels.pop()
        if self._full():
            return
        if count and not (is_list and self.one_line):
            self._new_line()
        self._put("]" if is_list else "}")

    def raw(self, text: str) -> None:
        """A value that is JSON text already, or a key."""
        if self._before_value():
            self._put(text)

    def raws(self, texts: list[str]) -> None:
        """A list of such values, on one line."""
        if self._before_value():
            self._put(f"[{', '.join(texts)}]")

    def value(self, value: Any) -> None:
        """Any value that `json.loads` gives."""
        if isinstance(value, list):
            self.begin("[")
            for element in value:
                self.value(element)
            self.end()
        elif isinstance(value, dict):
            self.begin("{")
            for key, element in value.items():
                self.raw(quote(key))
                self.value(element)
            self.end()
        elif isinstance(value, str):
            self.raw(quote(value))
        elif isinstance(value, float):
            self.raw(json.dumps(value).replace("e+", "e"))
        else:
            self.raw(json.dumps(value))

    def _before_value(self) -> bool:
        if self._full():
            return False
        if not self._levels:
            return True
        is_list, count = self._levels[-1]
        self._levels[-1] = (is_list, count + 1)
        if is_list:
            if count:
                self._put(", " if self.one_line else ",")
            if not self.one_line:
                self._new_line()
        elif count % 2:
            self._put(": ")
        else:
            if count:
                self._put(",")
            self._new_line()
        return True

    def _new_line(self) -> None:
        self._put("\n" + " " * (_INDENT * len(self._levels)))

    def _put(self, text: str) -> None:
        text = text[: self._limit]  # TensorFlow Serving would send a whole picture back
        self._text.append(text)
        self._size += len(text)

    def _full(self) -> bool:
        return self._limit is not None and self._size >= self._limit


def show(value: Any) -> str:
    """A value in an error: lists on one line, cut to about 256 characters where an element begins."""
    writer = Writer(limit=256)
    writer.one_line = True
    writer.value(value)
    return writer.text()


def quote(text: str) -> str:
    """A string as JSON, its characters as they are."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _LOWER_HEX.sub(lambda match: f"\\u00{match[1].upper()}", quoted) if "\\u00" in quoted else quoted


def quote_bytes(content: bytes) -> str:
    """A string tensor's element as JSON; bytes that are not UTF-8 go as they are (encode with `surrogateescape`)."""
    return quote(content.decode("utf-8", "surrogateescape"))


def quote_base64(content: bytes) -> str:
    """Bytes as the text of a JSON string."""
    return f'"{base64.b64encode(content).decode()}"'


def decimals(array: np.ndarray) -> list[str]:
    """Floats as texts: six digits where they read back as the same number, else nine (float) or seventeen (double)."""
    digits = 9 if array.dtype == np.float32 else 17
    flat = array.ravel()
    short = [f"{value:.6g}" for value in flat.tolist()]
    with np.errstate(over="ignore"):
        same = np.array([float(text) for text in short], np.float64).astype(array.dtype) == flat
    return [
        _decimal(text if exact else f"{value:.{digits}g}", value)
        for text, exact, value in zip(short, same.tolist(), flat.tolist(), strict=True)
    ]


def _decimal(text: str, value: float) -> str:
    if math.isfinite(value):
        return text if "." in text or "e" in text else f"{text}.0"
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
