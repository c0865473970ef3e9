"""Complete made-up run folders, written in a second, for tests of code that reads a run (figures, report, verify).

A folder holds every file of a trained and evaluated run, in the run format, from seeded random numbers. The scores in
metrics.json are computed from the arrays in predictions.npz, so accuracy and BLEU agree with a recount. Only model.pt
is a placeholder. This module does not import torch.
"""

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu

import synthetic_images
import synthetic_sentences
from onepage import tasks
from onepage.cls import scores
from onepage.planning import recipes
from onepage.training.recipe import as_dict

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TOY_CLASSES = tuple(f"texture {letter}" for letter in "ABCDEFGHIJ")
HOSTILE = "50 % _of_ | \\input{x} $x$ <b> & #1 ~^ \u200b \U0001f642"  # a zero-width space before the emoji

_VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.6", "sacrebleu": "2.6.0", "matplotlib": "3.11.2"}
_VERSIONS |= {"sentencepiece": "0.2.1"}


def made_once(write: Callable[..., Path]) -> Callable[..., Path]:
    """Cache the bytes of a run by its options, and write them again for the next run with the same options."""

    @functools.cache
    def files(**options: Any) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as place:
            return {path.name: path.read_bytes() for path in write(Path(place), **options).iterdir()}

    @functools.wraps(write)
    def again(folder: Path, **options: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files(**options).items():
            (folder / name).write_bytes(content)
        return folder

    return again


@made_once
def write_cls_run(folder: Path, *, generated: bool = False, seed: int = 0, error_rate: float = 0.13) -> Path:
    """Write a finished image-classification run into ``folder`` and return it.

    It has 2,000 test images, 200 per class. error_rate: share of wrong predictions; with 0 there are none at all.
    """
    rng = np.random.default_rng([seed, 1])
    true = np.repeat(np.arange(10), 200)
    rng.shuffle(true)
    logits = synthetic_images.logits(rng, true, error_rate)
    predicted, probabilities = logits.argmax(1), scores.softmax(logits)
    order = np.argsort(-probabilities.max(1), kind="stable")
    correct, wrong = (order[(predicted[order] == true[order]) == right][:24] for right in (True, False))
    chosen = np.array([wrong[i // 2] if i % 2 == 0 and i // 2 < len(wrong) else correct[i] for i in range(8)])
    common = _common("cls", "toy-images" if generated else "cifar10", generated, seed)
    history = synthetic_images.cls_history(rng, [16, 16, 16, 24, 32, 32])
    names = TOY_CLASSES if generated else CIFAR_CLASSES
    about = common | {"weights_digest": _hex("weights", "cls", seed)}
    _write(folder, common, synthetic_images.cls_metrics(about, names, true, logits, history), history, seconds=412.5)
    correct_images, wrong_images = (synthetic_images.images(rng, true[index]) for index in (correct, wrong))
    np.savez_compressed(
        folder / "predictions.npz",
        labels=true,
        logits=logits,
        correct_index=correct,
        correct_images=correct_images,
        wrong_index=wrong,
        wrong_images=wrong_images,
    )
    cams = {
        f"cam_layer{layer}_{target}": synthetic_images.cams(rng, len(chosen), 8 if layer == 3 else 4)
        for layer in (3, 4)
        for target in ("predicted", "true")
    }
    explored = synthetic_images.explored(np.random.default_rng([seed, 3]), true, predicted, order)
    explored["explored_images"][: len(wrong)] = wrong_images
    np.savez_compressed(
        folder / "explain.npz",
        index=chosen,
        images=synthetic_images.images(rng, true[chosen]),
        labels=true[chosen],
        predicted=predicted[chosen],
        probabilities=probabilities[chosen].astype(np.float32),
        layers=np.array(["layer3", "layer4"]),
        **cams,
        **explored,
    )
    return folder


@made_once
def write_mt_run(
    folder: Path, *, generated: bool = False, seed: int = 0, hostile: bool = True, layers: int = 3, heads: int = 4
) -> Path:
    """Write a finished translation run into ``folder`` and return it.

    hostile: put text that breaks careless escaping into a source, an output and the attention tokens.
    layers, heads: of the attention arrays.
    """
    rng = np.random.default_rng([seed, 2])
    sizes = {"test_2016_flickr": 120, "test_2017_flickr": 100, "test_2017_mscoco": 80}
    sizes = {"test": 120} if generated else sizes
    references = {name: synthetic_sentences.sentences(rng, size) for name, size in sizes.items()}
    headline = next(iter(references))
    arrays: dict[str, np.ndarray] = {}
    tests: dict[str, Any] = {}
    for number, (name, (sources, targets)) in enumerate(references.items()):
        outputs = [synthetic_sentences.corrupt(rng, text, 0.34 + 0.04 * number) for text in targets]
        greedy = [synthetic_sentences.corrupt(rng, text, 0.05) for text in outputs]
        if hostile and number == 0:
            sources[3], outputs[3] = f"{sources[3]} {HOSTILE}", f"{HOSTILE} {outputs[3]}"
            outputs[5] = "日本語 текст " + "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz" * 2
        tests[name] = synthetic_sentences.mt_test(sources, targets, outputs, greedy, generated)
        chrf = [sacrebleu.sentence_chrf(o, [t]).score for o, t in zip(outputs, targets, strict=True)]
        found = {"source": sources, "reference": targets, "output": outputs, "greedy": greedy}
        arrays |= {f"{name}_{kind}": np.array(lines) for kind, lines in found.items()}
        arrays[f"{name}_chrf"] = np.array(chrf, np.float32)

    common = _common("mt", "toy-translation" if generated else "multi30k", generated, seed) | {"src": "en", "tgt": "de"}
    history = synthetic_sentences.mt_history(rng)
    last = history[-1]
    model = {"name": "Transformer", "parameters": 3_422_000, "encoder_layers": layers, "decoder_layers": layers}
    metrics = common | {
        "weights_digest": _hex("weights", "mt", seed),
        "model": model | {"heads": heads, "d_model": 192, "d_ff": 384, "vocabulary": 4000},
        "train": {"n": 29_000, "updates": last["step"], "epochs": 12.0, "loss": last["train_loss"]},
        "val": {"n": 1014, "loss": last["val_loss"], "perplexity": last["val_perplexity"], "bleu_greedy": 34.2},
        "decoding": {"beam_size": 5, "length_penalty": 1.0},
        "headline": headline,
        "tests": tests,
        "examples": synthetic_sentences.examples(arrays, headline, hostile),
    }
    _write(folder, common, metrics, history, seconds=388.25)
    np.savez_compressed(folder / "predictions.npz", **arrays)
    explained = synthetic_sentences.mt_explain(rng, hostile, layers, heads)
    explained |= synthetic_sentences.explored(explained)
    np.savez_compressed(folder / "explain.npz", **explained)
    return folder


# --- what both tasks share ---------------------------------------------------------------------------------------


def _common(task: str, name: str, generated: bool, seed: int) -> dict[str, Any]:
    recipe = as_dict(recipes.resolve(tasks.get(task), "quick", hardware="fp32", generated=generated, threads=2)[0])
    if task == "cls":
        recipe["stages"] = [{"epochs": 4, "image_size": 16}, {"epochs": 2, "image_size": 32}]
    return {
        "task": task,
        "set": name,
        "generated": generated,
        "profile": "quick",
        "seed": seed,
        "recipe_hash": _hex("recipe", task, seed),
        "recipe": recipe,
        "data_digest": _hex("data", name),
        "versions": _VERSIONS,
        "libraries": {name: _VERSIONS[name] for name in ("torch", "numpy", "sentencepiece")},
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
    train = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:08:00+00:00", "seconds": seconds}
    train |= {"sessions": 1, "peak_memory_bytes": 2 * 2**30, "peak_gpu_memory_bytes": None}
    train |= {"energy_joules": {"NVML GPU-0": 36.0 * seconds}, "command": "python -m onepage train"}
    evaluate = {"started": "2026-01-01T00:08:00+00:00", "finished": "2026-01-01T00:08:30+00:00", "seconds": 30.0}
    evaluate |= {"peak_memory_bytes": 2**30, "peak_gpu_memory_bytes": None, "command": "python -m onepage evaluate"}
    return {
        "host": host | {"memory_bytes": 8 * 2**30, "gpu": None, "system": "Linux-x86_64"},
        "train": train,
        "evaluate": evaluate | {"program": _hex("program", "evaluate")},
    }


def _hex(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _write(
    folder: Path, run: dict[str, Any], metrics: dict[str, Any], history: list[dict[str, Any]], seconds: float
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (("run", run), ("metrics", metrics), ("provenance", _provenance(seconds))):
        content = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(content, encoding="utf-8")
    (folder / "model.pt").write_bytes(b"not weights: a synthetic run\n")
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history), encoding="utf-8")
