"""Training losses of the Transformer: label-smoothed cross-entropy, and R-Drop's agreement of two passes.

Szegedy et al. 2016, section 7 (label smoothing); Liang et al. 2021 (R-Drop).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onepage.mt.batching import Batch
from onepage.mt.output_loss import output_loss
from onepage.mt.tokenizer import PAD
from onepage.mt.transformer import Transformer
from onepage.training.device import moved

IGNORED = -100  # label of a row that the loss ignores


def batch_loss(model: Transformer, batch: Batch, label_smoothing: float, precision: str, r_drop: float = 0.0) -> Tensor:
    """Mean cross-entropy over the target tokens of a batch, nats; with ``r_drop`` see ``agreement_loss``.

    The output layer, the most expensive one, is computed only at real tokens.
    """
    device = next(model.parameters()).device
    source, target = moved(batch.source, device), moved(batch.target_input, device)
    flat = batch.target_output.reshape(-1)
    real = (flat != PAD).nonzero()[:, 0]  # on the CPU: no wait for a GPU
    # filled with ignored rows to a multiple of 64: few distinct shapes (see make_batch)
    fill = -len(real) % 64
    labels = moved(F.pad(flat[real], (0, fill), value=IGNORED), device)
    real = F.pad(real, (0, fill))
    if r_drop:  # the whole batch twice: each copy has its own dropout
        source, target = source.repeat(2, 1), target.repeat(2, 1)
        real = torch.cat([real, real + len(flat)])
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        memory, mask = model.encode(source)
        hidden = model.decode(target, memory, mask)
        hidden = hidden.reshape(-1, hidden.shape[-1]).index_select(0, moved(real, device))
        if r_drop:
            return agreement_loss(model.logits(hidden).float(), labels, label_smoothing, r_drop)
    dtype = torch.bfloat16 if precision == "bf16" else hidden.dtype
    return output_loss(hidden, model.embedding.weight, model.output_bias, labels, label_smoothing, IGNORED, dtype)


class BatchLoss(nn.Module):
    """``batch_loss`` as a module's forward pass, around which gradients can be averaged over processes."""

    def __init__(self, model: Transformer, label_smoothing: float, precision: str, r_drop: float):
        super().__init__()
        self.model, self.label_smoothing, self.precision, self.r_drop = model, label_smoothing, precision, r_drop

    def forward(self, batch: Batch) -> Tensor:
        return batch_loss(self.model, batch, self.label_smoothing, self.precision, self.r_drop)


def agreement_loss(logits: Tensor, labels: Tensor, label_smoothing: float, weight: float) -> Tensor:
    """R-Drop (Liang et al. 2021, equation 4), halved so that its first term is a mean cross-entropy.

    ``logits`` (2N, V): two passes over the same N tokens; ``labels`` (N,). The mean cross-entropy of both passes plus
    ``weight`` / 4 times the sum of both Kullback-Leibler divergences between them, nats per token.
    """
    logits = torch.log_softmax(logits, dim=-1)
    first, second = logits.chunk(2)
    counted = labels != IGNORED
    both = labels.repeat(2).clamp_min(0)[:, None]
    loss = (label_smoothing - 1) * logits.gather(1, both)[:, 0] - label_smoothing * logits.mean(-1)
    apart = ((first.exp() - second.exp()) * (first - second)).sum(-1)
    token = loss.view(2, -1).mean(0) + weight / 4 * apart
    return torch.where(counted, token, 0.0).sum() / counted.sum()


@torch.no_grad()
def mean_loss(model: Transformer, batches: list[Batch], precision: str) -> float:
    """Mean negative log-likelihood per target token over all batches, nats, without label smoothing."""
    model.eval()
    total, tokens = 0.0, 0
    for batch in batches:
        total += batch_loss(model, batch, 0.0, precision).item() * batch.tokens
        tokens += batch.tokens
    return total / tokens
