"""Start-up time of every step of a compiled pipeline, against TFX's own entrypoint: startup.py PIPELINE.yaml [TIMES].

Start-up is what a step's process does before its executor's `Do`: the interpreter and all imports. Prints the medians
as a Markdown table, in seconds of processor time, which other work on the machine changes little.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import compiled as kubeflow

OURS = """
import os
os.environ["_KFP_RUNTIME"] = "true"  # as in the compiled pipeline
from pipeline.imports import uncollected
with uncollected():
    from pipeline.kubeflow import entrypoint
    entrypoint.load({path!r})
    import tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils
"""
STOCK = """
import transform
import tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor, importlib
importlib.import_module({path!r}.rpartition(".")[0])
"""
TENSORFLOW = "import transform, tensorflow"


def median_seconds(code: str, times: int) -> float:
    taken = []
    for _ in range(times):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(taken)


def main(pipeline: str, times: str = "1") -> None:
    pipeline_spec, repeat = kubeflow.read(Path(pipeline)), int(times)
    print(f"`import tensorflow`: {median_seconds(TENSORFLOW, repeat):.1f} s\n")
    print("| step | here | stock entrypoint |\n|---|---:|---:|")
    for task in kubeflow.topological(pipeline_spec.pipeline.root.dag.tasks):
        if pipeline_spec.executor(task).HasField("container"):
            path = pipeline_spec.executor(task).container.args[1]
            ours, stock = (median_seconds(code.format(path=path), repeat) for code in (OURS, STOCK))
            print(f"| {task} | {ours:.1f} | {stock:.1f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
