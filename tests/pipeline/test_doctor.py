"""`tfx-vision doctor`: what it finds, and what it says about what is missing."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import doctor
from pipeline.doctor import Finding


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole search path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_it_reports_every_topic() -> None:
    findings = {finding.topic: finding for finding in doctor.examine()}
    expected = {"Python", "tfx", "tensorflow", "tf-keras", "apache-beam", "kfp", "C runtime", "Cores", "Memory"}
    assert expected <= set(findings)
    assert {"Accelerators", "TensorFlow Serving", "Container engine", "Kubeflow"} <= set(findings)
    assert not [finding for finding in findings.values() if finding.needed and finding.cost]


def test_it_imports_nothing_heavy() -> None:
    code = """
import sys
from pipeline.doctor import examine, show
show(examine())
sys.exit(str({"tensorflow", "tfx", "apache_beam", "kfp", "pydantic"} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stderr.strip() == "set()"


def test_a_missing_package_costs_everything() -> None:
    finding = doctor.package("no-such-package")
    assert finding.needed and finding.state == "not installed" and "make setup" in finding.cost


def test_the_c_library_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "loaded_libraries", lambda: "/usr/lib/x86_64-linux-gnu/libc.so.6")
    assert doctor.runtime().state.endswith("of this system")
    private = Path(sys.prefix) / "c-runtime"
    monkeypatch.setattr(doctor, "loaded_libraries", lambda: f"{private}/usr/lib/x86_64-linux-gnu/libc.so.6")
    assert f"private to the environment in {private}; the system has " in doctor.runtime().state


def test_a_gpu_is_named(programs: Path) -> None:
    program(programs / "nvidia-smi", "echo 'NVIDIA L4, 23034 MiB'")
    assert doctor.accelerators() == Finding("Accelerators", "NVIDIA L4, 23034 MiB")


def test_what_is_not_there_says_what_it_costs(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(programs / "none"))
    assert "development server" in doctor.tensorflow_serving().cost
    assert doctor.container_engine().state == "neither docker nor podman"
    assert "local runs need none" in doctor.container_engine().cost
    assert "not started there" in doctor.kubeflow().cost


def test_an_engine_that_does_not_answer_is_not_at_hand(programs: Path) -> None:
    program(programs / "docker", "exit 1")
    assert doctor.container_engine().state == "docker does not answer"
    program(programs / "podman", "echo 5.4.2")
    assert doctor.container_engine() == Finding("Container engine", "podman 5.4.2")


def test_a_program_that_hangs_is_given_up(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SECONDS", 0.1)
    program(programs / "docker", "while :; do :; done")
    assert doctor.container_engine().state == "docker does not answer"


def test_tensorflow_serving_is_found(programs: Path) -> None:
    program(programs / "tensorflow_model_server", "")
    assert doctor.tensorflow_serving() == Finding("TensorFlow Serving", str(programs / "tensorflow_model_server"))


def test_an_endpoint_is_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", f"http://127.0.0.1:{port}/pipeline")
    assert doctor.kubeflow() == Finding("Kubeflow", f"http://127.0.0.1:{port}/pipeline")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:port"])
def test_an_endpoint_that_does_not_answer_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", endpoint)
    finding = doctor.kubeflow()
    assert f"{endpoint} does not answer" in finding.state
    assert finding.cost


def test_a_kubeconfig_is_an_endpoint_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    (tmp_path / "config").write_text("")
    assert not doctor.kubeflow().cost


def test_what_is_shown_is_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.show([Finding("Disk", "in [bold]x[/]", "make [red] room"), Finding("tfx", "1.21.0")])
    printed = capsys.readouterr().out
    assert "in [bold]x[/]" in printed and "make [red] room" in printed
    assert [line[0] for line in printed.splitlines()] == ["!", " ", "✓"]
