"""Search: beam size 1 is greedy, a full-width beam is exhaustive; early stopping and neighbours change nothing."""

import itertools

import pytest
import torch

from onepage.mt import search
from onepage.mt.incremental import Rows
from onepage.mt.search import batches, beam, greedy, length_limit, penalty
from onepage.mt.tokenizer import END, PAD, START
from onepage.training.seeding import keyed_generator
from small_transformer import small


def model(vocabulary=30, seed=0, sharp=6.0):
    net = small(seed, vocabulary=vocabulary, encoder_layers=1)
    net.embedding.weight.data.mul_(sharp)  # an untrained net is nearly uniform; this sharpens it
    return net


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
    """Summed log-probability of ids by full recomputation."""
    logits = net(torch.tensor([source]), torch.tensor([[START, *ids[:-1]]]))[0]
    logs = torch.log_softmax(logits, dim=-1)
    return sum(logs[i, token].item() for i, token in enumerate(ids))


@pytest.mark.parametrize("seed", [0, 1])  # with seed 1, outputs end before the limit
def test_beam_of_one_is_greedy_without_a_cache(seed):
    net = model(seed=seed)
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
    ("length", "alpha", "expected"),
    [(40, 0.0, 1.0), (1, 1.3, 1.0), (7, 1.0, 2.0), (13, 0.5, 3**0.5), (19, 2.0, 16.0), (11, 0.6, 1.8013)],
)
def test_length_penalty_is_that_of_wu(length, alpha, expected):
    """Wu et al. 2016, equation 14: ((5 + length) / (5 + 1)) to the power of alpha."""
    assert penalty(length, alpha) == pytest.approx(expected, abs=1e-4)


@pytest.fixture(scope="module")
def tree():
    """A net with few words, a source, and every output of at most four pieces with its log-probability."""
    net, source = model(vocabulary=7, seed=3, sharp=2.0), [4, 5, END]
    words = [1, 4, 5, 6]  # all but PAD, START, END
    every = [[*w, END] for n in range(4) for w in itertools.product(words, repeat=n)]
    every += [list(w) for w in itertools.product(words, repeat=4)]  # cut by the limit
    with torch.no_grad():
        return net, source, [(log_probability(net, source, ids), ids) for ids in every]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 1.7, 3.0])
def test_full_width_beam_finds_the_best(tree, alpha, monkeypatch):
    monkeypatch.setattr(search, "length_limit", lambda length: 4)
    net, source, every = tree
    best = sorted(((total / penalty(len(ids), alpha), ids) for total, ids in every), reverse=True)[:5]
    found = beam(net, [source], 4**4, alpha, nbest=5)[0]
    assert [h.ids for h in found] == [ids for _, ids in best]
    assert [h.score for h in found] == pytest.approx([score for score, _ in best], abs=1e-4)


def plain_beam(net, source, k, alpha):
    """Beam search of one sentence, without cache or early stopping: rows continue to the limit or leave the beam."""
    limit, rows, finished = length_limit(len(source)), [(0.0, [])], []
    for length in range(1, limit + 1):
        candidates = []
        for total, ids in rows:
            logs = torch.log_softmax(net(torch.tensor([source]), torch.tensor([[START, *ids]]))[0, -1], dim=-1)
            logs[PAD] = logs[START] = float("-inf")
            values, pieces = logs.topk(2 * k)
            candidates += [
                (total + v, [*ids, piece]) for v, piece in zip(values.tolist(), pieces.tolist(), strict=True)
            ]
        candidates = sorted(candidates, reverse=True)[: 2 * k]
        ended = [c for c in candidates[:k] if c[1][-1] == END]
        rows = [c for c in candidates if c[1][-1] != END][:k]
        finished += [(total / penalty(length, alpha), ids) for total, ids in ended + (rows if length == limit else [])]
    return [ids for _, ids in sorted(finished, reverse=True)[:k]]


