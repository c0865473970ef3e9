"""``make bench-cls``: ResNet-18 by a plain loop (plain_cls.py) and by ours, on the same machine and images.

The contenders take turns (machine, plain loop, ours at each image size, and again), each time in a new process, so
that slow minutes of the machine fall on all of them and peak memory is one contender's own. Then each is trained
towards one validation accuracy: ours by its recipe (or read off a run that is there), the plain loop for some minutes,
from where its curve is projected.
"""

import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage.benchmarks import machine, plain_cls, process, results, turns
from onepage.benchmarks.projection import time_to
from onepage.cls.resnet import ResNet18
from onepage.data.images import load_images, split_indices
from onepage.errors import UserError
from onepage.files import read_json
from onepage.planning import plan as plans
from onepage.runs import history, provenance
from onepage.terminal.progress import clock
from onepage.training.locking import cpu_training_lock

WORKER = "onepage.benchmarks.cls_worker"
IMAGES = {"cpu": 2048, "cuda": 40_960}  # of one measurement
SAME_SIZE = 32  # pixels at which both are measured


@dataclasses.dataclass(frozen=True)
class Settings:
    """What of the benchmark a user may change."""

    repeats: int = 5
    """Turns that each contender has."""
    images: int = 0
    """Images of one measurement of a rate; 0: 2,048 on a CPU, 40,960 on a GPU."""
    minutes: float = 5.0
    """Training of the plain loop towards the target, at most."""
    target: float = 0.8
    """Validation accuracy that both are timed to."""
    plain_readings: int = 10
    """Readings of the validation images in those minutes."""
    our_readings: int = 24
    """Readings of the validation images in our recipe."""
    workers: int = 2
    """Worker processes of the plain loop's DataLoader."""


def run(plan: Path, data_dir: Path, seed: int, out: Path, settings: Settings, from_run: Path | None) -> dict[str, Any]:
    """Measure everything; returns the result as it is kept. Raises UserError, and keeps nothing, when it cannot.

    plan: what the data stage decided. from_run: a run of this machine whose history tells our time to the target.
    """
    made = plans.read(plan)
    recipe, block = plans.settings_of(made, seed)
    images = load_images(data_dir, made["set"])
    if images.digest != made["data_digest"]:
        raise UserError(f"the data in {data_dir} is not what was planned; delete {plan} and run make again")
    train_index, val_index = split_indices(len(images.train_images), recipe.validation_size, recipe.split_seed)
    ours = run_of_this_machine(from_run, images.digest) if from_run else None
    if not settings.images:
        settings = dataclasses.replace(settings, images=IMAGES[block["device"]])
    sizes = sorted({SAME_SIZE, *(stage.image_size for stage in recipe.stages)}, reverse=True)
    result = results.about(block["device"]) | {
        "task": "cls",
        "data": {"set": images.name, "generated": images.generated, "digest": images.digest},
        "training_images": len(train_index),
        "validation_images": len(val_index),
        "settings": dataclasses.asdict(settings) | {"seed": seed},
        "plain": plain_cls.ABOUT | {"workers": settings.workers},
        "ours": {"profile": made["profile"], "precision": block["precision"], "recipe": dataclasses.asdict(recipe)},
        "forward_flops": {str(size): machine.forward_flops(ResNet18(), size) for size in sizes},
    }
    result["versions"]["torchvision"] = provenance.metadata.version("torchvision")
    log, say = turns.opened_log(out, "cls", result, "images")
    data = {"dir": str(data_dir.resolve()), "set": images.name}
    data |= {"validation_size": recipe.validation_size, "split_seed": recipe.split_seed}
    del images
    common = {"data": data, "seed": seed}
    with cpu_training_lock(block["device"], say), turns.scratch_folder() as scratch, process.stoppable():
        turns.say_where(result, settings.repeats, log, say)
        contenders = {
            "machine": ("machine", {"device": block["device"], "precisions": sorted({"fp32", block["precision"]})}),
            "plain": (
                "plain loop",
                common | {"device": block["device"], "workers": settings.workers, "images": settings.images},
            ),
        }
        for size in sizes:
            given = common | {"plan": str(plan.resolve()), "size": size, "images": settings.images}
            contenders[f"ours-{size}"] = ("ours", given | {"run": ""})
        result["samples"] = turns.take_turns(
            WORKER, contenders, settings.repeats, scratch, say, _sample_words, after=", then the curves"
        )
        if ours is None:
            ours = train_ours(common | {"plan": str(plan.resolve())}, settings, scratch / "ours", say)
        given = common | {"device": block["device"], "workers": settings.workers}
        result["curves"] = {"ours": ours, "plain": train_plain(given, settings, scratch / "plain", say)}
        result["finished"] = provenance.now()
    return result


