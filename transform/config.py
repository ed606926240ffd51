"""The settings of the transform, and what all settings classes have in common."""

import ast
import dataclasses
import functools
import inspect
import textwrap
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

import pydantic
from pydantic import AfterValidator, Field, TypeAdapter

from transform import features
from transform.steps import Plan, read_steps

Normalization = Literal["auto", "rescale", "rescale_signed", "standardize", "standardize_image", "none"]
Settings = TypeVar("Settings")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, dataclasses.field))
def settings(cls: type[Settings]) -> type[Settings]:
    """Makes a class of settings: a frozen dataclass, every value checked when it is built.

    A string under a field is its description, which `tfx-vision config show` prints.
    """
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    checked: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)(cls)
    return checked


@functools.cache
def descriptions(cls: Any) -> dict[str, str]:
    """The strings under the fields of a class of settings, each on one line; they are inherited with the fields.

    Read from the source when asked for: few processes ask, and pydantic, which can do it, would take a quarter of a
    second once TensorFlow is imported.
    """
    found = {}
    for base in reversed(cls.__mro__[:-1]):
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def to_json(value: Any) -> Any:
    """Settings as JSON values (dict, list, str, int, float, bool, None), e.g. for a component's `custom_config`."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def from_json(cls: type[Settings], value: Any) -> Settings:
    """The inverse of `to_json`.

    Raises:
      pydantic.ValidationError: a value is out of its range or a key is unknown.
    """
    return TypeAdapter(cls).validate_python(value)


def _readable(steps: list[str]) -> list[str]:
    read_steps(steps)
    return steps


@settings
class TransformConfig:
    """How an encoded image becomes the model's input."""

    height: Annotated[int, Field(ge=1, le=4096)] = 224
    """Rows of the model's input, in pixels."""
    width: Annotated[int, Field(ge=1, le=4096)] = 224
    """Columns of the model's input, in pixels."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for RGB."""
    steps: Annotated[list[str], AfterValidator(_readable)] = Field(
        default_factory=lambda: ["orient", "flatten", "resize", "pad"]
    )
    """In order: orient (by EXIF), flatten(COLOUR) what is transparent, crop to the aspect ratio or crop(SHARE),
    resize(auto|area|bicubic|bilinear), pad(COLOUR|edge|reflect); each optional but resize, arguments too."""
    normalization: Normalization = "auto"
    """What the network's published weights expect, [0, 1] where there are none (auto); [0, 1]; [-1, 1]; zero mean and
    unit deviation per channel over the training split, or over each image; or 0 … 255 as it is."""
    max_bytes: Annotated[int, Field(ge=1, lt=2**31)] = 32 * 2**20
    """Larger files are refused."""
    max_pixels: Annotated[int, Field(ge=1, lt=2**31)] = 64_000_000
    """Images whose header says that they are larger are refused before they are decoded."""
    materialize: Literal["pixels", "encoded"] = "pixels"
    """What Transform writes for training: pixels of the target's size, or the files as they are, which are decoded each
    time they are needed and take less room where they are smaller than their pixels."""
    on_bad_image: Literal["mark", "fail"] = "mark"
    """What a served model does with an image that is refused or damaged: say so in its status and answer the others,
    or fail the request. In training a bad image always stops Transform, which names it."""

    @property
    def plan(self) -> Plan:
        """The steps, read."""
        return read_steps(self.steps)

    @property
    def materialized(self) -> str:
        """The feature of the transformed examples that has the image."""
        return features.IMAGE if self.materialize == "encoded" else features.PIXELS
