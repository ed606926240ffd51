"""What docs/kubeflow.md and kfp/ tell people to use is well-formed."""

import json
import re
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from pipeline.config import build_config
from pipeline.kubeflow.check import check

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "docs/kubeflow.md").read_text(encoding="utf-8")
MODELS = {
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "ConfigMap": "V1ConfigMap",
    "Deployment": "V1Deployment",
    "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
    "Service": "V1Service",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
    "NetworkPolicy": "V1NetworkPolicy",
}


def manifests() -> list[dict]:
    files = sorted([*(PROJECT / "kfp/cluster").glob("*.yaml"), *(PROJECT / "kfp/serving").glob("*.yaml")])
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize(
    "manifest", manifests(), ids=lambda manifest: f"{manifest['kind']} {manifest['metadata']['name']}"
)
def test_manifests_are_of_the_kubernetes_api(manifest):
    """Read by the API's own classes and written again, nothing is lost: no key is unknown or of the wrong type."""

    class Response:
        data = json.dumps(manifest)

    api = client.ApiClient()
    assert api.sanitize_for_serialization(api.deserialize(Response, MODELS[manifest["kind"]])) == manifest


def test_the_guide_s_configuration_is_accepted_and_fits_the_manifests():
    [block] = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    config = build_config({"name": "digits", **yaml.safe_load(block)}, "the guide")
    check(config, "kubeflow")
    claims = {one["metadata"]["name"] for one in manifests() if one["kind"] == "PersistentVolumeClaim"}
    assert {volume.claim for volume in config.kubeflow.volumes} == claims
    [served] = [one["data"] for one in manifests() if one["kind"] == "ConfigMap"]
    assert f'base_path: "{config.pusher.destination}"' in served["models.config"]


def test_the_guide_names_files_that_are_there():
    for name in re.findall(r"(?<!ml)(?:kfp|configs|tests|pipeline)/[\w/.-]+\w", GUIDE):
        assert (PROJECT / name).exists(), name


def test_image_s_packages_are_those_that_are_tested():
    """The image's locks are made from the developers' lock: `sh kfp/lock.sh` after it changed."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[^ ]+)", (PROJECT / name).read_text(), re.MULTILINE))

    image = pins("kfp/requirements.lock")
    assert image <= pins("requirements.lock")
    assert image <= pins("kfp/requirements-gpu.lock")
    assert not [pin for pin in image if pin.startswith(("pytest", "ruff", "mypy"))]
