"""Arguments and options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
run_argument = click.argument("run", type=PATH)
runs_argument = click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=PATH)
settings_argument = click.argument("words", metavar="[SETTING...]", nargs=-1)
data_dir_option = click.option(
    "--data-dir", type=PATH, default=Path("data"), show_default=True, help="Folder of data sets."
)
out_option = click.option(
    "--out", type=PATH, default=Path(), show_default=True, help="Folder that holds runs/, figures/ and report/."
)
model_option = click.option("--model", type=PATH, help="File from make export, or run folder. [the run evaluated last]")
own_gpu_option = click.option("--own-gpu", is_flag=True, help="Take a GPU that no other run with this option uses.")


def picture_option(name: str, help: str) -> Callable[[Any], Any]:
    """An option for the file of one picture; refused unless drawing can write a file with that suffix."""

    def checked(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix.lower() not in (".png", ".pdf"):
            raise click.UsageError(f"{name}: a file that ends in .png or .pdf, not {path.name!r:.60}")
        return path

    return click.option(name, type=PATH, metavar="FILE", callback=checked, help=help)


def begins(stage: str, task: str = "") -> None:
    """Print the heading of a stage: ``Training: cls``."""
    from onepage.terminal.progress import heading

    heading(f"{stage}: {task}" if task else stage)
