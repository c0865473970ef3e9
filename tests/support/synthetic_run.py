"""Complete run folders made up in a second, for tests of whatever reads a run (figures, report, verify).

Every file a trained and evaluated run leaves is written, in the run format, from seeded random numbers: the scores in
metrics.json are recomputed from the very arrays in predictions.npz, so accuracy and BLEU agree with a recount.
Only model.pt is a placeholder. No torch.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu

import synthetic_images
import synthetic_sentences

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TOY_CLASSES = tuple(f"texture {letter}" for letter in "ABCDEFGHIJ")
HOSTILE = "50 % _of_ | \\input{x} $x$ <b> & #1 ~^ \u200b \U0001f642"  # a zero-width space before the emoji

_VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.6", "sacrebleu": "2.6.0", "matplotlib": "3.11.2"}


def write_cls_run(
    folder: Path,
    *,
    generated: bool = False,
    seed: int = 0,
    labels: Sequence[int] | None = None,
    error_rate: float = 0.13,
) -> Path:
    """Write a finished image-classification run into ``folder`` and return it.

    labels: the test labels to pretend to have predicted (default: 2,000 balanced ones; class k is class_names[k]).
    error_rate: share of wrong predictions; 0 gives none at all.
    """
    folder = Path(folder)
    rng = np.random.default_rng([seed, 1])
    names = TOY_CLASSES if generated else CIFAR_CLASSES
    true = np.asarray(labels if labels is not None else np.repeat(np.arange(10), 200), dtype=np.int64)
    if labels is None:
        rng.shuffle(true)
    n = len(true)
    logits = synthetic_images.logits(rng, true, error_rate)
    predicted = logits.argmax(1)
    probabilities = synthetic_images.softmax(logits)
    confidence = probabilities.max(1)
    order = np.argsort(-confidence, kind="stable")
    correct = order[predicted[order] == true[order]][:24]
    wrong = order[predicted[order] != true[order]][:24]
    looked_at = [
        wrong[i // 2] if i % 2 == 0 and i // 2 < len(wrong) else correct[i] for i in range(min(8, len(correct)))
    ]
    chosen = np.array(looked_at, dtype=np.int64)

    common = _common("cls", "toy-images" if generated else "cifar10", generated, seed)
    confusion = np.zeros((10, 10), dtype=np.int64)
    np.add.at(confusion, (true, predicted), 1)
    history = synthetic_images.cls_history(rng, [16, 16, 16, 24, 32, 32])
    _write_json(folder / "run.json", common)
    metrics = synthetic_images.cls_metrics(
        common | {"weights_digest": _hex("weights", "cls", seed)}, names, true, logits, confusion, history
    )
    _write_json(folder / "metrics.json", metrics)
    (folder / "model.pt").write_bytes(b"not weights: a synthetic run\n")
    _write_lines(folder / "history.jsonl", history)
    np.savez_compressed(
        folder / "predictions.npz",
        labels=true,
        logits=logits,
        correct_index=correct,
        correct_images=synthetic_images.images(rng, true[correct]),
        wrong_index=wrong,
        wrong_images=synthetic_images.images(rng, true[wrong]),
    )
    cams = {
        f"cam_layer{layer}_{target}": synthetic_images.cams(rng, len(chosen), 8 if layer == 3 else 4)
        for layer in (3, 4)
        for target in ("predicted", "true")
    }
    np.savez_compressed(
        folder / "explain.npz",
        index=chosen,
        images=synthetic_images.images(rng, true[chosen]),
        labels=true[chosen],
        predicted=predicted[chosen],
        probabilities=probabilities[chosen].astype(np.float32),
        layers=np.array(["layer3", "layer4"]),
        **cams,
    )
    _write_json(folder / "provenance.json", _provenance(seconds=412.5))
    assert n == confusion.sum()
    return folder


def write_mt_run(
    folder: Path,
    *,
    generated: bool = False,
    seed: int = 0,
    references: Mapping[str, tuple[Sequence[str], Sequence[str]]] | None = None,
    hostile: bool = True,
    layers: int = 3,
    heads: int = 4,
) -> Path:
    """Write a finished translation run into ``folder`` and return it.

    references: {test set: (sources, references)} to pretend to have translated (default: made-up sentences).
    hostile: put text that breaks careless escaping into a source, an output and the attention tokens.
    layers, heads: of the attention arrays.
    """
    folder = Path(folder)
    rng = np.random.default_rng([seed, 2])
    if references is None:
        sizes = (
            {"test": 120} if generated else {"test_2016_flickr": 120, "test_2017_flickr": 100, "test_2017_mscoco": 80}
        )
        references = {name: synthetic_sentences.sentences(rng, size) for name, size in sizes.items()}
    headline = next(iter(references))
    arrays: dict[str, np.ndarray] = {}
    tests: dict[str, Any] = {}
    for number, (name, (sources, targets)) in enumerate(references.items()):
        sources, targets = list(sources), list(targets)
        outputs = [synthetic_sentences.corrupt(rng, text, 0.34 + 0.04 * number) for text in targets]
        greedy = [synthetic_sentences.corrupt(rng, text, 0.05) for text in outputs]
        if hostile and number == 0:
            sources[3], outputs[3] = f"{sources[3]} {HOSTILE}", f"{HOSTILE} {outputs[3]}"
            outputs[5] = "日本語 текст " + "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz" * 2
        tests[name] = synthetic_sentences.mt_test(sources, targets, outputs, greedy, generated)
        chrf = np.array(
            [sacrebleu.sentence_chrf(o, [t]).score for o, t in zip(outputs, targets, strict=True)], np.float32
        )
        arrays |= {
            f"{name}_source": np.array(sources),
            f"{name}_reference": np.array(targets),
            f"{name}_output": np.array(outputs),
            f"{name}_greedy": np.array(greedy),
            f"{name}_chrf": chrf,
        }

    common = _common("mt", "toy-translation" if generated else "multi30k", generated, seed)
    history = synthetic_sentences.mt_history(rng)
    metrics = common | {
        "weights_digest": _hex("weights", "mt", seed),
        "src": "en",
        "tgt": "de",
        "model": {
            "name": "Transformer",
            "parameters": 3_422_000,
            "encoder_layers": layers,
            "decoder_layers": layers,
            "heads": heads,
            "d_model": 192,
            "d_ff": 384,
            "vocabulary": 4000,
        },
        "train": {"n": 29_000, "updates": history[-1]["step"], "epochs": 12.0, "loss": history[-1]["train_loss"]},
        "val": {
            "n": 1014,
            "loss": history[-1]["val_loss"],
            "perplexity": history[-1]["val_perplexity"],
            "bleu_greedy": 34.2,
        },
        "decoding": {"beam_size": 5, "length_penalty": 1.0},
        "headline": headline,
        "tests": tests,
        "examples": synthetic_sentences.examples(arrays, headline, hostile),
    }
    _write_json(folder / "run.json", common)
    _write_json(folder / "metrics.json", metrics)
    (folder / "model.pt").write_bytes(b"not weights: a synthetic run\n")
    _write_lines(folder / "history.jsonl", history)
    np.savez_compressed(folder / "predictions.npz", **arrays)
    np.savez_compressed(folder / "explain.npz", **synthetic_sentences.mt_explain(rng, hostile, layers, heads))
    _write_json(folder / "provenance.json", _provenance(seconds=388.25))
    return folder


# --- what both tasks share ---------------------------------------------------------------------------------------


def _common(task: str, name: str, generated: bool, seed: int) -> dict[str, Any]:
    return {
        "task": task,
        "set": name,
        "generated": generated,
        "profile": "quick",
        "seed": seed,
        "recipe_hash": _hex("recipe", task, seed),
        "recipe": {"optimiser": "sgd", "learning_rate": 0.2, "threads": 2}
        | (
            {"batch_size": 128, "stages": [{"epochs": 4, "image_size": 16}, {"epochs": 2, "image_size": 32}]}
            if task == "cls"
            else {"batch_tokens": 1536}
        ),
        "data_digest": _hex("data", name),
        "versions": _VERSIONS,
        "device": "cpu",
        "precision": "fp32",
        "threads": 2,
        "commit": _hex("commit")[:40],
        "commit_time": 1_767_225_600,
        "dirty": False,
        "program": _hex("program", task),
    }


def _provenance(seconds: float) -> dict[str, Any]:
    host = {"cpu": "Example CPU", "cpu_id": "vendor_id Example, model 1, avx2, fma", "cores": 2}
    return {
        "host": host | {"memory_bytes": 8 * 2**30, "gpu": None, "system": "Linux-x86_64"},
        "train": {
            "started": "2026-01-01T00:00:00+00:00",
            "finished": "2026-01-01T00:08:00+00:00",
            "seconds": seconds,
            "sessions": 1,
            "peak_memory_bytes": 2 * 2**30,
            "peak_gpu_memory_bytes": None,
            "energy_joules": {"NVML GPU-0": 36.0 * seconds},
            "command": "python -m onepage train",
        },
        "evaluate": {
            "started": "2026-01-01T00:08:00+00:00",
            "finished": "2026-01-01T00:08:30+00:00",
            "seconds": 30.0,
            "peak_memory_bytes": 2**30,
            "peak_gpu_memory_bytes": None,
            "command": "python -m onepage evaluate",
            "program": _hex("program", "evaluate"),
        },
    }


def _hex(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
