"""The baseline for translation is the same model, and the same search without the cache."""

import itertools

import pytest
import torch
from torch import nn

from onepage.benchmarks.plain_mt import Loop, PlainTransformer, UncachedDecoder
from onepage.mt.search import beam, beam_over
from onepage.mt.tokenizer import END, PAD
from onepage.mt.transformer import Attention, Transformer
from onepage.training.seeding import keyed_generator
from onepage.training.weights import count_parameters
from small_transformer import sizes, small

SIZES = sizes(decoder_layers=3)


@pytest.fixture(scope="module")
def net() -> Transformer:
    return small(biases=True, decoder_layers=3)


def sources(count: int) -> list[list[int]]:
    generator = keyed_generator("sources")
    lengths = torch.randint(2, 9, (count,), generator=generator).tolist()
    return [[*torch.randint(4, 40, (n,), generator=generator).tolist(), END] for n in lengths]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_search_without_cache_finds_what_search_with_one_finds(net: Transformer, beam_size: int) -> None:
    lines = sources(7)
    with torch.no_grad():
        plain = beam_over(UncachedDecoder(net), lines, beam_size, 1.0)
    for one, other in zip(plain, beam(net, lines, beam_size, 1.0), strict=True):
        assert [h.ids for h in one] == [h.ids for h in other]
        assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-4)


def copy_attention(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    projections = ours.query, ours.key, ours.value
    theirs.in_proj_weight.data = torch.cat([p.weight.data for p in projections])
    theirs.in_proj_bias.data = torch.cat([p.bias.data for p in projections])
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def test_the_plain_model_is_the_same_network(net: Transformer) -> None:
    """It has as many parameters, and with our weights the same logits."""
    plain = PlainTransformer(SIZES).eval()
    assert count_parameters(plain) == count_parameters(net)
    plain.embedding.load_state_dict(net.embedding.state_dict())
    plain.output.bias.data = net.output_bias.data
    plain.encoder.norm.load_state_dict(net.encoder_norm.state_dict())
    plain.decoder.norm.load_state_dict(net.decoder_norm.state_dict())
    for theirs, ours in zip(plain.encoder.layers, net.encoder_layers(), strict=True):
        copy_attention(theirs.self_attn, ours.attention)
        theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward.outer.state_dict())
    for theirs, ours in zip(plain.decoder.layers, net.decoder_layers(), strict=True):
        copy_attention(theirs.self_attn, ours.self_attention)
        copy_attention(theirs.multihead_attn, ours.cross_attention)
        theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward.outer.state_dict())
    source, target = torch.tensor([[5, 6, 7, END], [9, END, PAD, PAD]]), torch.tensor([[2, 8, 9], [2, 8, 9]])
    with torch.no_grad():
        torch.testing.assert_close(plain(source, target), net(source, target), atol=1e-5, rtol=1e-4)


def test_dropout_is_where_ours_is() -> None:
    """One dropout is on the embeddings and one per sub-layer, none inside attention or feed-forward layers."""
    plain = PlainTransformer(sizes(encoder_layers=3, decoder_layers=3, dropout=0.3))
    active = [name for name, module in plain.named_modules() if isinstance(module, nn.Dropout) and module.p > 0]
    assert len(active) == 1 + 3 * 2 + 3 * 3
    assert all(m.dropout == 0 for m in plain.modules() if isinstance(m, nn.MultiheadAttention))


def test_the_plain_loop_learns() -> None:
    """It counts tokens without padding, and learns pairs that never change."""
    pairs = [([5, 6, END], [7, 8, 9, END]), ([5, END], [7, END])]
    loop = Loop(pairs, SIZES, 64, 0.0, seed=0)
    source, target = torch.tensor([[5, 6, END]]), torch.tensor([[2, 7, 8, 9]])
    before = loop.model.eval()(source, target)[0].argmax(-1).tolist()
    loop.model.train()
    assert list(itertools.islice(loop.updates(), 60)) == [6] * 60
    assert loop.model.eval()(source, target)[0].argmax(-1).tolist() == [7, 8, 9, END] != before
