"""Arguments and options that several commands share."""

from pathlib import Path

import click

run_argument = click.argument("run", type=click.Path(path_type=Path))
settings_argument = click.argument("words", metavar="[SETTING...]", nargs=-1)
data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), default=Path("data"), show_default=True, help="Where data sets lie."
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=True,
    help="Folder that holds runs/, figures/ and report/.",
)
own_gpu_option = click.option("--own-gpu", is_flag=True, help="Take a GPU that no other run with this option uses.")


def begins(stage: str, task: str = "") -> None:
    """Print the heading of a stage: ``Training: cls``."""
    from onepage.terminal.progress import heading

    heading(f"{stage}: {task}" if task else stage)
