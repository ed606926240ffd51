"""The TFJob that trains with several pods: what Kubeflow's training operator is given.

The operator starts the workers, gives each a name in DNS and sets TF_CONFIG, from which `tf.distribute` finds the
others. Worker 0 is the chief, the one that writes; the job has succeeded when it has.
"""

from typing import Any

from pipeline.kubeflow.config import KubeflowConfig, StepConfig
from pipeline.kubeflow.environment import RUN_ID

GROUP, VERSION, PLURAL = "kubeflow.org", "v1", "tfjobs"
CONTAINER = "tensorflow"
"""Name of the container that the operator asks for."""
COMMAND = ["python", "-m", "pipeline.kubeflow.entrypoint"]
USER = 65532
"""The image's."""


def tfjob(config: KubeflowConfig, step: str) -> dict[str, Any]:
    """The job of a step without what only a run knows: name, namespace, owner, arguments, run.

    Args:
      config: the cluster's settings, with a shared volume.
      step: key of the step in `kubeflow.steps`; it has `workers`.
    """
    own = getattr(config.steps, step)
    labels = {"app": "training-worker"}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TFJob",
        "metadata": {"labels": labels},
        "spec": {
            "runPolicy": {"cleanPodPolicy": "Running"},
            "tfReplicaSpecs": {
                "Worker": {
                    "replicas": own.workers,
                    # All train the same model in step, so that none can go on without the others: the job fails, and
                    # the step's next try continues from the last checkpoint.
                    "restartPolicy": "Never",
                    "template": {
                        # A proxy beside the container would keep the pod from ending.
                        "metadata": {"labels": labels, "annotations": {"sidecar.istio.io/inject": "false"}},
                        "spec": pod(config, own, step),
                    },
                }
            },
        },
    }


def pod(config: KubeflowConfig, own: StepConfig, step: str) -> dict[str, Any]:
    """A worker's pod: what the step's own would have, and the shared volume."""
    volumes, mounts = volumes_and_mounts(config, step)
    accelerators = {own.accelerator: str(own.accelerators)} if own.accelerators else {}
    container = {
        "name": CONTAINER,
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "command": COMMAND,
        "env": environment(config),
        "resources": {
            "requests": {"cpu": own.cpu_request, "memory": own.memory_request},
            "limits": {"cpu": own.cpu_limit, "memory": own.memory_limit, **accelerators},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The last lines of a worker that failed, for the step to pass on.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    spec = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "nodeSelector": config.node_selector | own.node_selector,
        "tolerations": [
            {"key": one.key, "operator": one.operator}
            | ({"value": one.value} if one.value else {})
            | ({"effect": one.effect} if one.effect else {})
            for one in config.tolerations
        ],
        "imagePullSecrets": [{"name": name} for name in config.image_pull_secrets],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
    }
    if config.service_account:
        spec["serviceAccountName"] = config.service_account
    return spec


def environment(config: KubeflowConfig) -> list[dict[str, Any]]:
    """Environment variables: as the step has them; the run's identity is filled in by the run."""
    secret = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key}}}
        for secret in config.secrets
        for variable, key in secret.env.items()
    ]
    return [{"name": "_KFP_RUNTIME", "value": "true"}, {"name": RUN_ID, "value": ""}, *secret]


def volumes_and_mounts(config: KubeflowConfig, step: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pod's volumes and where its container has them."""
    assert config.shared_volume
    claims = [(config.shared_volume.claim, config.shared_volume.path, "")]
    claims += [(one.claim, one.path, one.sub_path) for one in config.volumes if not one.steps or step in one.steps]
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": config.scratch}}]
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]
    for number, (claim, path, sub_path) in enumerate(claims):
        volumes.append({"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": f"claim-{number}", "mountPath": path} | ({"subPath": sub_path} if sub_path else {}))
    for number, secret in enumerate(one for one in config.secrets if one.path):
        volumes.append({"name": f"secret-{number}", "secret": {"secretName": secret.name}})
        mounts.append({"name": f"secret-{number}", "mountPath": str(secret.path), "readOnly": True})
    return volumes, mounts
