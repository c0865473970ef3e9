"""Train the Transformer: label-smoothed cross-entropy on length-bucketed batches, averaged weights.

Vaswani et al. 2017, section 5, with AdamW (Loshchilov & Hutter 2019) and a linear decay in place of the inverse square
root. This code never reads the test sets; the vocabulary is learned from the training split alone.
"""

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onepage.data.translation import TranslationSet
from onepage.mt.ahead import Ahead
from onepage.mt.batching import SHAPES, Batch, Material, Pair, make_batch, validation_batches
from onepage.mt.losses import BatchLoss, mean_loss
from onepage.mt.recipe import Recipe
from onepage.mt.tokenizer import PAD, train_tokenizer
from onepage.mt.transformer import Sizes, Transformer, initialise
from onepage.training import seeding
from onepage.training.averaging import WeightAverage
from onepage.training.distributed import ALONE, Ranks
from onepage.training.muon import Muon
from onepage.training.schedules import SCHEDULES
from onepage.training.session import Session
from onepage.training.state import TrainingState

SAMPLED_AHEAD = ("cuda",)  # devices that leave a core to sample the next epoch
LINE = (
    "epoch {epoch:.2f}  train loss {train_loss:.3f}  "
    "validation loss {val_loss:.3f}  validation perplexity {val_perplexity:.2f}"
)


def sizes_of(recipe: Recipe, vocabulary: int) -> Sizes:
    """The model's sizes for the learned vocabulary."""
    names = {field.name for field in dataclasses.fields(Sizes)} - {"vocabulary"}
    return Sizes(vocabulary=vocabulary, **{name: getattr(recipe, name) for name in names})


def train(
    recipe: Recipe, data: TranslationSet, run: Path, plan: dict[str, Any], program: str = "", ranks: Ranks = ALONE
) -> None:
    """Train from the seed in ``plan`` to ``run/model.pt``; resumes from a checkpoint if there is one.

    ``ranks``: this process among those that train together, each on its part of the recipe's batch; the mean loss is
    that over all target tokens of the batch. Only rank 0 validates. Raises UserError for a requested GPU that is
    absent, a checkpoint of another recipe, a full disk; Interrupted (a UserError) after SIGINT or SIGTERM, once a
    checkpoint is saved.
    """
    device = seeding.prepare(plan["seed"], recipe.threads, plan["device"])
    session = Session(run, recipe, plan, program, ranks)
    if session.finished():
        return

    training = data.splits["train"]
    tokenizer = train_tokenizer([*training[0], *training[1]], recipe.vocabulary)
    material = Material(tokenizer, training, recipe.batch_tokens, recipe.max_length, recipe.bpe_dropout, plan["seed"])
    validation = validation_batches(tokenizer, data.splits["val"], recipe.batch_tokens)
    # two networks, not a copy: construction draws from the generator that dropout uses afterwards
    model, averaged = (Transformer(sizes_of(recipe, len(tokenizer)), PAD) for _ in range(2))
    initialise(model, seeding.keyed_generator(plan["seed"], "initialise"))
    model, averaged = model.to(device), averaged.to(device)
    network = ranks.averaging(BatchLoss(model, recipe.label_smoothing, plan["precision"], recipe.r_drop))
    optimisers = make_optimisers(model, recipe, plan["precision"])
    ahead = recipe.bpe_dropout and plan["device"] in SAMPLED_AHEAD and ranks.is_main
    batches = partial(epoch_batches, Ahead(material) if ahead else material, ranks)
    average = WeightAverage(model, recipe.average_decay, averaged)
    state = TrainingState(model, optimisers, average, recipe.updates, recipe.validations, batches, 3, ranks)

    left_out = f"{material.left_out} longer than {recipe.max_length} pieces left out"
    about = f"{len(material.pairs):,} pairs ({left_out}), {len(tokenizer)} pieces"
    with session.training(state, "target tokens", about) as report:
        note = ""
        while state.update < state.updates:
            # batch: the recipe's, of which each process computes its share
            pairs = state.next_batch()
            batch, tokens = share(pairs, ranks)
            all_tokens = sum(len(target) for _, target in pairs)
            ranks.reseed(plan["seed"], state.update)

            # learning rate
            factor = SCHEDULES[recipe.schedule]((state.update + 1) / state.updates, recipe.warmup)
            state.set_rates(factor)

            # forward and backward
            model.train()
            loss = network(batch)
            (loss * ranks.weight(tokens, all_tokens)).backward()
            if recipe.clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)

            # step
            state.step(all_tokens)

            # log
            state.count(loss.detach().double() * tokens, tokens, session.asked_to_stop)
            if state.shows:
                (train_loss,) = state.means(session)
                note = f"loss {train_loss:.3f}"
            report.advance(all_tokens, note)

            # validate
            if state.validates:
                ranks.check_alike(model, state.update)
                state.sums.zero_()
                if ranks.is_main:
                    row = {"epoch": round(state.epochs, 3), "step": state.update, "target_tokens": state.seen}
                    row |= {"learning_rate": recipe.adamw_learning_rate * factor, "train_loss": train_loss}
                    row |= validate(state.average.model, validation, plan["precision"])
                    session.add_row(row)
                    report.line(LINE.format(**row))

            # save
            if session.due(state.place == 0):
                session.save(state.update, state.state_dict())
        digest = session.finish({**state.average.state_dict(), "tokenizer": as_tensor(tokenizer.model)})
        report.line(f"done in {session.seconds():.0f} s; weights {digest[:12]}")


def epoch_batches(material: Material | Ahead, ranks: Ranks, epoch: int) -> list[list[Pair]]:
    """The sentence pairs of each batch of an epoch; the same on all processes."""
    pairs, order = ranks.from_main(material.epoch(epoch))
    return [[pairs[i] for i in numbers] for numbers in order]


def share(pairs: list[Pair], ranks: Ranks) -> tuple[Batch, int]:
    """This process's share of a global batch, and its target tokens; if none is left, one pair with weight 0."""
    mine = ranks.share(pairs)
    batch = make_batch(mine or pairs[:1], SHAPES)
    return batch, batch.tokens if mine else 0


def validate(model: Transformer, batches: list[Batch], precision: str) -> dict[str, float]:
    """Loss and perplexity on the validation split."""
    loss = mean_loss(model, batches, precision)
    return {"val_loss": loss, "val_perplexity": math.exp(loss)}


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
        optimisers.append(Muon(inner, rate, recipe.muon_momentum, iterations=5, weight_decay=decay, dtype=dtype))
    adamw = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=recipe.adamw_learning_rate,
        betas=(0.9, recipe.beta2),
        eps=1e-9,
        fused=True,
    )
    return [adamw, *optimisers]


def as_tensor(content: bytes) -> Tensor:
    """Bytes as a uint8 tensor, to store the tokenizer with the weights."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
