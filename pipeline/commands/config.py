"""`config`: look at configurations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.commands.terminal import CONFIG, OVERRIDES


@click.group()
def config() -> None:
    """Look at configurations."""


@config.command()
@CONFIG
@OVERRIDES
def show(config: Path, overrides: tuple[str, ...]) -> None:
    """Print a configuration with every default, as YAML.

    What differs from its default is followed by that default.
    """
    from pipeline.config import load_config

    styles = {"comment": {"dim": True}, "changed": {"bold": True}, "default": {}}
    for kind, line in document(load_config(config, overrides)):
        click.echo(click.style(line, **styles[kind]))


def document(
    settings: Any, standard: Any = None, indent: str = "", said: set[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Settings as lines of YAML.

    Args:
      settings: an instance of a settings class.
      standard: what it is by default; None where it must be given.
      indent: of its lines.
      said: descriptions that were given already; sections of the same kind do not repeat them.

    Yields:
      A kind (comment, default or changed) and a line.
    """
    import dataclasses

    from transform.config import descriptions, to_json

    said = set() if said is None else said
    for name, field in type(settings).__pydantic_fields__.items():
        value = getattr(settings, name)
        required = standard is None and field.is_required()
        default = getattr(standard, name) if standard else field.get_default(call_default_factory=True)
        description = descriptions(type(settings)).get(name, "")  # type: ignore[arg-type]
        if (sentence := f"{name}: {description}") not in said:
            said.add(sentence)
            yield "comment", f"{indent}# {description}"
        if dataclasses.is_dataclass(value):
            yield "default", f"{indent}{name}:"
            yield from document(value, None if required else default, f"{indent}  ", said)
            continue
        line = f"{indent}{name}: {yaml_value(to_json(value))}"
        if required or value == default:
            yield "changed" if required else "default", line
        else:
            yield "changed", f"{line}  # default: {yaml_value(to_json(default))}"


def yaml_value(value: Any) -> str:
    """A value on one line of YAML."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