def run_of_this_machine(run: Path, data_digest: str) -> dict[str, Any]:
    """The curve of a finished run; raises UserError for a run of other data, or of another machine."""
    block, host = read_json(run / "run.json"), read_json(run / "provenance.json").get("host")
    if block.get("task") != "cls" or block.get("data_digest") != data_digest:
        raise UserError(f"{run} was not trained on these images; give a run of make cls")
    if host != provenance.host():
        raise UserError(
            f"{run} was trained on another machine ({(host or {}).get('cpu')}); train it here, or leave --run out"
        )
    train = read_json(run / "provenance.json").get("train", {})
    memory = {key: train.get(key) for key in ("peak_memory_bytes", "peak_gpu_memory_bytes")}
    about = {key: block[key] for key in ("profile", "seed", "commit", "dirty", "recipe", "threads", "precision")}
    return {"rows": history.read(run / "history.jsonl"), "from_run": about} | memory


def _sample_words(found: Mapping[str, Any]) -> str:
    size, training, forward = found["image_size"], found["training"], found["forward"]
    return f"{size} px, {results.digits(training)} images/s in training, {results.digits(forward)} forward"


def train_ours(common: dict[str, Any], settings: Settings, scratch: Path, say: turns.Say) -> dict[str, Any]:
    """Our recipe until it reaches the target (or ends): its readings and peak memory."""
    watch = _Watch(scratch / "run" / "history.jsonl", settings.target, "ours", say)
    say(f"ours trains to {settings.target * 100:g} % of the validation images")
    given = common | {"readings": settings.our_readings, "run": str(scratch / "run")}
    memory = process.call(WORKER, "our curve", given, scratch, watch)
    watch()
    return {"rows": watch.rows, **memory}


def train_plain(common: dict[str, Any], settings: Settings, scratch: Path, say: turns.Say) -> dict[str, Any]:
    """The plain loop for its minutes, or to the target: its readings and peak memory."""
    watch = _Watch(scratch / "run" / "history.jsonl", 2.0, "plain loop", say, settings.minutes * 60)
    say(f"the plain loop trains for {results.duration(settings.minutes * 60)}, readings not counted")
    given = common | {"readings": settings.plain_readings, "minutes": settings.minutes, "target": settings.target}
    memory = process.call(WORKER, "plain curve", given | {"run": str(scratch / "run")}, scratch, watch)
    watch()
    return {"rows": watch.rows, **memory}


class _Watch:
    """Follows a history file that another process writes: says each new reading; true once one has the target."""

    def __init__(self, path: Path, target: float, name: str, say: turns.Say, seconds: float = 0.0):
        self.path, self.target, self.name, self.say, self.seconds = path, target, name, say, seconds
        self.rows: list[dict[str, Any]] = []

    def __call__(self) -> bool:
        known = len(self.rows)
        if self.path.is_file():
            self.rows = history.read(self.path)  # it is moved into place whole
        for row in self.rows[known:]:
            left = f"  {clock(max(0.0, self.seconds - row['seconds']))} left" if self.seconds else ""
            self.say(
                f"{self.name}: {row['val_accuracy']:.2%} after {row['images']:,} images, {clock(row['seconds'])}, "
                f"{row['images'] / row['seconds']:,.0f} images/s{left}"
            )
        return any(row["val_accuracy"] >= self.target for row in self.rows)


def summarise(result: Mapping[str, Any]) -> dict[str, Any]:
    """Medians, shares of the peak, ratios and times to the target, from what was measured."""
    samples, flops = result["samples"], result["forward_flops"]
    peaks = {
        precision: max(sample["matmul"][precision]["flops"] for sample in samples["machine"])
        for precision in samples["machine"][0]["matmul"]
    }
    found: dict[str, Any] = {"peaks": peaks, "contenders": {}}
    for name, taken in samples.items():
        if name == "machine":
            continue
        precision = "fp32" if name == "plain" else result["ours"]["precision"]
        row: dict[str, Any] = {"image_size": taken[0]["image_size"], "precision": precision}
        for what, passes in (("forward", 1), ("training", machine.TRAINING_PASSES)):
            row[what] = [sample[what] for sample in taken]
            rate = statistics.median(row[what])
            row[f"{what}_share"] = rate * flops[str(row["image_size"])] * passes / peaks[precision]
        key = "peak_memory_bytes" if result["device"] == "cpu" else "peak_gpu_memory_bytes"
        row["memory"] = max(sample[key] for sample in taken)
        found["contenders"][name] = row
    plain, ours = found["contenders"]["plain"], found["contenders"][f"ours-{SAME_SIZE}"]
    found["ratios"] = {
        what: statistics.median(ours[what]) / statistics.median(plain[what]) for what in ("forward", "training")
    }
    target = result["settings"]["target"]
    found["time_to"] = {name: time_to(curve["rows"], target) for name, curve in result["curves"].items()}
    mine, theirs = found["time_to"]["ours"], found["time_to"]["plain"]
    if mine["how"] == "reached":
        found["ratios"]["time_to_at_least"] = theirs["low"] / mine["high"]
        if theirs["seconds"] is not None:
            found["ratios"]["time_to"] = theirs["seconds"] / mine["high"]
    return found
