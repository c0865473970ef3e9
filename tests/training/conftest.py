"""One uninterrupted training that the tests of this folder compare with."""

import pytest

from small_training import run


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """The digest of the small Transformer's weights, trained without interruption."""
    return run("mt", tmp_path_factory.mktemp("straight"))
