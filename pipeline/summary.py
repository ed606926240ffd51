"""What a run came to: the table at its end."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from pyarrow import parquet
from rich.console import Console
from rich.markup import escape
from tfx.types import artifact_utils

from components.champion.component import served_version_of
from components.data_gate.statistics import class_counts, load_statistics
from components.evaluator.evaluation import Evaluation, read_evaluation
from components.infra_validator.component import SKIPPED, read_trial
from components.infra_validator.trial import Trial
from components.report.page import PAGE
from components.span_window.resolver import NAME
from components.span_window.spans import told
from pipeline.config import PipelineConfig
from pipeline.execution import Result
from pipeline.progress import duration


def copy_report(config: PipelineConfig, report: Result) -> Path:
    """Puts this run's page at ROOT/NAME/report.html, whole or not at all."""
    page = config.folder / "report.html"
    partial = config.folder / ".report.html"
    shutil.copyfile(Path(artifact_utils.get_single_uri(report.outputs["report"])) / PAGE, partial)
    return partial.replace(page)


def copy_best_hyperparameters(config: PipelineConfig, tuner: Result) -> None:
    """Puts the search's result at ROOT/NAME/best_hyperparameters, for `tuner.reuse`."""
    folder = Path(artifact_utils.get_single_uri(tuner.outputs["best_hyperparameters"]))
    shutil.copytree(folder, config.folder / "best_hyperparameters", dirs_exist_ok=True)


def show(config: PipelineConfig, results: Mapping[str, Result], console: Console, seconds: float) -> bool:
    """Prints the table; returns whether the model was blessed."""
    verdict = read_evaluation(artifact_utils.get_single_uri(results["Evaluator"].outputs["evaluation"]))
    cached = sum(result.cached for result in results.values())
    if "Tuner" in results:
        copy_best_hyperparameters(config, results["Tuner"])
    trial = infra_trial(results)
    misses = [*verdict.misses, *(trial.misses if trial else [])]
    blessed = not misses
    rows = {
        "Accuracy": accuracy(config, verdict),
        "Images": images(results["StatisticsGen"], of_span=NAME in results),
        "Training": trained_on(results),
        "Server": server(trial),
        "Model": model(config, results["Pusher"]),
        "Time": f"{duration(seconds)}, {cached} of {len(results)} components cached",
        "Report": escape(str(copy_report(config, results["Report"]))),
        "Next": next_command(config, blessed),
    }
    console.print()
    for name, text in rows.items():
        if text:
            console.print(f"[bold]{name:<10}[/]{text}")
    for miss in misses:
        console.print(f"[red]Not blessed:[/] {escape(miss)}.")
    return blessed


def infra_trial(results: Mapping[str, Result]) -> Trial | None:
    """How the model did in a server; None where it was not tried."""
    if "InfraValidator" not in results:
        return None
    trial = read_trial(artifact_utils.get_single_uri(results["InfraValidator"].outputs["blessing"]))
    return None if trial.misses == [SKIPPED] else trial


def server(trial: Trial | None) -> str:
    """Ready in 6.1 s, 3.2 ms a request, 610 MiB (development server)."""
    if trial is None or trial.misses:
        return ""
    return (
        f"ready in {trial.start_seconds:.1f} s, {trial.latency_ms['p50']:.1f} ms a request, "
        f"{trial.memory_mib:,.0f} MiB ({trial.server})"
    )


def show_inference(results: Mapping[str, Result], console: Console, seconds: float) -> None:
    """Prints which version answered, and where."""
    version = served_version_of(results["Champion"].outputs["champion"][0])
    cached = sum(result.cached for result in results.values())
    rows = {
        "Answers": escape(artifact_utils.get_single_uri(results["BulkInferrer"].outputs["inference_result"])),
        "Model": f"version {version}",
        "Time": f"{duration(seconds)}, {cached} of {len(results)} components cached",
    }
    console.print()
    for name, text in rows.items():
        console.print(f"[bold]{name:<10}[/]{text}")


def accuracy(config: PipelineConfig, verdict: Evaluation) -> str:
    """0.9123 on 10,000 test images; threshold 0.8800; champion 0.9101."""
    overall = verdict.candidate.overall
    colour = "green" if verdict.blessed else "red"
    champion = f"champion {verdict.champion.overall.accuracy.value:.4f}" if verdict.champion else "no champion yet"
    return (
        f"[{colour}]{overall.accuracy.value:.4f}[/] on {overall.images:,} test images; "
        f"threshold {config.evaluator.min_accuracy:.4f}; {champion}"
    )


def images(statistics: Result, *, of_span: bool) -> str:
    """train 54,000, eval 6,000, test 10,000; with the number of the span where there are others."""
    [artifact] = statistics.outputs["statistics"]
    counts = {split: sum(class_counts(proto).values()) for split, proto in load_statistics(artifact).items()}
    told_counts = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    return f"{told_counts} in span {artifact.span}" if of_span else told_counts


def trained_on(results: Mapping[str, Result]) -> str:
    """Spans 1-3 (12,000 images); "" where there is no window."""
    if NAME not in results:
        return ""
    facts = results[NAME].outputs["facts"]
    files = [file for span in facts for file in Path(span.uri, "Split-train").glob("*.parquet")]
    images = sum(parquet.read_metadata(file).num_rows for file in files)  # without TensorFlow, which may not be loaded
    return f"{told(sorted(span.span for span in facts))} ({images:,} images)"


def model(config: PipelineConfig, pusher: Result) -> str:
    """Where the model went."""
    [pushed] = pusher.outputs["pushed_model"]
    if not pushed.get_string_custom_property("pushed_version"):
        reason = pushed.get_string_custom_property("reason")
        return f"[red]not pushed[/]{f': {escape(reason)}' if reason else ''}"
    return f"version {pushed.get_string_custom_property('pushed_version')} in {escape(config.destination)}"


def next_command(config: PipelineConfig, blessed: bool) -> str:
    """What a person would type now."""
    if blessed:
        return f"tfx-vision serve {escape(shlex.quote(str(config.folder)))}"
    return "look at the report, change a setting and run again; what does not depend on it stays cached"
