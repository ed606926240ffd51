"""The page at `/` in a browser: a picture is dropped, and what the model sees in it is shown."""

import base64
import http.server
import io
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.serving.running import Server

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DROP = """<script>
addEventListener("load", async () => {
  const bytes = Uint8Array.from(atob("%s"), character => character.charCodeAt(0))
  const transfer = new DataTransfer()
  transfer.items.add(new File([bytes], "picture", { type: "image/png" }))
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer }))
})
</script>"""


@pytest.fixture(params=["blue", "black", "none"])
def page(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A picture's name, and the address of the page with a script that drops it; the rest comes from the server."""
    buffer = io.BytesIO()
    if request.param == "none":
        buffer.write(b"no picture")
    else:
        Image.new("RGB", (8, 8), request.param).save(buffer, "PNG")
    script = DROP % base64.b64encode(buffer.getvalue()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on(httpx.get(server.rest + self.path), script if self.path == "/" else "")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.pass_on(httpx.post(server.rest + self.path, content=body))

        def pass_on(self, response: httpx.Response, more: str = "") -> None:
            self.send_response(response.status_code)
            for name in ("content-type", "model-version"):
                if name in response.headers:
                    self.send_header(name, response.headers[name])
            self.end_headers()
            self.wfile.write(response.content + more.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield request.param, f"http://127.0.0.1:{proxy.server_port}/"
        proxy.shutdown()


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_a_picture_is_dropped(page: tuple[str, str], tmp_path: Path) -> None:
    picture, address = page
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [str(BROWSER), *flags.split(), "--disable-component-update", "--disable-sync", "--enable-logging=stderr"]
    options = [f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000", "--dump-dom", address]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=True)
    rows = re.findall(r"<li><span[^>]*>(\w+)</span>.*?<em>([\d.]+) %</em>", done.stdout)
    [trouble] = re.findall(r'<p id="trouble"[^>]*>(.*?)</p>', done.stdout)
    if picture == "blue":
        assert "CONSOLE" not in done.stderr
        assert rows[0][0] == "blue" and float(rows[0][1]) > 90 and len(rows) == 3
        assert not trouble
        assert "version 1" in done.stdout
    elif picture == "black":
        assert trouble == "The model cannot use this picture: is black all over" and not rows
    else:
        assert trouble.startswith("Unknown image file format.") and not rows
