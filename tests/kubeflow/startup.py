"""Start-up time of each step of a pipeline and of its compilation, against TFX's entrypoint: startup.py CONFIG [TIMES].

Start-up is what a step's process does before its work: the interpreter and all imports, with those of the user's module
in Trainer and Tuner. Prints the medians as a Markdown table, in seconds of processor time, which other work on the
machine changes little.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import compiled as kubeflow

OURS = """
import importlib, os
os.environ["_KFP_RUNTIME"] = "true"  # as in the compiled pipeline
from pipeline.imports import uncollected
with uncollected():
    from pipeline.kubeflow import entrypoint
    entrypoint.load({executor!r})
    import tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils
for function in {functions}:
    importlib.import_module(function.rpartition(".")[0])
"""
STOCK = """
import transform
import tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor, importlib
for path in {executor!r}, *{functions}:
    importlib.import_module(path.rpartition(".")[0])
"""
TENSORFLOW = "import transform, tensorflow"
COMPILER = "from pipeline.console import main; main(['compile', {config!r}, '-o', {pipeline!r}])"
ENTRYPOINT = "pipeline.kubeflow.entrypoint"


def median_seconds(code: str, times: int) -> float:
    taken = []
    for _ in range(times):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(taken)


def steps(pipeline: kubeflow.Compiled) -> Iterator[str]:
    """The tasks of all DAGs that have a container."""
    for dag in pipeline.dags():
        exit_tasks = [name for name, task in dag.tasks.items() if kubeflow.is_exit_task(task)]
        for name in (*kubeflow.topological(dag.tasks), *exit_tasks):
            if not pipeline.component(name).HasField("dag"):
                yield name


def start_ups(pipeline: kubeflow.Compiled, task: str) -> tuple[str, ...]:
    """Code that starts a step as this project does and, if it has an executor, as TFX does."""
    container = pipeline.executor(task).container
    *_, module = container.command
    if module != ENTRYPOINT:
        return (f"import {module}",)
    parameters = pipeline.tasks[task].inputs.parameters
    functions = [parameters[name].runtime_value.constant.string_value for name in parameters if name.endswith("_fn")]
    return tuple(code.format(executor=container.args[1], functions=functions) for code in (OURS, STOCK))


def main(config: str, times: str = "1") -> None:
    repeat = int(times)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler = median_seconds(COMPILER.format(config=config, pipeline=str(path)), repeat)
        pipeline = kubeflow.read(path)
    print(f"`import tensorflow`: {median_seconds(TENSORFLOW, repeat):.1f} s, `tfx-vision compile`: {compiler:.1f} s\n")
    print("| step | here | stock entrypoint |\n|---|---:|---:|")
    for name in steps(pipeline):
        seconds = [f"{median_seconds(code, repeat):.1f}" for code in start_ups(pipeline, name)]
        print(f"| {name} | {' | '.join([*seconds, '–'][:2])} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
