"""Search: beam 1 is greedy, a full-width beam is exhaustive, and neighbours in a batch change nothing."""

import itertools

import pytest
import torch

from onepage.mt import search
from onepage.mt.search import beam, greedy, length_limit, penalty
from onepage.mt.tokenizer import END, PAD, START
from onepage.mt.transformer import Sizes, Transformer, initialise
from onepage.training.seeding import keyed_generator


def model(vocabulary=30, seed=0, sharp=6.0):
    sizes = Sizes(vocabulary=vocabulary, d_model=16, d_ff=32, heads=2, encoder_layers=1, decoder_layers=2)
    net = Transformer(sizes, PAD)
    initialise(net, keyed_generator(seed))
    net.embedding.weight.data.mul_(sharp)  # an untrained net is nearly uniform; this gives it opinions
    return net.eval()


def sources(count=7):
    generator = keyed_generator("sources")
    lengths = torch.randint(2, 9, (count,), generator=generator).tolist()
    return [[*torch.randint(4, 30, (n,), generator=generator).tolist(), END] for n in lengths]


def plain_greedy(net, source):
    ids, limit = [], length_limit(len(source))
    while len(ids) < limit and (not ids or ids[-1] != END):
        logits = net(torch.tensor([source]), torch.tensor([[START, *ids]]))[0, -1]
        logits[PAD] = logits[START] = float("-inf")
        ids.append(int(logits.argmax()))
    return ids


def log_probability(net, source, ids):
    """Summed log-probability of ids by full recomputation; START and PAD cannot be said."""
    logits = net(torch.tensor([source]), torch.tensor([[START, *ids[:-1]]]))[0]
    logs = torch.log_softmax(logits, dim=-1)
    return sum(logs[i, token].item() for i, token in enumerate(ids))


def test_beam_of_one_is_greedy_without_a_cache():
    net = model()
    with torch.no_grad():
        assert greedy(net, sources()) == [plain_greedy(net, source) for source in sources()]


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_scores_are_those_of_full_recomputation(alpha):
    net, source = model(), sources()[0]
    with torch.no_grad():
        for hypothesis in beam(net, [source], 4, alpha)[0]:
            expected = log_probability(net, source, hypothesis.ids) / penalty(len(hypothesis.ids), alpha)
            assert hypothesis.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "alpha", [pytest.param(0.0, marks=pytest.mark.slow), pytest.param(0.6, marks=pytest.mark.slow), 1.0]
)
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all(monkeypatch, alpha):
    monkeypatch.setattr(search, "length_limit", lambda length: 4)
    net, source = model(vocabulary=7, seed=3, sharp=2.0), [4, 5, END]
    words = [1, 4, 5, 6]  # all but PAD, START, END
    every = [[*w, END] for n in range(4) for w in itertools.product(words, repeat=n)]
    every += [list(w) for w in itertools.product(words, repeat=4)]  # cut by the limit
    with torch.no_grad():
        best = max(every, key=lambda ids: log_probability(net, source, ids) / penalty(len(ids), alpha))
        found = beam(net, [source], 4**4, alpha)[0][0]
    assert found.ids == best


def test_neighbours_order_and_padding_change_no_output():
    net, lines = model(), sources(9)
    alone = [beam(net, [line], 3, 1.0)[0] for line in lines]
    together = beam(net, lines, 3, 1.0)
    backwards = beam(net, lines[::-1], 3, 1.0)[::-1]
    for one, two, three in zip(alone, together, backwards, strict=True):
        assert [h.ids for h in one] == [h.ids for h in two] == [h.ids for h in three]


def test_hypotheses_come_best_first_and_none_twice():
    for found in beam(model(), sources(), 4, 1.0):
        scores = [h.score for h in found]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(h.ids) for h in found}) == len(found) >= 1


def test_a_limit_always_ends_it():
    net = model()
    net.output_bias.data[END] = -1e4  # END is never said
    source = sources()[0]
    assert len(beam(net, [source], 2, 1.0)[0][0].ids) == length_limit(len(source))
