"""Writes the documents of docs/ that quote results or settings, and the tables of results in the README,
docs/benchmarks.md and docs/several-processes.md.

    PYTHONPATH=code .venv/bin/python docs/write.py

Each number comes from report/claims.toml and the reference results, or from the code that fetches and installs; a test
fails while a document is not what this writes. Sections of the model cards: Mitchell et
al. 2019, "Model Cards for Model Reporting".
"""

import json
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from onepage import tasks
from onepage.benchmarks import results, tables
from onepage.cls.scores import wilson_interval
from onepage.commands import doctor
from onepage.data import sources
from onepage.errors import UserError
from onepage.files import read_json, write_text
from onepage.mt import facts
from onepage.report.escape import Safe, environment, markdown
from onepage.report.inputs import load_page
from onepage.runs import seeds, settings, stamps, words
from onepage.runs.fingerprint import Fingerprints
from onepage.runs.provenance import processor
from onepage.tasks import TASKS
from onepage.verification import comparison
from onepage.verification.claims import Claim, Reference, load_claims

ROOT = Path(__file__).resolve().parents[1]
REFERENCES = ROOT / "report" / "reference"
DOCUMENTS = ("artifact.md", "model-card-cls.md", "model-card-mt.md", "results.md", "settings.md")
SHOWN = ("two-cores-epyc-zen4-full", "two-cores-epyc-zen4-quick")  # the reference results in the README's table
PAGE, STRIP = SHOWN[0], 0.36  # the page in the README's picture: its top, by share of the height
FINGERPRINTS = Fingerprints()
MEASURED = {"benchmarks.md": ("cls", "mt", "gpu"), "several-processes.md": ("scale",)}  # kinds of benchmarks


def render() -> dict[str, str]:
    """{document: text}; raises UserError when a claim names no reference result, or one that is not there."""
    templates = environment(ROOT / "docs" / "templates", markdown)
    context = build()
    return {name: plain(templates.get_template(f"{name}.j2").render(**context)) for name in DOCUMENTS}


def plain(text: str) -> str:
    """Ordinary spaces between numbers and units, and underscores inside words, which need no escape."""
    text = text.replace(f"&#{ord(words.NBSP)};", " ").replace("&#34;", '"')
    return re.sub(r"(?<=\w)&#95;(?=\w)", "_", text)


def build() -> dict[str, Any]:
    """All that the templates print: texts, whole numbers, lists and dicts."""
    page = load_page(ROOT / "report" / "page.toml")
    read = load_claims(ROOT / "report" / "claims.toml")
    claims = [claim for claim in read if claim.references or claim.task in ("cls", "mt")]
    floors = load_claims(ROOT / "report" / "claims.toml", "stand_in")
    claimed = {claim.task: task_of(claim) for claim in claims}
    return {
        "claims": [claim_row(claim, claimed[claim.task]["folder"]) for claim in claims],
        "floors": [{"text": floor.text, "floor": at_least(floor)} for floor in floors],
        "both": said_of_both(claimed),
        "cls": claimed["cls"] | cls_card(claimed["cls"]["metrics"]),
        "mt": claimed["mt"] | mt_card(claimed["mt"]["metrics"], page),
        "references": [reference(path.parent.name) for path in sorted(REFERENCES.glob("*/manifest.json"))],
        "published": beside_published(),
        "size": sizes(),
        "targets": settings.targets((ROOT / "Makefile").read_text(encoding="utf-8")),
        "settings": Safe(settings.table().strip()),
    }


def task_of(claim: Claim) -> dict[str, Any]:
    """What both cards and the appendix say of the run behind a claim: where, when, how long, by which code."""
    if not claim.references:
        raise UserError(f"claim {claim.id} names no reference result; make reference prints one for its references")
    return result_of(claim.references[0].result, claim.task)


def result_of(name: str, task: str) -> dict[str, Any]:
    """What the documents say of one task's run in a reference result."""
    folder = REFERENCES / name / task
    metrics, provenance = read_json(folder / "metrics.json"), read_json(folder / "provenance.json")
    rows = read_json(folder / "seeds.json")
    host, train = provenance["host"], provenance["train"]
    peak = max(part["peak_memory_bytes"] for part in (train, provenance["evaluate"]))
    machine = processor(metrics, provenance) if metrics["device"] != "cpu" else results.cores(host)
    return {
        "folder": name,
        "metrics": metrics,
        "name": metrics["model"]["name"],
        "parameters": words.number(metrics["model"]["parameters"]),
        "profile": metrics["profile"],
        "seed": metrics["seed"],
        "machine": f"{machine}, {words.number(host['memory_bytes'] / 2**30)} GiB of memory, {host['system']}",
        "software": ", ".join(f"{name} {version}" for name, version in sorted(metrics["versions"].items())),
        "arithmetic": f"{metrics['device']}, {metrics['precision']}, {metrics['threads']} threads",
        "date": train["finished"][:10],
        "version": "this version"
        if metrics.get("program") == stamps.program("train", task, FINGERPRINTS)
        else "earlier version",
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
        "seeds": seed_rows(metrics, rows),
    }


