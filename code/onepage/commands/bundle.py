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
    """Fetch and verify the real data sets of both tasks, and pack them into a folder that serves as DATA_MIRROR.

    With --data generated nothing is packed: the stand-ins are made wherever they are needed. Writes README.txt, which
    says how to use the folder, last.
    """
    from onepage.data import fetch
    from onepage.data import pack as packing
    from onepage.data.sources import real_set

    packed = []
    for task in ("cls", "mt"):
        fetch.check_settings(task, data, src, tgt)
    begins("Bundle")
    for task in () if data == "generated" else ("cls", "mt"):
        fetch.ensure(task, data_dir, "real", mirror or None, src, tgt)
        packed.append(real_set(task, src, tgt))
        packing.pack(packed[-1], data_dir, folder, click.echo)
    packing.write_readme(folder, packed)
    click.echo(f"bundle {folder}: on the other machine, in a clone: make all BUNDLE={folder}")
