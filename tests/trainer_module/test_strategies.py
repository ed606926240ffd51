"""Batch sizes, and two real workers against one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from trainer_module import parameter_server
from trainer_module.config import TrainerConfig
from trainer_module.settings import TrainingSettings
from trainer_module.strategies import build_strategy, global_batch_size, name_of

TOLERANCE = 1e-5
"""Of every weight after three epochs: the workers add up their gradients in another order."""


def test_the_batch_size_counts_all_replicas_or_each():
    two = SimpleNamespace(num_replicas_in_sync=2)
    assert global_batch_size(TrainerConfig(batch_size=32), two) == 32
    assert global_batch_size(TrainerConfig(batch_size=32, batch_size_is="per_replica"), two) == 64


def test_a_batch_that_replicas_cannot_share_names_one_that_they_can():
    with pytest.raises(ValueError, match=r"trainer\.batch_size: 64 .* by 3 replicas; take 63"):
        global_batch_size(TrainerConfig(batch_size=64), SimpleNamespace(num_replicas_in_sync=3))


def start(pattern: str, folder: Path, tf_config: dict[str, object] | None = None) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    environment |= {"TF_CONFIG": json.dumps(tf_config)} if tf_config else {}
    command = [sys.executable, str(Path(__file__).parent / "worker.py"), pattern, str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def facts(process: subprocess.Popen[str]) -> dict[str, object]:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def test_two_workers_train_the_same_model_as_one_and_end_when_the_chief_alone_has_written(split, tmp_path):
    pattern = str(Path(split.files[0]).parent / "*")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = [
        start(pattern, tmp_path / "two", {"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(2)
    ]
    assert [facts(worker) for worker in workers] == [
        {"chief": True, "replicas": 2, "written": True},
        {"chief": False, "replicas": 2, "written": True},
    ]
    assert facts(start(pattern, tmp_path / "one")) == {"chief": True, "replicas": 1, "written": True}
    two, one = (np.load(tmp_path / name / "weights.npz") for name in ("two", "one"))
    for name in one:
        assert np.abs(two[name] - one[name]).max() < TOLERANCE
    histories = [json.loads((tmp_path / name / "history.json").read_text()) for name in ("two", "one")]
    for name, values in histories[1].items():
        assert histories[0][name] == pytest.approx(values, abs=1e-4)
    assert len(list((tmp_path / "two").glob("tensorboard/train/events*"))) == 1


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("one_device", "OneDeviceStrategy"),
        ("mirrored", "MirroredStrategy"),
        ("multi_worker", "MultiWorkerMirroredStrategy"),
    ],
)
def test_the_log_calls_a_strategy_what_tensorflow_s_documentation_does(setting, name):
    assert name_of(build_strategy(setting)) == name


def test_without_a_tpu_the_setting_to_change_is_told(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(
        ValueError, match=r"trainer\.strategy: no TPU was found .* TPU_NAME, or set the strategy to auto"
    ):
        build_strategy("tpu")


def test_parameter_servers_without_a_cluster_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=r"parameter_server needs a TF_CONFIG that names chief, worker and ps"):
        build_strategy("parameter_server")


def test_what_needs_one_step_after_the_other_is_refused_with_parameter_servers():
    parameter_server.check(TrainingSettings())
    with pytest.raises(ValueError, match=r"trainer\.averaging cannot be had with parameter servers"):
        parameter_server.check(TrainingSettings(trainer=TrainerConfig(averaging="ema")))


@pytest.mark.slow
def test_workers_and_a_parameter_server_train_and_only_the_chief_writes(split, tmp_path):
    pattern = str(Path(split.files[0]).parent / "*")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(4)]
    cluster = {"chief": addresses[:1], "worker": addresses[1:3], "ps": addresses[3:]}
    tasks = [("worker", 0), ("worker", 1), ("ps", 0), ("chief", 0)]
    processes = [
        start(pattern, tmp_path / role / str(index), {"cluster": cluster, "task": {"type": role, "index": index}})
        for role, index in tasks
    ]
    *servants, chief = processes
    try:
        assert facts(chief) == {"chief": True, "replicas": 1}
        history = json.loads((tmp_path / "chief" / "0" / "history.json").read_text())
        assert len(history["val_loss"]) == 3 and history["loss"][-1] < history["loss"][0]
        for servant in servants:
            assert servant.wait(timeout=120) == 0, "what serves a chief ends after it"
        assert not (tmp_path / "worker").exists() and not (tmp_path / "ps").exists()
    finally:
        for process in processes:
            process.kill()
