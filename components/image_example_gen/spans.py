"""Spans and versions in paths, as TFX's own ExampleGens have them: {SPAN}, {VERSION}, {YYYY}, {MM}, {DD}."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from tfx.components.example_gen import utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2, range_config_pb2

from components.image_example_gen.sources import DataError
from components.image_example_gen.storage import StorageError, names_matching, reach, scheme_of

PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(:\d+)?\}")


class Resolved(NamedTuple):
    """A path whose placeholders are filled in."""

    path: str
    span: int
    """Days since 1970 where it is a date, 0 where there are no spans."""
    version: int | None
    """The newest of that span; None where there are no versions."""


def resolve(path: str, wanted: int = -1) -> Resolved:
    """Finds the wanted span, -1 for the newest, and its newest version.

    Raises:
      DataError: the placeholders are not as TFX wants them, or there is no such span.
      StorageError: the store cannot be used.
    """
    if not PLACEHOLDER.search(path):
        return Resolved(path, 0, None)
    pattern = path.rstrip("/")
    split = example_gen_pb2.Input.Split(name="all", pattern=pattern)
    try:
        kinds = utils.verify_split_pattern_specs(split)
        glob, regex = utils._create_matching_glob_and_regex("", split, *kinds, only(wanted))
        found = [
            Resolved(filled(pattern, tokens, version), span, number)
            for name in names(glob)
            for tokens, span, version, number in [utils._find_matched_span_version_from_path(name, regex, *kinds)]
        ]
    except StorageError:
        raise
    except ValueError as error:  # TFX's, of a pattern
        raise DataError(f"{path}: {error}.") from error
    if not found:
        missing = f"there is no span {wanted}" if wanted >= 0 else "there is no span yet"
        raise DataError(f"{path}: {missing}; nothing matches {glob}.")
    return max(found, key=lambda one: (one.span, one.version or 0))


def only(span: int) -> range_config_pb2.RangeConfig | None:
    """What TFX is told to find one span and no other; None has it find the newest."""
    if span < 0:
        return None
    return range_config_pb2.RangeConfig(
        static_range=range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
    )


def names(glob: str) -> list[str]:
    """Files and folders that match; a store has no folders but in its names."""
    if not scheme_of(glob):
        return list(fileio.glob(glob))
    reach(glob)
    return names_matching(glob)


def filled(pattern: str, tokens: Iterable[str], version: str | None) -> str:
    """A pattern with the text that stands in a name for each of its placeholders: 007 stays 007."""
    texts = list(tokens)
    dates = dict(zip(utils.DATE_SPECS, texts, strict=False))
    return PLACEHOLDER.sub(
        lambda found: str(version) if found[1] == "VERSION" else dates[found[0]] if found[0] in dates else texts[0],
        pattern,
    )
