"""The Transformer encoder-decoder, from linear layers, softmax and layer normalisation.

Vaswani et al., "Attention Is All You Need" (2017): scaled dot-product attention (section 3.2.1), heads (3.2.2),
position-wise feed-forward layers (3.3), embeddings shared with the output (3.4) and sinusoidal positions (3.5). The
layer normalisation is before each sub-layer (Xiong et al. 2020), which trains without a long warm-up. Attention,
projections and masks are implemented here, decoding with a cache in incremental.py; only tests use torch's own
attention and Transformer modules, for comparison. Shapes: B sentences, S source and T target positions, H heads, D
model width.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def padding_mask(tokens: Tensor, pad: int) -> Tensor:
    """Which keys may be attended to: (B, S) token ids -> bool (B, 1, 1, S), False at padding."""
    return (tokens != pad)[:, None, None, :]


def causal_mask(length: int, device: torch.device | None = None) -> Tensor:
    """Which positions a target position may see: bool (1, 1, T, T), True at and before it."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """(length, width): sines at even, cosines at odd columns, wavelengths 2 pi to 10000 * 2 pi (section 3.5)."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) from 16 random bits per element.

    A mask of small integers costs a fraction of the float mask that ``nn.Dropout`` draws on a CPU. The probability is
    rounded to a multiple of 2**-16.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.threshold = round(probability * 65536)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return x
        words = (x.numel() + 3) // 4
        bits = torch.empty(words, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        keep = bits.view(torch.int16)[: x.numel()].view(x.shape) >= self.threshold - 32768
        return x * (keep * (65536 / (65536 - self.threshold)))  # one product each way


class Attention(nn.Module):
    """Multi-head attention: softmax(Q K^T / sqrt(D/H) + mask) V, all heads in one product (sections 3.2.1, 3.2.2)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        self.record: list[Tensor] | None = None  # when a list, every call appends its weights (B, H, T, S)

    def split(self, x: Tensor) -> Tensor:  # (B, T, D) -> (B, H, T, D/H)
        batch, length, width = x.shape
        return x.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, D/H) of what is attended to (B, S, D)."""
        return self.split(self.key(memory)), self.split(self.value(memory))

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Queries from x (B, T, D) against keys and values (B, H, S, D/H); mask bool, True where allowed -> (B, T, D).

        The mask broadcasts to (B, H, T, S). Every query must be allowed at least one key.
        """
        queries = self.split(self.query(x))
        scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])  # (B, H, T, S)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1)
        if self.record is not None:
            self.record.append(weights.detach())  # before dropout: each row sums to one
        heads = self.dropout(weights) @ values  # (B, H, T, D/H)
        joined = heads.transpose(1, 2).reshape(x.shape)
        return self.output(joined)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        keys, values = self.keys_values(memory)
        return self.attend(x, keys, values, mask)


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them, the same at each position (section 3.3)."""

    def __init__(self, width: int, inner: int, dropout: float):
        super().__init__()
        self.inner = nn.Linear(width, inner)
        self.outer = nn.Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D) -> (B, T, D)
        return self.outer(self.dropout(F.relu(self.inner(x))))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each with pre-normalisation and a residual connection."""

    def __init__(self, sizes: "Sizes"):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(sizes.d_model), nn.LayerNorm(sizes.d_model)
        self.attention = Attention(sizes.d_model, sizes.heads, sizes.attention_dropout)
        self.feed_forward = FeedForward(sizes.d_model, sizes.d_ff, sizes.activation_dropout)
        self.dropout = Dropout(sizes.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, S, D) -> (B, S, D)
        h = self.norm1(x)
        x = x + self.dropout(self.attention(h, h, mask))
        return x + self.dropout(self.feed_forward(self.norm2(x)))


class DecoderLayer(nn.Module):
    """Masked self-attention, attention to the source, and feed-forward, each pre-normalised and residual."""

    def __init__(self, sizes: "Sizes"):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(sizes.d_model), nn.LayerNorm(sizes.d_model)
        self.norm3 = nn.LayerNorm(sizes.d_model)
        self.self_attention = Attention(sizes.d_model, sizes.heads, sizes.attention_dropout)
        self.cross_attention = Attention(sizes.d_model, sizes.heads, sizes.attention_dropout)
        self.feed_forward = FeedForward(sizes.d_model, sizes.d_ff, sizes.activation_dropout)
        self.dropout = Dropout(sizes.dropout)

    def forward(self, x: Tensor, own_mask: Tensor, source: "KeysValues", mask: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D). ``source``: keys and values of the source, with its ``mask``."""
        h = self.norm1(x)
        x = x + self.dropout(self.self_attention(h, h, own_mask))
        x = x + self.dropout(self.cross_attention.attend(self.norm2(x), *source, mask))
        return x + self.dropout(self.feed_forward(self.norm3(x)))


