"""Seeds of keyed draws, and the arithmetic of fp32."""

from types import SimpleNamespace

import pytest
import torch

from onepage.training import seeding
from onepage.training.seeding import keyed_seed


def test_seeds_of_different_places_differ():
    assert len({keyed_seed(s, p, e) for s in range(3) for p in ("order", "flip") for e in range(3)}) == 18


@pytest.mark.parametrize("allowed", [False, True])
def test_tf32_is_set_by_the_interface_there_is(allowed, monkeypatch):
    """torch before 2.9 has the old interface, later torch the new one. Each sets convolutions and matrix products."""
    old = SimpleNamespace(
        cudnn=SimpleNamespace(allow_tf32=None), cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=None))
    )
    monkeypatch.setattr(torch, "backends", old)
    seeding.allow_tf32(allowed)
    assert old.cudnn.allow_tf32 is old.cuda.matmul.allow_tf32 is allowed
    assert not hasattr(old.cuda.matmul, "fp32_precision")
    old.cudnn.conv = SimpleNamespace(fp32_precision=None)
    seeding.allow_tf32(allowed)
    assert old.cudnn.conv.fp32_precision == old.cuda.matmul.fp32_precision == ("tf32" if allowed else "ieee")


def test_both_interfaces_of_tf32_agree():
    """torch raises an error if one interface is read after the other was set differently."""
    seeding.allow_tf32(False)
    assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is False
    assert torch.get_float32_matmul_precision() == "highest"
