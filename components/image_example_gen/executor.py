"""The executor of ImageExampleGen: lists the sources, reads them with Beam, and looks at the whole."""

import dataclasses
import json
import logging
import os
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.image_example_gen import duplicate_report, duplicates
from components.image_example_gen import quarantine as left_out
from components.image_example_gen.config import DataConfig
from components.image_example_gen.describers import dismiss, seldom_collected, starting
from components.image_example_gen.ingest import IngestParts, Plan, stow
from components.image_example_gen.listed import recall
from components.image_example_gen.rearrange import final_splits, rearrange
from components.image_example_gen.sources import DataError, Source
from components.image_example_gen.spans import Resolved, resolve
from components.image_example_gen.splits import buckets_for
from transform import features
from transform.config import from_json

IN_PROCESS = ("", "FnApiRunner", "DirectRunner", "BundleBasedDirectRunner")
"""Runners that use one core of this machine unless they are given more workers."""
OTHERS = 3
"""Processes that describe images, at most: with more, this one can read and write no faster."""
MANY = 5_000
"""Images from which on there is enough for them to do."""

log = logging.getLogger("tfx_vision.ImageExampleGen")


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads images and writes examples, facts and quarantine."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        settings = exec_properties["config"]
        config, span = newest(from_json(DataConfig, json.loads(settings)))
        outputs = {name: artifact_utils.get_single_instance(output_dict[name]) for name in output_dict}
        for name in ("examples", "facts"):
            outputs[name].split_names = artifact_utils.encode_split_names(list(features.SPLITS))
            outputs[name].span, outputs[name].version = span.span, span.version or 0
        examples_utils.set_payload_format(outputs["facts"], example_gen_pb2.PayloadFormat.FORMAT_PARQUET)
        examples_utils.set_file_format(outputs["facts"], "FILE_FORMAT_PARQUET")
        folders = {name: artifact.uri for name, artifact in outputs.items()}

        alone = has_one_worker(self._beam_pipeline_args)
        others = min((os.cpu_count() or 1) - 1, OTHERS) if alone else 0
        with seldom_collected(), starting(others):
            sources = recall(config, settings, exec_properties.get("fingerprint", ""))
            buckets, images, work = prepare(config, sources, **folders)
            if images < MANY:
                dismiss()
                others = 0
            try:
                with self._make_beam_pipeline() as pipeline:
                    listed = pipeline | "List" >> beam.Create(work, reshuffle=not alone)
                    _ = listed | "Ingest" >> beam.ParDo(IngestParts(others))
            finally:
                for name in work:
                    tf.io.gfile.remove(name)
        conclude(config, buckets, **folders)


def has_one_worker(arguments: list[str]) -> bool:
    """Whether the runner works in this process alone, on one core; any other has workers among whom to share."""
    options = PipelineOptions(arguments)
    in_process = (options.view_as(StandardOptions).runner or "") in IN_PROCESS
    return in_process and options.view_as(DirectOptions).direct_num_workers == 1


def prepare(
    config: DataConfig, sources: list[Source], examples: str, facts: str, quarantine: str
) -> tuple[dict[str, int], int, list[str]]:
    """The buckets of the images to be split, how many there are in all, and the work to be done."""
    counts = [source.count() for source in sources]
    total, buckets = sum(counts), buckets_for(config.splits, counts[0])
    log.info("reading %s images", f"{total:,}")
    work = [
        stow(Plan(config, of_source, total, examples, facts, quarantine), part)
        for source, of_source in zip(sources, (buckets, {"test": 1}), strict=False)
        for part in source.parts(config.shards)
    ]
    return buckets, total, work


def newest(config: DataConfig) -> tuple[DataConfig, Resolved]:
    """The settings with the path of the span to read, and which that is; `test_path` stays with every span."""
    span = resolve(config.path, config.span)
    return dataclasses.replace(config, path=span.path), span


def conclude(config: DataConfig, buckets: dict[str, int], examples: str, facts: str, quarantine: str) -> None:
    """What can only be said, or done, when all images were read.

    Raises:
      DataError: too many are unusable, a split or a class is empty, or labels contradict each other.
    """
    account = left_out.collect(quarantine)
    if account.left_out:
        log.warning("%s files left out: %s", f"{len(account.left_out):,}", left_out.told(account.reasons))
    left_out.refuse_unusable(account, config.limits.quarantine, config.path)
    table = duplicate_report.load(facts)
    groups = duplicates.copies(table)
    conflicts = [group for group in groups if duplicates.is_conflict(group)]
    refuse_conflicts(config, conflicts)
    # Before they are dropped.
    pictures = duplicate_report.load_pictures(
        [row for group in conflicts[: duplicate_report.LISTED] for row in group], examples
    )
    if final := final_splits(conflicts, config, buckets, facts):
        rearrange(final, examples, facts, config.shards)
        table = duplicate_report.load(facts)
        groups = duplicates.copies(table)
        if config.duplicates.conflicts == "drop":
            groups += conflicts
    pairs = duplicates.near_pairs(table, config.duplicates.distance) if config.duplicates.near else []
    found = duplicate_report.report(groups, pairs, config.duplicates, examples, pictures)
    left_out.write_json(os.path.join(quarantine, left_out.DUPLICATES), found)
    refuse_empty_splits(config, set(table["split"].unique().to_pylist()))


def refuse_conflicts(config: DataConfig, conflicts: list[duplicates.Rows]) -> None:
    """Stops, when that is the policy, on identical images with different labels."""
    if conflicts and config.duplicates.conflicts == "refuse":
        named = " and ".join(
            f"{row[features.PATH].decode(errors='replace')} ({row[features.LABEL].decode()})"
            for row in conflicts[0][:3]
        )
        raise DataError(
            f"{config.path}: {len(conflicts):,} images are there under different labels, such as {named}; "
            "correct them, or set data.duplicates.conflicts to keep or drop."
        )


def refuse_empty_splits(config: DataConfig, filled: set[str]) -> None:
    """Stops when a split got no image at all, which happens to tiny datasets."""
    if empty := [split for split in features.SPLITS if split not in filled]:
        raise DataError(
            f"{config.path}: split {empty[0]} got no image; add images, give it more buckets in data.splits, "
            "or use data.splits.mode: stratified."
        )
