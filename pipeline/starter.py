"""`tfx-vision init`: looks at a folder of images and writes a starting configuration for it."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import yaml
from PIL import Image, ImageChops

from components.image_example_gen.folders import EXTENSIONS, list_images
from components.image_example_gen.headers import CHANNELS, FORMATS
from components.image_example_gen.sources import DataError, ImageFile
from pipeline.config import build_config

HEADERS = 2000
"""Image headers that are read; larger folders are sampled evenly."""
PIXELS = 50
"""Colour images that are decoded to see whether they are grey after all."""
CLASSES_SHOWN = 20
SIDES = (128, 96, 64, 48)
"""Sides of the model's input for images that are larger; a side above 128 takes patience without a GPU."""
OTHER_FORMATS = (".tif", ".tiff", ".heic", ".avif", ".jp2")


class StarterError(Exception):
    """A starting configuration that cannot be written; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found in a folder of images."""

    path: Path
    """The folder with one sub-folder per class."""
    test_path: Path | None
    """A second such folder beside it."""
    classes: dict[str, int]
    """Images by class, without those of `test_path`."""
    test_images: int
    """Images of `test_path`."""
    sampled: int
    """Images whose header was read."""
    sizes: list[tuple[int, int]]
    """(height, width) in pixels of those that could be read."""
    formats: list[str]
    """Their formats, the most frequent first."""
    colour: bool
    """False when every one is grey."""
    unreadable: list[tuple[str, str]]
    """Path and reason of those that could not be read."""
    passed_over: list[str]
    """Paths of images in formats that TensorFlow does not decode."""

    @property
    def images(self) -> int:
        """Images to train with, and to test with unless there is a `test_path`."""
        return sum(self.classes.values())


def survey(directory: Path) -> Survey:
    """Looks at a folder with one sub-folder per class, or with `train` and `test` folders of that kind.

    Raises:
      DataError: there are no images to classify in it; says why.
    """
    path, test_path = directory, None
    if (directory / "train").is_dir() and (directory / "test").is_dir():
        path, test_path = directory / "train", directory / "test"
    images = [image for image in list_images(str(path)) if not image.path.lower().endswith(OTHER_FORMATS)]
    test_images = list_images(str(test_path)) if test_path else []
    with warnings.catch_warnings(action="ignore"):  # Pillow's, on odd images
        sizes, formats, unreadable, colour = read_headers(sample(images, HEADERS))
    if not sizes:
        name, reason = unreadable[0]
        raise DataError(f"{directory}: none of its images can be read; {name}, for one, {reason}.")
    return Survey(
        path=path,
        test_path=test_path,
        classes=dict(Counter(image.label for image in images)),
        test_images=len(test_images),
        sampled=len(sizes) + len(unreadable),
        sizes=sizes,
        formats=formats,
        colour=colour,
        unreadable=unreadable,
        passed_over=sorted(
            str(file)
            for file in path.glob("*/**/*")
            if file.suffix.lower() in OTHER_FORMATS and not file.name.startswith(".")
        ),
    )


