"""The settings of transfer learning and of the first weights."""

import dataclasses
import hashlib
import os
from typing import Annotated, Literal

from pydantic import Field, model_validator

from transform.config import settings


@settings
class TransferConfig:
    """Weights to begin with (handbook, part 11, "Transfer Learning")."""

    weights: str | None = None
    """imagenet, which downloads what Keras publishes for a network of tf.keras.applications, or an .h5 file that holds
    the network's layers, such as backbone.h5 of an earlier run. Null begins with random weights."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the file, which is refused when it has another."""
    mode: Literal["frozen", "gradual", "full"] = "frozen"
    """frozen trains the head alone, for similar images; gradual then unfreezes the convolution groups from the top
    down, for distinct ones; full trains everything from the first step."""
    head_epochs: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Epochs of the head alone in gradual."""
    group_epochs: Annotated[int, Field(ge=1, le=10_000)] = 2
    """Epochs after each group that is unfrozen; those that remain at the end are the stem's."""
    fine_tuning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What the learning rate is multiplied by once more than the head is trained in gradual."""
    twin_epochs: Annotated[int, Field(ge=0, le=100)] = 0
    """Epochs that a twin is trained from scratch to notice negative transfer; 0 trains none. Five to ten will do."""
    pretraining_epochs: Annotated[int, Field(ge=0, le=1000)] = 0
    """Epochs of one-shot weight initialization: under heavy dropout, after which the weights are kept and the training
    begins ("Domain Transfer Weight Initialization"); 0 leaves it out."""
    pretraining_dropout: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """That dropout."""
    initializations: Annotated[int, Field(ge=1, le=32)] = 1
    """Random first weights that are tried side by side; after each epoch the worse half of them is stopped."""

    @model_validator(mode="after")
    def _a_sum_needs_a_file(self) -> "TransferConfig":
        if self.sha256 and self.weights in (None, "imagenet"):
            raise ValueError("sha256 is that of a file; set weights to the file")
        if self.weights and self.initializations > 1:
            raise ValueError("initializations are of random weights; set weights to null or initializations to 1")
        if self.twin_epochs and not self.weights:
            raise ValueError("twin_epochs compares given weights with random ones; set weights")
        return self

    def pinned(self) -> "TransferConfig":
        """With the SHA-256 of the file that is there now, so that a training with another file is another training.

        Unchanged where it is given, or the file is none of this machine.
        """
        if self.sha256 or self.weights in (None, "imagenet") or not os.path.isfile(self.weights):
            return self
        with open(self.weights, "rb") as file:
            return dataclasses.replace(self, sha256=hashlib.file_digest(file, "sha256").hexdigest())
