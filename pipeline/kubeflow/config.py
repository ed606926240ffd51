"""The settings of a cluster."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from transform.config import settings

Cpu = Annotated[str, Field(pattern=r"^(\d+(\.\d+)?|\d+m)$")]
"""Cores as a Kubernetes quantity: "2", "0.5" or "500m"."""
Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)?([KMGT]i|[kMGT])?$")]
"""Bytes as a Kubernetes quantity: "4Gi" or "500M"."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""A name of a Kubernetes object."""
AbsolutePath = Annotated[str, Field(pattern=r"^/[^:]*$")]
"""A path in the step's container."""
StepName = Literal[
    "image_example_gen", "statistics_gen", "schema_gen", "example_validator", "data_gate", "transform", "tuner",
    "warm_start", "trainer", "champion", "evaluator", "infra_validator", "pusher", "report", "notify",
    "image_folder_gen", "bulk_inferrer",
]  # fmt: skip
BeamStep = Literal["image_example_gen", "statistics_gen", "transform", "evaluator", "image_folder_gen", "bulk_inferrer"]
"""The steps that run a Beam pipeline."""
SCALE = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | {
    f"{prefix}i": 1024**power for power, prefix in enumerate("KMGT", start=1)
}


def amount(quantity: str) -> float:
    """A Kubernetes quantity as a number, of cores or bytes."""
    digits = quantity.rstrip("".join(SCALE))
    return float(digits) * SCALE[quantity[len(digits) :]]


@settings
class StepConfig:
    """What one step gets. The defaults fit a step that only reads what others computed."""

    cpu_request: Cpu = "250m"
    """Cores that are reserved, such as "2" or "500m"."""
    cpu_limit: Cpu = "2"
    """Cores at most."""
    memory_request: Memory = "1Gi"
    """Memory that is reserved, such as "4Gi"."""
    memory_limit: Memory = "3Gi"
    """Memory at most; a step that needs more is killed."""
    accelerators: Annotated[int, Field(ge=0, le=64)] = 0
    """How many accelerators."""
    accelerator: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = "nvidia.com/gpu"
    """The resource that the cluster's device plugin offers them as."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes it may run on, besides those of all steps."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """How often a failed step is tried again."""

    @model_validator(mode="after")
    def _limits_cover_the_requests(self) -> "StepConfig":
        for what, request, limit in (
            ("cpu", self.cpu_request, self.cpu_limit),
            ("memory", self.memory_request, self.memory_limit),
        ):
            if amount(request) > amount(limit):
                raise ValueError(
                    f"{what}_request {request} is more than {what}_limit {limit}; lower one or raise the other"
                )
        return self


@settings
class CachedStep(StepConfig):
    """A step whose outputs depend on its inputs alone."""

    caching: bool = True
    """Take the outputs of an earlier run with the same inputs, settings and image."""


@settings
class IngestStep(StepConfig):
    """A step that reads the images."""

    cpu_request: Cpu = "1"
    """Cores that are reserved, such as "2" or "500m"."""
    memory_request: Memory = "2Gi"
    """Memory that is reserved, such as "4Gi"."""
    memory_limit: Memory = "4Gi"
    """Memory at most; a step that needs more is killed."""
    caching: bool = False
    """True only where the images under a path never change: Kubeflow does not look at them before it asks its cache.
    Without it every run reads them, and nothing after it is taken from the cache."""


@settings
class DataStep(CachedStep):
    """A step that reads every example."""

    cpu_request: Cpu = "1"
    """Cores that are reserved, such as "2" or "500m"."""
    memory_request: Memory = "2Gi"
    """Memory that is reserved, such as "4Gi"."""
    memory_limit: Memory = "4Gi"
    """Memory at most; a step that needs more is killed."""


@settings
class TrainingStep(CachedStep):
    """A step that trains."""

    cpu_request: Cpu = "2"
    """Cores that are reserved, such as "2" or "500m"."""
    cpu_limit: Cpu = "8"
    """Cores at most."""
    memory_request: Memory = "4Gi"
    """Memory that is reserved, such as "4Gi"."""
    memory_limit: Memory = "16Gi"
    """Memory at most; a step that needs more is killed."""


@settings
class TrainerStep(TrainingStep):
    """The step that trains the model to be served."""

    workers: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods that train it together, with these resources each, as a TFJob; more than 1 needs kubeflow.shared_volume. The
    step's own pod then only waits."""


