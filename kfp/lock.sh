#!/bin/sh
# Pins what the images contain: the versions of requirements.lock without the developers' tools, and with CUDA.
set -eu
cd "$(dirname "$0")/.."
lock() {
    "${VENV:-.venv}/bin/uv" pip compile "$@" --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --no-header --constraint requirements.lock
}
lock pyproject.toml --output-file kfp/requirements.lock
echo 'tensorflow[and-cuda]' | lock pyproject.toml - --output-file kfp/requirements-gpu.lock
