"""The decoder one target position at a time, for the rows (partial outputs) of a beam search.

Keys and values are cached per sentence: those of cross-attention, and those of self-attention at every position of all
present and past rows of the sentence. The rows attend to them together. A mask marks the ancestors of each row, so that
reordering a beam moves no keys. The network and the weights are those of transformer.py; a test compares the logits
with full recomputation. Shapes: B sentences, k cells per sentence, R <= B * k rows, S source positions, E entries
(self-attention keys) per sentence, H heads, D model width.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onepage.mt.transformer import DecoderLayer, Transformer

ROOM = 8  # steps between two clean-ups of the self-attention cache
ROWS = 16  # rows are padded to a multiple of this, because oneDNN makes a kernel for each distinct shape


class Product(nn.Module):
    """A linear layer for inference, by oneDNN on a CPU.

    torch computes fp32 products with MKL, whose AVX-512 kernels are for Intel; on other processors oneDNN is twice as
    fast.
    """

    def __init__(self, weight: Tensor, bias: Tensor, relu: bool = False):
        super().__init__()
        self.weight, self.bias, self.relu = weight, bias, relu
        plain = weight.device.type == "cpu" and weight.dtype == torch.float32
        self.by_onednn = plain and torch.backends.mkldnn.is_available()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), with ReLU if requested."""
        if self.by_onednn:
            after = "relu" if self.relu else "none"
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, after, [], "")
            return product
        product = F.linear(x, self.weight, self.bias)
        return F.relu_(product) if self.relu else product


def with_products(model: Transformer) -> Transformer:
    """The same model with the same weights, for inference: its linear layers are replaced by products."""
    shared = [*model.parameters(), *model.buffers()]
    model = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, Product(child.weight, child.bias))
    return model


def side_by_side(layers: list[nn.Linear], factors: list[float]) -> Product:
    """Several linear layers of one input as one product; each result is multiplied by its factor."""
    weights = [layer.weight * factor for layer, factor in zip(layers, factors, strict=True)]
    return Product(torch.cat(weights), torch.cat([layer.bias * f for layer, f in zip(layers, factors, strict=True)]))


class FastLayer:
    """A decoder layer's norms and products; queries come scaled by 1 / sqrt(D/H)."""

    def __init__(self, layer: DecoderLayer):
        own, cross, feed_forward = layer.self_attention, layer.cross_attention, layer.feed_forward
        scale = 1 / math.sqrt(own.query.out_features / own.heads)
        self.norm1, self.norm2, self.norm3 = layer.norm1, layer.norm2, layer.norm3
        self.query_key_value = side_by_side([own.query, own.key, own.value], [scale, 1.0, 1.0])
        self.own_output = Product(own.output.weight, own.output.bias)
        self.query = side_by_side([cross.query], [scale])
        self.cross_output = Product(cross.output.weight, cross.output.bias)
        self.inner = Product(feed_forward.inner.weight, feed_forward.inner.bias, relu=True)
        self.outer = Product(feed_forward.outer.weight, feed_forward.outer.bias)


class FastDecoder:
    """A model with its decoder prepared for single positions; made once, used for many batches."""

    def __init__(self, model: Transformer):
        self.model, self.heads = with_products(model), model.sizes.heads
        self.layers = [FastLayer(layer) for layer in model.decoder_layers()]
        self.logits = Product(model.embedding.weight, model.output_bias)

    def begin(self, source: Tensor, k: int) -> "Rows":
        """Rows, at first none, for the sentences (B, S), padded ids; up to k per sentence."""
        return Rows(self, source, k)


