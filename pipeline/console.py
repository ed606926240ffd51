"""The `tfx-vision` command: its sub-commands are in `pipeline/commands`."""

from typing import Any

import click

from pipeline.commands import augment, cluster, config, data, manifests, run, schema, serving, sweep, versions
from pipeline.commands.terminal import ConfigurationToldError, ToldError

OWN_PACKAGES = ("pipeline", "components", "trainer_module", "serving", "transform")
INTERRUPTED = 130


class Commands(click.Group):
    """Sub-commands in the order they are defined, whose errors end as sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("\nInterrupted; the same command continues where it can.", err=True)
            ctx.exit(INTERRUPTED)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise ToldError(f"{where}{error.strerror or error}") from error
        except Exception as error:
            # Every exception class this project defines carries a message for the user; others are bugs.
            if type(error).__module__.split(".")[0] not in OWN_PACKAGES:
                raise
            told = ConfigurationToldError if type(error).__name__ == "ConfigError" else ToldError
            raise told(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tfx-vision", message="%(prog)s %(version)s")
def main() -> None:
    """From a folder of labelled images to a blessed model behind a TensorFlow Serving endpoint.

    \b
    First steps with your own images, one sub-folder per class:
      tfx-vision init my-images       writes configs/my-images.yaml
      tfx-vision run configs/my-images.yaml
      tfx-vision serve runs/my-images
      tfx-vision predict a.jpg b.jpg
    """


for command in (
    run.run,
    run.init,
    config.config,
    data.data,
    schema.schema,
    serving.serve,
    serving.predict,
    run.infer,
    manifests.serving_group,
    versions.versions,
    versions.rollback,
    versions.promote,
    augment.augment,
    sweep.sweep,
    run.report,
    cluster.compile_command,
    cluster.schedule,
    run.doctor,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
