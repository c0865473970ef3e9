"""``python -m onepage``: the click program of commands/main.py."""

import sys

try:
    from onepage.commands.main import main
except ModuleNotFoundError as error:  # for example after an upgrade of the system's Python
    if str(error.name).startswith("onepage"):
        raise
    sys.exit(f"{sys.executable} lacks the package {error.name}; run make setup")

if __name__ == "__main__":
    main(prog_name="onepage")
