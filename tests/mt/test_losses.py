"""The training losses equal torch's, and equal their written definitions."""

import pytest
import torch
import torch.nn.functional as F

from onepage.mt.batching import make_batch
from onepage.mt.losses import IGNORED, agreement_loss, batch_loss, mean_loss
from onepage.mt.tokenizer import END, PAD
from small_transformer import small

BATCH = make_batch([([5, 6, END], [7, 8, 9, END]), ([5, END], [9, END])], 4)


def model(dropout=0.0):
    return small(encoder_layers=1, decoder_layers=1, dropout=dropout).train()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_batch_loss_is_mean_over_real_tokens(smoothing):
    net = model()
    logits = net(BATCH.source, BATCH.target_input)
    expected = F.cross_entropy(logits.transpose(1, 2), BATCH.target_output, ignore_index=PAD, label_smoothing=smoothing)
    torch.testing.assert_close(batch_loss(net, BATCH, smoothing, "fp32"), expected)


def test_the_mean_loss_weighs_batches_by_their_tokens():
    net = model()
    one, two = make_batch([([5, END], [7, END])], 4), BATCH
    whole = mean_loss(net, [one, two], "fp32")
    parts = [batch_loss(net, batch, 0.0, "fp32").item() * batch.tokens for batch in (one, two)]
    assert whole == pytest.approx(sum(parts) / (one.tokens + two.tokens), rel=1e-6)


def test_agreement_is_cross_entropy_plus_both_divergences():
    torch.manual_seed(1)
    logits, labels = torch.randn(10, 7), torch.tensor([0, 3, 6, 2, IGNORED])
    first, second = (
        torch.distributions.Categorical(logits=logits[:4]),
        torch.distributions.Categorical(logits=logits[5:9]),
    )
    kl = torch.distributions.kl_divergence
    divergences = (kl(first, second) + kl(second, first)).mean()
    entropy = F.cross_entropy(logits, labels.repeat(2), label_smoothing=0.1, ignore_index=IGNORED)
    torch.testing.assert_close(agreement_loss(logits, labels, 0.1, 5.0), entropy + 5.0 / 4 * divergences)


def test_two_passes_without_dropout_agree():
    net = model()
    torch.testing.assert_close(batch_loss(net, BATCH, 0.1, "fp32", r_drop=5.0), batch_loss(net, BATCH, 0.1, "fp32"))


def test_each_pass_draws_its_own_dropout():
    net = model(dropout=0.5)
    torch.manual_seed(2)
    with_divergence = batch_loss(net, BATCH, 0.1, "fp32", r_drop=5.0)
    torch.manual_seed(2)
    hardly = batch_loss(net, BATCH, 0.1, "fp32", r_drop=1e-9)
    assert with_divergence > hardly + 0.01
