"""A real API server of Kubernetes and its etcd, on loopback, as long as a test needs them.

No controllers, scheduler or nodes: what is created is judged and stored, and nothing runs. The variables that name the
programs are those of controller-runtime's envtest.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes import client
from store import free_ports

ETCD, API_SERVER = "TEST_ASSET_ETCD", "TEST_ASSET_KUBE_APISERVER"
TOKEN = "of-the-test"
PATIENCE_SECONDS = 120


@contextlib.contextmanager
def running() -> Iterator[client.ApiClient]:
    """Starts both and yields an administrator's client; skips the test where the programs are not at hand."""
    programs = [os.environ.get(name, "") for name in (ETCD, API_SERVER)]
    if missing := [name for name, program in zip((ETCD, API_SERVER), programs, strict=True) if not program]:
        pytest.skip(f"no Kubernetes API server to ask: {' and '.join(missing)} should name the program")
    etcd, api_server = programs
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store, peer, secure = free_ports(3)
        etcd_url, peer_url = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peer}"
        options = {
            "data-dir": folder / "etcd",
            "unsafe-no-fsync": "true",
            "listen-client-urls": etcd_url,
            "advertise-client-urls": etcd_url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"default={peer_url}",
        }
        stack.enter_context(process(folder / "etcd.log", etcd, options))
        (folder / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
        (folder / "accounts.key").write_bytes(private_key())
        options = {
            "etcd-servers": etcd_url,
            "cert-dir": folder / "certificates",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": secure,
            "service-cluster-ip-range": "10.0.0.0/24",
            "service-account-issuer": "https://127.0.0.1",
            "service-account-signing-key-file": folder / "accounts.key",
            "service-account-key-file": folder / "accounts.key",
            "authorization-mode": "RBAC",
            "token-auth-file": folder / "tokens.csv",
        }
        server = stack.enter_context(process(folder / "api.log", api_server, options))
        configuration = client.Configuration(host=f"https://127.0.0.1:{secure}")
        configuration.ssl_ca_cert = str(folder / "certificates/apiserver.crt")
        configuration.api_key = {"authorization": f"Bearer {TOKEN}"}
        wait(server, configuration, folder / "api.log")
        yield stack.enter_context(client.ApiClient(configuration))


def wait(server: subprocess.Popen, configuration: client.Configuration, log: Path) -> None:
    """Until the API server is ready."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        time.sleep(0.2)
        if not Path(configuration.ssl_ca_cert).exists():
            continue
        with contextlib.suppress(Exception), client.ApiClient(configuration) as api:
            if api.call_api("/readyz", "GET", auth_settings=["BearerToken"], response_type="str")[1] == 200:
                return
    raise AssertionError(f"The API server did not start: {log.read_text()[-3000:]}")


@contextlib.contextmanager
def process(log: Path, program: str, options: Mapping[str, Any]) -> Iterator[subprocess.Popen]:
    """A process that ends with the block."""
    command = [program, *(f"--{name}={value}" for name, value in options.items())]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as started:
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()


def private_key() -> bytes:
    """What tokens of service accounts are signed with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def go_module(folder: Path, module: str) -> Path:
    """The sources of a Go module, such as github.com/kserve/kserve@v0.15.2; skips the test where they cannot be had."""
    if shutil.which("go") is None:
        pytest.skip(f"there is no Go to fetch {module} with")
    (folder / "go.mod").write_text("module x\n")
    command = ["go", "mod", "download", "-json", module]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"{module} cannot be fetched: {fetched.stderr}")
    return Path(json.loads(fetched.stdout)["Dir"])
