"""A real API server takes every manifest that we write, under the Pod Security Standard `restricted`."""

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import control_plane
import pytest
import yaml
from click.testing import CliRunner
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from pipeline.console import main
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.tfjob import tfjob

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
DEFINITIONS = {
    "github.com/kserve/kserve@v0.15.2": "config/crd/full/serving.kserve.io_inferenceservices.yaml",
    "github.com/kubeflow/training-operator@v1.9.3": "manifests/base/crds/kubeflow.org_tfjobs.yaml",
}
"""Where the kinds of KServe and of the training operator are defined, by Go module."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[DynamicClient]:
    with control_plane.running() as api:
        yield DynamicClient(api)


@pytest.fixture
def namespace(cluster: DynamicClient, request: pytest.FixtureRequest) -> str:
    """A namespace for restricted pods only, with the accounts that a controller and an administrator would create."""
    return create_namespace(cluster, "n" + str(abs(hash(request.node.name))))


def create_namespace(cluster: DynamicClient, name: str) -> str:
    metadata = {"name": name, "labels": RESTRICTED}
    create(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for account in ("default", "pipeline-runner", "reader"):
        metadata = {"name": account, "namespace": name}
        create(cluster, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    return name


def create(cluster: DynamicClient, manifest: dict[str, Any]) -> dict[str, Any]:
    """Creates an object."""
    return send(cluster, "POST", manifest, "")


def apply(cluster: DynamicClient, manifest: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
    """`kubectl apply --server-side`."""
    return send(cluster, "PATCH", manifest, manifest["metadata"]["name"], dry_run=dry_run)


def send(
    cluster: DynamicClient, method: str, manifest: dict[str, Any], name: str, *, dry_run: bool = False
) -> dict[str, Any]:
    resource = cluster.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
    path = resource.path(name=name or None, namespace=manifest["metadata"].get("namespace"))
    kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    query = [("fieldValidation", "Strict"), ("fieldManager", "test")] + [("dryRun", "All")] * dry_run
    headers = {"Content-Type": kind, "Accept": "application/json"}
    return cluster.client.call_api(
        path,
        method,
        query_params=query,
        header_params=headers,
        body=manifest,
        auth_settings=["BearerToken"],
        response_type="object",
    )[0]


def committed(folder: str) -> list[dict[str, Any]]:
    files = sorted((PROJECT / folder).glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def written(folder: Path, name: str, *arguments: str) -> list[dict[str, Any]]:
    """What `tfx-vision serving manifests` writes for digits in a namespace, without KServe's."""
    command = ["serving", "manifests", str(PROJECT / "configs/digits.yaml"), "-o", str(folder), *arguments]
    result = CliRunner().invoke(main, [*command, "--set", f"kubeflow.namespace={name}"])
    assert result.exit_code == 0, result.output
    return [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.yaml"))]


def pods(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A pod as the controller of each Deployment, StatefulSet, CronJob and TFJob creates it: policies judge pods."""
    found = []
    for manifest in manifests:
        spec = manifest.get("spec", {})
        claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        spec = spec.get("tfReplicaSpecs", {}).get("Worker", spec)
        if template := copy.deepcopy(spec.get("template")):
            metadata = template.get("metadata", {}) | {k: manifest["metadata"][k] for k in ("name", "namespace")}
            for claim in claims:
                volume = {"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{metadata['name']}-0"}}
                template["spec"].setdefault("volumes", []).append(volume)
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    return found


def take(cluster: DynamicClient, manifests: list[dict[str, Any]]) -> None:
    """Tries, creates and applies again, which changes nothing, and gives each pod to the policy.

    Raises:
      AssertionError: the server refuses one, or changes what an object says.
    """
    for manifest in manifests:
        apply(cluster, manifest, dry_run=True)
        stored = apply(cluster, manifest)
        assert_kept(manifest, stored, manifest["kind"])
        assert apply(cluster, manifest).get("spec") == stored.get("spec")
    for pod in pods(manifests):
        create(cluster, pod)


def assert_kept(sent: Any, stored: Any, where: str) -> None:
    """Nothing that was sent was dropped or replaced by a default."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            assert key in stored, f"{where}.{key} was dropped"
            assert_kept(value, stored[key], f"{where}.{key}")
    elif isinstance(sent, list):
        assert len(sent) == len(stored), where
        for index, (one, other) in enumerate(zip(sent, stored, strict=True)):
            assert_kept(one, other, f"{where}[{index}]")
    else:
        assert sent == stored, f"{where} is {stored!r} instead of {sent!r}"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--label", "stable=5", "--label", "canary=6"],
        ["--set", "pusher.destination=gs://bucket/digits"],
        ["--set", "serving.cluster.accelerators=1", "--set", "serving.cluster.service_account=reader"],
    ],
    ids=["a volume", "labels", "gs", "a GPU"],
)
def test_serving_is_taken(cluster: DynamicClient, namespace: str, tmp_path: Path, arguments: list[str]) -> None:
    take(cluster, written(tmp_path, namespace, *arguments))


