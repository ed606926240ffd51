#!/bin/sh
# Pins what the images contain: the versions of requirements.lock without the developers' tools, and with CUDA.
set -eu
cd "$(dirname "$0")/.."
# What no step imports: Vertex AI's client (200 MB), clients of the other services of Google that Beam can read (100 MB;
# its store's stays), what TensorFlow operations are built with, TensorBoard's own server, completion in notebooks.
LEFT_OUT="google-cloud-aiplatform google-genai
    google-cloud-bigquery google-cloud-bigquery-storage google-cloud-bigtable google-cloud-build
    google-cloud-dataflow-client google-cloud-datastore google-cloud-dlp google-cloud-kms google-cloud-language
    google-cloud-monitoring google-cloud-pubsub google-cloud-recommendations-ai google-cloud-resource-manager
    google-cloud-secret-manager google-cloud-spanner google-cloud-sql google-cloud-videointelligence google-cloud-vision
    cloud-sql-python-connector libclang tensorboard-data-server jedi"
lock() {
    "${VENV:-.venv}/bin/uv" pip compile "$@" --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --no-header $(printf -- '--no-emit-package %s ' $LEFT_OUT) \
        --constraint requirements.lock
}
lock pyproject.toml --output-file kfp/requirements.lock
echo 'tensorflow[and-cuda]' | lock pyproject.toml - --output-file kfp/requirements-gpu.lock
