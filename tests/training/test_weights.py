"""Digests of weights."""

import torch

from onepage.training.weights import digest_tensors


def test_digests_see_names_types_shapes_and_bits():
    base = {"a": torch.zeros(4), "b": torch.ones(2)}
    others = [
        {"a": torch.zeros(4), "c": torch.ones(2)},
        {"a": torch.zeros(4, dtype=torch.float64), "b": torch.ones(2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2)},
        {"a": torch.tensor([0.0, 0.0, 0.0, -0.0]), "b": torch.ones(2)},
    ]
    assert digest_tensors(base) == digest_tensors(dict(reversed(base.items())))
    assert len({digest_tensors(t) for t in [base, *others]}) == 5
