"""The `tfx-vision` command: what it prints, what it exits with, what it leaves unimported."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipeline import console
from pipeline.commands import serving
from pipeline.config import ConfigError, build_config, load_config
from transform.config import to_json

MINIMAL = "name: flowers\ndata: {path: flowers}\n"


def tfx_vision(*words: object) -> Result:
    result = CliRunner().invoke(console.main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("flowers.yaml").write_text(MINIMAL)
    return tmp_path


@pytest.fixture
def rest() -> Iterator[str]:
    """A server that has the model `roses` and answers every prediction with `red`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200 if self.path == "/v1/models/roses" else 404, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            row = {"label": "red", "probability": 0.75, "classes": ["red", "white"], "probabilities": [0.75, 0.25]}
            self.answer(200, {"predictions": [row for _ in body["instances"]]})

        def answer(self, status: int, document: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from pipeline.console import main
try:
    main(["--help"])
finally:
    heavy = {"tensorflow", "tfx", "apache_beam", "pydantic", "yaml", "rich", "numpy", "PIL"} & set(sys.modules)
    print(heavy, file=sys.stderr)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0
    assert process.stderr.strip() == "set()"
    assert "First steps" in process.stdout


@pytest.mark.parametrize(
    "words", [[], *([name] for name in console.main.commands), ["config", "show"], ["data", "fetch"]]
)
def test_every_command_explains_itself(words: list[str]) -> None:
    result = tfx_vision(*words, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output and "…" not in result.output


def test_run_passes_the_configuration_on_and_exits_with_its_status(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import local_runner

    seen = []

    def run(config: object, *, verbose: bool) -> int:
        seen.append((config, verbose))
        return 3

    monkeypatch.setattr(local_runner, "run", run)
    assert tfx_vision("run", "flowers.yaml", "--set", "trainer.epochs=3", "--verbose").exit_code == 3
    assert seen == [(load_config("flowers.yaml", ["trainer.epochs=3"]), True)]


def test_a_wrong_configuration_exits_with_2_and_no_traceback(here: Path) -> None:
    result = tfx_vision("run", "flowers.yaml", "--set", "trainer.epocs=3")
    assert result.exit_code == 2
    assert result.stderr == "Error: flowers.yaml:\n  trainer.epocs: unknown key; did you mean epochs?\n"
    assert tfx_vision("run", "absent.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (ConfigError("name: is required"), 2, "Error: name: is required\n"),
        (OSError(28, "No space left on device", "runs/x"), 1, "Error: runs/x: No space left on device\n"),
        (KeyboardInterrupt(), 130, "\nInterrupted; the same command continues where it can.\n"),
    ],
)
def test_errors_end_as_sentences(
    here: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, printed: str
) -> None:
    from pipeline import local_runner

    def run(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(local_runner, "run", run)
    result = tfx_vision("run", "flowers.yaml")
    assert (result.exit_code, result.stderr) == (status, printed)


def test_a_bug_keeps_its_traceback(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import local_runner

    monkeypatch.setattr(local_runner, "run", lambda *_, **__: {}["absent"])
    assert isinstance(CliRunner().invoke(console.main, ["run", "flowers.yaml"]).exception, KeyError)


def test_config_show_prints_yaml_that_means_the_same(here: Path) -> None:
    Path("flowers.yaml").write_text(MINIMAL + "model: {filters: [8]}\npusher: {destination: 'a: b'}\n")
    result = tfx_vision("config", "show", "flowers.yaml", "--set", "trainer.epochs=3")
    assert result.exit_code == 0
    shown = build_config(yaml.safe_load(result.stdout), "shown")
    assert to_json(shown) == to_json(load_config("flowers.yaml", ["trainer.epochs=3"]))
    assert "  # Epochs, at most.\n  epochs: 3  # default: 10\n" in result.stdout
    assert "\x1b" not in result.stdout


def test_config_show_describes_sections_of_a_kind_once(here: Path) -> None:
    printed = tfx_vision("config", "show", "flowers.yaml").stdout
    comments = [line.strip() for line in printed.splitlines() if line.strip().startswith("#")]
    assert comments.count("# Memory at most; a step that needs more is killed.") == 1
    assert "#" not in comments


def test_data_fetch_says_when_there_is_nothing_to_do(here: Path) -> None:
    assert tfx_vision("data", "fetch", "digits", "my digits").exit_code == 0
    result = tfx_vision("data", "fetch", "digits", "my digits")
    assert (result.exit_code, result.stdout) == (0, "my digits already holds digits\n")


def test_data_fetch_into_an_occupied_folder_is_a_sentence(here: Path) -> None:
    result = tfx_vision("data", "fetch", "digits", ".")
    assert result.exit_code == 1
    assert result.stderr == "Error: . already holds other files; give a folder that is new or empty.\n"


def test_init_of_a_missing_folder_is_a_sentence(here: Path) -> None:
    result = tfx_vision("init", "absent")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: absent does not exist")


def test_init_shows_what_it_found(here: Path) -> None:
    from PIL import Image

    for label in ("circle", "square"):
        (here / "shapes" / label).mkdir(parents=True)
        Image.new("L", (10, 10)).save(here / "shapes" / label / "1.png")
    result = tfx_vision("init", "shapes", "-o", "folder/mine.yaml")
    assert result.exit_code == 0
    assert "2 images in 2 classes: PNG, grey, 10 x 10 pixels" in result.stdout
    assert result.stdout.endswith("Wrote folder/mine.yaml\n")
    assert load_config("folder/mine.yaml").name == "shapes"


def test_serve_takes_a_configuration(here: Path) -> None:
    Path("flowers.yaml").write_text(MINIMAL + "serving: {rest_port: 9}\npusher: {destination: /models/flowers}\n")
    destination, settings, name = serving.served("flowers.yaml")
    assert (destination, settings.rest_port, name) == ("/models/flowers", 9, "flowers")


@pytest.mark.parametrize(
    ("argument", "destination", "name"),
    [
        ("runs/roses", "runs/roses/serving", "roses"),
        ("runs/roses/serving", "runs/roses/serving", "roses"),
        ("runs/roses/serving/2", "runs/roses/serving/2", "roses"),
        ("models/tulips", "models/tulips", "tulips"),
    ],
)
def test_serve_finds_the_model(here: Path, argument: str, destination: str, name: str) -> None:
    Path("runs/roses/serving/2").mkdir(parents=True)
    Path("models/tulips").mkdir(parents=True)
    found = serving.served(argument)
    assert (found[0], found[2]) == (destination, name)


def test_serve_of_the_current_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/roses/serving").mkdir(parents=True)
    monkeypatch.chdir("runs/roses")
    assert serving.served(".")[2] == "roses"


def test_serve_without_a_model_is_a_sentence(here: Path) -> None:
    Path("runs/roses").mkdir(parents=True)
    Path("runs/roses/metadata.db").write_text("")
    result = tfx_vision("serve", "runs/roses")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: runs/roses has pushed no model yet")
    assert "There is no absent" in tfx_vision("serve", "absent").stderr
    assert "No model version is in" in tfx_vision("serve", "runs").stderr


def test_serve_options_replace_the_configuration(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import serving.server

    seen = []
    monkeypatch.setattr(serving.server, "serve", lambda *args, **kwargs: seen.append((args, kwargs)))
    Path("flowers.yaml").write_text(MINIMAL + "serving: {rest_port: 9, grpc_port: 10}\n")
    assert tfx_vision("serve", "flowers.yaml", "--rest-port", 0, "--name", "tulips").exit_code == 0
    [((_, settings), keywords)] = seen
    assert (settings.rest_port, settings.grpc_port, settings.model_name) == (0, 10, "tulips")
    assert keywords == {"model_name": "flowers"}
    assert tfx_vision("serve", "flowers.yaml", "--rest-port", 70000).exit_code == 2


def test_predict_prints_a_line_per_image(here: Path, rest: str) -> None:
    Path("runs/roses/serving").mkdir(parents=True)
    for name in ("a.png", "longer name.png"):
        Path(name).write_bytes(b"picture")
    result = tfx_vision("predict", "a.png", "longer name.png", "--url", rest)
    assert result.stdout == "a.png            red   75.0%\nlonger name.png  red   75.0%\n"


def test_predict_prints_json(here: Path, rest: str) -> None:
    Path("a.png").write_bytes(b"picture")
    result = tfx_vision("predict", "a.png", "--url", rest, "--model", "roses", "--json")
    assert json.loads(result.stdout) == [
        {
            "image": "a.png",
            "label": "red",
            "probability": 0.75,
            "probabilities": {"red": 0.75, "white": 0.25},
            "status": "",
            "version": None,
        }
    ]


def test_predict_asks_the_server_which_run_it_serves(here: Path, rest: str) -> None:
    for name in ("flowers", "roses", "tulips"):
        Path(f"runs/{name}/serving").mkdir(parents=True)
    assert serving.served_model(rest, Path("runs")) == "roses"


def test_predict_without_a_model_says_how_to_name_it(here: Path, rest: str) -> None:
    for name in ("flowers", "tulips"):
        Path(f"runs/{name}/serving").mkdir(parents=True)
    result = tfx_vision("predict", "a.png", "--url", rest)
    assert result.exit_code == 1
    assert "--model" in result.stderr and "flowers, tulips" in result.stderr


def test_predict_without_a_server_is_a_sentence(here: Path) -> None:
    Path("a.png").write_bytes(b"picture")
    result = tfx_vision("predict", "a.png", "--url", "http://127.0.0.1:1", "--model", "roses")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: No server answers at http://127.0.0.1:1/")


def test_report_prints_its_path(here: Path) -> None:
    Path("runs/flowers").mkdir(parents=True)
    missing = tfx_vision("report", "runs/flowers")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr.startswith("Error: There is no runs/flowers/report.html")
    Path("runs/flowers/report.html").write_text("")
    assert tfx_vision("report", "runs/flowers").stdout == "runs/flowers/report.html\n"
    assert tfx_vision("report", "flowers.yaml").stdout == f"{here}/runs/flowers/report.html\n"
