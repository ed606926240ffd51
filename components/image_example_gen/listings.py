"""CSV, TSV, JSON and JSON-lines listings of image files."""

import csv
import io
import json
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.image_example_gen.config import DataConfig
from components.image_example_gen.folders import files_source
from components.image_example_gen.sources import (
    DataError,
    ImageFile,
    Source,
    group_of,
    refuse_single_class,
    split_named,
)
from components.image_example_gen.storage import StorageError, open_bytes, refuse_lost_store, stat, why

KNOWN = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "url", "uri"),
    "label": ("label", "class", "category", "target", "class_name"),
    "split": ("split", "subset", "set"),
    "group": (),
}
"""Names that are recognised, by what the column holds."""


def open_listing(path: str, config: DataConfig) -> Source:
    """A listing as a source of image files.

    Raises:
      DataError: it cannot be read, has no such columns, or lists a single class.
    """
    try:
        with open_bytes(path) as stream:
            text = stream.read().decode("utf-8-sig")
    except StorageError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error.reason} at byte {error.start}.") from error
    except Exception as error:  # each file system has its own
        raise DataError(f"{path} cannot be read: {why(error)}.") from error
    try:
        rows = list(choose(list(parse(text, path.lower(), config)), config))
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error
    if not rows:
        raise DataError(f"{path} lists no images.")
    refuse_single_class((row["label"] for row in rows if row["label"]), path)
    folder = posixpath.dirname(path)
    with ThreadPoolExecutor(16) as pool:
        files = list(pool.map(lambda row: look(row, folder, config), rows))
    return files_source(sorted(files))


def parse(text: str, name: str, config: DataConfig) -> Iterator[dict[str, str]]:
    """The rows of a listing: values by column; by position from "0" where a CSV has no header.

    Args:
      text: the listing, without byte order mark.
      name: its file name in lower case, whose extension says how to read it.
      config: names columns that are not known.

    Raises:
      ValueError: says which line is wrong and how.
    """
    if name.endswith((".csv", ".tsv")):
        named = {getattr(config.columns, what).lower() for what in KNOWN} - {""}
        return parse_csv(text, "\t" if name.endswith(".tsv") else delimiter(text), named)
    return parse_json(text)


def parse_csv(text: str, separator: str, named: Collection[str] = ()) -> Iterator[dict[str, str]]:
    """CSV as in RFC 4180: quotes hold commas and line breaks; `named` are names of columns besides the known ones."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                if is_header(row, named):
                    header = [cell.strip() for cell in row]
                    continue
                header = [str(position) for position in range(len(row))]
            if len(row) > len(header):
                raise ValueError(
                    f"line {reader.line_num} has {len(row)} columns, not {len(header)}; quote what has commas"
                )
            yield dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def is_header(row: Sequence[str], named: Collection[str]) -> bool:
    """Whether a first row names columns: it has a name from the settings, or nothing in it looks like a path."""
    cells = {cell.strip().lower() for cell in row}
    if named:
        return bool(cells & set(named))
    return not any("/" in cell or "." in cell for cell in cells)


def delimiter(text: str) -> str:
    """Comma, unless the first line has none and has semicolons or tabs."""
    first = text.split("\n", 1)[0]
    return next((mark for mark in ",;\t" if mark in first), ",")


def parse_json(text: str) -> Iterator[dict[str, str]]:
    """A JSON array of objects, or an object per line."""
    if text.lstrip().startswith("["):
        try:
            values = [(number, value) for number, value in enumerate(json.loads(text), 1)]
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno}: {error.msg}") from error
    else:
        values = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    values.append((number, json.loads(line)))
                except json.JSONDecodeError as error:
                    raise ValueError(f"line {number}: {error.msg}") from error
    for number, value in values:
        if not isinstance(value, dict):
            raise ValueError(f"entry {number} is not an object with a path and a label")
        yield {str(key): as_text(cell) for key, cell in value.items()}


def as_text(value: Any) -> str:
    """A JSON value as a name; a missing one is empty."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def choose(rows: Sequence[Mapping[str, str]], config: DataConfig) -> Iterator[dict[str, str]]:
    """Rows with the keys path, label, split and group, from the columns that the settings name or that are known.

    Raises:
      ValueError: there is no such column.
    """
    if not rows:
        return
    present = list(dict.fromkeys(name for row in rows for name in row))
    columns = {what: column(what, present, config) for what in KNOWN}
    for row in rows:
        found = {what: (row.get(name) or "") if name else "" for what, name in columns.items()}
        if found["path"].strip():
            yield found | {what: found[what].strip() for what in ("label", "split", "group")}


def column(what: str, present: Sequence[str], config: DataConfig) -> str:
    """The column that holds a path, label, split or group; "" when there is none and none is needed."""
    wanted = getattr(config.columns, what)
    if wanted:
        if wanted not in present:
            raise ValueError(f"has no column {wanted!r} (data.columns.{what}); it has {', '.join(present)}")
        return wanted
    by_lower = {name.lower(): name for name in reversed(present)}
    for name in KNOWN[what]:
        if name in by_lower:
            return by_lower[name]
    if what in ("path", "label"):
        position = str(("path", "label").index(what))
        if present[0] == "0" and position in present:
            return position
        raise ValueError(f"has no column for the {what}; name it in data.columns.{what}; it has {', '.join(present)}")
    return ""


def look(row: Mapping[str, str], folder: str, config: DataConfig) -> ImageFile:
    """A row as a file, with its size and the time of its last change."""
    path = resolve(row["path"], folder)
    group = row["group"] or group_of(row["path"], config)
    split = split_named(row["split"]) if config.splits.mode == "predefined" else ""
    file = ImageFile(path, row["label"], 0, 0.0, group, split)
    if not row["label"]:
        return file._replace(trouble="no label")
    try:
        found = stat(path)
    except Exception as error:  # each file system has its own
        refuse_lost_store(path, error)
        return file._replace(trouble=f"unreadable: {why(error)}")
    return file._replace(size=found.size, modified=found.modified)


def resolve(path: str, folder: str) -> str:
    """An absolute path or URL as it is, `file://` as the path it names, others relative to the listing's folder."""
    if path.startswith("file://"):
        return path.removeprefix("file://")
    if "://" in path or path.startswith("/"):
        return path
    return posixpath.join(folder, path)
