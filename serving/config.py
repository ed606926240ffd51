"""The settings of serving."""

from typing import Annotated

from pydantic import Field, model_validator

from transform.config import settings

Port = Annotated[int, Field(ge=0, le=65535)]
Cpu = Annotated[str, Field(pattern=r"^(\d+(\.\d+)?|\d+m)$")]
Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)?([KMGT]i|[kMGT])?$")]


@settings
class BatchingConfig:
    """Requests that are run together."""

    max_batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Pictures in a batch; 1 turns batching off."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Batches that run at once in the development server."""


@settings
class ClusterConfig:
    """TensorFlow Serving on Kubernetes, as `tfx-vision serving manifests` writes it."""

    image: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    """TensorFlow Serving's image; by default tensorflow/serving:2.19.1, with accelerators its -gpu variant."""
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 2
    """Servers at least; with two, one is there while the other's node is drained."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = 6
    """Servers at most."""
    cpu_target: Annotated[int, Field(ge=1, le=100)] = 70
    """Percent of the reserved cores in use above which servers are added."""
    cpu_request: Cpu = "1"
    """Cores that are reserved for a server, such as "2" or "500m"."""
    cpu_limit: Cpu = "2"
    """Cores at most; batching runs as many batches at once."""
    memory_request: Memory = "1Gi"
    """Memory that is reserved."""
    memory_limit: Memory = "2Gi"
    """Memory at most: every loaded version and the requests under way must fit."""
    accelerators: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of a server."""
    service_account: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")] | None = None
    """Kubernetes service account of the servers, for one that may read gs:// or s3://; by default the namespace's."""

    @model_validator(mode="after")
    def _some_replicas(self) -> "ClusterConfig":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}; "
                "lower one or raise the other"
            )
        return self


@settings
class ServingConfig:
    """What answers requests."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address the development server listens on: 127.0.0.1 for this machine only, 0.0.0.0 for every interface."""
    rest_port: Port = 8501
    """Port of the REST API; 0 takes a free one."""
    grpc_port: Port = 8500
    """Port of the gRPC API; 0 takes a free one."""
    model_name: Annotated[str, Field(pattern=r"^[^/:\s]+$")] | None = None
    """The model's name in URLs and requests; by default the pipeline's."""
    loaded_versions: Annotated[int, Field(ge=1, le=16)] = 1
    """How many of the highest versions are in memory, besides those that a label stands for."""
    batching: BatchingConfig = Field(default_factory=BatchingConfig)
    """Requests that are run together."""
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    """TensorFlow Serving on Kubernetes."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = 64 * 2**20
    """Largest request the development server takes, in bytes; base64 makes an image a third larger."""
    client_timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds a client has to send its request to the development server."""
    log_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the requests that the development server logs, with their answers, for `tfx-vision data skew`."""
    log_folder: Annotated[str, Field(min_length=1)] | None = None
    """Where to: TFRecords of PredictionLog; needed where log_share is not 0."""

    @model_validator(mode="after")
    def _a_log_has_a_place(self) -> "ServingConfig":
        if self.log_share and not self.log_folder:
            raise ValueError("serving.log_share needs serving.log_folder; give a folder, such as runs/NAME/requests")
        return self
