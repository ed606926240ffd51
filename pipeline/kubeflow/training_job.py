"""Trains with several pods: the step creates a TFJob, passes on what the chief says, and waits for its end.

The job goes with the step: it is deleted when the step ends in whatever way, by SIGTERM too, and belongs to the step's
pod, so that Kubernetes deletes it with that one should the step itself no longer be able to.
"""

import copy
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from pipeline.kubeflow.environment import NAMESPACE, POD_NAME, POD_UID, RUN_ID
from pipeline.kubeflow.tfjob import CONTAINER, GROUP, PLURAL, VERSION

log = logging.getLogger("tfx_vision.entrypoint")

POLL_SECONDS = 2.0
LEFTOVER_SECONDS = 180
"""How long the job of an earlier try may take to go away; its pods have 30 s to end."""
LOG_SECONDS = 10
"""How long the rest of the chief's log may take when the job has ended."""
NOT_NOW = (429, 500, 502, 503, 504)
"""Answers of an API server that is being restarted or is busy."""


class TrainingJobError(Exception):
    """The workers did not train the model; the message says which one failed and how."""


def run(template: dict[str, Any], step: str, arguments: list[str]) -> None:
    """Runs a job to its end.

    Args:
      template: what `tfjob` made when the pipeline was compiled.
      step: the step's name, part of the job's.
      arguments: of each worker's entrypoint.

    Raises:
      TrainingJobError: the job could not be created, or failed.
    """
    connect()
    namespace = os.environ[NAMESPACE]
    job = complete(template, step, arguments)
    name, replicas = job["metadata"]["name"], job["spec"]["tfReplicaSpecs"]["Worker"]["replicas"]
    create(job, namespace)
    log.info("TFJob %s in %s: %d workers", name, namespace, replicas)
    ended = threading.Event()
    chief = threading.Thread(target=follow, args=(f"{name}-worker-0", namespace, ended), daemon=True)
    chief.start()
    try:
        wait(name, namespace)
        ended.set()
        chief.join(LOG_SECONDS)
    except TrainingJobError:
        ended.set()
        chief.join(LOG_SECONDS)
        raise
    finally:
        delete(name, namespace)


