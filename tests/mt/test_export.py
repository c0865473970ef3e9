"""The Transformer's exported weights, sizes and pieces make the same model again."""

import dataclasses
import json
from pathlib import Path

import sentencepiece
import torch
from click.testing import CliRunner

from onepage.commands.main import main
from onepage.mt.train import sizes_of
from onepage.mt.transformer import Sizes, Transformer
from onepage.training import checkpoint
from onepage.training.weights import digest_tensors
from translate_cases import RECIPE, write_run
from user_commands import edit


def test_the_files_alone_make_the_model_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    weights, _ = checkpoint.load_model(run / "model.pt")
    sizes = dataclasses.asdict(sizes_of(RECIPE, 120))
    model = {key: sizes[key] for key in ("d_model", "d_ff", "heads", "encoder_layers", "decoder_layers", "vocabulary")}
    edit(run / "metrics.json", weights_digest=digest_tensors(weights), model=model, src="en", tgt="de")
    result = CliRunner().invoke(main, ["export", "--run", str(run), "--to", str(tmp_path / "to")])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "to/mt"
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert pieces.get_piece_size() == about["sizes"]["vocabulary"] == 120
    assert pieces.eos_id() == about["pieces"]["end"] and pieces.bos_id() == about["pieces"]["start"]
    again = Transformer(Sizes(**about["sizes"]), about["pieces"]["pad"])
    again.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    assert digest_tensors({**again.state_dict(), "tokenizer": weights["tokenizer"]}) == digest_tensors(weights)
    assert about["languages"] == ["en", "de"] and about["decoding"] == {"beam_size": 3, "length_penalty": 0.5}
