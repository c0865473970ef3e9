"""``python -m onepage pack``: the data sets as a mirror, for a machine without a network."""

from pathlib import Path

import click

from onepage.terminal.options import begins, data_dir_option


@click.command()
@data_dir_option
@click.option("--data", default="auto", show_default=True, help="auto, real or generated.")
@click.option("--mirror", default="", help="Folder or URL prefix to take the data from first (DATA_MIRROR).")
@click.option("--src", default="en", show_default=True, help="Source language: en, de or fr.")
@click.option("--tgt", default="de", show_default=True, help="Target language: en, de or fr.")
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="Folder that gets the mirror.")
def pack(data_dir: Path, data: str, mirror: str, src: str, tgt: str, folder: Path) -> None:
    """Fetch and verify the real data sets of all tasks, and pack them into a folder that serves as DATA_MIRROR.

    With --data generated nothing is packed: the stand-ins are made wherever they are needed. Writes README.txt, which
    says how to use the folder, last.
    """
    from onepage import tasks
    from onepage.data import fetch, sources
    from onepage.data import pack as packing

    names = dict.fromkeys(task.real_set for task in tasks.every())  # two tasks may share a set
    for name in names:
        fetch.check_settings(name, data, src, tgt)
    begins("Bundle")
    packed = [] if data == "generated" else [sources.get(name, src, tgt) for name in names]
    for found in packed:
        fetch.ensure(found.name, data_dir, "real", mirror or None, src, tgt)
        packing.pack(found, data_dir, folder, click.echo)
    packing.write_readme(folder, packed)
    click.echo(f"bundle {folder}: on the other machine, in a clone: make all BUNDLE={folder}")
