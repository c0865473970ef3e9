"""Made-up results of the benchmarks, and made-up learning curves."""

from typing import Any

from onepage.benchmarks import results
from onepage.cls.resnet import PARAMETERS


def curve(images: list[int], errors: list[float], images_a_second: float) -> list[dict[str, Any]]:
    """Validation rows in the form of a training history."""
    return [
        {"images": n, "seconds": n / images_a_second, "val_accuracy": 1 - error}
        for n, error in zip(images, errors, strict=True)
    ]


def sample(size: int, forward: float, training: float, memory: int) -> dict[str, Any]:
    rates = {"image_size": size, "threads": 2, "forward": forward, "training": training}
    return rates | {"peak_memory_bytes": memory, "peak_gpu_memory_bytes": None}


def cls_result() -> dict[str, Any]:
    """A result of three repeats on an imaginary machine."""
    points = [1000 * 2**k for k in range(5)]
    machine = [
        {"matmul": {"fp32": {"flops": 1e11 * k, "size": 2048.0}, "bf16": {"flops": 4e11, "size": 2048.0}}, "threads": 2}
        for k in (1, 2, 1)
    ]  # fmt: skip
    return {
        "form": results.FORM, "device": "cpu", "load_before": 0.1,
        "hardware": {"cpu": "Imagined(R) CPU", "cpu_id": None, "cores": 2, "memory_bytes": 8 * 2**30, "gpu": None,
                     "system": "Linux x86_64"},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T04:04:05+00:00", "command": "",
        "commit": "0123456789abcdef", "commit_time": 0, "dirty": False,
        "data": {"set": "cifar10", "generated": False, "digest": "d"},
        "training_images": 45_000, "validation_images": 5000,
        "settings": {"repeats": 3, "images": 2048, "minutes": 5.0, "target": 0.8, "seed": 0},
        "plain": {"batch_size": 128},
        "ours": {"profile": "quick", "precision": "bf16", "recipe": {"batch_size": 256}},
        "forward_flops": {"32": 1e9, "16": 25e7},
        "samples": {
            "machine": machine,
            "plain": [sample(32, 100.0, training, 10**9) for training in (40.0, 60.0, 50.0)],
            "ours-32": [sample(32, 400.0, training, 2 * 10**9) for training in (190.0, 200.0, 210.0)],
            "ours-16": [sample(16, 1600.0, 800.0, 10**9)] * 3,
            "threads-1": [sample(16, 800.0, 450.0, 10**9) | {"threads": 1}] * 3,
            "busy": [sample(16, 900.0, 400.0, 10**9)] * 3,
        },
        "curves": {
            "ours": {"rows": curve([10_000, 20_000, 30_000], [0.5, 0.3, 0.19], 100.0)},
            "plain": {"rows": curve(points, [0.8 * (n / 1000) ** -0.3 for n in points], 50.0)},
        },
    }  # fmt: skip


def spoken(seconds: float, memory: int) -> dict[str, Any]:
    """One measurement: 100 sentences translated."""
    return {"seconds": seconds, "sentences": 100, "tokens": 1200, "peak_memory_bytes": memory + 10**8,
            "memory_before_bytes": memory, "threads": 2}  # fmt: skip


