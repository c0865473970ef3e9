"""Updates on a GPU are close to float64 on a CPU. They repeat bit for bit, also resumed or with CUDA graphs.

Most tests also run on the CPU, which shows that the tests themselves work.
"""

import contextlib
import dataclasses
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onepage.cls import augment
from onepage.cls.train import build_model, make_optimisers, split
from onepage.mt.batching import SHAPES, encode_pairs, make_batch
from onepage.mt.losses import BatchLoss
from onepage.mt.search import beam
from onepage.mt.tokenizer import PAD, Tokenizer, train_tokenizer
from onepage.mt.train import sizes_of
from onepage.mt.transformer import Transformer, initialise
from onepage.runs import history
from onepage.training import checkpoint, seeding
from small_training import CLS, MT, image_set, narrow, run, sentences, stopped
from tests.training.test_distributed import job, two_processes

GPUS = torch.cuda.device_count()
on_gpu = pytest.mark.skipif(not GPUS, reason="torch sees no CUDA GPU here")
DEVICES = ["cpu", pytest.param("cuda", marks=on_gpu)]
each_device = pytest.mark.parametrize("device", DEVICES)
each_device_slowly = pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), DEVICES[1]])
SENTENCES = 100


@pytest.fixture(autouse=True)
def settings_are_restored():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def drawn(device: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(device)


def numbers(device: str, below: int, *shape: int) -> Tensor:
    return torch.randint(0, below, shape, generator=torch.Generator().manual_seed(2)).to(device)


def gradient(call, device: str, *shape: int) -> Tensor:
    x = drawn(device, *shape).requires_grad_()
    call(x).square().sum().backward()
    return x.grad


def dropped(d: str) -> Tensor:
    torch.manual_seed(3)
    return torch.empty(999, dtype=torch.int64, device=d).random_(-(2**63), None)


def convolved(d: str, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    weight = drawn(d, 64, 32, 3, 3).contiguous(memory_format=layout)
    return gradient(lambda x: F.conv2d(x.contiguous(memory_format=layout), weight, padding=1), d, 16, 32, 12, 12)


def normalised(d: str) -> Tensor:
    layer = nn.BatchNorm2d(32).to(d).train()
    return torch.cat([gradient(layer, d, 16, 32, 8, 8).flatten(), layer.running_var])


OPERATIONS = {
    "dropout's bits": dropped,
    "resizing": lambda d: augment.resize((drawn(d, 64, 3, 32, 32) * 50 + 120).clamp(0, 255).to(torch.uint8), 24),
    "crops": lambda d: augment.random_crop((drawn(d, 8, 3, 32, 32) * 50 + 120).clamp(0, 255).to(torch.uint8), 2,
                                           torch.Generator().manual_seed(0)),
    "convolution": lambda d: convolved(d, False),
    "convolution, channels last": lambda d: convolved(d, True),
    "BatchNorm": normalised,
    "LayerNorm": lambda d: gradient(lambda x: F.layer_norm(x, (128,)), d, 4000, 128),
    "linear layer": lambda d: gradient(lambda x: F.linear(x, drawn(d, 99, 128)), d, 4000, 128),
    "attention": lambda d: gradient(lambda x: torch.softmax(x @ x.mT, dim=-1) @ x, d, 64, 4, 14, 48),
    "cross-entropy": lambda d: gradient(
        lambda x: F.cross_entropy(x, numbers(d, 10, 512), label_smoothing=0.1), d, 512, 10),
    "label's gradient": lambda d: drawn(d, 512, 999).scatter_add_(1, numbers(d, 999, 512, 1), drawn(d, 512, 1)),
    "gather": lambda d: gradient(lambda x: x.gather(1, numbers(d, 99, 512, 1)), d, 512, 99),
    "index_select": lambda d: gradient(lambda x: x.index_select(0, numbers(d, 99, 4000)), d, 99, 128),
    "embedding, many": lambda d: gradient(lambda x: F.embedding(numbers(d, 99, 5000), x), d, 99, 128),
    "embedding, few": lambda d: gradient(lambda x: F.embedding(numbers(d, 99, 500), x), d, 99, 128),
    "index_copy_": lambda d: torch.zeros(99, 8, device=d).index_copy_(0, torch.randperm(
        99, generator=torch.Generator().manual_seed(0)).to(d), drawn(d, 99, 8)),
    "stable sort": lambda d: (drawn(d, 20, 60) > 0).sort(dim=1, descending=True, stable=True).indices,
    "topk": lambda d: drawn(d, 20, 15).double().topk(5, dim=1).values,
    "cumsum": lambda d: (drawn(d, 20, 9) > 0).cumsum(1),
    "norm of the gradient": lambda d: torch.stack(torch._foreach_norm([drawn(d, 99, 128), drawn(d, 7)])),
}  # fmt: skip


@each_device
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_repeat_their_bits(device: str, name: str) -> None:
    seeding.prepare(0, 1, device)
    assert torch.equal(OPERATIONS[name](device), OPERATIONS[name](device))


def image_update(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The gradient of ResNet-18 on one batch, and the weights after the update."""
    where = seeding.prepare(0, 1, device)
    # resized on the CPU: another device may round pixels to the next value, which moves gradients by 4 %
    batches, _ = split(CLS, image_set(), 0, torch.device("cpu"))
    model = build_model(CLS, batches, 8, 10).to(where, dtype).to(memory_format=torch.channels_last).train()
    optimisers = make_optimisers(model, CLS, "fp32")
    batch = batches.augmented(batches.of_epoch(0)[0], 12, 0, 0)
    images, labels = batch.images.to(where, dtype), batch.labels.to(where)
    F.cross_entropy(model(images), labels, label_smoothing=0.1).backward()
    found = flat([parameter.grad for parameter in model.parameters()])
    for optimiser in optimisers:
        optimiser.step()
    return found, flat(list(model.parameters()))


def text_update(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The gradient of the Transformer, also in place of the weights: AdamW's first step is only the gradient's sign."""
    where = seeding.prepare(0, 1, device)
    train = sentences().splits["train"]
    tokenizer = train_tokenizer([*train[0], *train[1]], MT.vocabulary)
    model = Transformer(sizes_of(dataclasses.replace(MT, dropout=0.0), len(tokenizer)), PAD)
    initialise(model, torch.Generator().manual_seed(0))
    model = model.to(where, dtype).train()
    BatchLoss(model, 0.1, "fp32", 0.0)(make_batch(encode_pairs(tokenizer, train), SHAPES)).backward()
    found = flat([parameter.grad for parameter in model.parameters()])
    return found, found


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().double().cpu().flatten() for tensor in tensors])


@pytest.mark.slow
@each_device
@pytest.mark.parametrize("update", [image_update, text_update])
def test_fp32_updates_are_close_to_float64(device: str, update) -> None:
    """The reference is float64 on the CPU. TF32, or a batch in a wrong layout, would deviate more."""
    for exact, found in zip(update("cpu", torch.float64), update(device, torch.float32), strict=True):
        assert (found - exact).norm() < 1e-3 * exact.norm()


CASES = [
    pytest.param("cls", {"cutout": 8, "cuda_graph": True}, marks=pytest.mark.slow),
    ("mt", {}),
    ("mt", {"optimiser": "muon", "r_drop": 3.0, "bpe_dropout": 0.2}),
]


@each_device_slowly
@pytest.mark.parametrize(("task", "changes"), CASES)
def test_seed_decides_and_resuming_does_not(
    device: str, task: str, changes: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"device": device, "precision": "fp32" if device == "cpu" else "bf16", **changes}
    straight = run(task, tmp_path / "straight", **settings)
    stopped(monkeypatch, tmp_path / "stopped", task=task, **settings)
    assert run(task, tmp_path / "stopped", **settings) == straight
    assert run(task, tmp_path / "other", seed=1, **settings) != straight


@each_device
@pytest.mark.slow
@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_graphs_keep_the_bits_of_eager_passes(device: str, cutmix: float, tmp_path: Path) -> None:
    """The passes cover two image sizes. A CPU has no graphs, so both runs are eager there."""
    settings = {"device": device, "precision": "bf16" if device == "cuda" else "fp32", "cutmix": cutmix}
    eager, replayed = (run("cls", tmp_path / str(on), cuda_graph=on, **settings) for on in (False, True))
    assert eager == replayed


@each_device
@pytest.mark.parametrize("changes", [{}, {"cutout": 8}, {"cutmix": 1.0}])
def test_channels_stay_last_throughout(device: str, changes: dict) -> None:
    """This holds for the augmented batch, and for inputs, outputs and gradients of every convolution and BatchNorm."""
    where = seeding.prepare(0, 1, device)
    batches, _ = split(dataclasses.replace(CLS, **changes), image_set(), 0, where)
    with narrow() if device == "cpu" else contextlib.nullcontext():
        model = build_model(CLS, batches, 8, 10)
    model = model.to(where).to(memory_format=torch.channels_last).train()
    lost: list[str] = []

    def look(what: str, tensor: Tensor) -> None:
        if not tensor.is_contiguous(memory_format=torch.channels_last):
            lost.append(f"{what} {tuple(tensor.stride())}")

    def seen(name: str):
        def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            look(f"into {name}", inputs[0])
            look(f"out of {name}", output)
            output.register_hook(lambda upstream: look(f"gradient of {name}", upstream))

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(seen(name))
    batch = batches.augmented(batches.of_epoch(0)[0], 16, 0, 0)
    look("the batch", batch.images)
    batch.loss(model(batch.images), 0.1).backward()
    assert not lost


@each_device_slowly
def test_beam_search_finds_what_a_cpu_finds(device: str, tmp_path: Path) -> None:
    run("mt", tmp_path, updates=40)
    weights, _ = checkpoint.load_model(tmp_path / "model.pt")
    tokenizer = Tokenizer(weights.pop("tokenizer").numpy().tobytes())
    model = Transformer(sizes_of(MT, len(tokenizer)), PAD)
    model.load_state_dict(weights)
    sources = [tokenizer.encode(f"the {a} dog sees {b} cats .") for a in ("big", "red") for b in range(SENTENCES // 2)]
    found = []
    for where in ("cpu", device):
        seeding.prepare(0, 1, where)
        found.append([outputs[0].ids for outputs in beam(model.to(where), sources, 4, 1.0, nbest=1)])
    assert len(found[0]) == SENTENCES and found[0] == found[1]


@pytest.mark.skipif(GPUS < 2, reason=f"needs two CUDA GPUs, torch sees {GPUS}")
@pytest.mark.slow
def test_two_gpus_train_as_one_and_repeat(tmp_path: Path) -> None:
    """Two processes joined by NCCL repeat their weights bit for bit, and have the losses of one process."""
    changes = {
        "mt": {"dropout": 0.0, "validations": 8},
        "cls": {"batch_norm": "synchronised", "validations": 4, "muon_learning_rate": 0.01},
    }
    names = [(task, name) for task in changes for name in ("first", "second")]
    two_processes(tmp_path, [job(tmp_path, f"{task}-{name}", task, changes[task]) for task, name in names], "cuda")
    for task, more in changes.items():
        both = [json.loads((tmp_path / f"{task}-{name}.rank0.json").read_text()) for name in ("first", "second")]
        assert both[0]["digest"] == both[1]["digest"]
        run(task, tmp_path / f"{task}-one", device="cuda", **more)
        rows = [history.read(tmp_path / f"{task}-{name}" / "history.jsonl") for name in ("one", "first")]
        losses = [[row["train_loss"] for row in found] for found in rows]
        assert losses[1] == pytest.approx(losses[0], abs=1e-3)
