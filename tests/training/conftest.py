"""What tests of training share: torch's global settings as they were, and one training to compare with."""

import pytest
import torch

from small_training import run


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """The digest of the small Transformer's weights, trained without an interruption."""
    threads = torch.get_num_threads()
    digest = run("mt", tmp_path_factory.mktemp("straight"))
    torch.set_num_threads(threads)
    return digest
