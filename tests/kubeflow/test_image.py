"""The compiled pipeline run inside the built image: `make image`, then TFX_VISION_IMAGE=tfx-vision pytest -m slow.

The steps' containers have a numeric user, no privileges, a root file system that cannot be written to, and no network:
what they read and write is the volumes and the artifacts that the launcher copies from and to the store.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import conformance
import kfp
import pytest
import yaml
from api_server import running_kubeflow
from pods import USER, Containers

from pipeline.kubeflow.compile import compile_pipeline
from serving import versions
from transform.config import to_json

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]
IMAGE = os.environ.get("TFX_VISION_IMAGE", "")
LARGEST, LARGEST_WITH_CUDA = 2.6e9, 6.7e9
"""Bytes of the image; the guide says how large it is."""
OF_CUDA = "cudart cublas cublasLt cudnn cufft cusolver cusparse cupti nccl nvrtc".split()
"""Libraries without which a GPU is not used, or not whole."""
CUDNN = "pkg:pypi/nvidia-cudnn-cu12"
"""Which is in the image with CUDA only."""
IMPORTS = """
import importlib, pkgutil
for package in "transform", "trainer_module", "components", "serving", "pipeline":
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)
for name in "io.gcp.gcsio", "io.aws.s3filesystem", "runners.worker.worker_pool_main", "runners.worker.sdk_worker_main":
    importlib.import_module("apache_beam." + name)
"""
LIBRARIES = """
import ctypes, glob, json, os, tensorflow
packages = os.path.dirname(os.path.dirname(tensorflow.__file__))
loaded, missing = [], {}
for path in sorted(glob.glob(f"{packages}/nvidia/*/lib/*.so.*")):
    try:
        ctypes.CDLL(path)
        loaded.append(os.path.basename(path).split(".")[0])
    except OSError as error:
        missing[os.path.basename(path).split(".")[0]] = str(error).split(":")[0]
compiler, bitcode = (f"{packages}/nvidia/cuda_nvcc/{name}" for name in ("bin/ptxas", "nvvm/libdevice/libdevice.10.bc"))
print(json.dumps({
    "CUDA": tensorflow.test.is_built_with_cuda(),
    "loaded": loaded,
    "missing": missing,
    "compiler": os.access(compiler, os.X_OK) and os.path.exists(bitcode),
}))
"""


@pytest.fixture(scope="module")
def docker():
    found = os.environ.get("DOCKER") or shutil.which("docker")
    if not IMAGE or not found:
        pytest.skip("give the image in TFX_VISION_IMAGE; an engine is needed, docker or what DOCKER names")
    return found


def test_it_ends_with_a_pushed_model(docker, store, cluster_config, digits_folder, tmp_path):
    models = tmp_path / "models"
    models.mkdir(mode=0o777)
    models.chmod(0o777)
    (images := tmp_path / "images").mkdir()
    shutil.copytree(digits_folder, images / "digits")
    for folder in (images, images / "digits"):  # pytest's folders are their owner's alone
        folder.chmod(0o755)
    compile_pipeline(cluster_config(image=IMAGE, webhook=None), tmp_path / "pipeline.yaml")
    pods = Containers(docker, {"images": images, "models": models})
    run = conformance.Cluster(store, "s3://pipelines/v2/artifacts", tmp_path / "pods", pods).run(
        tmp_path / "pipeline.yaml"
    )
    failed = [task for task in run.tasks.values() if task.state == "FAILED"]
    assert not failed, "\n".join(task.log.read_text()[-3000:] for task in failed if task.log)
    assert set(run.states().values()) == {"SUCCEEDED"}
    assert versions.read_manifest(models / "digits", 1).metrics["accuracy"] >= 0.9
    print(json.dumps({name: round(task.seconds, 1) for name, task in run.tasks.items()}))


def packages(docker) -> set[str]:
    """What the bill of materials names, without versions."""
    shown = ["run", "--rm", "--network=none", "--entrypoint=cat", IMAGE, "/opt/venv/sbom.cdx.json"]
    bill = json.loads(subprocess.run([docker, *shown], check=True, capture_output=True, text=True).stdout)
    return {component["purl"].split("@")[0] for component in bill["components"]}


def test_the_pod_that_looks_for_new_spans_starts_a_run(docker, cluster_config, compiled_file, tmp_path):
    """What kfp/cluster/new-span.yaml starts every ten minutes, with its volumes, at a server that has KFP's API."""
    [cron_job, _] = yaml.safe_load_all((PROJECT / "kfp/cluster/new-span.yaml").read_text())
    [container] = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    folders = {"images": tmp_path / "images", "config": tmp_path / "config", "tmp": tmp_path / "tmp"}
    for folder in folders.values():
        folder.mkdir()
        folder.chmod(0o777)
    (folders["images"] / "span-7/cats").mkdir(parents=True)
    (folders["images"] / "span-7/cats/a.png").write_bytes(b"an image")
    options = ["--rm", "--read-only", "--network=host", f"--user={USER}", "--cap-drop=ALL"]
    options += [f"--volume={folders[one['name']]}:{one['mountPath']}" for one in container["volumeMounts"]]
    with running_kubeflow() as (endpoint, cluster):
        kfp.Client(host=endpoint).upload_pipeline(str(compiled_file), pipeline_name="digits")
        settings = to_json(cluster_config(endpoint=endpoint))
        settings["data"]["path"] = "/mnt/images/span-{SPAN}"
        (folders["config"] / "config.yaml").write_text(yaml.safe_dump(settings))
        command = [docker, "run", *options, IMAGE, *container["args"]]
        told = subprocess.run(command, capture_output=True, text=True)
        assert "Started digits-span-7" in told.stdout, told.stderr
        [run] = cluster.runs.values()
        assert run.runtime_config["parameters"]["span"] == 7


def test_image_says_what_it_is_and_what_is_in_it(docker):
    inspected = subprocess.run([docker, "inspect", IMAGE], check=True, capture_output=True, text=True).stdout
    [image] = json.loads(inspected)
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert config["Labels"]["org.opencontainers.image.title"] == "tfx-vision"
    purls = packages(docker)
    assert {"pkg:pypi/tensorflow", "pkg:pypi/tfx-vision", "pkg:deb/debian/libc6"} <= purls
    assert not {"pkg:deb/debian/gcc", "pkg:pypi/pytest"} & purls
    assert image["Size"] < (LARGEST_WITH_CUDA if CUDNN in purls else LARGEST)


def test_nothing_is_left_out_that_a_module_imports(docker):
    """Every module of the project, and what Beam imports when it comes to a store or to a worker on Flink."""
    limits = ["--read-only", "--network=none", f"--user={USER}", "--tmpfs=/tmp"]
    told = subprocess.run(
        [docker, "run", "--rm", *limits, "--entrypoint=python", IMAGE, "-c", IMPORTS], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr[-3000:]


def test_cuda_s_libraries_load_but_for_the_driver(docker):
    """TensorFlow is built with CUDA, and each library finds those it needs; the node's runtime brings the driver."""
    if CUDNN not in packages(docker):
        pytest.skip("the image is the one without CUDA")
    limits = ["--read-only", "--network=none", f"--user={USER}", "--tmpfs=/tmp"]
    told = subprocess.run(
        [docker, "run", "--rm", *limits, "--entrypoint=python", IMAGE, "-c", LIBRARIES], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr[-3000:]
    found = json.loads(told.stdout)
    assert found["CUDA"] and found["compiler"]
    assert {f"lib{name}" for name in OF_CUDA} <= set(found["loaded"])
    assert set(found["missing"].values()) <= {"libcuda.so.1"}
