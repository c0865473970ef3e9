"""The inside of the Transformer: the weights of its softmax, and the masks that it uses."""

import functools

import numpy as np
import pytest
import torch

from onepage.mt import explain
from onepage.mt.tokenizer import END, START
from small_transformer import small
from translate_cases import LINES

SOURCE, TARGET = [5, 6, 7, 8, END], [9, 10, 11, END]
model = functools.partial(small, heads=4, decoder_layers=3)


def test_weights_of_every_layer_and_head_are_distributions():
    weights = explain.attention_weights(model(), SOURCE, TARGET)
    shapes = {name: array.shape for name, array in weights.items()}
    assert shapes == {"encoder_self": (2, 4, 5, 5), "decoder_self": (3, 4, 4, 4), "cross": (3, 4, 4, 5)}
    for array in weights.values():
        assert array.dtype == np.float32 and np.abs(array.sum(-1) - 1).max() < 1e-5
    assert not np.triu(weights["decoder_self"], 1).any()  # no weight on later positions


def test_weights_are_those_of_the_softmax_before_dropout():
    plain, dropped = model(), model(attention_dropout=0.5, dropout=0.5)
    dropped.load_state_dict(plain.state_dict())
    dropped.train()
    layer = dropped.decoder_layers()[0].cross_attention
    with explain.recorded([layer]):
        memory = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(0))
        queries = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(1))
        layer(queries, memory, None)
        (weights,) = layer.record
    assert torch.allclose(weights.sum(-1), torch.ones(1, 4, 4))
    heads = [layer.split(part) for part in (layer.query(queries), layer.key(memory))]
    assert torch.allclose(weights, torch.softmax(heads[0] @ heads[1].transpose(2, 3) / 2, -1), atol=1e-6)
    # a model in training mode returns the same weights as one in evaluation mode
    for name, array in explain.attention_weights(dropped, SOURCE, TARGET).items():
        assert np.array_equal(array, explain.attention_weights(plain, SOURCE, TARGET)[name])


def test_recording_ends_with_its_block():
    made = model()
    explain.attention_weights(made, SOURCE, TARGET)
    assert all(layer.cross_attention.record is None for layer in made.decoder_layers())


def test_model_with_wrong_softmax_is_not_explained(monkeypatch):
    softmax = torch.softmax
    monkeypatch.setattr(torch, "softmax", lambda *given, **named: softmax(*given, **named) * 0.99)
    with pytest.raises(ValueError, match=r"sums to 0\.99"):
        explain.attention_weights(model(), SOURCE, TARGET)


def test_masks_are_those_the_model_uses(tokenizer):
    made = model(vocabulary=len(tokenizer))
    pairs = [(tokenizer.encode(text), tokenizer.encode(text)[1:]) for text in ("Zwei Hunde", LINES[0], "im Gras.")]
    arrays = explain.masks(made, tokenizer, pairs)
    longest = max(len(source) for source, _ in pairs)
    assert arrays["mask_source_padding"].sum(1).tolist() == [len(source) for source, _ in pairs]
    assert arrays["mask_source_tokens"].shape == arrays["mask_source_padding"].shape == (3, longest)
    assert ((arrays["mask_source_tokens"] != "<pad>") == arrays["mask_source_padding"]).all()
    assert (arrays["mask_causal"] == np.tril(arrays["mask_causal"])).all()
    both = arrays["mask_causal"][None] & (arrays["mask_target_tokens"] != "<pad>")[:, None]
    assert (arrays["mask_target_combined"] == both).all()
    assert (arrays["mask_target_tokens"][:, 0] == "<s>").all()

    monkeyed = model(vocabulary=len(tokenizer), causal=False)  # without the causal mask, it is not shown
    assert (explain.masks(monkeyed, tokenizer, pairs)["mask_target_combined"] != both).any()


def test_tokens_are_those_of_the_rows_and_columns(tokenizer):
    source, target = tokenizer.encode("Zwei Hunde"), tokenizer.encode("im Gras.")
    named = {name: array.tolist() for name, array in explain.tokens(tokenizer, source, target).items()}
    assert named["target_input_tokens"] == tokenizer.pieces([START])[:1] + named["target_output_tokens"][:-1]
    assert named["source_tokens"][-1] == named["target_output_tokens"][-1] == "</s>"


def test_packed_sentences_are_padded_to_the_longest(tokenizer):
    made = model(vocabulary=len(tokenizer))
    pairs = [(SOURCE, TARGET), ([*SOURCE[:2], END], [*TARGET[:-1], 12, 13, END])]
    packed = explain.packed(made, tokenizer, pairs)
    assert packed["encoder_self"].shape == (2, 2, 4, 5, 5) and packed["cross"].shape == (2, 3, 4, 6, 5)
    for k, (source, target) in enumerate(pairs):
        for name, side in explain.tokens(tokenizer, source, target).items():
            assert [piece for piece in packed[name][k] if piece] == side.tolist()
        for name, weights in explain.attention_weights(made, source, target).items():
            rows, columns = weights.shape[2:]
            assert packed[name].dtype == np.uint8
            assert np.array_equal(packed[name][k][:, :, :rows, :columns], np.round(255 * weights))
            assert packed[name][k].sum() == np.round(255 * weights).sum()  # zeros beyond the sentence
    assert explain.packed(made, tokenizer, []) == {}
