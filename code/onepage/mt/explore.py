"""Data of a translation run to explore: curves, attention of several sentences, every sentence of the test set."""

from pathlib import Path
from typing import Any

from onepage.figures import curves, explore
from onepage.files import read_arrays, read_json, sha256_file
from onepage.runs import history

KINDS = ("encoder_self", "decoder_self", "cross")
SIDES = {"source": "source_tokens", "read": "target_input_tokens", "written": "target_output_tokens"}


def parts(run: Path) -> list[explore.Part]:
    """The parts of report.html, in its order; attention is left out if no sentence has it."""
    metrics = read_json(run / "metrics.json")
    predictions, explained = (read_arrays(run / f"{name}.npz") for name in ("predictions", "explain"))
    found = [_curves(run), _attention(metrics, predictions, explained), _sentences(metrics, predictions)]
    return [part for part in found if part]


def _curves(run: Path) -> explore.Part:
    records = history.read(run / "history.jsonl")
    histories = curves.read_seeds(run, records, sha256_file(run / "metrics.json"))
    steps = [row["step"] for row in records]

    def line(name: str, key: str) -> explore.Line:
        return name, steps, curves.values(histories, key)

    panels = [
        explore.panel("Loss", "nats per token", [line("training", "train_loss"), line("validation", "val_loss")]),
        explore.panel("Perplexity", "", [line("validation", "val_perplexity")]),
        explore.panel("Learning rate", "", [line("learning rate", "learning_rate")], small=True),
    ]
    return explore.learning("curves_mt", "step", histories, panels)


def _attention(metrics: dict[str, Any], predictions: dict[str, Any], explained: dict[str, Any]) -> explore.Part:
    """Tokens and weights of each sentence; {} if there is none."""
    if not explained["explored_index"].size:
        return {}
    kinds = {row["index"]: f"{row['kind']}, " for row in metrics["examples"]}
    chrf = predictions[f"{metrics['headline']}_chrf"]
    sentences: list[dict[str, Any]] = []
    for k, index in enumerate(explained["explored_index"].tolist()):
        sides = {side: [str(t) for t in explained[f"explored_{key}"][k] if t] for side, key in SIDES.items()}
        s, t = len(sides["source"]), len(sides["written"])
        spans = {"encoder_self": (s, s), "decoder_self": (t, t), "cross": (t, s)}
        weights = {
            kind: explore.encoded(explained[f"explored_{kind}"][k][:, :, :rows, :columns])
            for kind, (rows, columns) in spans.items()
        }
        label = f"{kinds.get(index, '')}chrF2 {chrf[index]:.0f}: {predictions[metrics['headline'] + '_source'][index]}"
        sentences.append({"index": index, "label": label} | sides | weights)
    sentences.sort(key=lambda row: len(row["source"]))
    shape = {kind: list(explained[f"explored_{kind}"].shape[1:3]) for kind in KINDS}
    return {"kind": "attention", "picture": "attention_heads", "shape": shape, "sentences": sentences}


def _sentences(metrics: dict[str, Any], predictions: dict[str, Any]) -> explore.Part:
    """Source, reference, output and chrF2 of every sentence of the headline test set."""
    columns = [predictions[f"{metrics['headline']}_{name}"] for name in ("source", "reference", "output")]
    chrf = [round(float(score), 1) for score in predictions[f"{metrics['headline']}_chrf"]]
    rows = [[*map(str, texts), score] for *texts, score in zip(*columns, chrf, strict=True)]
    return {"kind": "sentences", "picture": "decodes_table", "src": metrics["src"], "tgt": metrics["tgt"], "rows": rows}