def connect() -> None:
    """Finds the API server: in a pod by what Kubernetes mounts there, elsewhere by KUBECONFIG."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config()
    else:
        config.load_kube_config()


def complete(template: dict[str, Any], step: str, arguments: list[str]) -> dict[str, Any]:
    """The job with what only the run knows."""
    job = copy.deepcopy(template)
    run_id = os.environ[RUN_ID]
    job["metadata"] |= {
        # The same for each try of the step, so that two of them can never train at once.
        "name": f"{step.lower()}-{run_id}",
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": os.environ[POD_NAME], "uid": os.environ[POD_UID]}
        ],
    }
    [container] = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    container["args"] = arguments
    for variable in container["env"]:
        if variable["name"] == RUN_ID:
            variable["value"] = run_id
    return job


def create(job: dict[str, Any], namespace: str) -> None:
    """Creates the job, after the end of one that an earlier try of the step left."""
    name, deadline = job["metadata"]["name"], time.monotonic() + LEFTOVER_SECONDS
    while True:
        try:
            client.CustomObjectsApi().create_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, job)
            return
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            status = getattr(error, "status", None)
            if status not in (None, 409, *NOT_NOW):
                raise TrainingJobError(refusal(error, name, namespace)) from error
            if time.monotonic() > deadline:
                raise TrainingJobError(f"the TFJob {name} could not be created: {reason(error)}") from error
            if status == 409:
                log.info("waiting until the TFJob %s of an earlier try is gone", name)
                delete(name, namespace)
            else:
                log.warning("the Kubernetes API is not ready; trying again: %s", reason(error))
        time.sleep(POLL_SECONDS)


def refusal(error: Any, name: str, namespace: str) -> str:
    """Why a job was not taken, and what to do."""
    if error.status == 404:
        return (
            "the cluster knows no TFJob; install Kubeflow's training operator, "
            "or set kubeflow.steps.trainer.workers to 1"
        )
    if error.status == 403:
        return (
            f"the step's service account may not create a TFJob in {namespace}; "
            f"apply kfp/cluster/training.yaml ({reason(error)})"
        )
    return f"the TFJob {name} was refused: {reason(error)}"


def wait(name: str, namespace: str) -> None:
    """Waits until the job has succeeded, and says what holds it up meanwhile.

    Raises:
      TrainingJobError: it failed or is gone.
    """
    said = ""
    while True:
        try:
            job = client.CustomObjectsApi().get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
            pods = client.CoreV1Api().list_namespaced_pod(
                namespace, label_selector=f"training.kubeflow.org/job-name={name}"
            )
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            status = getattr(error, "status", None)
            if status == 404:
                raise TrainingJobError(f"somebody deleted the TFJob {name} while it trained") from error
            if status not in (None, *NOT_NOW):
                raise TrainingJobError(f"the TFJob {name} cannot be watched: {reason(error)}") from error
            log.warning("the Kubernetes API is not ready; trying again: %s", reason(error))
        else:
            conditions = (job.get("status") or {}).get("conditions") or []
            states = {one["type"]: one.get("message", "") for one in conditions if one["status"] == "True"}
            if "Succeeded" in states:
                return
            if "Failed" in states:
                raise TrainingJobError(why(pods.items) or states["Failed"])
            news = holdup(pods.items) if conditions else "no training operator has taken up the TFJob yet"
            if news and news != said:
                log.info("waiting: %s", news)
            said = news
        time.sleep(POLL_SECONDS)


def why(pods: list[Any]) -> str:
    """One sentence on the worker that failed first, for the others fail with it; "" when none is known to have."""
    failures = []
    for pod in pods:
        if pod.status.phase == "Failed" and not pod.status.container_statuses:  # such as one that was evicted
            failures.append(("", pod, None))
        for status in pod.status.container_statuses or []:
            ended = status.state.terminated
            if ended and ended.exit_code:
                failures.append((str(ended.finished_at), pod, ended))
    if not failures:
        return ""
    _, pod, ended = min(failures, key=lambda one: one[0])
    worker = f"worker {pod.metadata.labels['training.kubeflow.org/replica-index']} ({pod.metadata.name})"
    if ended is None:
        return f"{worker} was stopped: {pod.status.message or pod.status.reason}"
    if ended.reason == "OOMKilled":
        return f"{worker} needed more memory than kubeflow.steps.trainer.memory_limit allows; raise it"
    lines = (ended.message or "").strip().splitlines()
    return f"{worker} ended with exit code {ended.exit_code}: {lines[-1] if lines else ended.reason}"


def holdup(pods: list[Any]) -> str:
    """Why a worker does not start, such as for want of a node; "" when nothing is known to hold it up."""
    for pod in pods:
        for condition in pod.status.conditions or []:
            if condition.type == "PodScheduled" and condition.status == "False":
                return f"{pod.metadata.name}: {condition.message}"
        for status in pod.status.container_statuses or []:
            waiting = status.state.waiting
            if waiting and waiting.message:
                return f"{pod.metadata.name}: {waiting.message}"
    return ""


def follow(pod: str, namespace: str, ended: threading.Event) -> None:
    """Prints a pod's log while it grows, once each line however often the connection breaks."""
    last = ""
    while True:
        over = ended.is_set()
        try:
            for line in log_lines(pod, namespace):
                stamp, _, text = line.partition(" ")
                if stamp > last:
                    print(text, file=sys.stderr, flush=True)
                    last = stamp
        except (ApiException, urllib3.exceptions.HTTPError):
            pass  # not started yet, or the connection broke
        if over:
            return
        ended.wait(POLL_SECONDS)


def log_lines(pod: str, namespace: str) -> Iterator[str]:
    """Lines of a pod's log, each after its time, until the pod ends."""
    response = client.CoreV1Api().read_namespaced_pod_log(
        pod, namespace, container=CONTAINER, follow=True, timestamps=True, _preload_content=False
    )
    rest = b""
    for part in response.stream():
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def delete(name: str, namespace: str) -> None:
    """Deletes the job with its pods; one that is gone already is as good."""
    try:
        client.CustomObjectsApi().delete_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, name, propagation_policy="Foreground"
        )
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        if getattr(error, "status", None) != 404:
            log.warning("cannot delete the TFJob %s: %s", name, error)


def reason(error: Any) -> str:
    """The API server's own sentence, or what keeps it from being asked."""
    try:
        return str(json.loads(error.body)["message"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return str(getattr(error, "reason", error))
