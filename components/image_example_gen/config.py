"""Where the images are, which are usable and how they are split."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from transform.config import settings

SPAN = re.compile(r"\{(SPAN|YYYY|MM|DD)(:\d+)?\}")
"""What stands for a span in a path."""


@settings
class SplitConfig:
    """How the images are split. Buckets {train: 8, eval: 1, test: 1} give about 80, 10 and 10 % of the images."""

    mode: Literal["buckets", "auto", "stratified", "predefined"] = "buckets"
    """buckets: by a hash, so that new data moves nothing. auto: buckets by the number of images (20 % held out below
    1,000, 10 % below 10,000, else 5 %). stratified: exact in every class, for small sets. predefined: as the listing's
    split column or the folders train, eval and test say; what they call train, or leave open, goes by buckets."""
    train: Annotated[int, Field(ge=1, le=1000)] = 8
    """Buckets of the images that train the model."""
    eval: Annotated[int, Field(ge=0, le=1000)] = 1
    """Buckets of the images that steer training and tuning; 0 only with predefined splits."""
    test: Annotated[int, Field(ge=0, le=1000)] = 1
    """Buckets of the images held out for the final evaluation; 0 only with `test_path` or predefined splits."""

    @model_validator(mode="after")
    def _eval_has_images(self) -> "SplitConfig":
        if self.eval == 0 and self.mode != "predefined":
            raise ValueError("eval is 0, so nothing would steer training; give it buckets, or use mode: predefined")
        return self


@settings
class ColumnConfig:
    """Columns of a CSV or JSON listing; names, or positions from 0 where the file has no header."""

    path: str = ""
    """The image's path or URL, relative to the listing; empty recognises path, file, filename, image and the like."""
    label: str = ""
    """The class; empty recognises label, class, category and target."""
    split: str = ""
    """train, eval or test, for predefined splits; empty recognises split."""
    group: str = ""
    """What must stay in one split together, such as a patient; empty is no grouping."""


@settings
class RecordConfig:
    """Features of the tf.Examples in TFRecord files."""

    image: str = "image"
    """The encoded image, bytes."""
    label: str = "label"
    """The class: a name, or a position in `data.class_names`."""
    path: str = "path"
    """Where the image came from, bytes; the record's own place where it is missing."""
    split: str = "split"
    """train, eval or test, for predefined splits."""
    group: str = ""
    """What must stay in one split together; empty is no grouping."""


@settings
class LimitConfig:
    """What an image may cost; checked on its header, before anything is decoded."""

    file_bytes: Annotated[int, Field(ge=1, le=2**31 - 1)] = 32 * 2**20
    """Size of the encoded file."""
    pixels: Annotated[int, Field(ge=1, le=178_000_000)] = 64_000_000
    """Width times height."""
    quarantine: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the images that may be unusable; beyond it the run stops."""


@settings
class DuplicateConfig:
    """Copies and near copies."""

    near: Annotated[int, Field(ge=0, le=50_000)] = 10_000
    """Images, a deterministic sample where there are more, that are compared by a perceptual hash; 0 compares none."""
    distance: Annotated[int, Field(ge=0, le=64)] = 10
    """Bits of 256 in which the perceptual hashes of near duplicates may differ."""
    together: bool = False
    """Keep near duplicates in one split, that of the one whose content hash is lowest."""
    conflicts: Literal["keep", "drop", "refuse"] = "keep"
    """What becomes of identical images with different labels."""


@settings
class DataConfig:
    """The images."""

    path: Annotated[str, Field(min_length=1)]
    """A folder with one sub-folder of images per class, a CSV or JSON listing, a zip or tar archive of class folders,
    TFRecord or IDX files; local, gs:// or s3://. {SPAN}, {VERSION}, {YYYY}, {MM} and {DD} find the newest span."""
    span: Annotated[int, Field(ge=-1)] = -1
    """The span to read: its number, or days since 1970 where it is a date; -1 is the newest."""
    num_spans: Annotated[int, Field(ge=1, le=1000)] = 1
    """Spans to train and judge on: the one just read and those before it, as earlier runs read them and the gate let
    them pass. On this machine only."""
    test_path: str | None = None
    """A second such place, held out by the dataset's authors: it becomes the test split as it is."""
    source: Literal["auto", "folders", "listing", "archive", "tfrecords", "idx"] = "auto"
    """What `path` is; auto recognises it by its name and content."""
    columns: ColumnConfig = Field(default_factory=ColumnConfig)
    """Columns of a listing."""
    records: RecordConfig = Field(default_factory=RecordConfig)
    """Features of TFRecords."""
    class_names: list[str] = Field(default_factory=list)
    """Names of the classes that IDX files and TFRecords number from 0; empty keeps the numbers."""
    group: str = ""
    """A regular expression over the path below the root, such as "(patient\\d+)_": images for which it finds the same
    text, of its first group if it has one, stay in one split."""
    splits: SplitConfig = Field(default_factory=SplitConfig)
    """By a hash of the image's bytes or its group, so a copy never lands in another split."""
    limits: LimitConfig = Field(default_factory=LimitConfig)
    """What is left out, and when that is too much."""
    duplicates: DuplicateConfig = Field(default_factory=DuplicateConfig)
    """Copies across splits and contradicting labels."""
    pixel_sample: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """Images, about, whose brightness, contrast and sharpness are measured; the same ones every time."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 4
    """Files per split that the examples are written to."""

    @model_validator(mode="after")
    def _test_split_has_one_source(self) -> "DataConfig":
        if self.test_path is None and self.splits.test == 0 and self.splits.mode != "predefined":
            raise ValueError(
                "splits.test is 0 and there is no test_path, so nothing would be held out; give one of them"
            )
        if self.test_path is not None and self.splits.test != 0:
            raise ValueError("test_path is the test split, so splits.test must be 0")
        if self.test_path is not None and self.splits.mode == "predefined":
            raise ValueError("test_path is the test split, so splits.mode cannot be predefined")
        return self

    @model_validator(mode="after")
    def _spans_of_a_window_are_split_alike(self) -> "DataConfig":
        if self.num_spans == 1:
            return self
        if not SPAN.search(self.path):
            raise ValueError(
                f"num_spans is {self.num_spans}, but path {self.path} has no spans; put {{SPAN}} or a date into it"
            )
        moving = f"splits.mode {self.splits.mode}" if self.splits.mode in ("auto", "stratified") else ""
        if moving or self.duplicates.together:
            raise ValueError(
                f"num_spans is {self.num_spans}, and {moving or 'duplicates.together'} may put a picture into train in "
                "one span and into test in another; take splits.mode buckets without duplicates.together"
            )
        return self

    @model_validator(mode="after")
    def _group_is_a_pattern(self) -> "DataConfig":
        try:
            re.compile(self.group)
        except re.error as error:
            raise ValueError(f"group {self.group!r} is not a regular expression: {error}") from error
        return self
