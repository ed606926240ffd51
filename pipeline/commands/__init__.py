"""The sub-commands of `tfx-vision`, a file per part of the pipeline.

Each imports what it needs when it runs, so that `--help` answers at once.
"""
