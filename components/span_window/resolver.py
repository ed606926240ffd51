"""The node, and the strategy by which it chooses from what earlier runs ingested."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.data_gate.component import passed_statistics
from components.span_window.spans import told

NAME, INGESTION, GATE = "SpanWindow", "ImageExampleGen", "DataGate"
"""Of the nodes in the pipeline."""
DECISIVE = ("path", "test_path", "source", "columns", "records", "class_names", "group", "splits")
"""Settings of `data` that decide which images there are, what they are called, and which split they belong to."""

log = logging.getLogger(f"tfx_vision.{NAME}")

Event, Execution = metadata_store_pb2.Event, metadata_store_pb2.Execution


@dataclass(frozen=True, kw_only=True)
class Ingestion:
    """What one execution of ImageExampleGen read and wrote."""

    settings: Mapping[str, Any]
    """The section `data`."""
    outputs: Mapping[str, types.Artifact]
    """`examples` and `facts`."""

    @property
    def span(self) -> int:
        """Days since 1970 where it is a date."""
        return int(self.outputs["examples"].span)

    @property
    def age(self) -> tuple[int, int]:
        """The higher, the newer among those of a span: its version, and which of its readings this is."""
        examples = self.outputs["examples"]
        return int(examples.version), int(examples.id)


class SpanWindowStrategy(ResolverStrategy):
    """The span just ingested, and those before it that the DataGate let pass."""

    def __init__(self, num_spans: int):
        """With how many there are to be, at most."""
        self._num_spans = num_spans

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """This run's `examples` and `facts` → those of the window, oldest first."""
        current = {key: artifact_utils.get_single_instance(artifacts) for key, artifacts in input_dict.items()}
        pipeline, execution = origin(store, current["examples"])
        earlier = ingestions(store, f"{pipeline}.{INGESTION}", current)
        own = Ingestion(settings=json.loads(execution.custom_properties["config"].string_value), outputs=current)
        before = islice(usable(own, earlier, passed(store, f"{pipeline}.{GATE}")), self._num_spans - 1)
        window = [*reversed(list(before)), own]
        log.info("%s", told([one.span for one in window]))
        return {key: [one.outputs[key] for one in window] for key in current}


def usable(own: Ingestion, earlier: Sequence[Ingestion], accepted: set[int]) -> Iterator[Ingestion]:
    """The newest usable version of each earlier span, the newest span first; says why another is left out.

    Args:
      own: the span just ingested.
      earlier: what was ingested before, in any order.
      accepted: numbers of the facts whose statistics passed the gate.
    """
    for span in sorted({one.span for one in earlier if one.span < own.span}, reverse=True):
        said: set[str] = set()
        for one in sorted((one for one in earlier if one.span == span), key=lambda one: one.age, reverse=True):
            why = objection(one, own, accepted)
            if not why:
                if said:
                    log.info("what was read of span %d before is taken instead", span)
                yield one
                break
            version = f"version {one.age[0]} of " if one.age[0] else ""
            sentence = f"{version}span {span} is left out: {why}"
            if sentence not in said:
                log.warning("%s", sentence)
            said.add(sentence)


def objection(one: Ingestion, own: Ingestion, accepted: set[int]) -> str:
    """Why an earlier ingestion cannot be used beside the one of this run; "" when it can."""
    if one.outputs["facts"].id not in accepted:
        return "the DataGate did not let it pass"
    for name in DECISIVE:
        if one.settings.get(name) != own.settings.get(name):
            return f"data.{name} was another when it was read"
    if not all(fileio.exists(artifact.uri) for artifact in one.outputs.values()):
        return "its files are no longer there"
    return ""


def origin(store: Any, artifact: types.Artifact) -> tuple[str, metadata_store_pb2.Execution]:
    """The name of the pipeline, and the execution that wrote an artifact; not those that took it from the cache."""
    events = store.get_events_by_artifact_ids([artifact.id])
    writers = {event.execution_id for event in events if event.type == Event.OUTPUT}
    [execution] = [one for one in store.get_executions_by_id(writers) if one.last_known_state == Execution.COMPLETE]
    contexts = store.get_contexts_by_execution(execution.id)
    [node] = [context.name for context in contexts if context.type == "node"]
    return node.removesuffix(f".{INGESTION}"), execution


def ingestions(store: Any, node: str, like: Mapping[str, types.Artifact]) -> list[Ingestion]:
    """What the completed executions of a node wrote.

    Args:
      store: the metadata.
      node: its name there.
      like: artifacts by the outputs that are wanted, whose types those have.
    """
    context = store.get_context_by_type_and_name("node", node)
    executions = {
        one.id: one for one in store.get_executions_by_context(context.id) if one.last_known_state == Execution.COMPLETE
    }
    written: dict[int, dict[str, int]] = {number: {} for number in executions}
    for event in store.get_events_by_execution_ids(list(executions)):
        key = event.path.steps[0].key
        if event.type == Event.OUTPUT and key in like:
            written[event.execution_id][key] = event.artifact_id
    numbers = [number for outputs in written.values() for number in outputs.values()]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id(numbers)}
    return [
        Ingestion(
            settings=json.loads(executions[number].custom_properties["config"].string_value),
            outputs={
                key: artifact_utils.deserialize_artifact(like[key].artifact_type, artifacts[artifact])
                for key, artifact in outputs.items()
            },
        )
        for number, outputs in written.items()
        if outputs.keys() == like.keys()
    ]


def passed(store: Any, gate: str) -> set[int]:
    """Numbers of the artifacts from which the statistics were made that a gate accepted."""
    accepted = [artifact.id for artifact in passed_statistics(store, gate)]
    writers = {e.execution_id for e in store.get_events_by_artifact_ids(accepted) if e.type == Event.OUTPUT}
    read = store.get_events_by_execution_ids(list(writers)) if writers else []
    return {event.artifact_id for event in read if event.type == Event.INPUT}


def span_window(num_spans: int, examples: types.BaseChannel, facts: types.BaseChannel) -> Resolver:
    """The node; its outputs `examples` and `facts` have an artifact for each span of the window.

    Args:
      num_spans: spans in the window, at most.
      examples: what ImageExampleGen wrote in this run.
      facts: likewise.
    """
    return Resolver(SpanWindowStrategy, {"num_spans": num_spans}, examples=examples, facts=facts).with_id(NAME)