def said_of_both(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What one sentence says of both runs: once where it is the same, else with each one's name."""
    found = {}
    for key in ("machine", "arithmetic", "date", "version", "commit", "n"):
        values = {run["name"]: str(run[key]) for run in runs.values()}
        parted = " and ".join(f"{value} ({name})" for name, value in values.items())
        found[key] = next(iter(values.values())) if len(set(values.values())) == 1 else parted
    return found


def held(name: str) -> list[str]:
    """The tasks of which a reference result holds a run."""
    return [task for task in TASKS if (REFERENCES / name / task).is_dir()]


def reference(name: str) -> dict[str, Any]:
    """What results.md says of a reference result: machine, software, and a row for each score of each task."""
    found = {task: result_of(name, task) for task in held(name)}
    peak = max(found.values(), key=lambda part: float(part["memory"].split()[0]))["memory"]
    rows = []
    for part in found.values():
        about = [f"{part['name']}, `{part['profile']}`", part["train_time"], part["evaluate_time"]]
        weights = f"`{part['weights']}`"
        for row in score_rows(part["metrics"]).values():
            rows.append([*about, *row, weights])
            about, weights = ["", "", ""], ""  # once for each run
    return said_of_both(found) | {"name": name, "memory": peak, "rows": [Safe(" | ".join(row)) for row in rows]}


def beside_published() -> dict[str, Any]:
    """The recipe of the Transformer in the README's first result, and the one score of each test set to compare."""
    run = result_of(PAGE, "mt")
    scores = [row[2] for name, row in score_rows(run["metrics"]).items() if name.endswith("lc.norm.tok")]
    return {"recipe": recipe_of(run["profile"]), "n": run["n"], "scores": Safe(" | ".join(scores))}


def score_rows(metrics: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """{score's name: (its name in words, n, value with its 95 % interval)} of each score of a run."""
    page, rows = load_page(ROOT / "report" / "page.toml"), {}
    for name, measure in tasks.of(metrics).measures(metrics).items():
        test, _, what = name.partition(" ")
        outer, *inner = measure.path.split(".")
        part = metrics[outer] if "n" in metrics[outer] else metrics[outer][inner[0]]
        low, high = (measure.show(bound).removesuffix(" %") for bound in measure.interval)
        score = f"{measure.show(measure.value)} ({low} to {high})"
        rows[name] = f"{facts.test_name(test, page)}, {what}", words.number(part["n"]), score
    return rows


def readme() -> str:
    """The README with its table of results."""
    heads = ("model", "recipe", "training time", "test set", "score (95 % interval)", "seeds: mean, sd", "code")
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    sets = load_page(ROOT / "report" / "page.toml")["sets"]
    for result in SHOWN:
        for task in held(result):
            run = result_of(result, task)
            of, metrics = tasks.of(run["metrics"]), run["metrics"]
            _, n, score = score_rows(metrics)[of.headline(metrics)]
            score = score if of.percent else f"{of.unit} {score}"
            spread = [row[1:] for row in run["seeds"] if row[0] == of.headline(metrics)]
            several = "{}, {}, n = {}".format(*spread[0]).replace(" %", "") if spread else run["n"]
            test = f"{sets[metrics['set']]}, n = {n}"
            recipe = f"`{recipe_of(run['profile'])}`"
            about = (run["name"], recipe, run["train_time"], test, score, several, run["version"])
            rows.append(f"| {' | '.join(about)} |")
    return put((ROOT / "README.md").read_text(encoding="utf-8"), "results", plain("\n".join(rows)))


def benchmarks() -> dict[str, str]:
    """{document: text} of the documents that show the results kept in report/bench/."""
    found = {}
    for name, kinds in MEASURED.items():
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        for kind in kinds:
            shown = [tables.MARKDOWN[kind](result) for result in results.read_all(ROOT, kind)]
            shown = shown or [f"Not measured yet: `make bench-{kind}` measures it."]
            text = put(text, f"bench-{kind}", "\n\n".join(shown))
        found[name] = text
    return found


def put(text: str, name: str, content: str) -> str:
    """``text`` with ``content`` between the marks of ``name``; raises ValueError unless each mark is there once."""
    begin, end = (f"<!-- {name}:{place} -->\n" for place in ("begin", "end"))
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}{content}\n{end}{after}"


def recipe_of(profile: str) -> str:
    """The settings that select this profile: ``PROFILE=full BUDGET_MIN=60``."""
    name, _, minutes = profile.partition("-budget")
    return f"PROFILE={name}{f' BUDGET_MIN={minutes}' * bool(minutes)}"


def strip() -> Image.Image:
    """The README's picture."""
    page = Image.open(REFERENCES / PAGE / "page.png")
    return page.crop((0, 0, page.width, round(STRIP * page.height)))


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
    shown = tasks.of(metrics).measures(metrics)
    return [
        [name, shown[name].show(part["mean"], 2), shown[name].show(part["sd"], 2), str(part["n"])]
        for name, part in seeds.summary(rows).items()
        if part["sd"] is not None and name in shown
    ]


def at_least(claim: Claim) -> str:
    """A claim's floor in its unit: ``80 %`` or ``15 BLEU``."""
    task = tasks.get(claim.task)
    return f"{claim.minimum * 100:g} %" if task.percent else f"{claim.minimum:g} {task.unit}"


def claim_row(claim: Claim, folder: str) -> dict[str, Any]:
    """A claim beside what its reference result reached, and the line that make verify prints of it there."""
    kept = {row["id"]: row for row in read_json(REFERENCES / folder / "claims.json")}[claim.id]
    line = f"{claim.id}  {claim.text}  >= {claim.show(claim.minimum)}  {claim.show(kept['measured'])}  {kept['state']}"
    return {
        "id": claim.id,
        "text": claim.text,
        "floor": at_least(claim),
        "references": [compared(claim, named) for named in claim.references],
        "line": Safe(line),  # printed as code, where nothing is escaped
        "goal": claim.task,
    }


def compared(claim: Claim, named: Reference) -> dict[str, str]:
    """A claim's reference result, its value, and the band with its basis."""
    low, high = map(claim.show, named.band)
    n = len(read_json(REFERENCES / named.result / claim.task / "seeds.json"))
    basis = f"{n} seeds" if n >= comparison.FEWEST_SEEDS else "test examples"
    band = f"{low.removesuffix(' %')} to {high} ({basis})"
    return {"result": named.result, "value": claim.show(named.value), "band": band}


def cls_card(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of an image classifier, each with its interval and n."""
    test = metrics["test"]
    after, n = test["calibrated"], test["n"]

    def interval(bounds: Sequence[float]) -> str:
        return words.interval(bounds, 1, words.percent)

    views = [
        [name, words.percent(part["accuracy"]), interval(part["accuracy_interval"])]
        for name, part in (("single image", test), (test["tta"]["method"], test["tta"]))
    ]
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
        "val_accuracy": words.percent(metrics["val"]["accuracy"]),
    }


def mt_card(metrics: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a translation run on each test set, with intervals and n, and BLEU by the length of the source."""
    rows, lengths = [], []
    for name, test in metrics["tests"].items():
        scores = (test["bleu"], test["chrf2"], test["bleu_lc_norm_tok"])
        cells = [f"{words.number(part['score'], 1)} ({words.interval(part['interval'], 1)})" for part in scores]
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
    known = runpy.run_path(str(ROOT / "env" / "setup.py"))["SIZES"]
    found: dict[str, str] = {}
    for flavour in ("cpu", "cuda"):
        pairs = zip(known["Linux", flavour], known["rest"], strict=True)
        download, disk = (part + rest for part, rest in pairs)
        found |= {f"{flavour}_download": f"{download:,} MB", f"{flavour}_disk": f"{disk / 1000:.1f} GB"}
    plans = {"images": sources.get("cifar10"), "pairs": sources.get("multi30k")}
    for name, plan in plans.items():
        packed = sum(item.size for item in plan.downloads) / 1e6
        found[name] = f"{packed:.0f} MB" if packed >= 10 else f"{packed:.1f} MB"
    unpacked = sum(plan.size for plan in plans.values()) / 1e6
    found["data_disk"] = f"{round(unpacked, -1):.0f} MB"
    return found | {"results": f"{doctor.DISK_GB:g} GB", "memory": f"{doctor.MEMORY_GB:g} GB"}


def main() -> None:
    """Write every document, and the README's picture."""
    for name, text in (render() | benchmarks()).items():
        write_text(ROOT / "docs" / name, text)
        print(f"docs/{name}")
    strip().save(ROOT / "docs" / "page-strip.png", optimize=True)
    write_text(ROOT / "README.md", readme())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
