"""Stands in for the training operator and the kubelet: real processes on this machine for a TFJob's workers.

It does what the operator's TFJob controller does (kubeflow/training-operator 1.9, pkg/controller.v1/tensorflow): a pod
per worker with its labels, TF_CONFIG, the job's conditions, and the pods' end when the job is deleted. In place of the
names in DNS, TF_CONFIG has ports of this machine.
"""

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance import NAMESPACE
from kubernetes import client, config
from store import free_ports

JOBS = ("kubeflow.org", "v1", NAMESPACE, "tfjobs")
LAST_BYTES = 2048
"""Of a log that Kubernetes takes as the termination message."""


class Operator:
    """Looks at the cluster several times a second and acts."""

    def __init__(self, kubeconfig: Path, folder: Path):
        self.folder, self.started = folder, list[dict[str, Any]]()
        """Where logs go; the pods that were started, in order."""
        api = config.new_client_from_config(str(kubeconfig))
        self._jobs, self._pods = client.CustomObjectsApi(api), client.CoreV1Api(api)
        self._running: dict[str, dict[str, subprocess.Popen[bytes]]] = {}
        self._readers: dict[str, threading.Thread] = {}
        self._stop = threading.Event()

    def loop(self) -> None:
        while not self._stop.wait(0.2):
            for job in self._jobs.list_namespaced_custom_object(*JOBS)["items"]:
                name = job["metadata"]["name"]
                if job["metadata"].get("deletionTimestamp"):
                    self._end(name)
                    self._patch(name, {"metadata": {"finalizers": None}})
                elif name not in self._running:
                    self._start(job)
                else:
                    self._look(name)

    def close(self) -> None:
        self._stop.set()
        for name in list(self._running):
            for process in self._running[name].values():
                process.kill()
                process.wait()

    def _start(self, job: dict[str, Any]) -> None:
        worker, name = job["spec"]["tfReplicaSpecs"]["Worker"], job["metadata"]["name"]
        cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(worker["replicas"])]}
        self._running[name] = {}
        for index in range(worker["replicas"]):
            pod_name, template = f"{name}-worker-{index}", json.loads(json.dumps(worker["template"]))
            task = {"cluster": cluster, "task": {"type": "worker", "index": index}, "environment": "cloud"}
            [container] = template["spec"]["containers"]
            container["env"].append({"name": "TF_CONFIG", "value": json.dumps(task)})
            template["metadata"] = {
                "name": pod_name,
                "labels": template["metadata"]["labels"]
                | {
                    "training.kubeflow.org/job-name": name,
                    "training.kubeflow.org/operator-name": "tfjob-controller",
                    "training.kubeflow.org/replica-index": str(index),
                    "training.kubeflow.org/replica-type": "worker",
                },
            }
            template["spec"]["restartPolicy"] = worker["restartPolicy"]
            pod = {"apiVersion": "v1", "kind": "Pod", **template}
            self._pods.create_namespaced_pod(NAMESPACE, pod)
            self.started.append(pod)
            self._running[name][pod_name] = self._process(pod_name, container)
            self._pods.patch_namespaced_pod_status(pod_name, NAMESPACE, {"status": {"phase": "Running"}})
        self._condition(name, "Running", f"TFJob {NAMESPACE}/{name} is running.")

    def _process(self, pod: str, container: dict[str, Any]) -> subprocess.Popen[bytes]:
        """What the kubelet does: a bare environment, an empty folder, and the output with its times in the log."""
        work = self.folder / pod
        work.mkdir(exist_ok=True)
        own = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(work), "TMPDIR": str(work)}
        own |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        process = subprocess.Popen(
            [*container["command"], *container["args"]],
            cwd=work,
            env=own | {one["name"]: one["value"] for one in container["env"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        log = self.folder / f"{pod}.log"
        log.with_suffix(".ended").unlink(missing_ok=True)
        log.write_bytes(b"")
        self._readers[pod] = threading.Thread(target=write_log, args=(process, log), daemon=True)
        self._readers[pod].start()
        return process

    def _look(self, name: str) -> None:
        """Reports what ended: the chief's success is the job's, and any failure too."""
        ended = {pod: one.poll() for pod, one in self._running[name].items() if one.poll() is not None}
        for pod, code in ended.items():
            self._readers[pod].join()
            self._report(pod, code)
        if failed := [pod for pod, code in ended.items() if code]:
            self._condition(name, "Failed", f"TFJob {NAMESPACE}/{name} has failed because {len(failed)} Worker failed.")
        elif ended.get(f"{name}-worker-0") == 0:
            self._condition(name, "Succeeded", f"TFJob {NAMESPACE}/{name} successfully completed.")

    def _report(self, pod: str, code: int) -> None:
        lines = [line.split(b" ", 1)[-1] for line in (self.folder / f"{pod}.log").read_bytes().splitlines()]
        terminated = {
            "exitCode": code if code >= 0 else 128 - code,
            "reason": "Error" if code else "Completed",
            "finishedAt": now(),
            **({"message": b"\n".join(lines)[-LAST_BYTES:].decode()} if code else {}),
        }
        container = {"name": "tensorflow", "image": "i", "imageID": "i", "ready": False, "restartCount": 0}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [container | {"state": {"terminated": terminated}}],
        }
        self._pods.patch_namespaced_pod_status(pod, NAMESPACE, {"status": status})

    def _end(self, name: str) -> None:
        """What the garbage collector and the kubelet do when a job is deleted."""
        for pod, process in self._running.pop(name, {}).items():
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._pods.delete_namespaced_pod(pod, NAMESPACE, grace_period_seconds=0)

    def _condition(self, name: str, kind: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": f"TFJob{kind}", "message": message}
        times = {"lastTransitionTime": now(), "lastUpdateTime": now()}
        status = {"conditions": [condition | times], "replicaStatuses": {}}
        self._jobs.patch_namespaced_custom_object_status(*JOBS, name, {"status": status})

    def _patch(self, name: str, patch: dict[str, Any]) -> None:
        with contextlib.suppress(client.ApiException):
            self._jobs.patch_namespaced_custom_object(*JOBS, name, patch)


def write_log(process: subprocess.Popen[bytes], log: Path) -> None:
    assert process.stdout
    with log.open("ab", buffering=0) as file:
        for line in process.stdout:
            file.write(f"{now()} ".encode() + line)
    log.with_suffix(".ended").touch()


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextlib.contextmanager
def operating(kubeconfig: Path, folder: Path) -> Iterator[Operator]:
    """An operator for the cluster of a kubeconfig."""
    operator = Operator(kubeconfig, folder)
    thread = threading.Thread(target=operator.loop, daemon=True)
    thread.start()
    try:
        yield operator
    finally:
        operator.close()
        thread.join()
