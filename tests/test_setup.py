"""`make setup`: which interpreter it takes, what it does again and what not, and what it says when it cannot."""

import errno
import fcntl
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parent.parent
DEBIAN = {"VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}
UBUNTU = {"VERSION_CODENAME": "jammy", "PRETTY_NAME": "Ubuntu 22.04.5 LTS"}
LOCKED = (
    "pip==26.3 \\\n    --hash=sha256:aa\n"
    "tfx==1.21.0 \\\n    --hash=sha256:bb\n"
    "uv==0.13.9 \\\n    --hash=sha256:cc \\\n    --hash=sha256:dd\n"
    "uvicorn==0.54.0 \\\n    --hash=sha256:ee\n"
)


def load() -> Any:
    specification = importlib.util.spec_from_file_location("environment", PROJECT / "scripts" / "environment.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def settle(module: Any, project: Path) -> None:
    """Makes the module work for the project in this folder."""
    module.PROJECT, module.LOCK, module.VENV = project, project / "requirements.lock", project / ".venv"
    for name in ("STAMP", "RUNTIME", "LOG"):
        setattr(module, name, module.VENV / getattr(module, name).name)


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`scripts/environment.py` for a project in a path with a space, on Debian 12 with nothing set up."""
    module = load()
    project, keyring = tmp_path / "my project", tmp_path / "keyring.gpg"
    project.mkdir()
    keyring.touch()
    settle(module, project)
    module.APT = tmp_path / "apt"
    module.NEXT_RELEASE = {
        codename: (successor, keyring, package) for codename, (successor, _, package) in module.NEXT_RELEASE.items()
    }
    monkeypatch.setattr(module, "host_glibc", lambda: (2, 36))
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: DEBIAN)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    module.LOCK.write_text(LOCKED)
    (project / "pyproject.toml").write_text("[project]\n")
    return module


class Stages:
    """Stands in for the two slow stages, and can be killed in one of them."""

    def __init__(self, setup: Any) -> None:
        self.setup, self.killed_in = setup, ""
        self.done: list[str] = []
        setup.create_base, setup.install_packages = lambda: self.stage("base"), lambda: self.stage("packages")

    def folder(self) -> Path:
        return self.setup.VENV / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"

    def stage(self, name: str) -> None:
        self.done.append(name)
        for package in ("uv", "uv-0.13.9.dist-info", "pip") if name == "base" else ("uvicorn",):
            (self.folder() / package).mkdir(parents=True, exist_ok=True)
        if name == self.killed_in:
            raise SystemExit("killed")
        if name == "packages":
            (self.setup.VENV / "bin").mkdir(exist_ok=True)
            (self.setup.VENV / "bin" / "tfx-vision").touch()

    def run(self, killed_in: str = "") -> list[str]:
        """The stages that one set-up goes through."""
        self.done, self.killed_in = [], killed_in
        if killed_in:
            with pytest.raises(SystemExit, match="killed"):
                self.setup.set_up()
        else:
            self.setup.set_up()
        return self.done


@pytest.fixture
def stages(setup: Any) -> Stages:
    return Stages(setup)


# What is done again, and what is not


def test_a_second_call_does_nothing_and_says_nothing(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    assert stages.run() == ["base", "packages"]
    capsys.readouterr()
    assert stages.run() == []
    assert capsys.readouterr().out == ""


def test_an_interrupted_base_is_made_again(stages: Stages) -> None:
    stages.run(killed_in="base")
    assert stages.run() == ["base", "packages"]


def test_interrupted_packages_are_installed_again_on_the_same_base(stages: Stages) -> None:
    stages.run(killed_in="packages")
    (stages.folder() / "half_installed").mkdir()
    assert stages.run() == ["packages"]
    assert {entry.name for entry in stages.folder().iterdir()} == {"uv", "uv-0.13.9.dist-info", "pip", "uvicorn"}


def test_a_changed_lock_keeps_what_is_installed(stages: Stages) -> None:
    stages.run()
    (stages.folder() / "tensorflow").mkdir()
    stages.setup.LOCK.write_text(LOCKED.replace("tfx==1.21.0", "tfx==1.21.1"))
    assert stages.run() == ["packages"]
    assert (stages.folder() / "tensorflow").exists()


def test_a_changed_installer_makes_the_base_again(stages: Stages) -> None:
    stages.run()
    stages.setup.LOCK.write_text(LOCKED.replace("uv==0.13.9", "uv==0.14.0"))
    assert stages.run() == ["base", "packages"]


def test_a_moved_project_makes_the_base_again(stages: Stages) -> None:
    stages.run()
    settle(stages.setup, stages.setup.PROJECT.rename(stages.setup.PROJECT.with_name("moved")))
    assert stages.run() == ["base", "packages"]


def test_an_upgraded_system_makes_the_base_again(stages: Stages) -> None:
    stages.run()
    stages.setup.host_glibc = lambda: (2, 41)
    assert stages.run() == ["base", "packages"]


def test_a_set_up_at_work_is_waited_for(stages: Stages, capsys: pytest.CaptureFixture[str]) -> None:
    stages.run()
    finished = stages.setup.STAMP.read_text()
    with stages.setup.STAMP.open("w+") as stamp:
        fcntl.flock(stamp, fcntl.LOCK_EX)
        waiting = threading.Thread(target=stages.run)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive() and "waiting for it" in capsys.readouterr().out
        stamp.write(finished)
    waiting.join(10)
    assert stages.done == []


def test_a_program_left_behind_by_a_killed_set_up_holds_the_lock(setup: Any) -> None:
    setup.VENV.mkdir()
    with setup.STAMP.open("a+") as stamp:
        setup.hold(stamp)
        started = threading.Thread(target=setup.execute, args=("sleep", "1"))
        started.start()
        while not setup.LOG.exists():
            started.join(0.01)
        started.join(0.2)
    with setup.STAMP.open("a+") as stamp, pytest.raises(BlockingIOError):
        fcntl.flock(stamp, fcntl.LOCK_EX | fcntl.LOCK_NB)
    started.join()


# Which interpreter


def shell(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a copy of `scripts/setup.sh`; the interpreters it can find only say their path."""
    scripts = tmp_path / "project" / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROJECT / "scripts" / "setup.sh", scripts)
    environment = {"PATH": "/usr/bin:/bin", "VENV": ".venv"} | variables
    return subprocess.run(["/bin/sh", str(scripts / "setup.sh")], env=environment, capture_output=True, text=True)


def interpreter(path: Path, works: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{"" if works else "exit 127"}\n[ "$1" = -c ] || echo "{path}"\n')
    path.chmod(0o755)
    return path


def test_an_environment_keeps_its_interpreter(tmp_path: Path) -> None:
    kept = interpreter(tmp_path / "opt" / "python3.13", works=True)
    other = interpreter(tmp_path / "bin" / "python3", works=True)
    (tmp_path / "project" / ".venv").mkdir(parents=True)
    (tmp_path / "project" / ".venv" / "pyvenv.cfg").write_text(f"home = x\nexecutable = {kept}\n")
    assert shell(tmp_path, PATH=f"{other.parent}:/usr/bin:/bin").stdout.strip() == str(kept)
    assert shell(tmp_path, PYTHON=str(other)).stdout.strip() == str(other)


def test_a_broken_python3_does_not_hide_a_working_one(tmp_path: Path) -> None:
    broken = interpreter(tmp_path / "shims" / "python3", works=False)
    working = interpreter(tmp_path / "with space" / "python3", works=True)
    assert shell(tmp_path, PATH=f"{broken.parent}:{working.parent}:/usr/bin:/bin").stdout.strip() == str(working)


def test_no_python(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sed", "dirname"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    result = shell(tmp_path, PATH=str(tools))
    assert result.returncode == 1
    assert result.stderr.startswith("setup: no CPython 3.11, 3.12 or 3.13 was found; install one")


def test_a_named_python_that_does_not_do(tmp_path: Path) -> None:
    result = shell(tmp_path, PYTHON=str(interpreter(tmp_path / "python3.8", works=False)))
    assert result.returncode == 1
    assert "python3.8 is not a working CPython 3.11, 3.12 or 3.13" in result.stderr


# What it says when it cannot


def says(sentence: str) -> Any:
    return pytest.raises(SystemExit, match=re.escape(sentence))


@pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "arm64")])
def test_another_architecture(setup: Any, monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with says(f"this is {system} on {machine}, and TFX 1.21 has wheels for Linux on x86_64 only"):
        setup.set_up()


def test_a_python_without_venv(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with says(f"apt-get install python3.{sys.version_info[1]}-venv, then make setup again."):
        setup.check_host()


def test_a_python_built_without_ssl(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "_ssl" else name)
    with says("was built without ssl; choose another Python with make setup PYTHON=."):
        setup.check_host()


@pytest.mark.parametrize("answer", [ValueError("unrecognized name"), OSError(errno.EINVAL, "invalid"), "musl 1.2"])
def test_musl(monkeypatch: pytest.MonkeyPatch, answer: Exception | str) -> None:
    def confstr(name: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(os, "confstr", confstr)
    with says("this host's C library is not glibc"):
        load().host_glibc()


def test_a_missing_lock(setup: Any) -> None:
    setup.LOCK.unlink()
    with says("requirements.lock is missing; restore it with git checkout requirements.lock."):
        setup.set_up()


def test_an_old_glibc_without_apt(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    red_hat = {"PRETTY_NAME": "Red Hat Enterprise Linux 9.5"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: red_hat)
    with says("Red Hat Enterprise Linux 9.5 has glibc 2.36 and TFX 1.21 needs 2.39, which set-up can add on"):
        setup.next_release()


@pytest.mark.parametrize(("system", "package"), [(DEBIAN, "debian-archive-keyring"), (UBUNTU, "ubuntu-keyring")])
def test_no_keyring(setup: Any, monkeypatch: pytest.MonkeyPatch, system: dict[str, str], package: str) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: system)
    for _, keyring, _ in setup.NEXT_RELEASE.values():
        keyring.unlink(missing_ok=True)
    with says(f"is missing, so packages cannot be verified; apt-get install {package}."):
        setup.next_release()


def test_no_apt_source(setup: Any) -> None:
    with says("no apt source for bookworm main is in"):
        setup.next_release()


def test_a_folder_of_somebody_else(stages: Stages) -> None:
    (stages.setup.VENV / "precious").mkdir(parents=True)
    (stages.setup.VENV / "pyvenv.cfg").touch()
    with says(f"{stages.setup.VENV} was not made by set-up; move it away, or choose another folder with VENV=."):
        stages.setup.set_up()
    assert stages.done == [] and (stages.setup.VENV / "precious").exists()


def test_a_path_with_a_colon(setup: Any) -> None:
    setup.VENV = setup.VENV.with_name("a:b")
    with says("Python makes no environments in a path with ':'"):
        setup.set_up()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full (here): the environment takes 3 GB; make room and run make setup again."),
        (errno.EROFS, "here cannot be written (Read-only file system); choose another folder"),
        (errno.ENOTDIR, "Not a directory: here; mend that and run make setup again."),
    ],
)
def test_a_folder_that_does_not_take_it(
    setup: Any, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def set_up() -> None:
        raise OSError(number, os.strerror(number), "here")

    setup.set_up = set_up
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with says(sentence):
        setup.main()


@pytest.mark.parametrize(
    ("program", "output", "sentence"),
    [
        ("uv", "error: failed to write: No space left on device (os error 28)", "the disk is full"),
        (
            "python",
            "WARNING: Retrying: NewConnectionError(...)\nERROR: No matching distribution",
            "the package registry",
        ),
        (
            "uv",
            "cause: dns error\ncause: failed to lookup address information",
            "the package registry cannot be reached",
        ),
        ("apt-get", "E: Failed to fetch x  Could not resolve 'mirror.example'", "apt's mirror cannot be reached"),
        ("uv", "cause: invalid peer certificate: UnknownIssuer", "name your certificates in SSL_CERT_FILE"),
        ("apt-get", "W: GPG error: NO_PUBKEY 0E98404D386FA1D9", "archive keyring does not know the next release"),
        ("uv", "error: Failed to build `rouge-score==0.1.2`", "rouge-score could not be built here"),
        ("patchelf", "something\nelse happened\n\n", "patchelf failed: else happened; run make setup again"),
    ],
)
def test_a_program_that_failed(setup: Any, program: str, output: str, sentence: str) -> None:
    assert sentence in setup.explanation(program, output.splitlines())


def test_a_disk_that_a_program_filled_without_saying_so(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.VENV.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0))  # type: ignore[attr-defined]
    assert "the disk is full" in setup.explanation("python3", ["Error: ensurepip returned exit status 1"])


# The private C runtime


@pytest.fixture
def sources(setup: Any) -> Callable[[str, str], None]:
    """Writes a file of apt's configuration."""

    def write(name: str, text: str) -> None:
        path = setup.APT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def test_sources_in_both_formats(setup: Any, sources: Callable[[str, str], None]) -> None:
    sources(
        "sources.list",
        "# deb http://no.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian bookworm main contrib # nearest\n"
        "deb-src http://no.example/debian bookworm main\n",
    )
    sources("sources.list.d/broken.list.save", "deb http://no.example/debian bookworm main\n")
    sources(
        "sources.list.d/debian.sources",
        "Types: deb deb-src\n# a comment\nuris: http://two.example/debian\n  http://three.example/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\nSigned-By:\n key\n .\n line\n\n"
        "Types: deb\nEnabled: no\nURIs: http://no.example/debian\nSuites: bookworm\nComponents: main\n",
    )
    assert setup.configured_sources() == [
        ("http://one.example/debian", "bookworm", ["main", "contrib"]),
        ("http://two.example/debian", "bookworm", ["main"]),
        ("http://two.example/debian", "bookworm-updates", ["main"]),
        ("http://three.example/debian", "bookworm", ["main"]),
        ("http://three.example/debian", "bookworm-updates", ["main"]),
    ]


@pytest.mark.parametrize(
    ("system", "codename", "successor"), [(DEBIAN, "bookworm", "trixie"), (UBUNTU, "jammy", "noble")]
)
def test_the_next_release_comes_from_the_mirror_that_its_keyring_verifies(
    setup: Any,
    sources: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    system: dict[str, str],
    codename: str,
    successor: str,
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: system)
    sources("sources.list.d/a-third-party.list", f"deb http://third.example/apt {codename} main\n")
    sources("sources.list.d/b-components.list", f"deb http://other.example/apt {codename} stable\n")
    sources("sources.list.d/c-distribution.list", f"deb http://mirror.example/archive {codename} main universe\n")
    setup.VENV.mkdir()
    asked = []

    def execute(*command: str | Path, cwd: Path | None = None) -> tuple[int, list[str]]:
        source = (setup.VENV / "apt" / "sources.list").read_text()
        asked.append((str(command[-1]) if "update" in command else "download", source.split()[-3]))
        assert source.endswith(f" {successor} main\n")
        if "third.example" in source:
            return 100, ["W: GPG error: NO_PUBKEY 0123"]
        if cwd:
            (cwd / "libc6.deb").touch()
        return 0, []

    def unpack(*command: str | Path) -> list[str]:
        folder = Path(command[-1]) / "usr/lib/x86_64-linux-gnu"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("libc.so.6", "libstdc++.so.6", "libgcc_s.so.1"):
            (folder / name).touch()
        return []

    setup.execute, setup.run = execute, unpack
    libraries = setup.unpack_runtime()
    assert asked == [
        ("update", "http://third.example/apt"),
        ("update", "http://mirror.example/archive"),
        ("download", "http://mirror.example/archive"),
    ]
    assert set(libraries) == {setup.RUNTIME / "usr/lib/x86_64-linux-gnu"}
    assert not (setup.VENV / "apt").exists()


def test_no_mirror_has_the_next_release(setup: Any, sources: Callable[[str, str], None]) -> None:
    sources("sources.list", "deb http://mirror.example/debian bookworm main\n")
    setup.VENV.mkdir()
    setup.execute = lambda *command, cwd=None: (100, ["E: Could not connect to mirror.example:80"])
    with says("apt's mirror cannot be reached"):
        setup.unpack_runtime()


# The locked packages


def test_the_lines_of_some_packages(setup: Any) -> None:
    assert setup.locked("uv", "pip").splitlines() == [
        *("pip==26.3 \\", "    --hash=sha256:aa", "uv==0.13.9 \\", "    --hash=sha256:cc \\", "    --hash=sha256:dd")
    ]


def test_the_lock_has_hashes_everywhere_and_addresses_nowhere() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    assert "://" not in lock
    blocks = [block for block in re.split(r"\n(?=\w)", lock) if block]
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_uv_uses_the_registry_that_pip_is_configured_with(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/mine.pem")
    monkeypatch.delenv("ALL_PROXY", raising=False)
    setup.run = lambda *command: [
        ":env:.index-url='https://mirror.example/simple'",
        "global.cert='/theirs.pem'",
        r"global.extra-index-url='https://a.example/simple\nhttps://b.example/simple'",
        "global.index-url='https://old.example/simple'",
        "global.progress-bar='off'",
    ]
    assert setup.registry_settings() == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_progress_in_one_line(setup: Any) -> None:
    lines = ["Resolved 232 packages in 3s", "Downloading scipy (33.7MiB)", "Downloading tensorflow (546.3MiB)"]
    assert setup.download_progress(lines[:1], 2.5) == "0:02, 0 of 0 large downloads"
    lines.append(" Downloaded scipy")
    assert setup.download_progress(lines, 95) == "1:35, 1 of 2 large downloads, now tensorflow (546.3MiB)"
    lines.append("Prepared 46 packages in 52.69s")
    assert setup.download_progress(lines, 120) == "2:00, installing the downloaded packages"


def test_a_failed_program_keeps_its_output_in_the_log(setup: Any) -> None:
    setup.VENV.mkdir()
    with says("sh failed: it broke; run make setup again"):
        setup.run("/bin/sh", "-c", "echo it began; echo it broke >&2; exit 3")
    assert setup.LOG.read_text().splitlines()[-2:] == ["it began", "it broke"]
