"""TensorFlow Serving on Kubernetes, written from a pipeline's configuration.

A server is ready when the model is loaded: TensorFlow Serving answers a request for its metadata only then, while its
status can be asked from the start. New versions come without a restart, since it looks at the destination itself.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving import model_config
from serving.config import ServingConfig

IMAGE = "tensorflow/serving:2.19.1"
_USER = 65532
_CONFIG = "/etc/serving"
_SECONDS_TO_DRAIN = 10
"""For the endpoints to forget a server that ends, before it does."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The volume that models are pushed to."""

    name: str
    """The persistent volume claim."""
    path: str
    """Where it is mounted, in the pipeline's steps and here."""
    sub_path: str = ""
    """A folder of the volume; empty is all of it."""


def build(
    name: str,
    destination: str,
    namespace: str,
    claim: Claim | None,
    config: ServingConfig,
    labels: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """The manifests by file name.

    Args:
      name: the model's name in requests; the objects' with `-` for `_`.
      destination: where models are pushed to: a folder of the claim, gs://… or s3://….
      namespace: of all objects.
      claim: the volume; None where the destination is an object store.
      config: the settings of serving.
      labels: the versions that TensorFlow Serving's labels stand for; empty serves the highest.

    Returns:
      Objects as `kubectl` takes them. For s3:// only what the InferenceService needs: TensorFlow Serving itself has
      not read s3:// since 2.7.
    """
    about = {"name": name.replace("_", "-"), "namespace": namespace, "labels": {"app": name.replace("_", "-")}}
    server = _Server(name, destination, claim, config)
    files = {"batching.config": model_config.batching(config), "monitoring.config": model_config.monitoring()}
    models = model_config.models(name, destination, latest=config.loaded_versions, labels=labels)
    both = {
        "config.yaml": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": about,
            "data": {"models.config": models} | files,
        },
        "kserve/inference-service.yaml": server.inference_service(about),
    }
    if destination.startswith("s3://"):
        return both
    # Models are looked up while a server runs; the other files are read at its start, so a change starts it anew.
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:16]
    return both | {
        "deployment.yaml": server.deployment(about, digest),
        "service.yaml": _service(about),
        "autoscaler.yaml": _autoscaler(about, config),
        "disruption.yaml": _disruption_budget(about),
        "network.yaml": _network_policy(about, destination),
    }