@settings
class GateStep(CachedStep):
    """A step whose failure is its verdict, which another try would only repeat."""

    retries: Annotated[int, Field(ge=0, le=20)] = 0
    """How often a failed step is tried again."""


@settings
class NotifyStep(StepConfig):
    """The step that sends one message."""

    cpu_request: Cpu = "50m"
    """Cores that are reserved, such as "2" or "500m"."""
    memory_request: Memory = "128Mi"
    """Memory that is reserved, such as "4Gi"."""
    memory_limit: Memory = "512Mi"
    """Memory at most; a step that needs more is killed."""


@settings
class StepsConfig:
    """Every step of the pipeline."""

    image_example_gen: IngestStep = Field(default_factory=IngestStep)
    """Reads the images."""
    statistics_gen: DataStep = Field(default_factory=DataStep)
    """Computes statistics."""
    schema_gen: CachedStep = Field(default_factory=CachedStep)
    """Infers the schema."""
    example_validator: CachedStep = Field(default_factory=CachedStep)
    """Finds anomalies."""
    data_gate: GateStep = Field(default_factory=GateStep)
    """Stops at anomalies."""
    transform: DataStep = Field(default_factory=DataStep)
    """Decodes and resizes."""
    tuner: TrainingStep = Field(default_factory=TrainingStep)
    """Searches hyperparameters."""
    warm_start: StepConfig = Field(default_factory=StepConfig)
    """Copies the model being served for training to begin with, when trainer.warm_start says so."""
    trainer: TrainerStep = Field(default_factory=TrainerStep)
    """Trains."""
    champion: StepConfig = Field(default_factory=StepConfig)
    """Copies the model being served."""
    evaluator: DataStep = Field(default_factory=DataStep)
    """Evaluates and blesses."""
    infra_validator: DataStep = Field(default_factory=DataStep)
    """Serves the model and asks it."""
    pusher: StepConfig = Field(default_factory=StepConfig)
    """Publishes."""
    report: CachedStep = Field(default_factory=CachedStep)
    """Writes the report."""
    notify: NotifyStep = Field(default_factory=NotifyStep)
    """Tells the webhook, when there is one."""
    image_folder_gen: IngestStep = Field(default_factory=IngestStep)
    """Reads the images of a batch inference."""
    bulk_inferrer: DataStep = Field(default_factory=DataStep)
    """Asks the model about each of them."""


@settings
class BackoffConfig:
    """The pause before a failed step is tried again."""

    seconds: Annotated[int, Field(ge=0, le=86_400)] = 30
    """Before the first retry."""
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    """Each further pause is so many times as long."""
    limit_seconds: Annotated[int, Field(ge=0, le=2_592_000)] = 259_200
    """No retry when the first try began longer ago than this: more than the longest training takes."""


@settings
class Toleration:
    """A taint of nodes that the steps may run on all the same."""

    key: Annotated[str, Field(min_length=1)]
    """The taint's key, such as nvidia.com/gpu."""
    operator: Literal["Equal", "Exists"] = "Exists"
    """Exists tolerates every value of the key."""
    value: str = ""
    """The taint's value; Equal only."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """The taint's effect; empty is all of them."""


@settings
class Secret:
    """A Kubernetes secret for the steps."""

    name: Name
    """The secret."""
    env: dict[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], str] = Field(default_factory=dict)
    """Environment variables and the keys of the secret they get their values from."""
    path: AbsolutePath | None = None
    """Where the whole secret is mounted."""

    @model_validator(mode="after")
    def _used_somehow(self) -> "Secret":
        if not self.env and self.path is None:
            raise ValueError("give `env`, such as {AWS_ACCESS_KEY_ID: key-id}, or a `path` to mount it at")
        return self


