"""The configuration of a pipeline: composes what the rooms own, reads YAML, explains mistakes."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import pydantic
import yaml
from pydantic import Field, model_validator

from components.data_gate.config import GateConfig
from components.evaluator.config import EvaluatorConfig
from components.image_example_gen.config import DataConfig
from components.infra_validator.config import InfraValidatorConfig
from components.pusher.config import PusherConfig
from pipeline.kubeflow.config import KubeflowConfig
from serving.config import ServingConfig
from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.config import TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.transfer_config import TransferConfig
from trainer_module.tuner_config import TunerConfig
from transform.config import Settings, TransformConfig, settings

LIMITS = {"file_bytes": "max_bytes", "pixels": "max_pixels"}
"""What `data.limits` says of an image, and the setting of `transform` that it follows where it says nothing."""
MOST = {"file_bytes": 2**31 - 1, "pixels": 178_000_000}
"""What `data.limits` can be at most."""


class ConfigError(Exception):
    """A configuration that cannot be used; the message is for the person who wrote it."""


@settings
class BeamConfig:
    """How Beam runs the data steps on this machine."""

    runner: Literal["in_memory", "multi_processing"] = "in_memory"
    """in_memory: the process of the step, which starts at once; ImageExampleGen uses more cores all the same from 5,000
    images on. The choice for most data. multi_processing: processes of Beam's, each with 20 to 40 s of imports in every
    step; it pays from tens of thousands of photos. On several machines: kubeflow.flink. Beam's other runners, such as
    DaskRunner, are refused: what they write was never compared with what these write."""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes of multi_processing; 0 is one per core."""

    @property
    def arguments(self) -> list[str]:
        """Beam's in-process runner by name: left to choose, it may try to download another one first.

        Its workers share this environment. Without any image named, TFX packs its own sources for workers elsewhere, in
        each step anew, and leaves them in the temporary folder.
        """
        return [
            "--runner=FnApiRunner",
            f"--direct_running_mode={self.runner}",
            f"--direct_num_workers={self.workers if self.runner == 'multi_processing' else 1}",
            "--sdk_container_image=unused",
        ]


@settings
class PipelineConfig:
    """One pipeline."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """Names the pipeline, its model and its folder."""
    root: str = "runs"
    """Everything the pipeline writes is in ROOT/NAME."""
    data: DataConfig
    """The images and their splits."""
    gate: GateConfig = Field(default_factory=GateConfig)
    """What stops a run before it trains."""
    transform: TransformConfig = Field(default_factory=TransformConfig)
    """From encoded image to model input."""
    model: ModelConfig = Field(default_factory=ModelConfig)
    """The network."""
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    """Random changes of the training images."""
    transfer: TransferConfig = Field(default_factory=TransferConfig)
    """Weights to begin with."""
    tuner: TunerConfig = Field(default_factory=TunerConfig)
    """Hyperparameter search."""
    trainer: TrainerConfig = Field(default_factory=TrainerConfig)
    """Training."""
    evaluator: EvaluatorConfig = Field(default_factory=EvaluatorConfig)
    """What blesses a model."""
    infra_validator: InfraValidatorConfig = Field(default_factory=InfraValidatorConfig)
    """The trial in a server before the push."""
    pusher: PusherConfig = Field(default_factory=PusherConfig)
    """Where it goes."""
    serving: ServingConfig = Field(default_factory=ServingConfig)
    """What answers requests."""
    beam: BeamConfig = Field(default_factory=BeamConfig)
    """How Beam runs."""
    kubeflow: KubeflowConfig = Field(default_factory=KubeflowConfig)
    """The cluster, for `tfx-vision compile`."""

    @model_validator(mode="after")
    def _reuse_needs_the_search_off(self) -> "PipelineConfig":
        if self.tuner.enabled and self.tuner.reuse:
            raise ValueError("tuner.reuse is for a search that is off; set tuner.enabled to false")
        return self

    @model_validator(mode="after")
    def _transform_takes_what_is_ingested(self) -> "PipelineConfig":
        for name, limit in LIMITS.items():
            ingested, taken = getattr(self.data.limits, name), getattr(self.transform, limit)
            if ingested > taken:
                raise ValueError(
                    f"data.limits.{name} is {ingested:,}, but transform.{limit} refuses what is over {taken:,}; "
                    f"leave data.limits.{name} out, and it follows"
                )
        return self

    @property
    def folder(self) -> Path:
        """Absolute folder of everything this pipeline writes."""
        return Path(self.root).absolute() / self.name

    @property
    def destination(self) -> str:
        """Folder that blessed models are pushed to."""
        return self.pusher.destination or str(self.folder / "serving")


@settings
class InferenceConfig:
    """One batch inference, for `tfx-vision infer`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """Names the pipeline and its folder."""
    root: str = "runs"
    """Everything it writes is in ROOT/NAME."""
    images: Annotated[str, Field(min_length=1)]
    """The folder with the images, which need no labels; folders in it count."""
    destination: Annotated[str, Field(min_length=1)]
    """Where models are pushed to, such as runs/flowers/serving; the stable version answers."""
    beam: BeamConfig = Field(default_factory=BeamConfig)
    """How Beam runs."""
    kubeflow: KubeflowConfig = Field(default_factory=KubeflowConfig)
    """The cluster, for `tfx-vision compile`."""

    @property
    def folder(self) -> Path:
        """Absolute folder of everything this pipeline writes."""
        return Path(self.root).absolute() / self.name


