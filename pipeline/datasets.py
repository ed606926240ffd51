"""Public image sets as folders of PNG files: Fashion-MNIST from the Debian package, the digits of scikit-learn.

A folder appears at its place only when it is whole: pictures are written to a hidden folder first and moved then, so
an interrupted fetch is never mistaken for a data set, and the next one continues it.
"""

import gzip
import hashlib
import os
import platform
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from PIL import Image

Progress = Callable[[int, int], None]
"""Called now and then with the pictures written and their total."""

PACKAGE = "dataset-fashion-mnist"
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
SPLITS = {"train": "train", "test": "t10k"}
# Of the uncompressed content: a package that was compressed anew still holds the same pictures.
SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


class DatasetError(Exception):
    """A data set that cannot be had; the message says what to do."""


def fetch_fashion_mnist(directory: Path, progress: Progress = lambda done, total: None) -> None:
    """Writes Fashion-MNIST as DIRECTORY/{train,test}/CLASS/INDEX.png: 60,000 and 10,000 pictures, grey, 28 x 28 pixels.

    The files come from the Debian package `dataset-fashion-mnist` (MIT licence), without root and without
    installing it, and stay in the user's cache. Returns at once when the data set is already there.

    Raises:
      DatasetError: the package cannot be downloaded, is not what it should be, or `directory` cannot be written.
    """
    if not is_complete("fashion-mnist", directory):
        check_target("fashion-mnist", directory)
        try:
            source = cached_fashion_mnist()
        except OSError as error:
            raise DatasetError(f"{error.filename or cache_folder()}: {error.strerror}") from error
        write("fashion-mnist", directory, fashion_mnist(source), 70_000, progress)


def fetch_digits(directory: Path, progress: Progress = lambda done, total: None) -> None:
    """Writes scikit-learn's handwritten digits as DIRECTORY/DIGIT/INDEX.png: 1,797 pictures, grey, 8 x 8 pixels.

    The 17 levels of grey of the source become 0 … 255. Returns at once when the data set is already there.

    Raises:
      DatasetError: `directory` cannot be written.
    """
    if not is_complete("digits", directory):
        check_target("digits", directory)
        write("digits", directory, digits(), 1797, progress)


def is_complete(name: str, directory: Path) -> bool:
    """Whether the data set was written to `directory` to its end."""
    return (directory / f".{name}.complete").exists()


def check_target(name: str, directory: Path) -> None:
    """Refuses a folder that holds something else, before anything is downloaded.

    Raises:
      DatasetError: there is something in it, and it is not a fetch of the same data set that was interrupted.
    """
    if any((directory / f".{name}.{state}").exists() for state in ("partial", "whole")):
        return
    try:
        occupied = directory.exists() and any(directory.iterdir())
    except OSError as error:
        raise DatasetError(f"{directory}: {error.strerror}; give a folder that is new or empty.") from error
    if occupied:
        raise DatasetError(f"{directory} already holds other files; give a folder that is new or empty.")


def write(
    name: str, directory: Path, pictures: Iterable[tuple[str, Image.Image]], total: int, progress: Progress
) -> None:
    """Writes pictures as PNG files, continuing where an interrupted call stopped.

    Args:
      name: of the data set.
      directory: where its folders appear, all at the end.
      pictures: relative path and picture, in the same order on every call.
      total: how many there are.
      progress: told how far it is.

    Raises:
      DatasetError: the folder cannot be written; what was written stays for the next call.
    """
    partial, whole = directory / f".{name}.partial", directory / f".{name}.whole"
    try:
        if not whole.exists():
            partial.mkdir(parents=True, exist_ok=True)
            # Pictures are written one after the other, so that only the last one can be half-written.
            finished = sum(len(files) for _, _, files in os.walk(partial)) - 1
            for index, (path, picture) in enumerate(pictures):
                if index >= finished:
                    (partial / path).parent.mkdir(parents=True, exist_ok=True)
                    # Levels above 1 take twice the time and save 4 %.
                    picture.save(partial / path, "PNG", compress_level=1)
                if index % 500 == 0:
                    progress(index, total)
            partial.rename(whole)
        for folder in sorted(whole.iterdir()):
            folder.rename(directory / folder.name)
        (directory / f".{name}.complete").touch()
        whole.rmdir()
    except OSError as error:
        raise DatasetError(
            f"{error.filename or directory}: {error.strerror}; when that is mended, the same command continues."
        ) from error
    progress(total, total)


