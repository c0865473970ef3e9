"""``python -m onepage pack``: the data sets as a mirror, for a machine without a network."""

from pathlib import Path

import click

from onepage.terminal.options import PATH, begins, settings_argument


@click.command()
@click.option("--to", "folder", type=PATH, required=True, help="Folder that gets the mirror.")
@settings_argument
def pack(folder: Path, words: tuple[str, ...]) -> None:
    """Fetch and verify the real data sets of all tasks, and pack them into a folder that serves as DATA_MIRROR.

    SETTING is NAME=value, as for make (see make help). With DATA=generated nothing is packed: stand-ins are generated
    where they are needed.
    """
    from onepage import tasks
    from onepage.data import fetch, sources
    from onepage.data import pack as packing
    from onepage.runs import settings

    values = settings.resolve(settings.parse(words))
    data_dir, mirror, src, tgt = Path(values["DATA_DIR"]), values["DATA_MIRROR"], values["SRC"], values["TGT"]
    names = dict.fromkeys(task.real_set for task in tasks.every())  # two tasks may share a set
    found = [sources.get(name, src, tgt) for name in names]
    begins("Bundle")
    packed = [] if values["DATA"] == "generated" else found
    for real in packed:
        fetch.ensure(real.name, data_dir, "real", mirror, src, tgt)
        packing.pack(real, data_dir, folder, click.echo)
    if any(real.name == "multi30k" for real in packed):
        click.echo("Multi30k is for non-commercial research and education: keep it to your own machines")
    click.echo(f"bundle in {folder}; in a clone on the other machine, run: make all BUNDLE={folder}")


COMMANDS = (pack,)
