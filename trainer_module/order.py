"""Which images each step takes: a function of the seed and the number of the step alone.

So every feeder gives the same batches, and training continues at any step as if it had never stopped.
"""

import functools
from collections.abc import Callable

import numpy as np

Order = Callable[[int], np.ndarray]
"""Number of a step → int64 [batch], numbers of images."""


def sequence(size: int, batch_size: int) -> Order:
    """For evaluation: the records as they come; the last batch may be smaller."""
    return lambda step: np.arange(step * batch_size, min((step + 1) * batch_size, size))


def shuffled(
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    *,
    stratified: bool = False,
    segments: int = 1,
    segment_epochs: int = 1,
) -> Order:
    """For training: rounds without end, each a permutation of its own of one segment (or of all images).

    Args:
      labels: int64 [images], their classes.
      batch_size: images per step; a batch may end one round and begin the next.
      seed: of everything.
      stratified: spread the classes evenly over each round.
      segments: parts of the split, with the same share of each class in all; their order is drawn anew in each cycle.
      segment_epochs: rounds of a segment before the next one's.
    """
    members = split_up(labels, segments, seed)
    sizes = np.array([len(images) for images in members])
    cycle_length = int(sizes.sum()) * segment_epochs

    @functools.lru_cache(maxsize=4)
    def cycle(number: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the segments in a cycle, and where each ends in it."""
        chosen = np.random.default_rng([seed, 1, number]).permutation(segments)
        return chosen, np.cumsum(sizes[chosen] * segment_epochs)

    @functools.lru_cache(maxsize=4)
    def one_round(segment: int, number: int) -> np.ndarray:
        random = np.random.default_rng([seed, 0, segment, number])
        images = members[segment]
        return images[stratify(labels[images], random) if stratified else random.permutation(len(images))]

    def rest_of_round(position: int) -> np.ndarray:
        """The images of a round from a position in the whole stream on."""
        number, within = divmod(position, cycle_length)
        chosen, ends = cycle(number)
        place = int(np.searchsorted(ends, within, side="right"))
        segment = int(chosen[place])
        start = int(ends[place]) - int(sizes[segment]) * segment_epochs
        repeat, offset = divmod(within - start, int(sizes[segment]))
        return one_round(segment, number * segment_epochs + repeat)[offset:]

    def images(step: int) -> np.ndarray:
        taken = rest_of_round(step * batch_size)[:batch_size]
        while len(taken) < batch_size:
            more = rest_of_round(step * batch_size + len(taken))
            taken = np.concatenate([taken, more[: batch_size - len(taken)]])
        return taken

    return images


def split_up(labels: np.ndarray, segments: int, seed: int) -> list[np.ndarray]:
    """Segments of nearly the same size with the same share of each class: numbers of their images, ascending."""
    spread = stratify(labels, np.random.default_rng([seed, 2])) if segments > 1 else np.arange(len(labels))
    return [np.sort(part) for part in np.array_split(spread, segments)]


def stratify(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A permutation that spreads every class evenly: int64 [images] → int64 [images]."""
    mixed = random.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[mixed] == label)
        place[members] = (np.arange(len(members)) + random.random()) / len(members)
    return mixed[np.argsort(place, kind="stable")]
