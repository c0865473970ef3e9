"""``python -m onepage``: the click program of cli.py."""

from onepage.cli import main

if __name__ == "__main__":
    main(prog_name="onepage")