@settings
class Volume:
    """A persistent volume claim for the steps."""

    claim: Name
    """The claim; it is there before the run."""
    path: AbsolutePath
    """Where it is mounted."""
    sub_path: Annotated[str, Field(pattern=r"^([^/].*)?$")] = ""
    """A folder of the volume; empty is all of it."""
    steps: list[StepName] = Field(default_factory=list)
    """Steps that get it, such as [image_example_gen]; empty is all of them."""


@settings
class SharedVolume:
    """A volume on which a step shares its artifacts with pods that work for it."""

    claim: Name
    """The claim, with the access mode ReadWriteMany; it is there before the run."""
    path: AbsolutePath = "/mnt/shared"
    """Where it is mounted, in every pod the same."""


@settings
class FlinkConfig:
    """A Flink cluster that runs the Beam pipelines of the data steps, such as that of kfp/cluster/flink.yaml."""

    job_server: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+:\d+$")] = "flink-job-server:8099"
    """Address of Beam's job server."""
    artifact_server: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+:\d+$")] = "flink-job-server:8098"
    """Address of the same server for staged files."""
    worker_pool: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+:\d+$")] = "localhost:50000"
    """Address of Beam's worker pool as each task manager sees it: a container beside it."""
    parallelism: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Parts that work is done in at once; at most the task slots that the cluster has."""
    steps: tuple[BeamStep, ...] = get_args(BeamStep)
    """Steps that run on it; the others run Beam in their own pod."""

    @property
    def arguments(self) -> list[str]:
        """Options of Beam's portable runner."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={self.job_server}",
            f"--artifact_endpoint={self.artifact_server}",
            "--environment_type=EXTERNAL",
            f"--environment_config={self.worker_pool}",
            f"--parallelism={self.parallelism}",
            "--sdk_container_image=unused",  # without any, TFX packs its own sources for the workers
        ]


@settings
class KubeflowConfig:
    """The cluster and what the pipeline gets there."""

    endpoint: Annotated[str, Field(pattern=r"^https?://\S+$")] = "http://localhost:8080"
    """Address of the Kubeflow Pipelines API."""
    namespace: Name = "kubeflow"
    """Namespace of the runs."""
    image: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    """The container image of every step; needed to compile. A digest (…@sha256:…) makes runs repeatable."""
    pipeline_root: Annotated[str, Field(pattern=r"^(s3|minio|gs)://\S+$")] | None = None
    """Where artifacts go: s3://, minio:// or gs://; by default the cluster's own setting."""
    service_account: Name | None = None
    """Kubernetes service account of the runs; by default the cluster's own setting."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes fetch the image."""
    image_pull_secrets: list[Name] = Field(default_factory=list)
    """Secrets with the registry's credentials."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes that steps may run on."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints of nodes that steps may run on all the same."""
    secrets: list[Secret] = Field(default_factory=list)
    """Secrets that every step gets."""
    volumes: list[Volume] = Field(default_factory=list)
    """Volumes, such as the one with the images and the one that TensorFlow Serving reads."""
    shared_volume: SharedVolume | None = None
    """The volume that several pods work on together, for steps.trainer.workers and for flink."""
    flink: FlinkConfig | None = None
    """The Flink cluster that the data steps use; without one, Beam runs in each step's own pod."""
    scratch: Memory = "20Gi"
    """Room for temporary files in /tmp, which each step has for itself."""
    webhook: Annotated[str, Field(pattern=r"^(https?://\S+|\$[A-Za-z_]\w*)$")] | None = None
    """Address that is told, as JSON, how each run ended; $NAME takes it from an environment variable of `secrets`."""
    backoff: BackoffConfig = Field(default_factory=BackoffConfig)
    """Pauses between the tries of a step."""
    steps: StepsConfig = Field(default_factory=StepsConfig)
    """Resources, retries and caching of each step."""
