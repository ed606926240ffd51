"""KubeflowConfig → the Kubernetes platform spec: what a step's pod gets beyond its container."""

import re
from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as spec

from pipeline.kubeflow.config import KubeflowConfig, StepConfig, Volume
from pipeline.kubeflow.environment import NAMESPACE, POD_NAME, POD_UID, RUN_ID


def step_name(task: str) -> str:
    """The key of a task in `kubeflow.steps`: ImageExampleGen → image_example_gen."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", task).lower()


def platform_spec(config: KubeflowConfig, tasks: dict[str, str]) -> dict[str, Any]:
    """The second document of the YAML.

    Args:
      config: the cluster's settings.
      tasks: executor labels by name of the task, of the tasks that run in a container.

    Returns:
      KFP's PlatformSpec as JSON values.
    """
    executors = {
        label: json_format.MessageToDict(executor_config(config, step_name(task))) for task, label in tasks.items()
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def executor_config(config: KubeflowConfig, step: str) -> kubernetes.KubernetesExecutorConfig:
    """What one step's pod gets. Names stand twice, in the deprecated field too, which older servers read."""
    own: StepConfig = getattr(config.steps, step)
    result = kubernetes.KubernetesExecutorConfig(image_pull_policy=config.image_pull_policy)
    result.node_selector.labels.update(config.node_selector | own.node_selector)
    result.field_path_as_env.add(name=RUN_ID, field_path="metadata.labels['pipeline/runid']")
    if getattr(own, "workers", 1) > 1:
        for variable, field in ((POD_NAME, "name"), (POD_UID, "uid"), (NAMESPACE, "namespace")):
            result.field_path_as_env.add(name=variable, field_path=f"metadata.{field}")
    # The root file system may be read-only; Kubeflow itself provides the folders of the artifacts.
    result.empty_dir_mounts.add(volume_name="tmp", mount_path="/tmp", size_limit=config.scratch)
    for toleration in config.tolerations:
        result.tolerations.add(
            key=toleration.key, operator=toleration.operator, value=toleration.value, effect=toleration.effect
        )
    for name in config.image_pull_secrets:
        result.image_pull_secret.add(secret_name=name, secret_name_parameter=constant(name))
    for secret in config.secrets:
        if secret.env:
            as_env = result.secret_as_env.add(secret_name=secret.name, secret_name_parameter=constant(secret.name))
            for variable, key in secret.env.items():
                as_env.key_to_env.add(secret_key=key, env_var=variable)
        if secret.path:
            result.secret_as_volume.add(
                secret_name=secret.name, secret_name_parameter=constant(secret.name), mount_path=secret.path
            )
    volumes = [volume for volume in config.volumes if not volume.steps or step in volume.steps]
    if shares_artifacts(config, step):
        assert config.shared_volume
        volumes.append(Volume(claim=config.shared_volume.claim, path=config.shared_volume.path))
    for volume in volumes:
        result.pvc_mount.add(
            constant=volume.claim,
            pvc_name_parameter=constant(volume.claim),
            mount_path=volume.path,
            sub_path=volume.sub_path,
        )
    return result


def on_flink(config: KubeflowConfig, step: str) -> bool:
    """Whether a step's Beam pipeline runs on the Flink cluster."""
    return config.flink is not None and step in config.flink.steps


def shares_artifacts(config: KubeflowConfig, step: str) -> bool:
    """Whether other pods work for a step, and so have to see its artifacts."""
    return on_flink(config, step) or getattr(getattr(config.steps, step), "workers", 1) > 1


def constant(value: str) -> spec.TaskInputsSpec.InputParameterSpec:
    """A parameter with a fixed value."""
    parameter = spec.TaskInputsSpec.InputParameterSpec()
    parameter.runtime_value.constant.string_value = value
    return parameter
