"""Writes the documents of docs/ that quote results, from templates and from the results kept in git.

    PYTHONPATH=code .venv/bin/python docs/write.py

Each number comes from report/claims.toml and from the reference result that a claim there names, or from the code that
fetches and installs; a test fails while a document is not what this writes. Sections of the model cards: Mitchell et
al. 2019, "Model Cards for Model Reporting".
"""

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage.cls.scores import wilson_interval
from onepage.commands import doctor
from onepage.data import sources
from onepage.errors import UserError
from onepage.files import read_json, write_text
from onepage.mt import facts
from onepage.report.escape import Safe, environment, markdown
from onepage.report.inputs import load_page
from onepage.runs import seeds, words
from onepage.runs.provenance import processor
from onepage.verification import comparison
from onepage.verification.claims import Claim, load_claims

ROOT = Path(__file__).resolve().parents[1]
REFERENCES = ROOT / "report" / "reference"
DOCUMENTS = ("artifact.md", "model-card-cls.md", "model-card-mt.md")


def render() -> dict[str, str]:
    """{document: text}; raises UserError when a claim names no reference result, or one that is not there."""
    templates = environment(ROOT / "docs" / "templates", markdown)
    context = build()
    return {name: plain(templates.get_template(f"{name}.j2").render(**context)) for name in DOCUMENTS}


def plain(text: str) -> str:
    """Ordinary spaces between numbers and units, and underscores inside words, which need no escape."""
    return re.sub(r"(?<=\w)&#95;(?=\w)", "_", text.replace(f"&#{ord(words.NBSP)};", " "))


def build() -> dict[str, Any]:
    """All that the templates print: texts, whole numbers, lists and dicts."""
    page = load_page(ROOT / "report" / "page.toml")
    claims = load_claims(ROOT / "report" / "claims.toml")
    floors = load_claims(ROOT / "report" / "claims.toml", "stand_in")
    tasks = {claim.task: task_of(claim) for claim in claims}
    return {
        "claims": [claim_row(claim, tasks[claim.task]["folder"]) for claim in claims],
        "floors": [{"id": floor.id, "text": floor.text, "floor": at_least(floor)} for floor in floors],
        "both": said_of_both(tasks),
        "cls": tasks["cls"] | cls_card(tasks["cls"]["metrics"]),
        "mt": tasks["mt"] | mt_card(tasks["mt"]["metrics"], page),
        "size": sizes(),
    }


def task_of(claim: Claim) -> dict[str, Any]:
    """What both cards and the appendix say of the run behind a claim: where, when, how long, by which code."""
    if claim.reference is None:
        raise UserError(f"claim {claim.id} names no reference result; add the line that make reference printed")
    folder = REFERENCES / claim.reference.result / claim.task
    metrics, provenance = read_json(folder / "metrics.json"), read_json(folder / "provenance.json")
    rows = read_json(folder / "seeds.json")
    host, train = provenance["host"], provenance["train"]
    peak = max(part["peak_memory_bytes"] for part in (train, provenance["evaluate"]))
    cores = f"{host['cores']} core{'' if host['cores'] == 1 else 's'} of {host['cpu']}"
    machine = processor(metrics, provenance) if metrics["device"] != "cpu" else cores
    return {
        "folder": claim.reference.result,
        "metrics": metrics,
        "name": metrics["model"]["name"],
        "parameters": words.number(metrics["model"]["parameters"]),
        "profile": metrics["profile"],
        "seed": metrics["seed"],
        "machine": f"{machine}, {words.number(host['memory_bytes'] / 2**30)} GiB of memory, {host['system']}",
        "software": ", ".join(f"{name} {version}" for name, version in sorted(metrics["versions"].items())),
        "arithmetic": f"{metrics['device']}, {metrics['precision']}, {metrics['threads']} threads",
        "date": train["finished"][:10],
        "commit": (metrics["commit"] or "not recorded")[:12] + (" with local changes" if metrics["dirty"] else ""),
        "recipe_hash": metrics["recipe_hash"][:12],
        "weights": metrics["weights_digest"][:12],
        "recipe": [Safe(line) for line in recipe_lines(metrics["recipe"])],
        "train_time": words.duration(train["seconds"]),
        "evaluate_time": words.duration(provenance["evaluate"]["seconds"]),
        "memory": f"{words.number(peak / 1e9, 1)} GB",
        "train_n": words.number(metrics["train"]["n"]),
        "val_n": words.number(metrics["val"]["n"]),
        "n_seeds": len(rows),
        "n": f"n = {len(rows)}",
        "band": "the 95 % interval of one more seed"
        if len(rows) >= comparison.FEWEST_SEEDS
        else "the 95 % interval of the score over test examples, which does not cover the variation between seeds",
        "seeds": seed_rows(metrics, rows),
    }


