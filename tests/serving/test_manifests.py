"""The manifests of TensorFlow Serving: Kubernetes' schemas take them, TensorFlow Serving reads its files in them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from pipeline.console import main
from serving import model_config
from serving.config import ServingConfig
from serving.manifests import Claim, build

ROOT = Path(__file__).parents[2]
VERSIONS = ["1.30", "1.37"]
"""Of Kubernetes, the oldest and the newest that are tried."""
PARSE = """
import sys
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2
config = text_format.Parse(sys.stdin.read(), model_server_config_pb2.ModelServerConfig()).model_config_list.config[0]
policy = config.model_version_policy
print(config.name, config.base_path, config.model_platform, policy.latest.num_versions, list(policy.specific.versions),
      dict(config.version_labels))
"""


def manifests(destination: str = "/mnt/models/cats", **changes: Any) -> dict[str, dict[str, Any]]:
    claim = None if "://" in destination else Claim(name="models", path="/mnt/models")
    labels = changes.pop("labels", {})
    return build("cats_2", destination, "vision", claim, ServingConfig(**changes), labels)


CASES: dict[str, dict[str, Any]] = {
    "a volume": {},
    "labels": {"labels": {"stable": 5, "canary": 6}},
    "a GPU": {"cluster": {"accelerators": 1, "service_account": "reader"}, "batching": {"max_batch_size": 48}},
    "gs://": {"destination": "gs://bucket/cats"},
    "s3://": {"destination": "s3://bucket/cats"},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kubernetes_takes_them(case: dict[str, Any], version: str) -> None:
    for manifest in manifests(**case).values():
        if manifest["kind"] != "InferenceService":
            kubernetes_validate.validate(manifest, version, strict=True)
            continue
        # KServe's own schema is not at hand: what is a pod's in it is checked as a pod's.
        predictor = dict(manifest["spec"]["predictor"])
        own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "model"}
        container = {
            name: value
            for name, value in predictor["model"].items()
            if name not in {"modelFormat", "runtimeVersion", "storageUri"}
        }
        pod = {name: value for name, value in predictor.items() if name not in own}
        pod["containers"] = [container | {"name": "kserve-container", "image": "kserve"}]
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": manifest["metadata"], "spec": pod}
        kubernetes_validate.validate(whole, version, strict=True)
        assert predictor["model"]["modelFormat"] == {"name": "tensorflow"}
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 6)


def test_a_mistake_would_be_noticed() -> None:
    wrong = manifests()["deployment.yaml"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_what_belongs_together_has_the_same_names() -> None:
    found = manifests()
    deployment, pod = found["deployment.yaml"], found["deployment.yaml"]["spec"]["template"]["spec"]
    app = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["metadata"]["name"] == "cats-2", "a Service's name may not have an underscore"
    assert {manifest["metadata"]["namespace"] for manifest in found.values()} == {"vision"}
    assert found["service.yaml"]["spec"]["selector"] == app == deployment["spec"]["selector"]["matchLabels"]
    assert found["disruption.yaml"]["spec"]["selector"]["matchLabels"] == app
    assert found["network.yaml"]["spec"]["podSelector"]["matchLabels"] == app
    assert found["autoscaler.yaml"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    [container] = pod["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in found["service.yaml"]["spec"]["ports"]} == ports
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["volumes"][0]["configMap"]["name"] == found["config.yaml"]["metadata"]["name"]
    for argument in container["args"]:
        if "/etc/serving/" in argument:
            assert argument.rpartition("/")[2] in found["config.yaml"]["data"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/cats_2/metadata"


@pytest.mark.parametrize("destination", ["/mnt/models/cats", "gs://bucket/cats"])
def test_servers_have_few_rights(destination: str) -> None:
    found = manifests(destination)
    pod = found["deployment.yaml"]["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
    writable = [mount["name"] for mount in pod["containers"][0]["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["tmp"]
    policy = found["network.yaml"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert ("egress" in policy) == ("://" in destination)


def test_a_change_of_the_batches_starts_the_servers_anew_and_one_of_the_labels_does_not() -> None:
    plain, batches = manifests(), manifests(batching={"max_batch_size": 8})
    labelled = manifests(labels={"stable": 1})
    assert plain["deployment.yaml"] == labelled["deployment.yaml"] != batches["deployment.yaml"]
    assert plain["config.yaml"] != labelled["config.yaml"]


def test_tensorflow_serving_reads_its_models() -> None:
    def parsed(**settings: Any) -> str:
        text = model_config.models('a"b', "/mnt/models/a", **settings)
        return subprocess.run([sys.executable, "-c", PARSE], input=text, text=True, capture_output=True).stdout.strip()

    assert parsed(latest=2) == 'a"b /mnt/models/a tensorflow 2 [] {}'
    assert parsed(latest=2, labels={"stable": 5, "canary": 6}, beside=[4]) in (
        "a\"b /mnt/models/a tensorflow 0 [4, 5, 6] {'stable': 5, 'canary': 6}",
        "a\"b /mnt/models/a tensorflow 0 [4, 5, 6] {'canary': 6, 'stable': 5}",
    )


def test_batches_fit_the_hardware() -> None:
    cpu = model_config.batching(ServingConfig(cluster={"cpu_limit": "3500m"}))
    assert cpu.splitlines() == [
        "max_batch_size { value: 32 }",
        "batch_timeout_micros { value: 0 }",
        "max_enqueued_batches { value: 100 }",
        "num_batch_threads { value: 4 }",
    ]
    gpu = model_config.batching(ServingConfig(cluster={"accelerators": 1}, batching={"max_batch_size": 48}))
    assert "batch_timeout_micros { value: 2000 }" in gpu
    sizes = [int(line.split()[1]) for line in gpu.splitlines() if line.startswith("allowed_batch_sizes")]
    assert sizes == [1, 2, 4, 8, 16, 32, 48], "the last one has to be max_batch_size"


def command(*words: object) -> Any:
    return CliRunner().invoke(main, ["serving", "manifests", *map(str, words)])


def test_the_committed_ones_are_what_the_command_writes(tmp_path: Path) -> None:
    result = command(ROOT / "configs" / "digits.yaml", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    written, committed = (
        {path.relative_to(folder): path.read_text() for path in folder.rglob("*.yaml")}
        for folder in (tmp_path, ROOT / "kfp" / "serving")
    )
    assert written == committed, "run: tfx-vision serving manifests configs/digits.yaml -o kfp/serving"


def test_the_volume_is_that_of_the_pipeline(tmp_path: Path) -> None:
    volumes = "[{claim: shared, path: /data, sub_path: vision}]"
    options = ["--set", "pusher.destination=/data/out/digits", "--set", f"kubeflow.volumes={volumes}"]
    result = command(ROOT / "configs" / "digits.yaml", "-o", tmp_path, "--label", "stable=3", *options)
    assert result.exit_code == 0, result.output
    deployment = yaml.safe_load((tmp_path / "deployment.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    assert pod["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "shared", "readOnly": True}
    mount = {"name": "models", "mountPath": "/data", "readOnly": True, "subPath": "vision"}
    assert pod["containers"][0]["volumeMounts"][-1] == mount
    assert "versions: 3" in (tmp_path / "config.yaml").read_text()
    service = yaml.safe_load((tmp_path / "kserve" / "inference-service.yaml").read_text())
    assert service["spec"]["predictor"]["model"]["storageUri"] == "pvc://shared/vision/out/digits"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            ["--set", "pusher.destination=/data/digits"],
            "pusher.destination: /data/digits is on none of kubeflow.volumes",
        ),
        (["--label", "stable"], "--label stable: write NAME=VERSION, such as stable=5"),
        (["--set", "serving.cluster={min_replicas: 9}"], "min_replicas 9 is more than max_replicas 6"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, options: list[str], error: str) -> None:
    result = command(ROOT / "configs" / "digits.yaml", "-o", tmp_path, *options)
    assert result.exit_code
    assert error in result.output
    assert not list(tmp_path.iterdir())
