"""What decides how the Transformer is trained: the fields of its recipes."""

import dataclasses

from onepage.mt.decoding import Decoding
from onepage.training.schedules import SCHEDULES

EVALUATION = {"decoding": Decoding}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides how the Transformer is trained; how it decodes is in ``decoding.Decoding``."""

    updates: int
    """Optimiser updates."""
    batch_tokens: int
    """Target positions an update, padding included."""
    learning_rate: float
    """Peak rate of AdamW."""
    vocabulary: int
    """Joint BPE pieces."""
    validations: int
    """How often the validation split is read during training, evenly spaced."""
    d_model: int = 192
    d_ff: int = 384
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 3
    dropout: float = 0.1
    """After embeddings and sub-layers."""
    attention_dropout: float = 0.0
    """On attention weights."""
    activation_dropout: float = 0.0
    """Inside the feed-forward layers."""
    label_smoothing: float = 0.1
    """Probability mass spread over the vocabulary."""
    bpe_dropout: float = 0.0
    """Probability that a merge of the subword coder is left out (bpe_dropout.py), drawn anew each epoch."""
    r_drop: float = 0.0
    """Weight of the divergence between two passes with different dropout (Liang et al. 2021); 0 makes one pass."""
    optimiser: str = "adamw"
    """"adamw" for all, or "muon" for the matrices inside the layers and AdamW for embedding, biases and gains."""
    muon_learning_rate: float = 0.02
    """With "muon": its peak rate."""
    momentum: float = 0.95
    """With "muon": its momentum."""
    weight_decay: float = 0.01
    """Decoupled, on matrices only."""
    beta2: float = 0.98
    """AdamW's second moment decay (Vaswani et al., section 5.3)."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for none."""
    schedule: str = "linear"
    """Shape after the warm-up: "linear" or "cosine" to zero."""
    warmup: float = 0.15
    """Share of the updates over which the rate rises."""
    average_decay: float = 0.98
    """Decay an update of the moving average of weights that is evaluated and kept; 0 for the last weights."""
    max_length: int = 100
    """Training pairs with more pieces than this on a side are left out (and counted in the log)."""
    precision: str = "auto"
    """"fp32", "bf16", or "auto": bf16 where it is the faster one (plan.py); resolved before training."""
    threads: int = 2
    """CPU threads of a process; part of the recipe because it changes the order of float sums."""
    causal: bool = True
    """False trains without the causal mask (ablation)."""

    def check(self) -> str | None:
        """What is wrong with the values, or None."""
        counts = (self.updates, self.batch_tokens, self.validations, self.encoder_layers, self.decoder_layers)
        if min(*counts, self.threads, self.heads, self.d_ff, self.max_length) < 1:
            return "updates, batch_tokens, validations, layers, heads and threads must be at least 1"
        if not (self.updates <= 10_000_000 and self.batch_tokens <= 1_000_000 and self.validations <= 10_000):
            return "updates up to 10,000,000, batch_tokens up to 1,000,000, validations up to 10,000"
        if not 2 <= self.d_model <= 8192 or self.d_ff > 65_536 or max(self.encoder_layers, self.decoder_layers) > 100:
            return "d_model from 2 to 8,192, d_ff up to 65,536, encoder_layers and decoder_layers up to 100"
        if self.d_model % self.heads or self.d_model % 2:
            return f"d_model ({self.d_model}) must be even and a multiple of heads ({self.heads})"
        if not 10 <= self.vocabulary <= 100_000:
            return f"vocabulary: from 10 to 100,000 pieces, got {self.vocabulary}"
        if not 10 <= self.max_length <= 400 or self.threads > 1024:
            return "max_length from 10 to 400 pieces, threads up to 1,024"
        if not (0 <= self.warmup < 1 and 0 <= self.beta2 < 1 and 0 <= self.weight_decay < 10 and self.clip >= 0):
            return "warmup and beta2 in [0, 1), weight_decay in [0, 10), clip from 0"
        if self.optimiser not in ("adamw", "muon"):
            return f"optimiser: 'adamw' or 'muon', got {self.optimiser!r}"
        if not (0 < self.muon_learning_rate < 10 and 0 < self.momentum < 1):
            return "muon_learning_rate in (0, 10), momentum in (0, 1)"
        if self.schedule not in SCHEDULES or self.precision not in ("auto", "fp32", "bf16"):
            return "schedule: 'linear' or 'cosine'; precision: 'auto', 'fp32' or 'bf16'"
        rates = (
            self.dropout,
            self.attention_dropout,
            self.activation_dropout,
            self.label_smoothing,
            self.bpe_dropout,
            self.average_decay,
        )
        if not all(0 <= rate <= 0.999 for rate in rates) or not 0 < self.learning_rate < 10:
            return "dropouts, label_smoothing and average_decay in [0, 0.999], learning_rate in (0, 10)"
        if not 0 <= self.r_drop <= 100:
            return f"r_drop in [0, 100], got {self.r_drop}"
        return None