def digits() -> Iterator[tuple[str, Image.Image]]:
    """Relative path and picture of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    for index, (pixels, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        yield f"{label}/{index:05}.png", Image.fromarray((pixels * 255 / 16).round().astype("uint8"))


def fashion_mnist(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Relative path and picture of the IDX files in `folder`, training pictures first.

    Raises:
      DatasetError: a file is not what its name says.
    """
    for split, prefix in SPLITS.items():
        (count, height, width), pixels = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
        (labels_count,), labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
        if count != labels_count:
            raise DatasetError(f"{folder}: {prefix} has {count} images but {labels_count} labels.")
        size = height * width
        for index in range(count):
            picture = Image.frombytes("L", (width, height), pixels[index * size : (index + 1) * size])
            yield f"{split}/{CLASSES[labels[index]]}/{index:05}.png", picture


def read_idx(path: Path, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    """Reads a compressed IDX file of unsigned bytes, LeCun's format of MNIST.

    Returns:
      Its shape and its values, row by row.

    Raises:
      DatasetError: it is no such file.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        kind, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
    except (OSError, EOFError, struct.error) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    values = content[4 + 4 * dimensions :]
    expected = 1
    for length in shape:
        expected *= length
    if kind != 0x0800 + dimensions or len(values) != expected:
        raise DatasetError(f"{path} is not an IDX file of bytes with {dimensions} dimensions.")
    return tuple(shape), values


def cache_folder() -> Path:
    """Where downloads stay, outside of the project."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfx-vision"


def cached_fashion_mnist() -> Path:
    """The folder of the four IDX files, downloaded unless they are in the cache.

    Raises:
      DatasetError: they cannot be downloaded, or are not the ones that were published.
    """
    folder = cache_folder() / "fashion-mnist"
    if all(is_genuine(folder / name) for name in SHA256):
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = download_package(Path(temporary)) / "usr/share/datasets/fashion-mnist"
        for name in SHA256:
            if not is_genuine(unpacked / name):
                raise DatasetError(
                    f"{name} of the package {PACKAGE} is not the published one (its SHA-256 differs); "
                    "check the apt sources of this machine."
                )
        folder.mkdir(parents=True, exist_ok=True)
        for name in SHA256:
            shutil.copyfile(unpacked / name, folder / f".{name}")
            (folder / f".{name}").replace(folder / name)
    return folder


def is_genuine(path: Path) -> bool:
    """Whether a file is there and has the content it should have."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError):
        return False
    return hashlib.sha256(content).hexdigest() == SHA256[path.name]


def download_package(work: Path) -> Path:
    """Downloads and unpacks the package with lists of its own: no root, nothing installed, apt's signatures checked.

    Returns:
      The folder it is unpacked in.

    Raises:
      DatasetError: this is no system with apt, or its sources do not have the package.
    """
    by_hand = f"or put {', '.join(SHA256)} into {cache_folder() / 'fashion-mnist'} and run this again"
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DatasetError(
            f"Fashion-MNIST comes from the Debian package {PACKAGE}, and this system has no apt; "
            f"fetch it on Debian or Ubuntu, {by_hand}."
        )
    for name in ("lists/partial", "cache/archives/partial", "root"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    apt = ["apt-get", "-q"]
    for option in (
        f"Dir::State::Lists={work}/lists",
        f"Dir::State::status={work}/status",
        f"Dir::Cache={work}/cache",
        "APT::Sandbox::User=",
        "Acquire::Languages=none",
        "Acquire::Retries=3",
    ):
        apt += ["-o", option]
    update = run([*apt, "update"], work)  # one broken source among many does not matter: the download decides
    download = run([*apt, "download", PACKAGE], work)
    packages = list(work.glob("*.deb"))
    if download.returncode or not packages:
        complaints = [
            line
            for line in (update.stderr + download.stderr).splitlines()
            if line.startswith(("E:", "W:", "Err:")) or "No space" in line
        ]
        said = complaints[-1].split(":", 1)[1].strip() if complaints else f"exit status {download.returncode}"
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "this system")
        raise DatasetError(
            f"apt on {system} cannot download {PACKAGE} ({said}); it is in Debian's main and Ubuntu's universe: "
            f"check /etc/apt and the network, {by_hand}."
        )
    unpack = run(["dpkg-deb", "-x", str(packages[0]), str(work / "root")], work)
    if unpack.returncode:
        raise DatasetError(f"{PACKAGE} cannot be unpacked in {work}: {unpack.stderr.strip()}.")
    return work / "root"


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program of the host, whose messages are read, not shown."""
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