@pytest.mark.parametrize(("alpha", "saves"), [(0.0, True), (0.6, True), (1.0, True), (2.0, False)])
def test_stopping_early_loses_nothing(monkeypatch, alpha, saves):
    """It finds what a search to the limit finds, with fewer rows unless the penalty always favours long outputs."""
    monkeypatch.setattr(search, "length_limit", lambda length: length + 8)
    monkeypatch.setitem(globals(), "length_limit", search.length_limit)
    rows = []
    step = Rows.step

    def counted(self, token, cell):
        rows.append(len(token))
        alive = len(set((cell // 3).tolist()))
        assert self.batch >= alive > search.FULL * self.batch or self.batch == alive  # ended sentences leave
        return step(self, token, cell)

    monkeypatch.setattr(Rows, "step", counted)
    net, lines = model(seed=5, sharp=1.0), sources(6)
    net.output_bias.data[END] = 2.0  # some outputs end long before the limit
    with torch.no_grad():
        expected = [plain_beam(net, line, 3, alpha) for line in lines]
    assert [[h.ids for h in found] for found in beam(net, lines, 3, alpha)] == expected
    whole, exhaustive = sum(rows), sum(3 * (len(line) + 8) - 2 for line in lines)
    rows.clear()
    assert [[h.ids for h in found] for found in beam(net, lines, 3, alpha, nbest=1)] == [e[:1] for e in expected]
    assert sum(rows) <= whole <= exhaustive and (sum(rows) < exhaustive) == saves


def test_neighbours_order_and_padding_change_no_output():
    net, lines = model(), sources(9)
    alone = [beam(net, [line], 3, 1.0)[0] for line in lines]
    together = beam(net, lines, 3, 1.0)
    backwards = beam(net, lines[::-1], 3, 1.0)[::-1]
    in_threes = beam(net, lines, 3, 1.0, batch_tokens=3 * 3 * max(map(len, lines)))
    assert len(list(batches(lines, 3 * max(map(len, lines))))) > 1
    for found in zip(alone, together, backwards, in_threes, strict=True):
        assert all([h.ids for h in one] == [h.ids for h in found[0]] for one in found)
        for one in found:
            assert [h.score for h in one] == pytest.approx([h.score for h in found[0]], abs=1e-4)


def test_several_threads_give_what_one_gives(monkeypatch):
    """Two threads share even a small batch; one thread keeps it together."""
    net, lines, before = model(), sources(9), torch.get_num_threads()
    searched = []
    search_one = search._search
    monkeypatch.setattr(
        search, "_search", lambda part, *given: (searched.append(len(part)), search_one(part, *given))[1]
    )
    try:
        torch.set_num_threads(1)
        expected = [[h.ids for h in found] for found in beam(net, lines, 3, 1.0)]
        assert searched == [9]
        torch.set_num_threads(2)
        for tokens, parts in ((8000, 2), (60, 4)):
            searched.clear()
            found = beam(net, lines, 3, 1.0, batch_tokens=tokens)
            assert torch.get_num_threads() == 2 and len(searched) >= parts and sum(searched) == 9
            assert [[h.ids for h in hypotheses] for hypotheses in found] == expected
        with pytest.raises(IndexError):
            beam(net, [[10_000, END], *lines], 3, 1.0, batch_tokens=60)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("vocabulary", [7, 30, 31, 96, 800, 4000])
def test_the_best_candidates_are_those_of_all(vocabulary):
    """They equal those of one sort over all cells; empty cells and impossible pieces yield no candidates."""
    k, batch, generator = 3, 4, keyed_generator("candidates", vocabulary)
    cell = torch.tensor([0, 1, 2, 3, 6, 8, 9])
    logs = torch.randn(len(cell), vocabulary, generator=generator)
    logs[4, 1:] = float("-inf")
    sums = torch.randn(len(cell), generator=generator)
    totals, rows, pieces = search._best_candidates(logs, sums, cell, batch, k)
    every = torch.full((batch * k, vocabulary), float("-inf"))
    every[cell] = logs + sums[:, None]
    expected, flat = every.view(batch, -1).topk(2 * k, dim=1)
    assert torch.equal(totals, expected)
    there = expected > float("-inf")
    base = torch.arange(batch)[:, None] * k
    assert torch.equal(cell[rows][there], (base + flat // vocabulary)[there])
    assert torch.equal(pieces[there], (flat % vocabulary)[there])
    assert vocabulary % search.group_width(vocabulary) == 0


def test_groups_of_pieces_by_hand():
    """The largest divisor up to 32 that leaves a multiple of 32 groups, or else the largest divisor up to 32."""
    widths = {4000: 25, 96: 3, 32: 1, 1056: 11, 33: 11, 31: 31, 7: 7}
    assert {vocabulary: search.group_width(vocabulary) for vocabulary in widths} == widths


def test_no_sentences_give_no_outputs():
    assert beam(model(), [], 3, 1.0) == [] and greedy(model(), []) == []


def test_hypotheses_come_best_first_and_none_twice():
    for found in beam(model(), sources(), 4, 1.0):
        scores = [h.score for h in found]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(h.ids) for h in found}) == len(found) >= 1


def test_length_limit_or_last_position_ends_it():
    net = model()
    net.output_bias.data[END] = -1e4  # the net never chooses END
    for source, found in zip(sources(), beam(net, sources(), 2, 1.0), strict=True):
        assert [len(h.ids) for h in found] == [length_limit(len(source))] * 2
        assert all(END not in h.ids for h in found)
    net.positions = net.positions[:20]
    assert len(beam(net, [[*[5] * 15, END]], 2, 1.0)[0][0].ids) == 19