AnyConfig: TypeAlias = PipelineConfig | InferenceConfig
"""What can be compiled."""


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> PipelineConfig:
    """Reads a YAML file and applies `key.path=value` overrides.

    Raises:
      ConfigError: the file or an override cannot be read, or a value is refused; says which and what is allowed.
    """
    return build_config(_read_document(path, overrides), str(path))


def load_inference_config(path: str | Path, overrides: Iterable[str] = ()) -> InferenceConfig:
    """The same for a batch inference."""
    return _build(InferenceConfig, _read_document(path, overrides), str(path))


def load_any_config(path: str | Path, overrides: Iterable[str] = ()) -> AnyConfig:
    """The same for either; a batch inference has `images` where a pipeline has `data`."""
    document = _read_document(path, overrides)
    return _build(InferenceConfig, document, str(path)) if "images" in document else build_config(document, str(path))


def _read_document(path: str | Path, overrides: Iterable[str]) -> dict[str, Any]:
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} should hold keys and values, such as `name: flowers`, but holds {document!r}")
    document = _without_empty(document)
    for override in overrides:
        _override(document, override)
    return document


def build_config(document: dict[str, Any], source: str) -> PipelineConfig:
    """A nested dict → a checked configuration; `source` names it in errors.

    Raises:
      ConfigError: lists every mistake, a line each.
    """
    return _build(PipelineConfig, _with_limits(document), source)


def _with_limits(document: dict[str, Any]) -> dict[str, Any]:
    """What is ingested is what the transform takes, unless it is limited by itself."""
    transform, data = document.get("transform"), document.get("data")
    limits = data.get("limits", {}) if isinstance(data, dict) else None
    if not isinstance(transform, dict) or not isinstance(limits, dict):
        return document
    taken = {name: transform[limit] for name, limit in LIMITS.items() if isinstance(transform.get(limit), int)}
    followed = {name: min(value, MOST[name]) for name, value in taken.items()}
    return document | {"data": {**data, "limits": followed | limits}} if followed else document  # type: ignore[dict-item]


def _build(cls: type[Settings], document: dict[str, Any], source: str) -> Settings:
    try:
        return pydantic.TypeAdapter(cls).validate_python(document)
    except pydantic.ValidationError as error:
        # A value that may be one of several things is mistaken as each; that it is not of a type says the least.
        ranked = sorted(error.errors(), key=lambda mistake: not mistake["type"].endswith("_type"))
        by_location = {tuple(_location(mistake)): mistake for mistake in ranked}
        mistakes = "\n".join(f"  {_explain(mistake, cls)}" for mistake in by_location.values())
        raise ConfigError(f"{source}:\n{mistakes}") from error


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    """Without keys that hold nothing, such as a section whose every line is commented out."""
    return {
        key: _without_empty(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }


def _override(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override}: write key.path=value, such as trainer.epochs=3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: {text!r} is not a YAML value") from error
    *parents, last = key.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
        if not isinstance(document, dict):
            raise ConfigError(f"--set {override}: {parent} holds a value, not keys")
    document[last] = value


ALTERNATIVE = re.compile(r"constrained-\w+|(list|function-\w+)\[.*\]")
"""What pydantic calls one of the things that a value may be."""


def _location(mistake: Any) -> list[str]:
    """The key path in the file."""
    return [str(part) for part in mistake["loc"] if not ALTERNATIVE.fullmatch(str(part))]


def _explain(mistake: Any, cls: type) -> str:
    """One sentence on one mistake: where, what stands there, what may stand there."""
    location = _location(mistake)
    where = ".".join(location) or "the configuration"
    value = mistake["input"]
    if mistake["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _keys(cls, location[:-1])
        nearest = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    if mistake["type"] in ("missing", "missing_argument"):
        return f"{where}: is required"
    reason = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "value_error":
        return f"{where}: {reason}"
    return f"{where}: {value!r} is refused: {reason[0].lower()}{reason[1:]}"


def _keys(cls: Any, path: list[str]) -> list[str]:
    """Names of the settings at a key path, [] at an unknown one."""
    for part in path:
        types = {field.name: field.type for field in fields(cls)} if is_dataclass(cls) else {}
        found = types.get(part)
        cls = found if is_dataclass(found) else next((arg for arg in get_args(found) if is_dataclass(arg)), None)
    return [field.name for field in fields(cls)] if is_dataclass(cls) else []
