"""How a command ends after an error: with one line on stderr and a non-zero status."""

import os
import sys
from typing import Any

import click

from onepage.errors import Interrupted, UserError, one_line
from onepage.terminal import environment
from onepage.training import launch

OF_TORCH = ("OutOfMemoryError", "AcceleratorError")  # RuntimeErrors that the machine causes, not this program


class Program(click.Group):
    """A group of commands that prints a UserError as one line and exits 1; --debug shows the traceback."""

    def invoke(self, context: click.Context) -> Any:
        environment.apply()  # before a command imports torch, numpy or matplotlib
        if launch.leave_other_jobs():
            click.echo("onepage: RANK and WORLD_SIZE are ignored: torchrun did not start this process", err=True)
        try:
            return super().invoke(context)
        except UserError as error:
            if context.params.get("debug"):
                raise
            say_error(error)
            sys.exit(128 + error.number if isinstance(error, Interrupted) else 1)
        except KeyboardInterrupt:
            click.echo("onepage: interrupted; run the same command to go on", err=True)
            sys.exit(130)
        except (OSError, MemoryError, RuntimeError) as error:
            of_program = isinstance(error, RuntimeError) and type(error).__name__ not in OF_TORCH
            if of_program or context.params.get("debug"):
                raise
            text = str(error).partition("\n")[0] if isinstance(error, RuntimeError) else error  # advice follows
            say_error(text, "; --debug shows where")
            sys.exit(1)


def say_error(error: object, more: str = "") -> None:
    """Print one line on stderr. One of several processes leaves the line to its launcher, or adds its rank."""
    line = one_line(error) + more
    if not launch.told(line):
        rank = os.environ.get("RANK", "0") if os.environ.get("WORLD_SIZE", "1") != "1" else "0"
        click.echo(f"onepage: {f'process {rank}: ' if rank != '0' else ''}{line}", err=True)
