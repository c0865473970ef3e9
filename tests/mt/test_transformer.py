"""Attention against torch's, and nothing leaks from where it must not."""

import math

import pytest
import torch
from torch import nn

from onepage.mt.tokenizer import PAD
from onepage.mt.transformer import (
    Attention,
    Dropout,
    Sizes,
    Transformer,
    causal_mask,
    initialise,
    padding_mask,
    sinusoidal_positions,
)
from onepage.training.seeding import keyed_generator

SIZES = Sizes(vocabulary=40, d_model=16, d_ff=32, heads=4, encoder_layers=2, decoder_layers=2, dropout=0.0)


def model(**changes):
    made = Transformer(Sizes(**{**SIZES.__dict__, **changes}), PAD)
    initialise(made, keyed_generator(0))
    return made.eval()


def reference_of(ours: Attention, width: int) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(width, ours.heads, batch_first=True)
    projections = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([p.weight.data for p in projections])
    theirs.in_proj_bias.data = torch.cat([p.bias.data for p in projections])
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = ours.output.weight.data, ours.output.bias.data
    return theirs


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torchs_in_values_and_gradients(masked):
    torch.manual_seed(0)
    ours = Attention(24, 3, dropout=0.0)
    for projection in (ours.query, ours.key, ours.value, ours.output):
        nn.init.normal_(projection.bias, 0.0, 0.3)
    theirs = reference_of(ours, 24)
    x, memory = torch.randn(2, 5, 24), torch.randn(2, 7, 24)
    allowed = torch.rand(2, 1, 5, 7) > 0.4
    allowed[..., 0] = True
    mask = allowed if masked else None
    forbidden = ~allowed[:, 0].repeat_interleave(3, 0) if masked else None

    inputs = [t.clone().requires_grad_(True) for t in (x, memory, x, memory)]
    got = ours(inputs[0], inputs[1], mask)
    expected, _ = theirs(inputs[2], inputs[3], inputs[3], attn_mask=forbidden)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    upstream = torch.randn_like(got)
    got.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(inputs[0].grad, inputs[2].grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(inputs[1].grad, inputs[3].grad, atol=1e-5, rtol=1e-4)
    weights = torch.cat([p.weight.grad for p in (ours.query, ours.key, ours.value)])
    torch.testing.assert_close(weights, theirs.in_proj_weight.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_later_target_positions_change_earlier_ones_only_unmasked(causal):
    net, source = model(causal=causal), torch.tensor([[5, 6, 7, 3]])
    target, changed = torch.tensor([[2, 8, 9, 10, 11]]), torch.tensor([[2, 8, 9, 30, 31]])
    before, after = net(source, target), net(source, changed)
    assert torch.equal(before[:, :3], after[:, :3]) if causal else not torch.allclose(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_padding_changes_nothing_for_real_positions():
    net = model()
    source, target = torch.tensor([[5, 6, 7, 3]]), torch.tensor([[2, 8, 9]])
    longer_source = torch.tensor([[5, 6, 7, 3, PAD, PAD]])
    longer_target = torch.tensor([[2, 8, 9, PAD]])
    expected = net(source, target)
    torch.testing.assert_close(net(longer_source, longer_target)[:, :3], expected, atol=1e-5, rtol=1e-5)
    # whatever stands in the embedding of PAD: it is never looked at
    net.embedding.weight.data[PAD] = 100.0
    net.output_bias.data[:] = 0.0
    got = net(longer_source, longer_target)[:, :3, PAD + 1 :]
    torch.testing.assert_close(got, expected[..., PAD + 1 :], atol=1e-4, rtol=1e-4)


def test_masks_say_what_may_be_seen():
    assert causal_mask(3)[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert padding_mask(torch.tensor([[4, 3, PAD]]), PAD)[0, 0, 0].tolist() == [True, True, False]
    combined = model().target_mask(torch.tensor([[2, 4, PAD]]))[0, 0]
    assert combined.tolist() == [[True, False, False], [True, True, False], [True, True, False]]


def test_one_table_serves_source_target_and_output():
    net = model()
    tables = [p for p in net.parameters() if p.shape == (40, 16)]
    assert len(tables) == 1 and tables[0] is net.embedding.weight


def test_no_transformer_or_attention_of_torch_is_used():
    kinds = {type(m) for m in model().modules()}
    assert not any(
        k.__module__.startswith("torch") and ("Transformer" in k.__name__ or "Attention" in k.__name__) for k in kinds
    )


def test_positions_are_sines_and_cosines():
    table = sinusoidal_positions(50, 8)
    assert table[7, 0] == pytest.approx(math.sin(7)) and table[7, 1] == pytest.approx(math.cos(7))
    assert table[7, 4].item() == pytest.approx(math.sin(7 / 10000 ** (4 / 8)), abs=1e-6)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    layer = Dropout(0.3).train()
    out = layer(torch.ones(200, 503))
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert out.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(layer.eval()(torch.ones(3)), torch.ones(3))
    torch.manual_seed(5)
    first = layer.train()(torch.ones(64))
    torch.manual_seed(5)
    assert torch.equal(first, layer(torch.ones(64)))
