"""For comparison with the Transformer: our search without its cache, and a training loop as in a tutorial.

The search is ours, with the same batches, threads and products, but without the cache: at each step the decoder runs
over the whole of every partial output. The training loop uses torch's own Transformer layers in fp32, of the same sizes
and with dropout at the same places: ``nn.Dropout``, logits at every position including padding, and AdamW.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onepage.mt.batching import Pair, make_batch, plan_epoch
from onepage.mt.incremental import Product, with_products
from onepage.mt.tokenizer import PAD
from onepage.mt.transformer import Sizes, Transformer, sinusoidal_positions

LEARNING_RATE = 1e-3
CLIP = 1.0
ABOUT = {"optimiser": "adamw", "learning_rate": LEARNING_RATE, "precision": "fp32"}


class UncachedDecoder:
    """Decodes like ``incremental.FastDecoder``, but computes everything again at each step."""

    def __init__(self, model: Transformer):
        self.model = with_products(model)
        self.logits = Product(model.embedding.weight, model.output_bias)

    def begin(self, source: Tensor, k: int) -> "UncachedRows":
        """Rows, at first none, for the sentences (B, S), padded ids; up to k per sentence."""
        return UncachedRows(self, source, k)


class UncachedRows:
    """Rows as ``incremental.Rows``: their ids so far, and the encoded sources."""

    def __init__(self, decoder: UncachedDecoder, source: Tensor, k: int):
        self.decoder, self.k = decoder, k
        self.memory, self.mask = decoder.model.encode(source)
        self.ids = source.new_zeros(len(source) * k, 0)  # (B k, T)

    def step(self, token: Tensor, cell: Tensor) -> Tensor:
        """Last ids (R,) and cells (R,) of the rows -> logits (R, V) of the next."""
        last = self.ids.new_zeros(len(self.ids)).index_copy_(0, cell, token)
        self.ids = torch.cat([self.ids, last[:, None]], dim=1)
        sentence = cell // self.k
        hidden = self.decoder.model.decode(self.ids[cell], self.memory[sentence], self.mask[sentence])
        return self.decoder.logits(hidden[:, -1])

    def reorder(self, parents: Tensor, cell: Tensor) -> None:
        """Replace the row in ``cell[i]`` by a copy of the one in the cell ``parents[i]``."""
        self.ids = torch.zeros_like(self.ids).index_copy_(0, cell, self.ids[parents])

    def keep(self, sentences: Tensor) -> None:
        """Remove all sentences but these."""
        self.memory, self.mask = self.memory[sentences], self.mask[sentences]
        self.ids = self.ids.view(-1, self.k, self.ids.shape[1])[sentences].flatten(0, 1)


class PlainTransformer(nn.Module):
    """The network of transformer.py from torch's layers: pre-norm, one table of embeddings, sinusoidal positions."""

    def __init__(self, sizes: Sizes, max_length: int = 512):
        super().__init__()
        width, heads, inner, dropout = sizes.d_model, sizes.heads, sizes.d_ff, sizes.dropout
        self.scale = width**0.5
        self.embedding = nn.Embedding(sizes.vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.dropout = nn.Dropout(dropout)
        encoder = nn.TransformerEncoderLayer(width, heads, inner, dropout, batch_first=True, norm_first=True)
        decoder = nn.TransformerDecoderLayer(width, heads, inner, dropout, batch_first=True, norm_first=True)
        encoder.self_attn.dropout = decoder.self_attn.dropout = sizes.attention_dropout
        decoder.multihead_attn.dropout = sizes.attention_dropout
        encoder.dropout.p = decoder.dropout.p = sizes.activation_dropout
        norms = nn.LayerNorm(width), nn.LayerNorm(width)
        self.encoder = nn.TransformerEncoder(encoder, sizes.encoder_layers, norms[0], enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder, sizes.decoder_layers, norms[1])
        self.output = nn.Linear(width, sizes.vocabulary)
        self.output.weight = self.embedding.weight
        self.register_buffer("positions", sinusoidal_positions(max_length, width), persistent=False)
        self.positions: Tensor

    def embed(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.embedding(ids) * self.scale + self.positions[: ids.shape[1]])
        return embedded

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Source ids (B, S) and target input ids (B, T) -> logits (B, T, V)."""
        padding, length = source == PAD, target.shape[1]
        memory = self.encoder(self.embed(source), src_key_padding_mask=padding)
        future = torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1)
        hidden = self.decoder(self.embed(target), memory, tgt_mask=future, memory_key_padding_mask=padding)
        logits: Tensor = self.output(hidden)
        return logits


class Loop:
    """The training loop, one update at a time."""

    def __init__(self, pairs: Sequence[Pair], sizes: Sizes, batch_tokens: int, label_smoothing: float, seed: int):
        self.pairs, self.batch_tokens, self.label_smoothing, self.seed = pairs, batch_tokens, label_smoothing, seed
        self.lengths = [(len(source), len(target)) for source, target in pairs]
        torch.manual_seed(seed)
        self.model = PlainTransformer(sizes).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE)

    def updates(self) -> Iterator[int]:
        """Train without end; yields the target tokens, without padding, of each finished update."""
        epoch = 0
        while True:
            for numbers in plan_epoch(self.lengths, self.batch_tokens, self.seed, epoch):
                batch = make_batch([self.pairs[i] for i in numbers])
                logits = self.model(batch.source, batch.target_input)
                loss = F.cross_entropy(
                    logits.flatten(0, 1),
                    batch.target_output.flatten(),
                    ignore_index=PAD,
                    label_smoothing=self.label_smoothing,
                )
                self.optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
                self.optimiser.step()
                loss.item()  # for the progress that a loop shows
                yield batch.tokens
            epoch += 1
