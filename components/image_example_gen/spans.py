"""Spans and versions in paths, as TFX's own ExampleGens have them: {SPAN}, {VERSION}, {YYYY}, {MM}, {DD}."""

import re
from typing import NamedTuple

from tfx.components.example_gen.utils import calculate_splits_fingerprint_span_and_version
from tfx.proto import example_gen_pb2, range_config_pb2

from components.image_example_gen.sources import DataError

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
    """
    found = PLACEHOLDER.search(path)
    if not found:
        return Resolved(path, 0, None)
    base = path[: path.rfind("/", 0, found.start()) + 1]
    split = example_gen_pb2.Input.Split(name="all", pattern=path[len(base) :].rstrip("/"))
    try:
        _, span, version = calculate_splits_fingerprint_span_and_version(base, [split], only(wanted))
    except ValueError as error:
        if "Cannot find matching" in str(error):
            if wanted >= 0:
                raise DataError(f"{path}: there is no span {wanted}.") from error
            raise DataError(f"{path}: there is no span yet; nothing in {base or 'this folder'} matches.") from error
        raise DataError(f"{path}: {error}.") from error
    return Resolved(base + split.pattern, span, version)


def only(span: int) -> range_config_pb2.RangeConfig | None:
    """What TFX is told to find one span and no other; None has it find the newest."""
    if span < 0:
        return None
    return range_config_pb2.RangeConfig(
        static_range=range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
    )
