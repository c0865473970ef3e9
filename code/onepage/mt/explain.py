"""The Transformer's attention weights and masks, taken from its own forward pass and functions."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from onepage.mt.batching import make_batch
from onepage.mt.rows import check_rows
from onepage.mt.tokenizer import PAD, START, Tokenizer
from onepage.mt.transformer import Attention, Transformer, causal_mask, padding_mask


@contextlib.contextmanager
def recorded(modules: list[Attention]) -> Iterator[None]:
    """Within: every call of these attention modules appends its weights to ``module.record``."""
    for module in modules:
        module.record = []
    try:
        yield
    finally:
        for module in modules:
            module.record = None


@torch.no_grad()
def attention_weights(model: Transformer, source: list[int], target: list[int]) -> dict[str, np.ndarray]:
    """Weights of every layer and head, for input ``source`` and output ``target`` (ids ended by END).

    encoder_self (L, H, S, S), decoder_self (L, H, T, T), cross (L, H, T, S), float32, after the softmax and before
    dropout. Row t of decoder_self and cross is the query that predicts target[t]. Raises ValueError if a row does not
    sum to one. Leaves the model in evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    groups = {
        "encoder_self": [layer.attention for layer in model.encoder_layers()],
        "decoder_self": [layer.self_attention for layer in model.decoder_layers()],
        "cross": [layer.cross_attention for layer in model.decoder_layers()],
    }
    weights = {}
    with recorded([module for modules in groups.values() for module in modules]):
        model(torch.tensor([source], device=device), torch.tensor([[START, *target[:-1]]], device=device))
        for name, modules in groups.items():
            stacked = torch.stack([module.record[0][0] for module in modules if module.record])
            weights[name] = stacked.float().cpu().numpy()
            check_rows(name, weights[name])
    return weights


def tokens(tokenizer: Tokenizer, source: list[int], target: list[int]) -> dict[str, Any]:
    """The pieces on the axes of the attention pictures."""
    return {
        "source_tokens": np.array(tokenizer.pieces(source)),
        "target_input_tokens": np.array(tokenizer.pieces([START, *target[:-1]])),
        "target_output_tokens": np.array(tokenizer.pieces(target)),
    }


def packed(model: Transformer, tokenizer: Tokenizer, pairs: list[tuple[list[int], list[int]]]) -> dict[str, np.ndarray]:
    """Tokens and weights of several sentences, each array padded to its longest sentence, with "" and 0.

    The arrays are those of ``tokens`` and ``attention_weights``, with the sentences as first axis; weights are uint8,
    255 for 1.
    """
    each = []
    for source, target in pairs:
        weights = attention_weights(model, source, target)
        small = {name: np.round(255 * values).astype(np.uint8) for name, values in weights.items()}
        each.append(tokens(tokenizer, source, target) | small)
    found: dict[str, np.ndarray] = {}
    for name in each[0] if each else ():
        arrays = [row[name] for row in each]
        shape = [len(arrays), *np.max([array.shape for array in arrays], axis=0)]
        found[name] = np.zeros(shape, dtype=np.result_type(*arrays))
        for place, array in zip(found[name], arrays, strict=True):
            place[tuple(map(slice, array.shape))] = array
    return found


def masks(model: Transformer, tokenizer: Tokenizer, pairs: list[tuple[list[int], list[int]]]) -> dict[str, Any]:
    """The masks of a real batch, from the functions the model itself calls."""
    batch = make_batch(pairs)
    length = batch.target_input.shape[1]
    return {
        "mask_source_tokens": np.array([tokenizer.pieces(row) for row in batch.source.tolist()]),
        "mask_target_tokens": np.array([tokenizer.pieces(row) for row in batch.target_input.tolist()]),
        "mask_source_padding": padding_mask(batch.source, PAD)[:, 0, 0].numpy(),
        "mask_causal": causal_mask(length)[0, 0].numpy(),
        "mask_target_combined": model.target_mask(batch.target_input.to(next(model.parameters()).device))[:, 0]
        .cpu()
        .numpy(),
    }
