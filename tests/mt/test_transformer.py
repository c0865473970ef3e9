"""Attention and network equal torch's, and no position sees what its mask hides."""

import dataclasses
import functools
import math

import pytest
import torch
from torch import nn

from onepage.mt.recipe import Recipe
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
from small_transformer import small

model = functools.partial(small, heads=4)


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
    ours.record = recorded = []
    got = ours(inputs[0], inputs[1], mask)
    expected, weights = theirs(inputs[2], inputs[3], inputs[3], attn_mask=forbidden)
    torch.testing.assert_close(recorded[0].mean(1), weights)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    upstream = torch.randn_like(got)
    got.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(inputs[0].grad, inputs[2].grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(inputs[1].grad, inputs[3].grad, atol=1e-5, rtol=1e-4)
    weights = torch.cat([p.weight.grad for p in (ours.query, ours.key, ours.value)])
    torch.testing.assert_close(weights, theirs.in_proj_weight.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_network_equals_torchs(causal):
    """This covers embeddings, positions, layers, norms, masks and output, with all vectors off their initial values."""
    net, theirs = (
        model(causal=causal).train(),
        nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, batch_first=True, norm_first=True),
    )
    for parameter in net.parameters():
        if parameter.dim() == 1:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    for ours, layer in zip(net.encoder_layers(), theirs.encoder.layers, strict=True):
        layer.self_attn = reference_of(ours.attention, 16)
    for ours, layer in zip(net.decoder_layers(), theirs.decoder.layers, strict=True):
        layer.self_attn = reference_of(ours.self_attention, 16)
        layer.multihead_attn = reference_of(ours.cross_attention, 16)
        layer.norm3 = ours.norm3
    all_layers = [*net.encoder_layers(), *net.decoder_layers()], [*theirs.encoder.layers, *theirs.decoder.layers]
    for ours, layer in zip(*all_layers, strict=True):
        layer.linear1, layer.linear2 = ours.feed_forward.inner, ours.feed_forward.outer
        layer.norm1, layer.norm2 = ours.norm1, ours.norm2
    theirs.encoder.norm, theirs.decoder.norm = net.encoder_norm, net.decoder_norm

    def embedded(tokens):
        wave = [[place / 10000 ** (i // 2 * 2 / 16) for i in range(16)] for place in range(tokens.shape[1])]
        table = [[math.cos(x) if i % 2 else math.sin(x) for i, x in enumerate(row)] for row in wave]
        return 4.0 * net.embedding.weight[tokens] + torch.tensor(table)  # 4: the square root of the width

    source, target = torch.tensor([[5, 6, 7, 3], [8, 3, PAD, PAD]]), torch.tensor([[2, 8, 9, 10], [2, 9, 4, PAD]])
    hidden = theirs(
        embedded(source), embedded(target), tgt_mask=torch.ones(4, 4, dtype=torch.bool).triu(1) if causal else None,
        src_key_padding_mask=source == PAD, memory_key_padding_mask=source == PAD, tgt_key_padding_mask=target == PAD,
    )  # fmt: skip
    expected = hidden @ net.embedding.weight.T + net.output_bias
    torch.testing.assert_close(net(source, target), expected, atol=1e-4, rtol=1e-4)


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
    # the embedding of PAD does not matter, because no position attends to it
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


def test_dropout_drops_exactly_its_share_of_all_words(monkeypatch):
    """Of all 65,536 random words, each used once, the exact share is dropped; the other values are scaled up."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.int64)
    monkeypatch.setattr(torch.Tensor, "random_", lambda self, low, high: self.copy_(every[: len(self)]))
    for probability, dropped in ((0.25, 16384), (0.1, 6554), (2**-16, 1)):
        out = Dropout(probability).train()(torch.ones(256, 256))
        assert int((out == 0).sum()) == dropped
        assert out[out != 0].unique().tolist() == pytest.approx([65536 / (65536 - dropped)])
    for size in range(1, 9):  # random words come in groups of four
        assert Dropout(0.5).train()(torch.ones(size)).shape == (size,)


def test_weights_start_as_published():
    """Glorot & Bengio 2010, equation 16: uniform up to sqrt(6 / (in + out)); embeddings have variance 1 / D."""
    net = Transformer(Sizes(vocabulary=900, d_model=48, d_ff=96), PAD)
    for parameter in net.parameters():
        parameter.data.fill_(7.0)
    initialise(net, keyed_generator(0))
    for module in net.modules():
        if isinstance(module, nn.Linear):
            bound = (6 / (module.in_features + module.out_features)) ** 0.5
            assert 0.99 * bound < module.weight.max() <= bound and -bound <= module.weight.min() < -0.99 * bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
            assert not module.bias.any()
    assert net.embedding.weight.std().item() == pytest.approx(48**-0.5, rel=0.02)
    assert net.embedding.weight.mean().abs() < 0.01 and not net.output_bias.any()


def test_sizes_not_given_are_those_of_a_recipe():
    recipe = {field.name: field.default for field in dataclasses.fields(Recipe)}
    assert all(field.default == recipe[field.name] for field in dataclasses.fields(Sizes)[1:])