def test_committed_manifests_are_taken_together(cluster: DynamicClient) -> None:
    create_namespace(cluster, "kubeflow")
    take(cluster, committed("kfp/cluster") + committed("kfp/serving"))


def test_pods_that_are_not_restricted_or_misspelt_are_refused(
    cluster: DynamicClient, namespace: str, tmp_path: Path
) -> None:
    """Both rules are in force: without them the tests above would prove nothing about them."""
    [pod] = pods(written(tmp_path, namespace))
    weakened, misspelt = copy.deepcopy(pod), copy.deepcopy(pod)
    del weakened["spec"]["securityContext"]
    with pytest.raises(ApiException, match="violates PodSecurity"):
        create(cluster, weakened)
    misspelt["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(ApiException, match="unknown field"):
        create(cluster, misspelt)


def test_steps_may_train_with_several_pods_and_nothing_else(cluster: DynamicClient, namespace: str) -> None:
    for manifest in yaml.safe_load_all((PROJECT / "kfp/cluster/training.yaml").read_text()):
        manifest["metadata"]["namespace"] = namespace
        for subject in manifest.get("subjects", []):
            subject["namespace"] = namespace
        create(cluster, manifest)
    granted = [("create", "tfjobs"), ("get", "tfjobs"), ("delete", "tfjobs"), ("list", "pods"), ("get", "pods/log")]
    denied = [("list", "tfjobs"), ("create", "pods"), ("get", "secrets"), ("delete", "pods"), ("create", "pods/exec")]
    deadline = time.monotonic() + 30  # the authorizer hears of a new role a moment later
    while not may(cluster, namespace, *granted[0]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [may(cluster, namespace, *one) for one in granted] == [True] * len(granted)
    assert [may(cluster, namespace, *one) for one in denied] == [False] * len(denied)


def may(cluster: DynamicClient, namespace: str, verb: str, resource: str) -> bool:
    """Whether the account of the runs has a right."""
    name, _, part = resource.partition("/")
    attributes = client.V1ResourceAttributes(
        namespace=namespace,
        verb=verb,
        resource=name,
        subresource=part or None,
        group="kubeflow.org" if name == "tfjobs" else "",
    )
    review = client.V1SubjectAccessReview(
        spec=client.V1SubjectAccessReviewSpec(
            user=f"system:serviceaccount:{namespace}:pipeline-runner", resource_attributes=attributes
        )
    )
    return client.AuthorizationV1Api(cluster.client).create_subject_access_review(review).status.allowed


def define(cluster: DynamicClient, folder: Path, module: str) -> None:
    """Adds a kind to the cluster, and waits until it is known."""
    file = control_plane.go_module(folder, module) / DEFINITIONS[module]
    definition = yaml.safe_load(file.read_text())
    create(cluster, definition)
    name, deadline = definition["metadata"]["name"], time.monotonic() + 60
    api = client.ApiextensionsV1Api(cluster.client)
    while time.monotonic() < deadline:
        conditions = api.read_custom_resource_definition(name).status.conditions or []
        if any(one.type == "Established" and one.status == "True" for one in conditions):
            cluster.resources.invalidate_cache()
            return
        time.sleep(0.2)
    raise AssertionError(f"{name} is not established")


def test_inference_service_is_taken(cluster: DynamicClient, namespace: str, tmp_path: Path) -> None:
    define(cluster, tmp_path, "github.com/kserve/kserve@v0.15.2")
    folder = tmp_path / "manifests"
    for destination in ("gs://bucket/digits", "s3://bucket/digits", "/mnt/models/digits"):
        written(folder, namespace, "--set", f"pusher.destination={destination}")
        service = yaml.safe_load((folder / "kserve/inference-service.yaml").read_text())
        assert_kept(service, apply(cluster, service), "InferenceService")
    service["spec"]["predictor"]["model"]["storageUrl"] = "gs://x"
    with pytest.raises(ApiException, match=r"storageUrl"):
        apply(cluster, service)


def test_training_job_and_its_workers_are_taken(cluster: DynamicClient, namespace: str, tmp_path: Path) -> None:
    define(cluster, tmp_path, "github.com/kubeflow/training-operator@v1.9.3")
    resources = {"workers": 2, "accelerators": 1}
    config = KubeflowConfig(
        image="i", shared_volume={"claim": "shared", "path": "/mnt/shared"}, steps={"trainer": resources}
    )
    job = tfjob(config, "trainer")
    job["metadata"] |= {"name": "trainer-1", "namespace": namespace}
    job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["args"] = ["--x"]
    take(cluster, [job])
