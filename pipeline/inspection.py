"""`tfx-vision data inspect`: what a set of images is like, before any pipeline."""

import heapq
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa

from components.image_example_gen.config import DataConfig
from components.image_example_gen.duplicates import Pair, Rows, copies, is_conflict, near_pairs
from components.image_example_gen.facts import Facts, describe
from components.image_example_gen.headers import Unusable
from components.image_example_gen.pixels import PERCEPTUAL_HASH
from components.image_example_gen.sources import Item, open_source
from components.image_example_gen.storage import open_bytes
from components.image_example_gen.thumbnails import thumbnail
from transform import features

PAGE = "inspection.html.jinja"
PICTURES = 6
"""Pictures per class on the page."""
LISTED = 12
"""Duplicates and files of a reason that are listed."""
KINDS = {1: "grey or palette", 2: "grey + alpha", 3: "RGB", 4: "RGB + alpha or CMYK"}
"""Names of the numbers of channels."""
NUMBERS = (features.BRIGHTNESS, features.CONTRAST, features.SHARPNESS)
"""What is said of the pixels of every image."""
CHANNELS = {"red": features.MEAN_RED, "green": features.MEAN_GREEN, "blue": features.MEAN_BLUE}
"""And of colour: the means of the channels."""

NEEDED = (features.CONTENT_HASH, features.LABEL, features.PATH)
SCHEMA = pa.schema([(name, pa.large_binary()) for name in (*NEEDED, PERCEPTUAL_HASH)] + [("split", pa.string())])

Progress = Callable[[int, int], None]


@dataclass
class Inspection:
    """What was found."""

    path: str
    total: int
    """Images there are."""
    facts: list[Facts] = field(default_factory=list)
    """Of the usable ones that were looked at."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason of the others."""
    pictures: dict[str, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    """A few by class: (rank, path, data: URI)."""
    by_hash: dict[bytes, str] = field(default_factory=dict)
    """Pictures of duplicates by content hash."""
    groups: list[Rows] = field(default_factory=list)
    """Identical images."""
    near: list[Pair] = field(default_factory=list)
    """Near duplicates."""

    @property
    def looked_at(self) -> int:
        """Images that were read."""
        return len(self.facts) + len(self.left_out)

    def classes(self) -> list[tuple[str, int]]:
        """Usable images by class, most first."""
        counts = Counter(self.values(features.LABEL))
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def numbers(self) -> dict[str, str]:
        """What is said of the pixels: the fact by its name. Of grey images the channels say no more than brightness."""
        rows = ((facts.get(features.BRIGHTNESS), *map(facts.get, CHANNELS.values())) for facts in self.facts)
        grey = all(len(set(row)) == 1 for row in rows)
        return {name: name for name in NUMBERS} | ({} if grey else CHANNELS)

    def typical(self) -> dict[str, list[float]]:
        """Medians of `numbers` by class, of the classes whose pixels could be measured."""
        found: dict[str, list[list[float]]] = defaultdict(list)
        names = self.numbers().values()
        for facts in self.facts:
            if all(name in facts for name in names):
                label = facts[features.LABEL].decode(errors="replace")  # type: ignore[union-attr]
                found[label].append([float(facts[name]) for name in names])
        return {
            label: [statistics.median(column) for column in zip(*rows, strict=True)] for label, rows in found.items()
        }

    def values(self, name: str) -> list[Any]:
        """A fact of every image that has it; bytes as text."""
        found = [facts[name] for facts in self.facts if name in facts]
        return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in found]

    def reasons(self) -> dict[str, list[tuple[str, str]]]:
        """(path, reason) of what cannot be used, by the first words of the reason, most frequent first."""
        found = defaultdict(list)
        for path, reason in self.left_out:
            found[reason.partition(":")[0]].append((path, reason))
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    @property
    def conflicts(self) -> list[Rows]:
        """Identical images with different labels."""
        return [group for group in self.groups if is_conflict(group)]


