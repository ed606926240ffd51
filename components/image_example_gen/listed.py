"""What the driver has listed, for the executor in the same process: a store with a million images is asked once."""

from components.image_example_gen.config import DataConfig
from components.image_example_gen.sources import Source, fingerprint, open_source

MOST = 300_000
"""Files that are kept in mind, some 100 MB: the executor may never ask, when the cache has what it would make."""
KEPT: dict[tuple[str, str], list[Source]] = {}
"""The last that was listed, by its settings and fingerprint."""


def open_sources(config: DataConfig) -> list[Source]:
    """The images and, where there is one, the test split of their authors.

    Raises:
      DataError: there are no images; says what is missing.
    """
    return [open_source(path, config) for path in (config.path, config.test_path) if path]


def observe(config: DataConfig, settings: str) -> str:
    """Lists the images, keeps what it found for `recall`, and returns the fingerprint of their files.

    Args:
      config: where they are, with the span resolved.
      settings: what else decides how they are read.
    """
    sources = open_sources(config)
    files = [file for source in sources for file in source.files]
    found = fingerprint(files)
    KEPT.clear()
    if len(files) <= MOST:
        KEPT[settings, found] = sources
    return found


def recall(config: DataConfig, settings: str, found: str) -> list[Source]:
    """What `observe` found, once; listed anew where that was in another process."""
    return KEPT.pop((settings, found), None) or open_sources(config)
