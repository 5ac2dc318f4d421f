"""The command line: `rnnrt convert`, `check`, `inspect`, `verify`, `run`, `bench`, `train`, `demo`, `serve`."""

from __future__ import annotations

from typing import Any

import click

from rnnrt import __version__
from rnnrt.cli.bench import bench
from rnnrt.cli.check import check
from rnnrt.cli.convert import convert
from rnnrt.cli.demo import demo
from rnnrt.cli.inspect import inspect
from rnnrt.cli.run import run
from rnnrt.cli.serve import serve
from rnnrt.cli.train import train
from rnnrt.cli.verify import verify
from rnnrt.errors import RnnrtError


class _Group(click.Group):
    """Turns rnnrt's errors into a message and a non-zero exit, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RnnrtError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rnnrt")
def main() -> None:
    """Recurrent networks on CPUs: convert, look at, check, run, time, train and serve them."""


for _verb in (convert, check, inspect, verify, run, bench, train, demo, serve):
    main.add_command(_verb)