def inspect(path: str, limit: int, progress: Progress) -> Inspection:
    """Reads the images, at most `limit` evenly from all of them.

    Raises:
      DataError: there are none; says why.
    """
    config = DataConfig(path=path)
    source = open_source(path, config)
    total = source.count()
    found = Inspection(path, total)
    every = max(1, -(-total // limit))
    for index, item in enumerate(item for part in source.parts(1) for item in part.read(part.what, config)):
        if index % every:
            continue
        look(item, found, config)
        if index % 100 == 0:
            progress(index, total)
    progress(total, total)
    rows = [{name: facts.get(name) for name in (*NEEDED, PERCEPTUAL_HASH)} | {"split": ""} for facts in found.facts]
    if rows:
        table = pa.Table.from_pylist(rows, SCHEMA)
        found.groups, found.near = copies(table), near_pairs(table, config.duplicates.distance)
    shown = [row for group in (*found.groups[:LISTED], *found.conflicts[:LISTED]) for row in group]
    shown += [row for pair in found.near[:LISTED] for row in pair[:2]]
    found.by_hash = {row[features.CONTENT_HASH]: load(row[features.PATH].decode()) for row in shown}
    return found


def look(item: Item, found: Inspection, config: DataConfig) -> None:
    """Adds one image."""
    try:
        if item.trouble:
            raise Unusable(item.trouble)
        facts = describe(item, config.limits, pixel_share=1.0, near_share=1.0)
    except Unusable as trouble:
        found.left_out.append((item.path, str(trouble)))
        return
    found.facts.append(facts)
    chosen = found.pictures[item.label]
    # Those whose content hash is lowest: as good as drawn, and the same every time.
    rank = -int(facts[features.CONTENT_HASH][:12], 16)  # type: ignore[index, arg-type]
    if len(chosen) < PICTURES:
        heapq.heappush(chosen, (rank, item.path, thumbnail(item.encoded)))
    elif rank > chosen[0][0]:
        heapq.heapreplace(chosen, (rank, item.path, thumbnail(item.encoded)))


def load(path: str) -> str:
    """A small picture of a file; "" when it is none, such as a member of an archive."""
    try:
        with open_bytes(path) as stream:
            return thumbnail(stream.read())
    except Exception:  # each file system has its own
        return ""


def as_text(found: Inspection) -> str:
    """What was found, in lines."""
    return "\n".join(lines(found))


def lines(found: Inspection) -> Iterator[str]:
    classes = found.classes()
    looked = "" if found.looked_at == found.total else f"; looked at {found.looked_at:,}"
    yield f"{found.path}: {found.total:,} images in {len(classes)} classes{looked}"
    width = max((len(name) for name, _ in classes), default=0)
    typical, columns = found.typical(), {name: max(len(name) + 1, 7) for name in found.numbers()}
    if typical:
        heads = "".join(f"{name:>{size}}" for name, size in columns.items())
        yield f"  {'':<{width}} {'images':>8} {'':>6} {heads}"
    for name, count in classes[:20]:
        bar = "█" * round(30 * count / classes[0][1])
        medians = zip(typical.get(name, []), columns.values(), strict=False)
        numbers = "".join(f"{value:>{size}.1f}" for value, size in medians)
        yield f"  {name:<{width}} {count:>8,} {count / max(len(found.facts), 1):>6.1%} {numbers}  {bar}"
    if len(classes) > 20:
        yield f"  … {len(classes) - 20} more classes, the smallest {classes[-1][0]} with {classes[-1][1]:,}"
    for title, text in summary(found):
        yield f"{title:<12}{text}"
    for group in found.conflicts[:LISTED]:
        yield "  " + " = ".join(f"{path_of(row)} ({row[features.LABEL].decode()})" for row in group)
    for one, other, bits in found.near[:3]:
        yield f"  {path_of(one)} ~ {path_of(other)} ({bits} of 256 bits)"
    for reason, files in found.reasons().items():
        yield f"  {len(files):,} {reason}; {files[0][0]}: {files[0][1]}"


def path_of(row: Mapping[str, Any]) -> str:
    """Where an image is."""
    return row[features.PATH].decode(errors="replace")


def summary(found: Inspection) -> Iterator[tuple[str, str]]:
    """(title, words) of each thing worth knowing."""
    if found.facts:
        width, height = span(found.values(features.WIDTH)), span(found.values(features.HEIGHT))
        yield "sizes", f"{width} wide, {height} high, in pixels"
        yield "files", f"{span(found.values(features.FILE_BYTES))} bytes"
        yield "formats", told(Counter(found.values(features.FORMAT)))
        yield "channels", told(Counter(KINDS[count] for count in found.values(features.CHANNELS)))
        rotated = sum(value != 1 for value in found.values(features.ORIENTATION))
        if rotated:
            yield "rotated", f"{rotated:,} by their EXIF orientation"
        for title, name in found.numbers().items():
            if values := found.values(name):
                yield title, f"{span([round(value, 1) for value in values])}"
        if "red" not in found.numbers():
            yield "colour", "none: red, green and blue are the brightness"
    yield "copies", f"{sum(len(group) - 1 for group in found.groups):,} images repeat another"
    yield "near copies", f"{len(found.near):,} pairs look alike"
    yield "conflicts", f"{len(found.conflicts):,} images are there under different labels"
    yield "trouble", f"{len(found.left_out):,} files cannot be used" if found.left_out else "none"


def span(values: Sequence[float]) -> str:
    """28, or 28 to 640, 300 in the middle."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}, {statistics.median_low(values):,} in the middle"


def told(counts: Mapping[Any, int]) -> str:
    """JPEG 1,200, PNG 30."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def as_page(found: Inspection) -> str:
    """A self-contained HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    by_class = {name: sorted(found.pictures[name], reverse=True) for name, _ in found.classes()[:100]}
    return environment.get_template(PAGE).render(
        found=found,
        classes=found.classes(),
        pictures=by_class,
        summary=list(summary(found)),
        listed=LISTED,
        typical=found.typical(),
        numbers=list(found.numbers()),
    )
