"""A small Transformer with random weights, the same for each seed."""

from typing import Any

from torch import nn

from onepage.mt.tokenizer import PAD
from onepage.mt.transformer import Sizes, Transformer, initialise
from onepage.training.seeding import keyed_generator


def sizes(**changes: Any) -> Sizes:
    """40 pieces, width 16, two heads, two layers on each side, no dropout, unless ``changes`` say otherwise."""
    given = {"vocabulary": 40, "d_model": 16, "d_ff": 32, "heads": 2, "encoder_layers": 2, "decoder_layers": 2}
    return Sizes(**{**given, "dropout": 0.0, **changes})


def small(seed: int = 0, *, biases: bool = False, **changes: Any) -> Transformer:
    """A Transformer of ``sizes(**changes)`` for evaluation; ``biases``: not zero, which would hide a missing one."""
    made = Transformer(sizes(**changes), PAD)
    initialise(made, keyed_generator(seed))
    for number, module in enumerate(made.modules() if biases else ()):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.bias, 0.0, 0.3, generator=keyed_generator("bias", number))
    return made.eval()
