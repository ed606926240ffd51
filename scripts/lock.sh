#!/bin/sh
# Pins every direct and indirect dependency, with hashes and without index addresses.
set -eu
cd "$(dirname "$0")/.."
"${VENV:-.venv}/bin/uv" pip compile pyproject.toml --extra dev --quiet --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-annotate --no-header "$@" --output-file requirements.lock
