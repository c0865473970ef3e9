"""What parts of the models give: the same short training with one part changed, scored on the validation split.

Each variant is trained from the same seed, on the same data, for as many updates; what differs in the score is the
part's doing, or chance, which the intervals show. The test sets are not read. Variants are ordinary runs below
``runs/<task>/<set>/ablation/``: interrupted, they go on; finished and unchanged, they are not trained again.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onepage.cls import evaluate as cls_evaluate
from onepage.cls.scores import wilson_interval
from onepage.cls.train import train as train_cls
from onepage.data.images import ImageSet
from onepage.data.translation import TranslationSet
from onepage.errors import UserError
from onepage.files import write_json
from onepage.mt import evaluate as mt_evaluate
from onepage.mt.decoding import Decoding
from onepage.mt.scores import bleu
from onepage.mt.train import train as train_mt
from onepage.planning import plan
from onepage.runs import history, provenance, stamps
from onepage.training import locking
from onepage.training.recipe import as_dict
from onepage.training.weights import count_parameters


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model with a part changed: its name, which is also its folder, and the keys of the recipe that differ."""

    name: str
    changes: Mapping[str, Any]


VARIANTS: dict[str, tuple[Variant, ...]] = {
    "cls": (Variant("whole", {}), Variant("no-shortcuts", {"shortcut": False})),
    "mt": (
        Variant("whole", {}),
        Variant("no-causal-mask", {"causal": False}),
        Variant("one-head", {"heads": 1}),
    ),
}


def measure(task: str, made: Mapping[str, Any], data: Any, out: Path, seed: int, say: Callable[[str], Any]) -> Path:
    """Train and score every variant of ``task`` as the plan ``made`` says, on its ``data``; returns the results' file.

    Raises what training raises. Nothing is written before all are scored.
    """
    basis, block = plan.settings_of(dict(made), seed)
    program = stamps.digest_files(stamps.files_of(f"train-{task}"))
    target = out / "runs" / task / made["folder"] / stamps.ABLATION
    train: Any = {"cls": train_cls, "mt": train_mt}[task]
    rows = []
    for variant in VARIANTS[task]:
        recipe = dataclasses.replace(basis, **variant.changes)
        if problem := recipe.check():
            raise UserError(f"{variant.name}: {problem}")
        run = target.parent / variant.name / f"seed{seed}"
        say(f"{task:<4} {variant.name}: {_words(variant)}")
        with locking.cpu_training_lock(block["device"], say):
            train(recipe, data, run, block, program)
        scored = _cls_score(data, run) if task == "cls" else _mt_score(data, run, plan.decoding(dict(made)))
        last = history.read(run / "history.jsonl")[-1]
        trained = {"updates": last["step"], "epochs": last["epoch"], "loss": last["val_loss"]}
        rows.append({"name": variant.name, "changes": dict(variant.changes), **trained, **scored})
        low, high = scored["interval"]
        said = f"{scored['score']:.2%} of validation images ({low:.2%} to {high:.2%}"
        if task == "mt":
            said = f"{scored['score']:.2f} validation BLEU ({low:.1f} to {high:.1f}"
        say(f"{task:<4} {variant.name}: {said}, n={scored['n']:,})")
    about = {**block, "src": made["src"], "tgt": made["tgt"], "program": program, "recipe": as_dict(basis)}
    write_json(target, about | provenance.commit() | {"variants": rows})
    return target


def _words(variant: Variant) -> str:
    changes = ", ".join(f"{key} = {str(value).lower()}" for key, value in variant.changes.items())
    return changes or "as the recipe says"


def _cls_score(data: ImageSet, run: Path) -> dict[str, Any]:
    model, recipe, block, device = cls_evaluate.load(run, len(data.class_names))
    logits, labels = cls_evaluate.on_validation(model, data, recipe, block["precision"], device)
    correct, n = int((logits.argmax(axis=1) == labels).sum()), len(labels)
    return {
        "score": correct / n,
        "interval": wilson_interval(correct, n),
        "n": n,
        "parameters": count_parameters(model),
    }


def _mt_score(data: TranslationSet, run: Path, decoding: Decoding) -> dict[str, Any]:
    model, tokenizer, _, _ = mt_evaluate.load(run)
    sources, references = data.splits["val"]
    ids = [tokenizer.encode(line) for line in sources]
    found = mt_evaluate.best(model, ids, decoding.beam_size, decoding.length_penalty)
    score = bleu([tokenizer.decode(pieces) for pieces in found], references)
    kept = {key: score[key] for key in ("score", "interval", "signature")}
    return kept | {"n": len(references), "parameters": count_parameters(model)}
