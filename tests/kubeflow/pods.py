"""What stands in for a pod: a process of this environment, or a container of the built image."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as spec

Container = spec.PipelineDeploymentConfig.PipelineContainerSpec

USER = "65532:65532"


class Processes:
    """A process in an empty folder, in a bare environment: nothing of the caller's but the interpreter."""

    def root(self, pod: Path) -> str:
        """Where the pod's folder is for the step; the entrypoint is told so, as a process cannot write to /s3."""
        return str(pod)

    def start(
        self,
        command: list[str],
        pod: Path,
        environment: Mapping[str, str],
        container: Container,
        pod_config: kubernetes.KubernetesExecutorConfig,
        output: IO[bytes],
    ) -> subprocess.Popen:
        own = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(pod / "home"),
            "TMPDIR": str(pod / "tmp"),
            "TFX_VISION_ARTIFACT_ROOT": str(pod),
            "PYTHONUNBUFFERED": "1",
        }
        return subprocess.Popen(
            command, cwd=pod / "work", env=own | dict(environment), stdout=output, stderr=subprocess.STDOUT
        )


class Containers:
    """A container of the step's image as the strictest cluster starts it.

    No root, no privileges, no network, a root file system that cannot be written to. The launcher, which needs the
    network for the store, is outside here; on a cluster it is in the same container.
    """

    def __init__(self, docker: str, claims: Mapping[str, Path]):
        """`claims` are the folders that stand in for persistent volume claims, by their names."""
        self._docker, self._claims = docker, claims

    def root(self, pod: Path) -> str:
        return ""

    def start(
        self,
        command: list[str],
        pod: Path,
        environment: Mapping[str, str],
        container: Container,
        pod_config: kubernetes.KubernetesExecutorConfig,
        output: IO[bytes],
    ) -> subprocess.Popen:
        options = ["--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        options += [f"--user={USER}", f"--volume={pod / 's3'}:/s3", f"--entrypoint={command[0]}"]
        options += [f"--env={name}={value}" for name, value in environment.items()]
        options += [f"--volume={self._claims[one.constant]}:{one.mount_path}" for one in pod_config.pvc_mount]
        options += [f"--tmpfs={one.mount_path}:exec" for one in pod_config.empty_dir_mounts]
        for path in (pod / "s3").rglob(
            "*"
        ):  # Kubernetes makes these folders for everyone, and the launcher is root here
            path.chmod(0o777 if path.is_dir() else 0o644)
        (pod / "s3").chmod(0o777)
        return subprocess.Popen(
            [self._docker, "run", *options, container.image, *command[1:]],
            env=os.environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
