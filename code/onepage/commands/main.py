"""The command line: one command for each stage, files in, files out. Make alone knows their order."""

import click

from onepage import tasks
from onepage.commands import bench, bundle, check, doctor, export, repeat, several, stages
from onepage.commands.program import Program

# torch takes a second to import: each command imports what it needs, so that --help and the drawing stages stay quick


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Two architectures from primitives, trained from a seed and reported on one page.

    Each command is one stage: it reads files and writes files, the last one when all others are complete. `make help`
    lists the targets that run the stages in order.
    """


for module in (stages, several, repeat, check, export, bundle, bench, doctor):
    for command in module.COMMANDS:
        main.add_command(command)
for task in (task for task in tasks.every() if task.has("command")):
    for command in task.module("command").COMMANDS:
        main.add_command(command)
