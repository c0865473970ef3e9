"""Train the Transformer: label-smoothed cross-entropy on length-bucketed batches, averaged weights.

Vaswani et al. 2017, section 5, with AdamW (Loshchilov & Hutter 2019) and a linear decay in place of the inverse square
root. Nothing is read from the test sets here; the vocabulary is learnt from the training split alone.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onepage.data.translation import TranslationSet
from onepage.errors import UserError
from onepage.mt.batching import SHAPES, Material, make_batch, validation_batches
from onepage.mt.losses import BatchLoss, mean_loss
from onepage.mt.tokenizer import PAD, train_tokenizer
from onepage.mt.transformer import Sizes, Transformer, initialise
from onepage.training import seeding
from onepage.training.averaging import WeightAverage
from onepage.training.distributed import ALONE, Ranks
from onepage.training.muon import Muon
from onepage.training.progress import Reporter
from onepage.training.schedules import SCHEDULES
from onepage.training.session import Session


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

    def sizes(self, vocabulary: int) -> Sizes:
        """The model's numbers for the vocabulary that was learnt."""
        names = {field.name for field in dataclasses.fields(Sizes)} - {"vocabulary"}
        return Sizes(vocabulary=vocabulary, **{name: getattr(self, name) for name in names})


def train(
    recipe: Recipe, data: TranslationSet, run: Path, block: dict[str, Any], program: str = "", ranks: Ranks = ALONE
) -> None:
    """Train from the seed in ``block`` to ``run/model.pt``; goes on from a checkpoint where there is one.

    ``ranks``: this process among those that train together, each on its part of the recipe's batch, with the mean loss
    that of all target tokens of it. Rank 0 reads the validation split, alone.
    Raises UserError for a GPU asked for and absent, a checkpoint of another recipe, a full disk; Interrupted (a
    UserError) after SIGINT or SIGTERM, when a checkpoint has been saved.
    """
    seed = block["seed"]
    device = seeding.prepare(seed, recipe.threads, block["device"])
    session = Session(run, recipe, block, program, ranks)
    if session.finished():
        return

    tokenizer = train_tokenizer([line for side in data.splits["train"] for line in side], recipe.vocabulary)
    material = Material(
        tokenizer, data.splits["train"], recipe.batch_tokens, recipe.max_length, recipe.bpe_dropout, seed
    )
    val_batches = validation_batches(tokenizer, data.splits["val"], recipe.batch_tokens)

    sizes = recipe.sizes(len(tokenizer))
    model = Transformer(sizes, PAD)
    initialise(model, seeding.keyed_generator(seed, "initialise"))
    model = model.to(device)
    network = ranks.averaging(BatchLoss(model, recipe.label_smoothing, block["precision"], recipe.r_drop))
    optimisers = make_optimisers(model, recipe, block["precision"])
    peaks = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    average = WeightAverage(model, recipe.average_decay)
    averaged = Transformer(sizes, PAD).to(device)
    validate_after = {math.ceil(recipe.updates * (i + 1) / recipe.validations) for i in range(recipe.validations)}

    with session:
        update, epoch, place, tokens = 0, 0, 0, 0
        sums = [0.0, 0.0]  # since the last validation: loss, target tokens
        with session.going_on():
            state = session.restore(print)
            if state is not None:
                update, epoch, place, tokens = state["update"], state["epoch"], state["place"], state["tokens"]
                sums = [float(part) for part in state["sums"]]
                model.load_state_dict(state["model"])
                average.load_state_dict(state["average"])
                for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
                    optimiser.load_state_dict(saved)
                seeding.restore_generators(state["generators"])
            pairs, order = ranks.from_main(material.epoch(epoch))
            if not (0 <= update <= recipe.updates and 0 <= place < len(order) and len(sums) == 2):
                raise ValueError(f"update {update} of {recipe.updates}, batch {place} of {len(order)}")

        log, quiet = run / "train.log", not ranks.is_main
        with Reporter(f"mt  seed {seed}", recipe.updates, "target tokens", log, update, quiet=quiet) as report:
            report.line(
                f"{'going on at' if update else 'training from'} update {update} of {recipe.updates}: {len(pairs):,} "
                f"pairs ({material.left_out} longer than {recipe.max_length} pieces left out), {len(tokenizer)} "
                f"pieces, {block['device']}, {block['precision']}, {recipe.threads} threads{ranks.words()}"
            )
            while update < recipe.updates:
                whole = order[place]  # the batch of the recipe; a process computes its share of it
                mine = ranks.share(whole)
                batch = make_batch([pairs[i] for i in mine or whole[:1]], SHAPES)  # none left for it: one of weight 0
                own_tokens = batch.tokens if mine else 0
                all_tokens = sum(len(pairs[i][1]) for i in whole)
                ranks.reseed(seed, update)
                factor = SCHEDULES[recipe.schedule]((update + 1) / recipe.updates, recipe.warmup)
                for optimiser, peak in zip(optimisers, peaks, strict=True):
                    for group in optimiser.param_groups:
                        group["lr"] = peak * factor
                model.train()
                loss = network(batch)
                (loss * ranks.weight(own_tokens, all_tokens)).backward()
                if recipe.clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
                for optimiser in optimisers:
                    optimiser.step()
                    optimiser.zero_grad(set_to_none=True)
                update += 1
                place += 1
                tokens += all_tokens
                average.update(model, update)
                loss_sum, stops = ranks.totals(loss.item() * own_tokens, session.asked_to_stop)
                session.stop_if(stops)
                sums[0] += loss_sum
                sums[1] += all_tokens
                if not math.isfinite(sums[0]):
                    raise UserError(
                        f"the loss is not finite after update {update}; lower learning_rate, delete {run}, try again"
                    )
                report.advance(all_tokens, f"loss {sums[0] / sums[1]:.3f}")

                if update in validate_after:
                    ranks.check_alike(model, update)
                    train_loss, sums = sums[0] / sums[1], [0.0, 0.0]
                if update in validate_after and ranks.is_main:
                    averaged.load_state_dict(average.state_dict())
                    val_loss = mean_loss(averaged, val_batches, block["precision"])
                    row = {
                        "epoch": round(epoch + place / len(order), 3),
                        "step": update,
                        "target_tokens": tokens,
                        "learning_rate": recipe.learning_rate * factor,
                        "train_loss": train_loss,
                        "val_loss": val_loss,
                        "val_perplexity": math.exp(val_loss),
                    }
                    session.add_row(row)
                    report.line(
                        f"epoch {row['epoch']:.2f}  train loss {row['train_loss']:.3f}  "
                        f"validation loss {val_loss:.3f}  validation perplexity {row['val_perplexity']:.2f}"
                    )
                if place == len(order):
                    epoch, place = epoch + 1, 0
                    pairs, order = ranks.from_main(material.epoch(epoch))
                if session.due(place == 0):
                    loop = {"update": update, "epoch": epoch, "place": place, "tokens": tokens, "sums": sums}
                    loop |= {"model": model.state_dict(), "average": average.state_dict()}
                    loop |= {"optimisers": [optimiser.state_dict() for optimiser in optimisers]}
                    loop |= {"generators": seeding.generator_states()}
                    session.save(update, loop)
            digest = session.finish({**average.state_dict(), "tokenizer": as_tensor(tokenizer.model)})
            report.line(f"done in {session.seconds():.0f} s; weights {digest[:12]}")


def make_optimisers(model: Transformer, recipe: Recipe, precision: str) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the matrices inside the layers beside AdamW for the rest."""
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    optimisers: list[torch.optim.Optimizer] = []
    if recipe.optimiser == "muon":
        inner = [parameter for parameter in matrices if parameter is not model.embedding.weight]
        matrices = [parameter for parameter in matrices if parameter is model.embedding.weight]
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        rate, decay = recipe.muon_learning_rate, recipe.weight_decay
        optimisers.append(Muon(inner, rate, recipe.momentum, iterations=5, weight_decay=decay, dtype=dtype))
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, recipe.beta2),
        eps=1e-9,
        fused=True,
    )
    return [adamw, *optimisers]


def as_tensor(content: bytes) -> Tensor:
    """Bytes as a uint8 tensor, so that the tokenizer can travel with the weights."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
