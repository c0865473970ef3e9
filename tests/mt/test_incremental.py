"""Search with a cache returns the same logits as full recomputation, however rows and sentences change."""

import pytest
import torch
from torch import nn

from onepage.mt import incremental
from onepage.mt.batching import pad
from onepage.mt.incremental import FastDecoder, Product, side_by_side, with_products
from onepage.mt.tokenizer import END, START
from onepage.training.seeding import keyed_generator
from small_transformer import small

VOCABULARY = 40
STEPS = 3 * incremental.ROOM + 1


@pytest.fixture(scope="module")
def net():
    return small(biases=True)


def expected(net, sources, cells, prefixes, k):
    """Logits (R, V) by full recomputation, row by row."""
    rows = [
        net(torch.tensor([sources[c // k]]), torch.tensor([ids]))[0, -1] for c, ids in zip(cells, prefixes, strict=True)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("lengths", [(5, 5, 5), (7, 4, 2)])  # without and with padding
@torch.no_grad()
def test_steps_equal_full_recomputation(net, lengths):
    """Rows continue any row of their sentence or end, a sentence leaves, and the cache is compacted several times."""
    k, generator = 3, keyed_generator("steps", lengths)

    def draw(low, high, count):
        return torch.randint(low, high, (count,), generator=generator).tolist()

    sources = [[*draw(4, VOCABULARY, n - 1), END] for n in lengths]
    rows = FastDecoder(net).begin(pad(sources), k)
    cells, prefixes = [0, k, 2 * k], [[START], [START], [START]]
    for step in range(STEPS):
        logits = rows.step(torch.tensor([ids[-1] for ids in prefixes]), torch.tensor(cells))
        torch.testing.assert_close(logits, expected(net, sources, cells, prefixes, k), atol=2e-5, rtol=1e-4)
        parents, new_cells, new_prefixes = [], [], []
        for sentence in range(len(sources)):
            own = [i for i, cell in enumerate(cells) if cell // k == sentence]
            for number in range(draw(1, k + 1, 1)[0]):  # one to k rows, each continues any earlier row
                parent = own[draw(0, len(own), 1)[0]]
                parents.append(cells[parent])
                new_cells.append(sentence * k + number)
                new_prefixes.append([*prefixes[parent], *draw(4, VOCABULARY, 1)])
        rows.reorder(torch.tensor(parents), torch.tensor(new_cells))
        cells, prefixes = new_cells, new_prefixes
        if step == incremental.ROOM + 2:  # the middle sentence leaves
            rows.keep(torch.tensor([0, 2]))
            kept = [i for i, cell in enumerate(cells) if cell // k != 1]
            prefixes = [prefixes[i] for i in kept]
            cells = [cells[i] - k * (cells[i] // k == 2) for i in kept]
            sources = [sources[0], sources[2]]


@torch.no_grad()
def test_entries_that_no_row_comes_from_are_forgotten(net):
    """If all rows have one parent at every step, the cache keeps one entry per step, not k."""
    k = 4
    rows = FastDecoder(net).begin(pad([[5, 6, END]]), k)
    cell = torch.tensor([0])
    for _ in range(2 * incremental.ROOM):
        rows.step(torch.full((len(cell),), 7), cell)
        cell = torch.arange(k)
        rows.reorder(torch.zeros(k, dtype=torch.long), cell)
    rows.step(torch.full((k,), 7), cell)
    assert rows.entries == 2 * incremental.ROOM + k


@torch.no_grad()
def test_products_are_linear_layers():
    x, layers = torch.randn(5, 16), [nn.Linear(16, 8), nn.Linear(16, 24)]
    for by_onednn in {False, torch.backends.mkldnn.is_available()}:
        for relu in (False, True):
            product = Product(layers[0].weight, layers[0].bias, relu)
            product.by_onednn = by_onednn
            plain = layers[0](x)
            torch.testing.assert_close(product(x), plain.relu() if relu else plain, atol=1e-5, rtol=1e-5)
    both = torch.cat([layers[0](x) * 0.5, layers[1](x)], dim=1)
    torch.testing.assert_close(side_by_side(layers, [0.5, 1.0])(x), both, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_model_of_products_shares_its_weights(net):
    fast = with_products(net)
    assert not any(isinstance(module, nn.Linear) for module in fast.modules())
    assert sum(isinstance(module, nn.Linear) for module in net.modules()) == 32
    assert {t.data_ptr() for t in fast.parameters()} == {t.data_ptr() for t in net.parameters()}
    source, target = torch.tensor([[5, 6, 7, END]]), torch.tensor([[START, 8, 9]])
    torch.testing.assert_close(fast(source, target), net(source, target), atol=1e-5, rtol=1e-4)