KeysValues = tuple[Tensor, Tensor]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The numbers of a Transformer."""

    vocabulary: int
    """Pieces, shared by both languages."""
    d_model: int = 192
    """Width of every position's vector."""
    d_ff: int = 384
    """Inner width of the feed-forward layers."""
    heads: int = 4
    """Attention heads; divides d_model."""
    encoder_layers: int = 3
    decoder_layers: int = 3
    dropout: float = 0.1
    """After embeddings and sub-layers."""
    attention_dropout: float = 0.0
    """On attention weights."""
    activation_dropout: float = 0.0
    """Inside the feed-forward layers."""
    causal: bool = True
    """False: the decoder sees later target positions in training (ablation)."""


class Transformer(nn.Module):
    """Source ids (B, S) and target input ids (B, T) -> logits (B, T, V) of the next target token.

    One embedding table serves source, target and output (section 3.4; Press & Wolf 2017).
    """

    def __init__(self, sizes: Sizes, pad: int, max_length: int = 512):
        super().__init__()
        self.sizes, self.pad = sizes, pad
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.d_model)
        self.dropout = Dropout(sizes.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(sizes) for _ in range(sizes.decoder_layers))
        self.encoder_norm = nn.LayerNorm(sizes.d_model)
        self.decoder_norm = nn.LayerNorm(sizes.d_model)
        self.output_bias = nn.Parameter(torch.zeros(sizes.vocabulary))
        self.register_buffer("positions", sinusoidal_positions(max_length, sizes.d_model), persistent=False)
        self.positions: Tensor

    def encoder_layers(self) -> list[EncoderLayer]:
        """The encoder's layers, first to last."""
        return [layer for layer in self.encoder if isinstance(layer, EncoderLayer)]

    def decoder_layers(self) -> list[DecoderLayer]:
        """The decoder's layers, first to last."""
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        """(B, T) ids -> (B, T, D): scaled embedding plus position, the first of which is number ``first``."""
        positions = self.positions[first : first + tokens.shape[1]]
        return self.dropout(self.embedding(tokens) * math.sqrt(self.sizes.d_model) + positions)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) ids -> memory (B, S, D) and its mask (B, 1, 1, S)."""
        mask = padding_mask(source, self.pad)
        x = self.embed(source)
        for layer in self.encoder_layers():
            x = layer(x, mask)
        return self.encoder_norm(x), mask

    def source_keys_values(self, memory: Tensor) -> list[KeysValues]:
        """Cross-attention keys and values of each decoder layer, computed once per sentence."""
        return [layer.cross_attention.keys_values(memory) for layer in self.decoder_layers()]

    def target_mask(self, target: Tensor) -> Tensor:
        """Causal and padding mask together: bool (B, 1, T, T)."""
        mask = padding_mask(target, self.pad)
        if not self.sizes.causal:
            return mask.expand(-1, -1, target.shape[1], -1)
        return mask & causal_mask(target.shape[1], target.device)

    def decode(self, target: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Target input ids (B, T) and encoded source -> hidden states (B, T, D) before the output layer."""
        own_mask = self.target_mask(target)
        x = self.embed(target)
        for layer, source in zip(self.decoder_layers(), self.source_keys_values(memory), strict=True):
            x = layer(x, own_mask, source, mask)
        return self.decoder_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., D) -> logits (..., V) by the transposed embedding table."""
        return F.linear(hidden, self.embedding.weight, self.output_bias)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, mask = self.encode(source)
        return self.logits(self.decode(target, memory, mask))


def initialise(model: Transformer, generator: torch.Generator) -> None:
    """Xavier uniform for linear layers (Glorot & Bengio 2010), zero biases, embeddings of variance 1/D.

    Draws from ``generator`` in the order of ``model.modules()``.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = math.sqrt(6.0 / (module.in_features + module.out_features))
            module.weight.data.uniform_(-bound, bound, generator=generator)
            module.bias.data.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.data.normal_(0.0, module.embedding_dim**-0.5, generator=generator)
    nn.init.zeros_(model.output_bias)
