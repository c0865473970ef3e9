"""``python -m onepage``: the click program of commands/main.py."""

from onepage.commands.main import main

if __name__ == "__main__":
    main(prog_name="onepage")
