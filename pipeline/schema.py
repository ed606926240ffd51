"""`tfx-vision schema accept`: the schema that a run proposed as a file under version control."""

from pathlib import Path

from components.schema_gen.component import parse_schema
from pipeline.config import load_config
from transform import features

HEADER = """\
# What the images of {name} must be like; `gate: {{schema: FILE}}` makes runs stop at anything else.
# A new class: add its name to the domain "label". A range of sizes: int_domain {{ min: 100 max: 4000 }} in the feature.
# Other thresholds of the drift between spans: drift_comparator {{ infinity_norm {{ threshold: 0.2 }} }} in "label",
# drift_comparator {{ jensen_shannon_divergence {{ threshold: 0.3 }} }} in a number.
"""


class AcceptError(Exception):
    """A schema that cannot be accepted; the message says why."""


def run_folder(run: Path) -> Path:
    """The folder of a run given by that or by its configuration."""
    return load_config(run).folder if run.is_file() else run


def newest_artifact(folder: Path, component: str, output: str) -> Path:
    """The newest artifact of a component's output in the folder of a run.

    Raises:
      AcceptError: there is none.
    """
    artifacts = [path for path in (folder / "artifacts" / component / output).glob("*") if path.name.isdigit()]
    if not artifacts:
        raise AcceptError(f"{folder} has no {output} of {component}; run the pipeline first.")
    return max(artifacts, key=lambda path: int(path.name))


def accept(run: Path, output: Path, *, force: bool = False) -> int:
    """Writes the newest schema of a run, with a comment on how to edit it.

    Args:
      run: folder or configuration.
      output: the file.
      force: replace it when it is there.

    Returns:
      Number of classes in it.

    Raises:
      AcceptError: there is no schema, or the file is there already.
    """
    folder = run_folder(run)
    source = newest_artifact(folder, "SchemaGen", "schema") / "schema.pbtxt"
    text = source.read_text(encoding="utf-8")
    schema = parse_schema(text, str(source))
    if output.exists() and not force:
        raise AcceptError(f"{output} is there already; give another with -o, or --force to replace it.")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(HEADER.format(name=folder.name) + text, encoding="utf-8")
    return sum(len(domain.value) for domain in schema.string_domain if domain.name == features.LABEL)