def said_of_both(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the appendix says of both runs in one sentence: once where it is the same, else with each one's name."""
    found = {}
    for key in ("machine", "date", "profile", "n", "band"):
        values = {task["name"]: str(task[key]) for task in tasks.values()}
        parted = " and ".join(f"{value} ({name})" for name, value in values.items())
        found[key] = next(iter(values.values())) if len(set(values.values())) == 1 else parted
    return found


def recipe_lines(recipe: Mapping[str, Any]) -> list[str]:
    """A recipe as its file in recipes/ would say it, several short settings on a line, for a block of code."""
    lines = [""]
    for key, value in recipe.items():
        said = f"{key} = {json.dumps(value)}"
        if lines[-1] and len(lines[-1]) + len(said) > 100:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{said}"
    return lines


def seed_rows(metrics: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """[score, mean, sd, n] of each score over the seeds kept; [] for one seed."""
    if len(rows) < 2:
        return []
    shown = seeds.measures(metrics)
    return [
        [name, shown[name].show(part["mean"]), shown[name].show(part["sd"]), str(part["n"])]
        for name, part in seeds.summary(rows).items()
        if part["sd"] is not None and name in shown
    ]


def at_least(claim: Claim) -> str:
    """A claim's floor in its unit: ``80 %`` or ``15 BLEU``."""
    return f"{claim.minimum * 100:g} %" if claim.measure == "accuracy" else f"{claim.minimum:g} BLEU"


def claim_row(claim: Claim, folder: str) -> dict[str, Any]:
    """A claim beside what its reference result reached, and the line that make verify prints of it there."""
    kept = {row["id"]: row for row in read_json(REFERENCES / folder / "claims.json")}[claim.id]
    assert claim.reference is not None  # task_of has looked
    # what a floor is held against is cut (Claim.show); a bound of an interval is rounded, as everywhere
    low, high = (
        words.percent(bound, 2) if claim.measure == "accuracy" else words.number(bound, 2)
        for bound in claim.reference.band
    )
    line = f"{claim.id}  {claim.text}  >= {claim.show(claim.minimum)}  {claim.show(kept['measured'])}  {kept['state']}"
    return {
        "id": claim.id,
        "text": claim.text,
        "floor": at_least(claim),
        "value": claim.show(claim.reference.value),
        "band": f"{low.removesuffix(words.NBSP + '%')} to {high}",
        "result": folder,
        "line": Safe(line),  # printed as code, where nothing is escaped
        "goal": claim.task,
    }


def cls_card(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of an image classifier, each with its interval and n."""
    test = metrics["test"]
    after, n = test["calibrated"], test["n"]

    def interval(bounds: Sequence[float]) -> str:
        return "{} to {}".format(*(words.percent(bound, 2) for bound in bounds))

    views = [["single image", words.percent(test["accuracy"], 2), interval(test["accuracy_interval"])]]
    for key in ("tta", "tta_shifts"):
        if key in test:
            part = test[key]
            views.append([part["method"], words.percent(part["accuracy"], 2), interval(part["accuracy_interval"])])
    classes = [
        [
            row["name"],
            str(row["n"]),
            words.percent(row["recall"]),
            interval(wilson_interval(round(row["recall"] * row["n"]), row["n"])),
            words.percent(row["precision"]),
        ]
        for row in sorted(test["per_class"], key=lambda row: row["recall"])
    ]
    return {
        "image_size": metrics["train"]["image_sizes"][-1],
        "n": words.number(n),
        "accuracy": words.percent(test["accuracy"], 2),
        "interval": interval(test["accuracy_interval"]),
        "views": views,
        "classes": classes,
        "calibration": [
            ["as trained", words.number(test["nll"], 3), words.number(test["brier"], 3), words.percent(test["ece"])],
            [
                f"divided by the temperature {words.number(after['temperature'], 2)}, fitted on validation",
                *[words.number(after[key], 3) for key in ("nll", "brier")],
                words.percent(after["ece"]),
            ],
        ],
        "confusions": ", ".join(f"{r['true']} → {r['predicted']} {r['count']}" for r in test["top_confusions"][:5]),
        "val_accuracy": words.percent(metrics["val"]["accuracy"], 2),
    }


def mt_card(metrics: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a translation run on each test set, with intervals and n, and BLEU by the length of the source."""
    rows, lengths = [], []
    for name, test in metrics["tests"].items():
        scores = [test["bleu"], test["chrf2"], test.get("bleu_lc_norm_tok")]
        cells = [
            "–"
            if part is None
            else "{} ({} to {})".format(*(words.number(x, 1) for x in (part["score"], *part["interval"])))
            for part in scores
        ]
        rows.append([facts.test_name(name, page), words.number(test["n"]), *cells])
        rows[-1].insert(3, words.number(test["bleu_greedy"], 1))
        groups = test["bleu_by_length"]
        lengths += [
            [facts.test_name(name, page), facts.word_range(g), str(g["n"]), words.number(g["bleu"], 1)] for g in groups
        ]
    head = metrics["tests"][metrics["headline"]]
    return {
        "src": page["languages"][metrics["src"]],
        "tgt": page["languages"][metrics["tgt"]],
        "rows": rows,
        "lengths": lengths,
        "signature": Safe(head["bleu"]["signature"]),
        "brevity": words.number(head["bleu"]["brevity_penalty"], 3),
        "beam": metrics["decoding"]["beam_size"],
        "val_bleu": words.number(metrics["val"]["bleu_greedy"], 1),
        "val_perplexity": words.number(metrics["val"]["perplexity"], 2),
        "vocabulary": words.number(metrics["model"]["vocabulary"]),
        "shape": "{encoder_layers} + {decoder_layers} layers, width {d_model}, {heads} heads".format(
            **metrics["model"]
        ),
    }


def sizes() -> dict[str, str]:
    """Downloads and disk, as the code that installs and fetches knows them."""
    spec = importlib.util.spec_from_file_location("env_setup", ROOT / "env" / "setup.py")
    assert spec is not None and spec.loader is not None
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    found: dict[str, str] = {}
    for flavour in ("cpu", "cuda"):
        pairs = zip(setup.SIZES["Linux", flavour], setup.SIZES["rest"], strict=True)
        download, disk = (part + rest for part, rest in pairs)
        found |= {f"{flavour}_download": f"{download:,} MB", f"{flavour}_disk": f"{disk / 1000:.1f} GB"}
    plans = {"images": sources.get("cifar10"), "pairs": sources.get("multi30k")}
    for name, plan in plans.items():
        packed = sum(item.size for item in plan.downloads) / 1e6
        found[name] = f"{packed:.0f} MB" if packed >= 10 else f"{packed:.1f} MB"
    return found | {"results": f"{doctor.DISK_GB:g} GB", "memory": f"{doctor.MEMORY_GB:g} GB"}


def main() -> None:
    """Write every document."""
    for name, text in render().items():
        write_text(ROOT / "docs" / name, text)
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
