"""The Trainer step hands over to a TFJob at a real API server of Kubernetes, as the account that kfp/cluster prepares.

The operator and the kubelet are stand-ins (training_operator); the API server, its authorization, the TFJob's
definition, the step and its workers are real.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import control_plane
import pytest
import training_operator
import yaml
from conformance import NAMESPACE
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes_api import kubeconfig
from test_training_job import PATIENCE_SECONDS, TASK, custom_resource, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ACCOUNT = "pipeline-runner"
MANIFESTS = Path(__file__).parents[2] / "kfp/cluster/training.yaml"


@pytest.fixture(scope="module")
def administrator() -> Iterator[client.ApiClient]:
    """The cluster with the account of the runs, which may do nothing yet."""
    with control_plane.running() as api:
        core = client.CoreV1Api(api)
        core.create_namespace({"metadata": {"name": NAMESPACE}})
        for account in ("default", ACCOUNT):
            core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": account}})
        yield api


@pytest.fixture(scope="module")
def account(administrator, tmp_path_factory) -> Path:
    """A kubeconfig with a token of the account, as Kubernetes mounts one into the step's pod."""
    core = client.CoreV1Api(administrator)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
    token = core.create_namespaced_service_account_token(ACCOUNT, NAMESPACE, request).status.token
    return written(administrator, tmp_path_factory.mktemp("account"), token)


def written(administrator: client.ApiClient, folder: Path, token: str) -> Path:
    address = administrator.configuration
    return kubeconfig(folder / "kubeconfig", address.host, address.ssl_ca_cert, token)


@pytest.fixture(scope="module")
def said_before(administrator, account, tmp_path_factory) -> list[str]:
    """What the step says before the account has its role, and before the cluster knows a TFJob; both are so after."""
    dynamic, said = DynamicClient(administrator), []
    said.append(last_line(account, tmp_path_factory.mktemp("forbidden")))
    for manifest in yaml.safe_load_all(MANIFESTS.read_text()):
        dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"]).create(manifest)
    core = client.AuthorizationV1Api(administrator)
    eventually(lambda: may(core, "create", "tfjobs"))
    said.append(last_line(account, tmp_path_factory.mktemp("unknown")))
    definition = custom_resource(tmp_path_factory.mktemp("definition"))
    client.ApiextensionsV1Api(administrator).create_custom_resource_definition(definition)
    eventually(lambda: jobs(administrator) == [])
    return said


def last_line(account: Path, folder: Path) -> str:
    output, _ = start(folder, folder / "shared", account, "train").communicate(timeout=PATIENCE_SECONDS)
    return output.splitlines()[-1]


def may(core: client.AuthorizationV1Api, verb: str, resource: str) -> bool:
    """Whether the account has a right."""
    attributes = {"namespace": NAMESPACE, "verb": verb, "resource": resource, "group": "kubeflow.org"}
    user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    review = {"spec": {"user": user, "resourceAttributes": attributes}}
    return core.create_subject_access_review(review).status.allowed


def eventually(condition: Callable[[], bool]) -> None:
    """A moment passes until an authorizer hears of a role, and a server of a definition."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert condition()


def jobs(administrator: client.ApiClient) -> list[dict[str, Any]] | None:
    """The TFJobs, or None where the kind is not known."""
    try:
        return client.CustomObjectsApi(administrator).list_namespaced_custom_object(*training_operator.JOBS)["items"]
    except ApiException:
        return None


@pytest.fixture
def operator(administrator, said_before, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    folder = tmp_path / "operator"
    folder.mkdir()
    with training_operator.operating(written(administrator, folder, control_plane.TOKEN), folder) as operator:
        yield operator


def test_step_says_what_the_cluster_lacks(said_before):
    forbidden, unknown = said_before
    assert forbidden.startswith(
        f"training: the step's service account may not create a TFJob in {NAMESPACE}; apply kfp/cluster/training.yaml "
        f'(tfjobs.kubeflow.org is forbidden: User "system:serviceaccount:{NAMESPACE}:{ACCOUNT}" cannot create'
    )
    assert unknown == (
        "training: the cluster knows no TFJob; install Kubeflow's training operator, "
        "or set kubeflow.steps.trainer.workers to 1"
    )


def test_job_is_created_watched_and_deleted_with_the_account_s_rights(administrator, account, operator, tmp_path):
    output, _ = (step := start(tmp_path, tmp_path / "shared", account, "train")).communicate(timeout=PATIENCE_SECONDS)
    assert step.returncode == 0, output
    assert "cannot" not in output and "forbidden" not in output
    assert (tmp_path / TASK.replace("s3://", "s3/") / "model/model.txt").read_text() == "a schema trained"
    assert len(operator.started) == 2
    eventually(lambda: jobs(administrator) == [])
    rights = client.AuthorizationV1Api(administrator)
    assert not any(may(rights, verb, "tfjobs") for verb in ("list", "watch", "update", "patch", "deletecollection"))


def test_worker_that_fails_is_named_by_what_the_server_knows_of_its_pod(administrator, account, operator, tmp_path):
    output, _ = start(tmp_path, tmp_path / "shared", account, "fail 1").communicate(timeout=PATIENCE_SECONDS)
    assert output.splitlines()[-1] == (
        "training: worker 1 (trainer-run-1-worker-1) ended with exit code 1: "
        "ValueError: 64 images cannot be shared equally by 3 replicas"
    )
    eventually(lambda: jobs(administrator) == [])


def test_sigterm_deletes_the_job_before_the_step_ends(administrator, account, operator, tmp_path):
    step = start(tmp_path, tmp_path / "shared", account, "wait")
    until(lambda: len(list((tmp_path / "shared").rglob("checkpoint *"))) == 2, step)
    step.send_signal(signal.SIGTERM)
    assert step.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    eventually(lambda: jobs(administrator) == [])
