#!/bin/sh
# Pins what the images contain: the versions of requirements.lock without the developers' tools, and with CUDA.
# Left out is what only Vertex AI's client (google-cloud-aiplatform, 200 MB), the building of TensorFlow operations
# (libclang) and completion in notebooks (jedi) need; no step imports them.
set -eu
cd "$(dirname "$0")/.."
lock() {
    "${VENV:-.venv}/bin/uv" pip compile "$@" --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --no-header \
        --no-emit-package google-cloud-aiplatform --no-emit-package libclang --no-emit-package jedi --constraint requirements.lock
}
lock pyproject.toml --output-file kfp/requirements.lock
echo 'tensorflow[and-cuda]' | lock pyproject.toml - --output-file kfp/requirements-gpu.lock