class Rows:
    """The rows of a batch of sentences, all with the same length, and their cache.

    ``cell`` of a row is sentence * k + its number in the sentence, below k; no two rows share one.
    """

    def __init__(self, decoder: FastDecoder, source: Tensor, k: int):
        """source: ids (B, S), padded. There are no rows until the first step."""
        memory, mask = decoder.model.encode(source)
        self.decoder, self.k, self.batch, self.length = decoder, k, len(source), 0
        self.lowest = torch.finfo(memory.dtype).min
        # (B, 1, 1, S), added to scores: lowest at padding, else 0
        self.hidden = None if bool(mask.all()) else (~mask).to(memory.dtype) * self.lowest
        pairs = decoder.model.source_keys_values(memory)
        self.source = [(keys.contiguous(), values.contiguous()) for keys, values in pairs]  # (B, H, S, D/H) each
        # keys and values of each layer (B, H, room, D/H), the first ``entries`` filled: k a step, cells without row too
        self.own = [(keys[:, :, :0], values[:, :, :0]) for keys, values in self.source]
        self.entries = 0
        self.foreign = memory.new_zeros(len(source) * k, 0)  # (B k, E): 0 where a row comes from an entry, else lowest

    def step(self, token: Tensor, cell: Tensor) -> Tensor:
        """Last ids (R,) and cells (R,) of the rows -> logits (R, V) of the next."""
        rows, decoder = len(token), self.decoder
        if self.length % ROOM == 0:
            self._clear()
        token = F.pad(token, (0, -rows % ROWS))
        cell = F.pad(cell, (0, -rows % ROWS), value=self.batch * self.k)  # a cell of no sentence
        x = decoder.model.embed(token[:, None], self.length)[:, 0]  # (R, D)
        this = torch.eye(self.k, device=x.device).sub_(1).mul_(-self.lowest).repeat(self.batch, 1)
        self.foreign = torch.cat([self.foreign, this], dim=1)
        self.entries, self.length = self.entries + self.k, self.length + 1
        for layer, own, source in zip(decoder.layers, self.own, self.source, strict=True):
            x = x + layer.own_output(self._attend_to_own(layer.query_key_value(layer.norm1(x)), cell, *own))
            x = x + layer.cross_output(self._attend_to_source(layer.query(layer.norm2(x)), cell, *source))
            x = x + layer.outer(layer.inner(layer.norm3(x)))
        return decoder.logits(decoder.model.decoder_norm(x))[:rows]

    def reorder(self, parents: Tensor, cell: Tensor) -> None:
        """Replace the row in ``cell[i]`` by a copy of the one in the cell ``parents[i]``; all other rows end."""
        self.foreign = torch.full_like(self.foreign, self.lowest).index_copy_(0, cell, self.foreign[parents])

    def keep(self, sentences: Tensor) -> None:
        """Remove all sentences but these (B'), which are renumbered from 0 in this order."""
        self.batch = len(sentences)
        if self.hidden is not None:
            self.hidden = self.hidden.index_select(0, sentences)
        self.source = [(k.index_select(0, sentences), v.index_select(0, sentences)) for k, v in self.source]
        self.own = [(k.index_select(0, sentences), v.index_select(0, sentences)) for k, v in self.own]
        self.foreign = self.foreign.view(-1, self.k * self.entries).index_select(0, sentences).view(-1, self.entries)

    def _clear(self) -> None:
        """Remove the entries without descendants, and make room for those of the next steps."""
        foreign = self.foreign.view(self.batch, self.k, self.entries)
        used = (foreign == 0).any(1)  # (B, E)
        most = int(used.sum(1).max()) if self.entries else 0
        order = used.sort(dim=1, descending=True, stable=True).indices[:, :most]  # (B, E'), used ones first
        self.foreign = foreign.gather(2, order[:, None].expand(-1, self.k, -1)).flatten(0, 1)
        self.entries = most
        heads, room = self.own[0][0].shape[1:3]
        first = torch.arange(self.batch * heads, device=order.device).view(self.batch, heads, 1) * room
        kept = (first + order[:, None]).flatten()  # of all entries of all sentences and heads in a row
        self.own = [(self._cleared(keys, kept), self._cleared(values, kept)) for keys, values in self.own]

    def _cleared(self, cached: Tensor, kept: Tensor) -> Tensor:
        """(B, H, room, D/H) -> (B, H, E' + room for steps, D/H); zeros there: cells without a row stay finite."""
        entries = cached.flatten(0, 2).index_select(0, kept).view(*cached.shape[:2], self.entries, cached.shape[3])
        return F.pad(entries, (0, 0, 0, ROOM * self.k))

    def _attend_to_own(self, projected: Tensor, cell: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """projected: queries, keys and values (R, 3 D) of the last position, added as the last entry -> (R, D)."""
        new = self._by_sentence(projected, cell, 3)
        keys[:, :, self.entries - self.k : self.entries] = new[1]
        values[:, :, self.entries - self.k : self.entries] = new[2]
        keys, values = keys[:, :, : self.entries], values[:, :, : self.entries]
        mask = self.foreign.view(self.batch, 1, self.k, self.entries)
        return self._attend(new[0], cell, keys, values, mask)

    def _attend_to_source(self, queries: Tensor, cell: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """queries (R, D) -> (R, D), against the source's keys and values (B, H, S, D/H)."""
        return self._attend(self._by_sentence(queries, cell, 1)[0], cell, keys, values, self.hidden)

    def _by_sentence(self, x: Tensor, cell: Tensor, parts: int) -> Tensor:
        """(R, parts * D) -> (parts, B, H, k, D/H), zeros in cells without a row."""
        cells = x.new_zeros(self.batch * self.k + 1, x.shape[1]).index_copy_(0, cell, x)[:-1]
        return cells.view(self.batch, self.k, parts, self.decoder.heads, -1).permute(2, 0, 3, 1, 4)

    def _attend(self, queries: Tensor, cell: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (B, H, k, D/H) against keys and values (B, H, N, D/H), with what is added to the scores -> (R, D)."""
        scores = queries @ keys.transpose(2, 3)  # (B, H, k, N)
        if mask is not None:
            scores += mask
        cells = (torch.softmax(scores, dim=-1) @ values).transpose(1, 2).reshape(self.batch * self.k, -1)
        return cells.index_select(0, cell.clamp(max=len(cells) - 1))
