"""What docs/kubeflow.md and kfp/ tell people to use is well-formed."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from pipeline.config import build_config
from pipeline.kubeflow.check import check

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "docs/kubeflow.md").read_text(encoding="utf-8")
VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest and the newest whose schemas are looked at."""


def manifests(*folders: str) -> list[dict]:
    files = sorted(file for folder in folders for file in (PROJECT / "kfp" / folder).glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def named(manifest: dict) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", manifests("cluster"), ids=named)
def test_manifests_are_of_the_kubernetes_api(manifest, version):
    """Every key is known and has the right type; `kfp/serving` has tests of its own."""
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    "manifest", [one for one in manifests("cluster") if one["kind"] in ("StatefulSet", "CronJob")], ids=named
)
def test_pods_have_no_root_no_privileges_and_a_disk_only_where_one_is_mounted(manifest):
    template = manifest["spec"].get("template") or manifest["spec"]["jobTemplate"]["spec"]["template"]
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert template["spec"]["automountServiceAccountToken"] is False
    for container in template["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_every_server_has_a_network_policy():
    policies = [one["spec"] for one in manifests("cluster") if one["kind"] == "NetworkPolicy"]
    guarded = [policy["podSelector"]["matchLabels"] for policy in policies if "Egress" in policy["policyTypes"]]
    for server in (one for one in manifests("cluster") if one["kind"] == "StatefulSet"):
        assert server["spec"]["template"]["metadata"]["labels"] in guarded


def test_the_guide_s_configuration_is_accepted_and_fits_the_manifests():
    [block] = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    config = build_config({"name": "digits", **yaml.safe_load(block)}, "the guide")
    check(config, "kubeflow")
    claims = {one["metadata"]["name"] for one in manifests("cluster") if one["kind"] == "PersistentVolumeClaim"}
    assert {volume.claim for volume in config.kubeflow.volumes} == claims
    [served] = [one["data"] for one in manifests("serving") if one["kind"] == "ConfigMap"]
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
