"""What docs/kubeflow.md and kfp/ tell people to use is well-formed."""

import json
import re
import shlex
import subprocess
import xml.etree.ElementTree
from pathlib import Path

import boto3
import click
import kubernetes_validate
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from store import running_store

from pipeline import console
from pipeline.config import PipelineConfig, build_config
from pipeline.kubeflow.check import check
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.config import FlinkConfig, SharedVolume
from pipeline.kubeflow.parameters import RUN_PARAMETERS
from tests.beam_servers import FLINK_CLASSPATH

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "docs/kubeflow.md").read_text(encoding="utf-8")
SERVERS = ("StatefulSet", "Deployment")
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
    "manifest", [one for one in manifests("cluster") if one["kind"] in (*SERVERS, "CronJob")], ids=named
)
def test_pods_have_no_root_no_privileges_and_a_disk_only_where_one_is_mounted(manifest):
    template = manifest["spec"].get("template") or manifest["spec"]["jobTemplate"]["spec"]["template"]
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert template["spec"]["automountServiceAccountToken"] is False
    for container in template["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_everything_that_runs_has_a_network_policy():
    policies = [one["spec"] for one in manifests("cluster") if one["kind"] == "NetworkPolicy"]
    guarded = [policy["podSelector"]["matchLabels"] for policy in policies if "Egress" in policy["policyTypes"]]
    for one in (one for one in manifests("cluster") if one["kind"] in (*SERVERS, "CronJob")):
        template = one["spec"].get("template") or one["spec"]["jobTemplate"]["spec"]["template"]
        labels = template["metadata"]["labels"].items()
        assert any(selected.items() <= labels for selected in guarded)


def test_flink_is_where_the_configuration_s_defaults_look_for_it():
    """Names and ports of the manifests, and the volumes at the paths that the steps have them at."""
    document = {one["metadata"]["name"]: one for one in manifests("cluster") if one["kind"] in SERVERS}
    services = {one["metadata"]["name"]: one for one in manifests("cluster") if one["kind"] == "Service"}
    flink, shared = FlinkConfig(), SharedVolume(claim="shared")
    [job_server] = document["flink-job-server"]["spec"]["template"]["spec"]["containers"]
    for address, option in ((flink.job_server, "--job-port"), (flink.artifact_server, "--artifact-port")):
        name, port = address.split(":")
        assert int(port) in [one["port"] for one in services[name]["spec"]["ports"]]
        assert f"{option}={port}" in job_server["args"]
    managers = document["flink-taskmanager"]["spec"]
    _, pool = managers["template"]["spec"]["containers"]
    assert flink.worker_pool == f"localhost:{pool['ports'][0]['containerPort']}"
    assert pool["command"][-1].endswith(flink.worker_pool.split(":")[1])
    assert shared.path in [mount["mountPath"] for mount in pool["volumeMounts"]]
    assert flink.parallelism == managers["replicas"]
    version = re.search(r"^apache-beam==(\S+)", (PROJECT / "kfp/requirements.lock").read_text(), re.MULTILINE)[1]
    assert job_server["image"].endswith(f":{version}")


def configuration() -> PipelineConfig:
    """The guide's sections put together."""
    document: dict = {"name": "digits"}
    for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL):
        merge(document, yaml.safe_load(block))
    return build_config(document, "the guide")


def test_the_guide_s_configuration_is_accepted_and_fits_the_manifests():
    config = configuration()
    check(config, "kubeflow")
    claims = {one["metadata"]["name"] for one in manifests("cluster") if one["kind"] == "PersistentVolumeClaim"}
    assert {volume.claim for volume in (*config.kubeflow.volumes, config.kubeflow.shared_volume)} == claims
    [served] = [one["data"] for one in manifests("serving") if one["kind"] == "ConfigMap"]
    assert f'base_path: "{config.pusher.destination}"' in served["models.config"]


def merge(document: dict, further: dict) -> None:
    """Adds what a further section of the guide sets to what was set before."""
    for key, value in further.items():
        if isinstance(value, dict):
            merge(document.setdefault(key, {}), value)
        else:
            document[key] = value


def test_the_guide_s_run_parameters_are_those_of_the_compiled_pipeline(tmp_path):
    compile_pipeline(configuration(), tmp_path / "pipeline.yaml")
    compiled, _ = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    [sentence] = re.findall(r"^Run parameters: (.*?)\. ", GUIDE, re.MULTILINE | re.DOTALL)
    told = re.findall(r"`(\w+)`", sentence)
    assert told == list(RUN_PARAMETERS)
    assert set(told) - {"test_path"} == set(compiled["root"]["inputDefinitions"]["parameters"])


