"""Where the images are and how they are split."""

from typing import Annotated

from pydantic import Field, model_validator

from transform.config import settings


@settings
class SplitBuckets:
    """Hash buckets per split: {train: 8, eval: 1, test: 1} gives about 80, 10 and 10 % of the images."""

    train: Annotated[int, Field(ge=1, le=1000)] = 8
    """Buckets of the images that train the model."""
    eval: Annotated[int, Field(ge=1, le=1000)] = 1
    """Buckets of the images that steer training and tuning."""
    test: Annotated[int, Field(ge=0, le=1000)] = 1
    """Buckets of the images held out for the final evaluation; 0 only with `test_path`."""


@settings
class DataConfig:
    """The images."""

    path: Annotated[str, Field(min_length=1)]
    """A folder with one sub-folder of images per class: a local path, or gs:// or s3://."""
    test_path: str | None = None
    """A second such folder, held out by the dataset's authors: it becomes the test split as it is."""
    splits: SplitBuckets = Field(default_factory=SplitBuckets)
    """The rest is split by a hash of the image's bytes, so a copy never lands in another split."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 4
    """Files per split that the examples are written to."""

    @model_validator(mode="after")
    def _test_split_has_one_source(self) -> "DataConfig":
        if self.test_path is None and self.splits.test == 0:
            raise ValueError(
                "splits.test is 0 and there is no test_path, so nothing would be held out; give one of them"
            )
        if self.test_path is not None and self.splits.test != 0:
            raise ValueError("test_path is the test split, so splits.test must be 0")
        return self

    @property
    def buckets(self) -> dict[str, int]:
        """Buckets by split, without empty splits."""
        buckets = {"train": self.splits.train, "eval": self.splits.eval, "test": self.splits.test}
        return {split: count for split, count in buckets.items() if count}
