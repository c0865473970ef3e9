"""Settings for all tests: hypothesis tries the same examples every time, and keeps nothing in the repository.

The caller's environment decides nothing here either: the program's own table of variables counts, and besides it those
are left out that change what a shell or Python does or how text is shown.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest
from hypothesis import settings

from onepage.terminal import environment

environment.apply()
settings.register_profile("onepage", derandomize=True, database=None, deadline=None)
settings.load_profile("onepage")

OF_SHELL_AND_PYTHON = ("BASH*", "SHELLOPTS", "CDPATH", "POSIXLY_CORRECT", "PYTHON*")
OF_SCREEN = ("COLUMNS", "LINES", "TERM", "*_COLOR", "CLICOLOR*", "PY_COLORS", "TTY_*")
OURS = ("PYTHONPATH", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE")


@pytest.fixture(scope="session", autouse=True)
def plain_shell_and_screen() -> Iterator[None]:
    """After pytest has read them for what it shows itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name not in OURS and any(fnmatchcase(name, part) for part in OF_SHELL_AND_PYTHON + OF_SCREEN):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def no_setting_of_the_caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """STRICT=1 of `make test` is for the claims on the trained runs, not for what other tests verify."""
    if request.node.get_closest_marker("claims") is None:
        monkeypatch.delenv("STRICT", raising=False)
