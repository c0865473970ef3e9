"""A made-up result of the ResNet-18 benchmark, and made-up learning curves."""

from typing import Any

from onepage.benchmarks import results


def curve(images: list[int], errors: list[float], images_a_second: float) -> list[dict[str, Any]]:
    """Readings as a history holds them."""
    return [
        {"images": n, "seconds": n / images_a_second, "val_accuracy": 1 - error}
        for n, error in zip(images, errors, strict=True)
    ]


def sample(size: int, forward: float, training: float, memory: int) -> dict[str, Any]:
    rates = {"image_size": size, "threads": 2, "forward": forward, "training": training}
    return rates | {"peak_memory_bytes": memory, "peak_gpu_memory_bytes": None}


def cls_result() -> dict[str, Any]:
    """A result of three turns on a machine that is not there."""
    points = [1000 * 2**k for k in range(5)]
    machine = [
        {"matmul": {"fp32": {"flops": 1e11 * k, "size": 2048.0}, "bf16": {"flops": 4e11, "size": 2048.0}},
         "copy_bytes_per_second": 2e10, "threads": 2}
        for k in (1, 2, 1)
    ]  # fmt: skip
    return {
        "form": results.FORM, "device": "cpu", "task": "cls", "load_before": 0.1,
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
        },
        "curves": {
            "ours": {"rows": curve([10_000, 20_000, 30_000], [0.5, 0.3, 0.19], 100.0)},
            "plain": {"rows": curve(points, [0.8 * (n / 1000) ** -0.3 for n in points], 50.0)},
        },
    }  # fmt: skip