def mt_result() -> dict[str, Any]:
    """A result of three repeats on an imaginary machine without JoeyNMT."""
    machine = {"matmul": {"fp32": {"flops": 1e11}, "bf16": {"flops": 4e11}}, "threads": 2}
    recipe = {
        "d_model": 128,
        "encoder_layers": 4,
        "vocabulary": 8000,
        "dropout": 0.3,
        "optimiser": "muon",
        "updates": 60,
        "batch_tokens": 1536,
    }
    training = {"threads": 2, "forward_flops_a_token": 1e7}
    return {
        **{key: value for key, value in cls_result().items() if key in ("form", "device", "load_before", "hardware",
           "versions", "started", "finished", "command", "commit", "commit_time", "dirty")},
        "data": {"set": "multi30k", "src": "en", "tgt": "de", "generated": False, "digest": "d"},
        "settings": {"repeats": 3, "beam_size": 5, "batch_tokens": 8000, "length_penalty": 1.0},
        "model": {"profile": "quick", "seed": 0},
        "plain": {"optimiser": "adamw"},
        "ours": {"precision": "bf16", "recipe": recipe | {"decoder_layers": 4}},
        "peers": {
            "joeynmt": {"missing": "not installed", "same_model": False},
            "ctranslate2": {"version": "4.8.5", "compared": 32, "largest_difference": 2e-5, "same_model": True},
        },
        "samples": {
            "machine": [machine] * 3,
            "ours": [spoken(seconds, 4 * 10**8) for seconds in (2.0, 1.0, 4.0)],
            "uncached": [spoken(20.0, 5 * 10**8)] * 3,
            "ctranslate2": [spoken(1.0, 3 * 10**8)] * 3,
            "plain-training": [{"tokens_per_second": 4000.0, "peak_memory_bytes": 10**9, "threads": 2}] * 3,
            "our-training": [training | {"tokens_per_second": rate, "peak_memory_bytes": 15 * 10**8}
                             for rate in (9000.0, 10_000.0, 12_000.0)],
            "threads-1": [training | {"tokens_per_second": 6000.0, "peak_memory_bytes": 10**9, "threads": 1}] * 3,
            "busy": [training | {"tokens_per_second": 5000.0, "peak_memory_bytes": 10**9}] * 3,
        },
        "agreement": {
            "ours": {"same": 100, "bleu_against_ours": 100.0, "bleu": 36.1},
            "uncached": {"same": 100, "bleu_against_ours": 100.0, "bleu": 36.1},
            "ctranslate2": {"same": 88, "bleu_against_ours": 95.5, "bleu": 36.0},
        },
    }  # fmt: skip


def scale_result(device: str = "cpu") -> dict:
    """A result of three repeats with one and two processes, on an imaginary machine."""
    one = [{"threads": 2, "exchange_seconds": 0.0, "alone": rate, "together": rate} for rate in (90.0, 100.0, 110.0)]
    two = [{"threads": 1, "exchange_seconds": 0.02, "alone": 100.0, "together": rate} for rate in (70.0, 80.0, 90.0)]
    taken = {
        key: cls_result()[key] for key in ("form", "hardware", "versions", "started", "commit", "dirty", "load_before")
    }
    return taken | {
        "device": device, "data": {"set": "cifar10", "generated": False}, "precision": "fp32",
        "settings": {"repeats": 3, "updates": 8, "image_size": 32},
        "recipe": {"batch_size": 200, "batch_norm": "local"},
        "gradient_bytes": 4 * PARAMETERS, "samples": {"1": one, "2": two},
    }  # fmt: skip


def gpu_result(device: str = "cpu") -> dict[str, Any]:
    """A result of three repeats of both tasks on an imaginary machine; with a GPU, it has every way to train."""
    keys = ("form", "hardware", "versions", "started", "commit", "dirty", "load_before", "data")
    taken = {key: value for key, value in cls_result().items() if key in keys}
    hows = {"recipe": 100.0, "eager": 80.0, "fastest": 96.0} if device == "cuda" else {"recipe": 2.0}
    rates = {f"cls-32-{how}": rate for how, rate in hows.items()} | {"cls-24-recipe": 2 * hows["recipe"]}
    rates |= {f"mt-{how}": rate for how, rate in hows.items() if how != "eager"}
    ways = {name: {"size": 0 if name[:2] == "mt" else int(name[4:6]), "how": name.split("-")[-1]} for name in rates}
    machine = {"matmul": {"fp32": {"flops": 1e11}, "bf16": {"flops": 4e14}}, "threads": 2}
    units = {name: 2560 * rate if name[:2] == "mt" else 512 * rate for name, rate in rates.items()}
    samples = {
        name: [{"updates": rate * k, "units": units[name] * k} for k in (0.5, 1.0, 2.0)] for name, rate in rates.items()
    }
    gpu = {"gpu": "Imagined H300", "cpu": "Imagined CPU"} if device == "cuda" else {}
    result = taken | {
        "device": device, "hardware": taken["hardware"] | gpu, "precision": "bf16",
        "settings": {"repeats": 3, "target": 0.94, "readings": 24, "updates": 100, "seed": 0},
        "recipes": {"cls": {"profile": "quick", "batch_size": 512}, "mt": {"profile": "quick", "batch_tokens": 2560}},
        "contenders": dict(sorted(ways.items())), "forward_flops": dict.fromkeys(rates, 1e9),
        "launches": dict.fromkeys(rates, 1234.4), "samples": samples | {"machine": [machine] * 3},
    }  # fmt: skip
    if device == "cuda":
        result["curve"] = {"rows": curve([10_000, 20_000], [0.1, 0.05], 4000.0)}
    return result
