"""Transformer encoder-decoder on Multi30k: model, tokens, batches, training, search, evaluation."""
