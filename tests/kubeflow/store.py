"""An S3-compatible object store on this machine (SeaweedFS), and what KFP's launcher does with one."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.parse
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path

import httpx

STARTUP_SECONDS = 60


class Store:
    """Reads and writes objects by their URIs, s3://BUCKET/KEY."""

    def __init__(self, endpoint: str):
        self.endpoint = endpoint
        self._client = httpx.Client(base_url=endpoint, timeout=60, trust_env=False)

    def make_bucket(self, bucket: str) -> None:
        self._client.put(f"/{bucket}").raise_for_status()

    def list(self, uri: str) -> list[str]:
        """URIs of the objects whose URI begins with this one."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        found: list[str] = []
        query = {"list-type": "2", "prefix": prefix, "max-keys": "1000"}
        while True:
            response = self._client.get(f"/{bucket}", params=query).raise_for_status()
            page = xml.etree.ElementTree.fromstring(response.content)
            names = {element.tag.split("}")[-1]: element.text for element in page}
            found += [f"s3://{bucket}/{key.text}" for key in page.iter() if key.tag.endswith("}Key")]
            if names.get("IsTruncated") != "true":
                return found
            query["continuation-token"] = names["NextContinuationToken"] or ""

    def upload(self, local: Path, uri: str) -> None:
        """A file or a folder → objects (UploadBlob in KFP's object_store.go). Empty folders leave no trace."""
        files = [local] if local.is_file() else sorted(path for path in local.rglob("*") if path.is_file())
        for file in files:
            target = uri if local.is_file() else f"{uri}/{file.relative_to(local).as_posix()}"
            self._client.put(object_path(target), content=file.read_bytes()).raise_for_status()

    def download(self, uri: str, local: Path) -> None:
        """Objects → a file or a folder (DownloadBlob)."""
        for found in self.list(uri):
            if found != uri and not found.startswith(f"{uri}/"):
                continue
            target = local / found[len(uri) + 1 :] if found != uri else local
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self._client.get(object_path(found)).raise_for_status().content)


def object_path(uri: str) -> str:
    return "/" + urllib.parse.quote(uri.removeprefix("s3://"))


@contextlib.contextmanager
def running_store(weed: str, folder: Path, *options: str) -> Iterator[Store]:
    """SeaweedFS with its data in a folder, for as long as the context lasts; `options` are further ones of its own."""
    master, volume, filer, s3 = free_ports(4)
    command = [weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer", "-s3"]
    # Each also takes its number plus 10000 for gRPC unless told otherwise.
    ports = free_ports(4)
    command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}"]
    command += [f"-master.port.grpc={ports[0]}", f"-volume.port.grpc={ports[1]}", f"-filer.port.grpc={ports[2]}"]
    command += [f"-s3.port.grpc={ports[3]}", "-master.volumeSizeLimitMB=256", "-volume.max=50"]
    # Servers nobody asked for, on fixed ports: a second store on this machine would not start.
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", *options]
    folder.mkdir(parents=True, exist_ok=True)
    # Keys in its environment, as another store's may be, it would ask for itself.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (folder / "weed.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment)
    try:
        store = Store(f"http://127.0.0.1:{s3}")
        wait_until_ready(store, process, folder / "weed.log")
        yield store
    finally:
        process.kill()  # it takes half a minute to stop in order, and its data is not wanted any more
        process.wait()


def wait_until_ready(store: Store, process: subprocess.Popen, output: Path) -> None:
    """Until an object can be written, or is refused for want of a key."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if store._client.put("/ready").status_code == httpx.codes.FORBIDDEN:
                return
            store._client.put("/ready/probe", content=b"1").raise_for_status()
            return
        time.sleep(0.5)
    raise RuntimeError(f"SeaweedFS did not start: {output.read_text()[-2000:]}")


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
