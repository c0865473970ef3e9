"""The recipe of the Transformer: everything that decides how it is trained, with the allowed values of each field."""

import dataclasses
from typing import Annotated, Any, Literal

from onepage.mt.decoding import Decoding
from onepage.training.recipe import Precision, Range, Share, Threads

Rate = Annotated[float, Range(above=0, below=10)]
Probability = Annotated[float, Range(0, 0.999)]
Layers = Annotated[int, Range(1, 100)]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides how the Transformer is trained; how it decodes is in ``decoding.Decoding``."""

    updates: Annotated[int, Range(1, 10_000_000)]
    """Optimiser updates."""
    batch_tokens: Annotated[int, Range(1, 1_000_000)]
    """Target positions per update, padding included."""
    adamw_learning_rate: Rate
    """Peak learning rate of AdamW."""
    vocabulary: Annotated[int, Range(10, 100_000)]
    """Joint BPE pieces."""
    validations: Annotated[int, Range(1, 10_000)]
    """How often the validation split is read during training, evenly spaced."""
    d_model: Annotated[int, Range(2, 8192)] = 192
    """Width of every position; even, and a multiple of ``heads``."""
    d_ff: Annotated[int, Range(1, 65_536)] = 384
    """Width inside the feed-forward layers."""
    heads: Annotated[int, Range(1, 8192)] = 4
    """Attention heads."""
    encoder_layers: Layers = 3
    """Layers of the encoder."""
    decoder_layers: Layers = 3
    """Layers of the decoder."""
    dropout: Probability = 0.1
    """After embeddings and sub-layers."""
    attention_dropout: Probability = 0.0
    """On attention weights."""
    activation_dropout: Probability = 0.0
    """Inside the feed-forward layers."""
    label_smoothing: Probability = 0.1
    """Probability mass spread over the vocabulary."""
    bpe_dropout: Probability = 0.0
    """Probability that a merge of the subword coder is left out (bpe_dropout.py), drawn again each epoch."""
    r_drop: Annotated[float, Range(0, 100)] = 0.0
    """Weight of the divergence between two passes with different dropout (Liang et al. 2021); 0 makes one pass."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """"adamw" for all, or "muon" for the matrices inside the layers and AdamW for embedding, biases and gains."""
    muon_learning_rate: Rate = 0.02
    """With "muon": its peak learning rate."""
    muon_momentum: Annotated[float, Range(above=0, below=1)] = 0.95
    """With "muon": its momentum."""
    weight_decay: Annotated[float, Range(0, below=10)] = 0.01
    """Decoupled, on matrices only."""
    beta2: Share = 0.98
    """AdamW's second moment decay (Vaswani et al., section 5.3)."""
    clip: Annotated[float, Range(0)] = 1.0
    """Largest norm of the gradient; 0 for none."""
    schedule: Literal["linear", "cosine"] = "linear"
    """Shape after the warm-up, down to zero."""
    warmup: Share = 0.15
    """Share of the updates over which the learning rate rises."""
    average_decay: Probability = 0.98
    """Decay per update of the moving average of weights that is evaluated and kept; 0 for the last weights."""
    max_length: Annotated[int, Range(10, 400)] = 100
    """Training pairs with more pieces than this on a side are left out (and counted in the log)."""
    precision: Precision = "auto"
    """"auto": bf16 if it is faster; planning resolves it."""
    threads: Threads = 2
    """CPU threads of a process; part of the recipe because their number changes the order of float sums."""
    causal: bool = True
    """False trains without the causal mask (ablation)."""

    def __post_init__(self) -> None:
        if self.d_model % self.heads or self.d_model % 2:
            raise ValueError(f"d_model ({self.d_model}) must be even and a multiple of heads ({self.heads})")


EVALUATION: dict[str, Any] = {"decoding": Decoding}
"""Tables of a recipe that evaluation alone reads, by name."""
