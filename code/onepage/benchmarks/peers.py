"""Translation by other programs with our weights: JoeyNMT (Kreutzer et al. 2019), CTranslate2 (Klein et al. 2020).

`make setup-compare` installs both beside the environment. JoeyNMT's pre-norm Transformer differs from our network in
two settings, which are changed: its output layer has no bias, and its LayerNorm has another epsilon. CTranslate2
supports both. Each program uses its own search. JoeyNMT has our length penalty, but its own rule for finished sentences
and its own length limit. CTranslate2 divides by length ** alpha, and has its own stopping rule.
"""

import importlib
import importlib.metadata
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onepage.mt.batching import pad
from onepage.mt.search import batches, length_limit
from onepage.mt.tokenizer import END, PAD, START, UNKNOWN
from onepage.mt.transformer import Attention, DecoderLayer, EncoderLayer, Transformer

FOLDER = Path(sys.prefix) / "compare"  # where env/compare.py installs to
CT2_BATCH = 32  # sentences; the fastest of 32, 64, 128 and 1000 on two cores
Ids = list[list[int]]


class Missing(Exception):
    """The reason why a contender is not measured."""


def module(package: str, name: str) -> ModuleType:
    """Import ``name`` of a package from the folder that only benchmarks and tests use; raises Missing."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise Missing("not installed") from None
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(f"cannot be imported ({error})") from None


class JoeyNMT:
    """Our model as one of JoeyNMT's."""

    package = "joeynmt"

    def __init__(self, model: Transformer):
        """Raises Missing."""
        # JoeyNMT imports these for training and for other tokenizers; its search does not use them
        standing_in: dict[str, Any] = {"importlib_metadata": importlib.metadata}
        standing_in["torch.utils.tensorboard"] = SimpleNamespace(SummaryWriter=None)
        standing_in["subword_nmt"] = SimpleNamespace(apply_bpe=None)
        for name, stand_in in standing_in.items():
            sys.modules.setdefault(name, stand_in)
        parts = {name: module(self.package, f"joeynmt.{name}") for name in ("model", "search", "batch")}
        layers, embeddings = module(self.package, "joeynmt.encoders"), module(self.package, "joeynmt.embeddings")
        decoders = module(self.package, "joeynmt.decoders")
        self.search, self.batch = parts["search"].search, parts["batch"].Batch
        sizes = model.sizes
        common: dict[str, Any] = {"hidden_size": sizes.d_model, "ff_size": sizes.d_ff, "num_heads": sizes.heads}
        common |= {"dropout": 0.0, "emb_dropout": 0.0, "layer_norm": "pre"}
        encoder = layers.TransformerEncoder(num_layers=sizes.encoder_layers, **common)
        decoder = decoders.TransformerDecoder(num_layers=sizes.decoder_layers, vocab_size=sizes.vocabulary, **common)
        table = embeddings.Embeddings(sizes.d_model, scale=True, vocab_size=sizes.vocabulary, padding_idx=PAD)
        decoder.output_layer = nn.Linear(sizes.d_model, sizes.vocabulary)
        vocabulary = SimpleNamespace(
            pad_index=PAD, bos_index=START, eos_index=END, unk_index=UNKNOWN, sep_index=None, specials=[], lang_tags=[]
        )
        self.model = parts["model"].Model(encoder, decoder, table, table, vocabulary, vocabulary).eval()
        self._copy(model)

    def _copy(self, ours: Transformer) -> None:
        for module_ in self.model.modules():
            if isinstance(module_, nn.LayerNorm):
                module_.eps = ours.encoder_norm.eps
        theirs = self.model
        table = ours.embedding.weight
        theirs.src_embed.lut.weight = theirs.decoder.output_layer.weight = table
        theirs.decoder.output_layer.bias = ours.output_bias
        theirs.encoder.layer_norm, theirs.decoder.layer_norm = ours.encoder_norm, ours.decoder_norm
        for their, encoder_layer in zip(theirs.encoder.layers, ours.encoder_layers(), strict=True):
            their.layer_norm = encoder_layer.norm1
            self._attention(their.src_src_att, encoder_layer.attention)
            self._feed_forward(their.feed_forward, encoder_layer.norm2, encoder_layer)
        for their, decoder_layer in zip(theirs.decoder.layers, ours.decoder_layers(), strict=True):
            their.x_layer_norm, their.dec_layer_norm = decoder_layer.norm1, decoder_layer.norm2
            self._attention(their.trg_trg_att, decoder_layer.self_attention)
            self._attention(their.src_trg_att, decoder_layer.cross_attention)
            self._feed_forward(their.feed_forward, decoder_layer.norm3, decoder_layer)

    @staticmethod
    def _attention(theirs: Any, ours: Attention) -> None:
        theirs.q_layer, theirs.k_layer, theirs.v_layer = ours.query, ours.key, ours.value
        theirs.output_layer = ours.output

    @staticmethod
    def _feed_forward(theirs: Any, norm: nn.LayerNorm, layer: EncoderLayer | DecoderLayer) -> None:
        theirs.layer_norm = norm
        theirs.pwff_layer[0], theirs.pwff_layer[3] = layer.feed_forward.inner, layer.feed_forward.outer

    def translate(self, sources: Ids, beam_size: int, alpha: float, batch_tokens: int) -> Ids:
        """Best output of each source, ids without END; batches of like length, as ours."""
        results: Ids = [[] for _ in sources]
        for numbers in batches(sources, batch_tokens // beam_size):
            rows = [sources[i] for i in numbers]
            found, _, _ = self.search(self.model, self._batch(rows), -1, beam_size, alpha)
            for number, ids in zip(numbers, found.tolist(), strict=True):
                results[number] = ids[: ids.index(END)] if END in ids else [i for i in ids if i != PAD]
        return results

    def _batch(self, rows: Ids) -> Any:
        lengths, numbers = torch.tensor([len(row) for row in rows]), torch.arange(len(rows))
        return self.batch(pad(rows), lengths, None, None, None, numbers, torch.device("cpu"), PAD, END, is_train=False)

    @torch.no_grad()
    def log_probabilities(self, sources: Ids, outputs: Ids) -> list[float]:
        """Of each output and its END, nats."""
        found = []
        for source, output in zip(sources, outputs, strict=True):
            batch = self._batch([source])
            memory, _, _, _ = self.model(return_type="encode", **vars(batch))
            target, mask = torch.tensor([[START, *output]]), batch.src_mask.new_ones([1, 1, 1])
            logits, _, _, _ = self.model(
                return_type="decode", encoder_output=memory, encoder_hidden=None, src_mask=batch.src_mask,
                trg_input=target, decoder_hidden=None, att_vector=None, unroll_steps=None, trg_mask=mask,
            )  # fmt: skip
            logs = torch.log_softmax(logits[0], dim=-1)
            found.append(sum(logs[i, piece].item() for i, piece in enumerate([*output, END])))
        return found


class CTranslate2:
    """Our model converted to CTranslate2's format; pieces are named by their numbers."""

    package = "ctranslate2"

    def __init__(self, model: Transformer, threads: int):
        """threads: each translates batches of its own. Raises Missing."""
        library = module(self.package, "ctranslate2")
        self.limit = len(model.positions) - 1
        with tempfile.TemporaryDirectory(prefix="onepage-bench-ct2-") as folder:
            self.spec(model).save(folder)
            self.translator = library.Translator(
                folder, device="cpu", inter_threads=threads, intra_threads=1, compute_type="float32"
            )

    def spec(self, model: Transformer) -> Any:
        """The converted model, ready to be saved."""
        specs = module(self.package, "ctranslate2.specs.transformer_spec")
        sizes = model.sizes
        spec = specs.TransformerSpec.from_config(
            (sizes.encoder_layers, sizes.decoder_layers), sizes.heads, pre_norm=True
        )
        table = _array(model.embedding.weight)
        for half, norm in ((spec.encoder, model.encoder_norm), (spec.decoder, model.decoder_norm)):
            half.position_encodings.encodings = _array(model.positions)
            self._norm(half.layer_norm, norm)
        spec.encoder.embeddings[0].weight = spec.decoder.embeddings.weight = table
        spec.decoder.projection.weight, spec.decoder.projection.bias = table, _array(model.output_bias)
        for their, encoder_layer in zip(spec.encoder.layer, model.encoder_layers(), strict=True):
            self._attention(their.self_attention, encoder_layer.norm1, encoder_layer.attention, own=True)
            self._feed_forward(their.ffn, encoder_layer.norm2, encoder_layer)
        for their, decoder_layer in zip(spec.decoder.layer, model.decoder_layers(), strict=True):
            self._attention(their.self_attention, decoder_layer.norm1, decoder_layer.self_attention, own=True)
            self._attention(their.attention, decoder_layer.norm2, decoder_layer.cross_attention, own=False)
            self._feed_forward(their.ffn, decoder_layer.norm3, decoder_layer)
        names = [str(number) for number in range(sizes.vocabulary)]
        spec.register_source_vocabulary(names)
        spec.register_target_vocabulary(names)
        config = spec.config
        config.unk_token, config.bos_token, config.eos_token = names[UNKNOWN], names[START], names[END]
        config.decoder_start_token, config.layer_norm_epsilon = names[START], model.encoder_norm.eps
        config.add_source_bos = config.add_source_eos = False  # our sources end with END already
        spec.validate()
        spec.optimize(quantization=None)
        return spec

    def _attention(self, theirs: Any, norm: nn.LayerNorm, ours: Attention, own: bool) -> None:
        """Queries, keys and values side by side; in cross-attention the queries apart."""
        self._norm(theirs.layer_norm, norm)
        groups = [[ours.query, ours.key, ours.value]] if own else [[ours.query], [ours.key, ours.value]]
        for linear, layers in zip(theirs.linear, [*groups, [ours.output]], strict=True):
            linear.weight = np.concatenate([_array(layer.weight) for layer in layers])
            linear.bias = np.concatenate([_array(layer.bias) for layer in layers])

    def _feed_forward(self, theirs: Any, norm: nn.LayerNorm, layer: EncoderLayer | DecoderLayer) -> None:
        self._norm(theirs.layer_norm, norm)
        for linear, ours in ((theirs.linear_0, layer.feed_forward.inner), (theirs.linear_1, layer.feed_forward.outer)):
            linear.weight, linear.bias = _array(ours.weight), _array(ours.bias)

    @staticmethod
    def _norm(theirs: Any, ours: nn.LayerNorm) -> None:
        theirs.gamma, theirs.beta = _array(ours.weight), _array(ours.bias)

    def translate(self, sources: Ids, beam_size: int, alpha: float, batch_tokens: int) -> Ids:
        """Best output of each source, ids without END; in batches of its own, sorted by length."""
        limit = min(self.limit, length_limit(max(map(len, sources))))
        found = self.translator.translate_batch(
            [[str(i) for i in source] for source in sources],
            max_batch_size=CT2_BATCH,
            batch_type="examples",
            beam_size=beam_size,
            length_penalty=alpha,
            max_decoding_length=limit,
        )
        return [[int(name) for name in result.hypotheses[0]] for result in found]

    def log_probabilities(self, sources: Ids, outputs: Ids) -> list[float]:
        """Of each output and its END, nats."""
        names = [[[str(i) for i in row] for row in rows] for rows in (sources, outputs)]
        return [float(sum(result.log_probs)) for result in self.translator.score_batch(*names)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()


PEERS: dict[str, Callable[[Transformer, int], Any]] = {
    "joeynmt": lambda model, threads: JoeyNMT(model),
    "ctranslate2": CTranslate2,
}
