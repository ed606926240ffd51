"""Kubeflow: compiles the pipeline for a cluster, and runs its steps inside their containers."""
