"""A run of the Transformer that can translate, made in a moment: scaled random weights and a small vocabulary."""

import io
from collections.abc import Iterable
from pathlib import Path

from click.testing import CliRunner, Result

from edits import edit
from onepage.commands.main import main
from onepage.mt.evaluate import SIZES, load
from onepage.mt.recipe import Recipe
from onepage.mt.search import beam
from onepage.mt.tokenizer import PAD, train_tokenizer
from onepage.mt.train import as_tensor, sizes_of
from onepage.mt.transformer import Transformer, initialise
from onepage.training import checkpoint
from onepage.training.recipe import as_dict
from onepage.training.seeding import keyed_generator
from onepage.training.weights import digest_tensors
from synthetic_run import write_mt_run

LINES = [f"Zwei Hunde spielen im grünen Gras mit Ball Nummer {i}." for i in range(60)]
LINES += [f"a man in a blue shirt is standing on ladder {i} ." for i in range(60)]
SOURCES = [LINES[0], LINES[70], "a man", LINES[33], "im Ball"]
RECIPE = Recipe(
    updates=1, batch_tokens=100, adamw_learning_rate=0.1, vocabulary=120, validations=1, max_length=40, threads=1,
    d_model=16, d_ff=32, heads=2, encoder_layers=2, decoder_layers=2,
)  # fmt: skip


def write_run(folder: Path, *, seed: int = 0, generated: bool = False, device: str = "cpu") -> Path:
    """Write an evaluated run into ``folder`` and return it: beam 3, length penalty 0.5."""
    write_mt_run(folder, layers=2, heads=2, generated=generated, seed=seed)
    tokenizer = train_tokenizer(LINES, RECIPE.vocabulary)
    model = Transformer(sizes_of(RECIPE, len(tokenizer)), PAD)
    initialise(model, keyed_generator(seed))
    model.embedding.weight.data.mul_(3.0)  # an untrained net is nearly uniform; this sharpens it,
    for layer in model.decoder_layers():  # and makes the output depend on the source and the prefix
        layer.cross_attention.output.weight.data.mul_(40.0)
        layer.self_attention.output.weight.data.mul_(20.0)
    weights = {**model.state_dict(), "tokenizer": as_tensor(tokenizer.model)}
    checkpoint.save_model(folder / "model.pt", weights, {})
    edit(folder / "run.json", recipe=as_dict(RECIPE), device=device, src="en", tgt="de")
    sizes = {key: value for key, value in as_dict(RECIPE).items() if key in SIZES}
    about = {"weights_digest": digest_tensors(weights), "model": {"name": "Transformer", "parameters": 1, **sizes}}
    about |= {"recipe": as_dict(RECIPE), "device": device}
    edit(folder / "metrics.json", decoding={"beam_size": 3, "length_penalty": 0.5}, **about)
    return folder


def translate(run: Path, *arguments: str, given: bytes = b"") -> Result:
    """Run the command in this process, with ``given`` as standard input."""
    return CliRunner().invoke(main, ["translate", "--model", str(run), *arguments], input=given)


def said(result: Result) -> list[str]:
    """The lines on standard error after the first, which names the model."""
    first, *rest = result.stderr.splitlines()
    assert first.startswith("onepage: English to German by ")
    return rest


def searched(run: Path, beam_size: int = 3, alpha: float = 0.5) -> list[list[tuple[float, str]]]:
    """[(score, text), ...] for each of SOURCES, by the search that evaluation uses."""
    model, tokenizer, _, _ = load(run)
    found = beam(model, [tokenizer.encode(line) for line in SOURCES], beam_size, alpha)
    return [[(h.score, tokenizer.decode(h.ids).strip()) for h in hypotheses] for hypotheses in found]


class Pieces(io.BytesIO):
    """A pipe that returns its content in pieces of the given sizes."""

    def __init__(self, content: bytes, sizes: Iterable[int]):
        super().__init__(content)
        self.sizes = iter(sizes)

    def read1(self, size: int = -1) -> bytes:  # type: ignore[override]
        return super().read1(min(size, next(self.sizes, size)))