def sample(images: Sequence[ImageFile], most: int) -> list[ImageFile]:
    """At most `most` images, evenly from all of them."""
    return [images[index * len(images) // most] for index in range(most)] if len(images) > most else list(images)


def read_headers(
    images: Iterable[ImageFile],
) -> tuple[list[tuple[int, int]], list[str], list[tuple[str, str]], bool]:
    """Sizes, formats, unreadable files with reasons, and whether there is colour."""
    sizes: list[tuple[int, int]] = []
    formats: Counter[str] = Counter()
    unreadable: list[tuple[str, str]] = []
    coloured: list[str] = []
    for file in images:
        try:
            with Image.open(file.path, formats=FORMATS) as image:
                sizes.append((image.height, image.width))
                formats[image.format or ""] += 1
                if CHANNELS.get(image.mode, 4) > 2 or image.mode in ("P", "PA"):
                    coloured.append(file.path)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = (
                "is none of " + ", ".join(FORMATS) if isinstance(error, Image.UnidentifiedImageError) else str(error)
            )
            unreadable.append((file.path, reason))
    step = max(1, len(coloured) // PIXELS)
    return sizes, [name for name, _ in formats.most_common()], unreadable, any(map(has_colour, coloured[::step]))


def has_colour(path: str) -> bool:
    """Whether a pixel of the image differs between red, green and blue by more than JPEG's rounding."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (256, 256))
            small = image.convert("RGB")
            small.thumbnail((256, 256))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    red, green, blue = small.split()
    return any(max(ImageChops.difference(one, green).tobytes()) > 8 for one in (red, blue))


def starting_configuration(found: Survey, name: str, file: Path) -> str:
    """The text of the configuration: what was found as a comment, then the settings that follow from it."""
    count = found.images
    height, width = target_size(found.sizes)
    filters = [32, 64, 128, 256][: groups(min(height, width))]
    percent, reason = held_out(count)
    largest = max(found.classes.values()) / count
    settings = [
        f"name: {name}",
        "data:",
        f"  path: {scalar(str(found.path))}",
    ]
    if found.test_path:
        settings += [
            f"  test_path: {scalar(str(found.test_path))}  # held out as it is: {found.test_images:,} images",
            f"  splits: {{train: {100 // percent - 1}, eval: 1, test: 0}}  # {percent} % steer the training: {reason}",
        ]
    else:
        settings += [
            f"  # Hash buckets: {percent} % held out for the final test ({reason}), as many steer the training.",
            f"  splits: {{train: {100 // percent - 2}, eval: 1, test: 1}}",
        ]
    settings += [
        f"transform: {{height: {height}, width: {width}, channels: {3 if found.colour else 1}}}"
        f"  # {'colour' if found.colour else 'grey'}; images are resized to this, bars fill another aspect ratio",
        "model:",
        "  architecture: convnet  # or one of tf.keras.applications, such as MobileNetV2",
        f"  filters: {filters}",
        f"tuner: {{trials: 4, epochs: {1 if count >= 10_000 else 3}, steps_per_epoch: {100 if count >= 10_000 else 0}}}"
        "  # enabled: false trains without a search",
        "trainer:",
        f"  epochs: {40 if count < 1000 else 20 if count < 10_000 else 10}  # at most; it stops when it gets no better",
        f"  batch_size: {32 if count < 10_000 else 64 if count < 50_000 else 128}",
        "augmentation:",
        f"  translation: {0.1 if count < 10_000 else 0.0}  # the more useful the fewer images there are",
        "  flip: none  # horizontal where a mirrored image is of the same class: flowers, not letters",
        "evaluator:",
        f"  # Always answering the largest class reaches {largest:.2f}; raise this once you know what is good.",
        f"  min_accuracy: {(1 + largest) / 2:.2f}",
    ]
    return "\n".join([*(f"# {line}".rstrip() for line in description(found, file)), *settings, ""])


def description(found: Survey, file: Path) -> list[str]:
    """What was found, in lines for a person."""
    heights, widths = zip(*found.sizes, strict=True)
    first, last = min(found.sizes, key=area), max(found.sizes, key=area)
    size = f"{last[1]} x {last[0]}" if first == last else f"{first[1]} x {first[0]} to {last[1]} x {last[0]}"
    if first != last:
        size += f", {median_low(widths)} x {median_low(heights)} in the middle"
    lines = [
        f"{found.images:,} images in {len(found.classes)} classes: {'/'.join(found.formats)}, "
        f"{'colour' if found.colour else 'grey'}, {size} pixels (width x height)"
        + (f"; from {found.sampled:,} headers." if found.sampled < found.images else "."),
    ]
    if found.test_path:
        lines.append(f"{found.test_images:,} more in {printable(str(found.test_path))}.")
    ranked = sorted(found.classes.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked if len(ranked) <= CLASSES_SHOWN else ranked[: CLASSES_SHOWN - 5] + ranked[-4:]
    column = max(len(printable(label)) for label, _ in shown)
    table = [f"  {printable(label):<{column}} {count:>9,} {count / found.images:>6.1%}" for label, count in shown]
    if len(shown) < len(ranked):
        table.insert(-4, f"  … {len(ranked) - len(shown)} more classes")
    lines += table
    lines += notes(found, ranked)
    return [
        *lines,
        "",
        f"Run it:              tfx-vision run {file}",
        f"Every other setting: tfx-vision config show {file}",
    ]


def notes(found: Survey, ranked: list[tuple[str, int]]) -> list[str]:
    """What a person should know before the first run."""
    lines = []
    if found.unreadable:
        name, reason = found.unreadable[0]
        lines.append(
            f"{len(found.unreadable)} of {found.sampled:,} cannot be read; {printable(name)} {printable(reason)}."
        )
    if found.passed_over:
        lines.append(
            f"{len(found.passed_over)} are passed over, {printable(found.passed_over[0])} for one; "
            f"convert them to one of {', '.join(EXTENSIONS)}."
        )
    if ranked[0][1] > 10 * ranked[-1][1]:
        lines.append(
            f"Uneven: {printable(ranked[0][0])} has over 10 times as many images as {printable(ranked[-1][0])}."
        )
    if ranked[-1][1] < 20:
        lines.append(f"Few: {printable(ranked[-1][0])} has {ranked[-1][1]}; aim at 100 or more per class.")
    return ["", *(f"Note: {line}" for line in lines)] if lines else []


def held_out(images: int) -> tuple[int, str]:
    """Percent of the images to hold out and why: the handbook's rule of thumb (part 9, "Split Percentages")."""
    if images < 1000:
        return 20, "the rule of thumb below 1,000 images"
    if images < 10_000:
        return 10, "the rule of thumb below 10,000 images"
    return 5, "the rule of thumb from 10,000 images on"


def target_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(height, width) of the model's input: small images as they are, others as a square that does not enlarge them."""
    height = median_low([size[0] for size in sizes])
    width = median_low([size[1] for size in sizes])
    if max(height, width) <= SIDES[-1]:
        return max(height, 8), max(width, 8)
    side = next((side for side in SIDES if side <= min(height, width)), SIDES[-1])
    return side, side


def groups(side: int) -> int:
    """Groups of the convnet, each halving the image, that leave 7 pixels or so of a side."""
    return min(4, max(2, (side // 7).bit_length() - 1))


def area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def pipeline_name(directory: Path) -> str:
    """A name made from the folder's: lower case, digits, _ and -."""
    slug = re.sub(r"[^a-z0-9_-]+", "_", directory.absolute().name.lower()).strip("_-")
    if not slug:
        return "images"
    return (slug if slug[0].isalpha() else f"images_{slug}")[:63]


def printable(text: str) -> str:
    """Text that stays on its line of a comment."""
    return text if text.isprintable() else repr(text)


def scalar(text: str) -> str:
    """A string as YAML on one line, quoted where that is needed."""
    quoted = yaml.safe_dump(
        text, width=float("inf"), allow_unicode=True, default_style=None if text.isprintable() else '"'
    )
    return quoted.removesuffix("\n").removesuffix("\n...")


def write_configuration(directory: Path, file: Path | None = None, *, force: bool = False) -> tuple[Path, str]:
    """Looks at a folder and writes its configuration.

    Args:
      directory: the folder of images.
      file: where the configuration goes; by default `configs/NAME.yaml`, or `NAME.yaml` where there is no `configs`.
      force: replace the file when it is there.

    Returns:
      The file and its text.

    Raises:
      DataError: there are no images to classify in the folder.
      StarterError: the file is there already or cannot be written.
    """
    name = pipeline_name(directory)
    file = file or (Path("configs") if Path("configs").is_dir() else Path()) / f"{name}.yaml"
    if file.exists() and not force:
        raise StarterError(f"{file} is there already; give another with -o, or --force to replace it.")
    text = starting_configuration(survey(directory), name, file)
    build_config(yaml.safe_load(text), str(file))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StarterError(f"{file} cannot be written: {error.strerror}.") from error
    return file, text