def test_kubeflow_s_launcher_finds_the_store_with_a_pair_of_keys_that_it_knows(weed, tmp_path):
    """The ConfigMap against the store's Service and the secret, and the guide's file of keys given to SeaweedFS."""
    services = {one["metadata"]["name"]: one for one in manifests("cluster") if one["kind"] == "Service"}
    [launcher] = [one["data"] for one in manifests("cluster") if one["metadata"]["name"] == "kfp-launcher"]
    settings = yaml.safe_load(launcher["providers"])["s3"]["default"]
    [port] = services["store"]["spec"]["ports"]
    assert settings["endpoint"] == f"http://store.kubeflow:{port['port']}"
    assert f"becomes `{launcher['defaultPipelineRoot']}`" in GUIDE
    secret = settings["credentials"]["secretRef"]
    [made] = [
        words for words in commands("kubectl") if words[:4] == ["create", "secret", "generic", secret["secretName"]]
    ]
    assert {secret["accessKeyKey"], secret["secretKeyKey"]} < {word.removeprefix("--from-file=") for word in made}

    [keys] = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "s3.json").write_text(keys)
    [pair] = json.loads(keys)["identities"][0]["credentials"]
    with running_store(weed, tmp_path / "store", f"-s3.config={tmp_path}/s3.json") as store:
        client, stranger = (
            boto3.client(
                "s3",
                endpoint_url=store.endpoint,
                region_name=settings["region"],
                aws_access_key_id=pair["accessKey"],
                aws_secret_access_key=key,
                config=Config(retries={"total_max_attempts": 10}),
            )
            for key in (pair["secretKey"], "another")
        )
        bucket = launcher["defaultPipelineRoot"].split("/")[2]
        client.put_object(Bucket=bucket, Key="v2/digits", Body=b"1")
        assert client.get_object(Bucket=bucket, Key="v2/digits")["Body"].read() == b"1"
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.put_object(Bucket=bucket, Key="v2/digits", Body=b"2")


def commands(program: str) -> list[list[str]]:
    """Arguments of the guide's commands that begin with a word."""
    lines = re.findall(r"^ +\$ (.*?)(?: &| +#.*)?$", GUIDE, re.MULTILINE)
    return [words[1:] for words in map(shlex.split, lines) if words[0] == program]


def test_the_guide_has_no_command_that_nothing_here_checks():
    lines = re.findall(r"^ +\$ (\S+)", GUIDE, re.MULTILINE)
    assert set(lines) <= {"make", "docker", "kubectl", "export", "tfx", "tfx-vision", "mvn", "pytest"}
    assert all(words[0] == "push" for words in commands("docker"))
    assert {words[0] for words in commands("kubectl")} <= {"apply", "create", "port-forward"}


def parse(command: click.Command, words: list[str]) -> None:
    """Has click read a command line to its end, without running it; wrong options and arguments raise."""
    context = command.make_context(command.name, list(words))
    if isinstance(command, click.Group):
        _, inner, rest = command.resolve_command(context, context._protected_args + context.args)
        parse(inner, rest)


@pytest.mark.parametrize("words", commands("tfx-vision"), ids=" ".join)
def test_tfx_vision_takes_the_guide_s_commands(words, monkeypatch):
    monkeypatch.chdir(PROJECT)
    parse(console.main, words)


@pytest.mark.parametrize("words", commands("tfx"), ids=" ".join)
def test_tfx_takes_the_guide_s_commands(words, monkeypatch):
    from tfx.tools.cli.cli_main import cli_group

    monkeypatch.chdir(PROJECT)
    parse(cli_group, words)


@pytest.mark.parametrize("words", commands("make"), ids=" ".join)
def test_make_takes_the_guide_s_commands(words):
    told = subprocess.run(["make", "--dry-run", *words], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert "build -f kfp/Dockerfile -t" in told.stdout


def test_maven_and_pytest_get_files_that_are_there():
    """What Maven brings is where the next line of the guide has the tests look for it."""
    [maven] = commands("mvn")
    xml.etree.ElementTree.parse(PROJECT / maven[maven.index("-f") + 1])
    [folder] = [word.removeprefix("-DoutputDirectory=") for word in maven if word.startswith("-DoutputDirectory=")]
    assert [f"{FLINK_CLASSPATH}={folder}/*"] in commands("export")
    for words in commands("pytest"):
        assert words[:2] == ["-m", "slow"]
        assert all(list(PROJECT.glob(name)) for name in words[2:])


def test_kubectl_gets_files_that_are_checked_and_objects_that_are_mounted():
    known = {named(one) for one in manifests("cluster")}
    mounted = str(manifests("cluster")) + str([secret.name for secret in configuration().kubeflow.secrets])
    for words in commands("kubectl"):
        if words[0] == "apply":
            for name in words[2::2]:
                assert (PROJECT / name).exists(), name
        elif words[0] == "create":
            assert f"'{words[words.index('-n') - 1]}'" in mounted, words
    assert {"StatefulSet store", "StatefulSet metadata-postgres-db"} <= known


def test_the_guide_names_files_that_are_there():
    for name in re.findall(r"(?<!ml)(?:kfp|configs|tests|pipeline)/[\w/.*-]+\w", GUIDE):
        assert list(PROJECT.glob(name)), name


def test_image_s_packages_are_those_that_are_tested():
    """The image's locks are made from the developers' lock: `sh kfp/lock.sh` after it changed."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[^ ]+)", (PROJECT / name).read_text(), re.MULTILINE))

    image = pins("kfp/requirements.lock")
    assert image <= pins("requirements.lock")
    assert image <= pins("kfp/requirements-gpu.lock")
    assert not [pin for pin in image if pin.startswith(("pytest", "ruff", "mypy"))]
