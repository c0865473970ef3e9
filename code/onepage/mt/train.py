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
from onepage.mt.recipe import Recipe
from onepage.mt.tokenizer import PAD, train_tokenizer
from onepage.mt.transformer import Sizes, Transformer, initialise
from onepage.terminal.progress import Reporter
from onepage.training import seeding
from onepage.training.averaging import WeightAverage
from onepage.training.distributed import ALONE, Ranks
from onepage.training.muon import Muon
from onepage.training.schedules import SCHEDULES
from onepage.training.session import Session


def sizes_of(recipe: Recipe, vocabulary: int) -> Sizes:
    """The model's sizes for the vocabulary that was learnt."""
    names = {field.name for field in dataclasses.fields(Sizes)} - {"vocabulary"}
    return Sizes(vocabulary=vocabulary, **{name: getattr(recipe, name) for name in names})


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

    sizes = sizes_of(recipe, len(tokenizer))
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