@dataclass(frozen=True)
class _Server:
    name: str
    destination: str
    claim: Claim | None
    config: ServingConfig

    def deployment(self, about: dict[str, Any], digest: str) -> dict[str, Any]:
        labels = about["labels"]
        annotations = {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "8501",
            "prometheus.io/path": model_config.METRICS_PATH,
            "tfx-vision/config": digest,
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": about,
            "spec": {  # no `replicas`: the autoscaler's number is not to be reset by whoever applies this
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": self._pod(labels)},
            },
        }

    def inference_service(self, about: dict[str, Any]) -> dict[str, Any]:
        """KServe's: it brings its own Service, autoscaler and probes, and copies from an object store at the start."""
        cluster = self.config.cluster
        predictor: dict[str, Any] = {
            "minReplicas": cluster.min_replicas,
            "maxReplicas": cluster.max_replicas,
            "scaleMetric": "cpu",
            "scaleTarget": cluster.cpu_target,
            "automountServiceAccountToken": False,
            "securityContext": _pod_security(),
            "model": {
                "modelFormat": {"name": "tensorflow"},
                "runtimeVersion": self._image().rpartition(":")[2],
                "storageUri": self._storage_uri(),
                "args": [
                    "--enable_batching=true",
                    f"--batching_parameters_file={_CONFIG}/batching.config",
                    f"--monitoring_config_file={_CONFIG}/monitoring.config",
                ],
                "resources": self._resources(),
                "securityContext": _container_security(),
                "volumeMounts": [_mount("config", _CONFIG), {"name": "tmp", "mountPath": "/tmp"}],
            },
            "volumes": [_config_volume(about["name"]), {"name": "tmp", "emptyDir": {}}],
        } | self._service_account()
        metadata = about | {"annotations": {"serving.kserve.io/deploymentMode": "RawDeployment"}}
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": metadata,
            "spec": {"predictor": predictor},
        }

    def _pod(self, labels: dict[str, str]) -> dict[str, Any]:
        volumes = [_config_volume(labels["app"]), {"name": "tmp", "emptyDir": {}}]
        mounts = [_mount("config", _CONFIG), {"name": "tmp", "mountPath": "/tmp"}]
        if self.claim:
            volumes.append(
                {"name": "models", "persistentVolumeClaim": {"claimName": self.claim.name, "readOnly": True}}
            )
            sub_path = {"subPath": self.claim.sub_path} if self.claim.sub_path else {}
            mounts.append(_mount("models", self.claim.path) | sub_path)
        spread = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
        return {
            "automountServiceAccountToken": False,
            "securityContext": _pod_security(),
            "terminationGracePeriodSeconds": 30 + _SECONDS_TO_DRAIN,
            "topologySpreadConstraints": [spread | {"labelSelector": {"matchLabels": labels}}],
            "containers": [self._container(mounts)],
            "volumes": volumes,
        } | self._service_account()

    def _container(self, mounts: list[dict[str, Any]]) -> dict[str, Any]:
        alive = {"tcpSocket": {"port": "rest"}, "periodSeconds": 10}
        return {
            "name": "serving",
            "image": self._image(),
            "command": ["tensorflow_model_server"],
            "args": [
                "--port=8500",
                "--rest_api_port=8501",
                f"--model_config_file={_CONFIG}/models.config",
                "--model_config_file_poll_wait_seconds=30",
                "--allow_version_labels_for_unavailable_models=true",
                "--file_system_poll_wait_seconds=10",
                "--enable_batching=true",
                f"--batching_parameters_file={_CONFIG}/batching.config",
                f"--monitoring_config_file={_CONFIG}/monitoring.config",
            ],
            "ports": [{"name": "grpc", "containerPort": 8500}, {"name": "rest", "containerPort": 8501}],
            # The status is answered from the start, the metadata once a version is loaded.
            "readinessProbe": {
                "httpGet": {"path": f"/v1/models/{self.name}/metadata", "port": "rest"},
                "periodSeconds": 5,
                "timeoutSeconds": 5,
                "failureThreshold": 2,
            },
            "startupProbe": alive | {"failureThreshold": 30},
            "livenessProbe": alive | {"failureThreshold": 6},
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(_SECONDS_TO_DRAIN)]}}},
            "resources": self._resources(),
            "securityContext": _container_security(),
            "volumeMounts": mounts,
        }

    def _resources(self) -> dict[str, Any]:
        cluster = self.config.cluster
        gpus = {"nvidia.com/gpu": str(cluster.accelerators)} if cluster.accelerators else {}
        return {
            "requests": {"cpu": cluster.cpu_request, "memory": cluster.memory_request},
            "limits": {"cpu": cluster.cpu_limit, "memory": cluster.memory_limit} | gpus,
        }

    def _image(self) -> str:
        cluster = self.config.cluster
        return cluster.image or (f"{IMAGE}-gpu" if cluster.accelerators else IMAGE)

    def _service_account(self) -> dict[str, str]:
        account = self.config.cluster.service_account
        return {"serviceAccountName": account} if account else {}

    def _storage_uri(self) -> str:
        if self.claim is None:
            return self.destination
        inside = self.destination.removeprefix(self.claim.path.rstrip("/")).strip("/")
        return "/".join(["pvc:/", self.claim.name, *filter(None, [self.claim.sub_path.strip("/"), inside])])


def _service(about: dict[str, Any]) -> dict[str, Any]:
    ports = [
        {"name": "grpc", "port": 8500, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"},
        {"name": "rest", "port": 8501, "targetPort": "rest"},
    ]
    spec = {"selector": about["labels"], "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec}


def _autoscaler(about: dict[str, Any], config: ServingConfig) -> dict[str, Any]:
    cluster = config.cluster
    target = {"type": "Utilization", "averageUtilization": cluster.cpu_target}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": about,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": about["name"]},
            "minReplicas": cluster.min_replicas,
            "maxReplicas": cluster.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def _disruption_budget(about: dict[str, Any]) -> dict[str, Any]:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": about["labels"]}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": about, "spec": spec}


def _network_policy(about: dict[str, Any], destination: str) -> dict[str, Any]:
    """Requests come in on the two ports; the server itself talks to nobody, or to the object store alone."""
    store = [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": 443, "protocol": "TCP"}]},
        # Credentials of the service account, from the node.
        {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80, "protocol": "TCP"}]},
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": about,
        "spec": {
            "podSelector": {"matchLabels": about["labels"]},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": 8500, "protocol": "TCP"}, {"port": 8501, "protocol": "TCP"}]}],
        }
        # Without a rule nothing is let out; an empty list says the same, but Kubernetes does not keep it.
        | ({"egress": store} if "://" in destination else {}),
    }


def _pod_security() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container_security() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _config_volume(name: str) -> dict[str, Any]:
    return {"name": "config", "configMap": {"name": name}}


def _mount(volume: str, path: str) -> dict[str, Any]:
    return {"name": volume, "mountPath": path, "readOnly": True}
