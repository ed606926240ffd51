"""A CSV file of what a model says of a folder's images; memory does not grow with their number."""

import csv
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam

from components.batch_prediction.images import Answer, list_images, load_classifier

CHUNK = 512
"""Images per piece of work."""
COLUMNS = ("image", "label", "probability", "status")
SECONDS = 0.5
"""Between looks at how far it is."""


class WriteChunk(beam.DoFn):
    """(number, paths) → a CSV file of the number's name, and how many images had no answer."""

    def __init__(self, model_folder: str, folder: str, parts: str, probabilities: bool):
        self._model, self._folder, self._parts, self._probabilities = model_folder, folder, parts, probabilities

    def process(self, chunk: tuple[int, Sequence[str]]) -> Iterator[None]:
        number, paths = chunk
        classifier = load_classifier(self._model)
        partial = Path(self._parts, f"{number:08}.partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for path, answer in zip(paths, classifier.classify(self._folder, paths), strict=True):
                writer.writerow(row(path, answer, self._probabilities))
        if classifier.classes:
            Path(self._parts, f"{number:08}.classes").write_text("\n".join(classifier.classes), encoding="utf-8")
        partial.rename(partial.with_suffix(".csv"))
        yield None


def row(path: str, answer: Answer, probabilities: bool) -> list[str]:
    """A line of the table."""
    top = f"{answer.probability:.6f}" if not answer.status else ""
    return [path, answer.label, top, answer.status, *(f"{one:.6f}" for one in answer.probabilities if probabilities)]


def predict_folder(
    model_folder: str,
    folder: str,
    output: str | Path,
    beam_arguments: Sequence[str],
    *,
    probabilities: bool = False,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, int]:
    """Writes `output`, whole or not at all: a row per image, in the order of their paths.

    Args:
      model_folder: the saved model.
      folder: of the images.
      output: the CSV file.
      beam_arguments: Beam's.
      probabilities: add a column for each class.
      advance: called now and then with the images done and all images.

    Returns:
      The number of images, and how many of them the model could not read.

    Raises:
      NoImagesError: the folder holds none.
    """
    paths, target = list_images(folder), Path(output)
    chunks = [(start // CHUNK, paths[start : start + CHUNK]) for start in range(0, len(paths), CHUNK)]
    target.parent.mkdir(parents=True, exist_ok=True)
    parts = tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with watched(parts, len(paths), advance), beam.Pipeline(argv=list(beam_arguments)) as pipeline:
            work = pipeline | "Chunks" >> beam.Create(chunks) | beam.Reshuffle()
            _ = work | "Predict" >> beam.ParDo(WriteChunk(model_folder, folder, parts, probabilities))
        joined = join(Path(parts), probabilities)
        with joined.open(newline="", encoding="utf-8") as file:
            unread = sum(1 for line in csv.DictReader(file) if line["status"])
        os.replace(joined, target)
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return len(paths), unread


def join(parts: Path, probabilities: bool) -> Path:
    """The table of all parts."""
    names = next((path.read_text(encoding="utf-8").split("\n") for path in sorted(parts.glob("*.classes"))), [])
    joined = parts / "joined"
    with joined.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow([*COLUMNS, *(names if probabilities else [])])
        for part in sorted(parts.glob("*.csv")):
            with part.open(newline="", encoding="utf-8") as reader:
                shutil.copyfileobj(reader, file)
    return joined


@contextmanager
def watched(parts: str, total: int, advance: Callable[[int, int], None]) -> Iterator[None]:
    """Tells how many images are done, by the parts there are: they may be written by other processes."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(SECONDS):
            advance(min(CHUNK * len(list(Path(parts).glob("*.csv"))), total), total)

    thread = threading.Thread(target=look, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
