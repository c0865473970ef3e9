"""Seeds, threads and deterministic kernels: same seed, machine and thread count give the same bytes.

Random draws of the data path are keyed, not streamed: a generator made from (seed, purpose, epoch, step) gives the same
numbers in an uninterrupted and in a resumed run, without a saved generator state.
"""

import hashlib
import os

# cuBLAS reads it when CUDA starts, so it is set before torch is imported.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch

from onepage.errors import UserError


def keyed_seed(*key: int | str) -> int:
    """A 63-bit seed from any mixture of numbers and words; different keys give unrelated seeds."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def keyed_generator(*key: int | str) -> torch.Generator:
    """A CPU generator seeded by ``keyed_seed(*key)``."""
    return torch.Generator().manual_seed(keyed_seed(*key))


def prepare(seed: int, threads: int, device: str) -> torch.device:
    """Fix threads and kernels, seed the default generators, and return the device.

    Raises UserError if CUDA is requested and absent, because another device would make it another run.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "DEVICE=cuda was asked for, but torch sees no CUDA GPU here; use DEVICE=cpu or see: make doctor"
        )
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms(True), but imports no compiler: seconds
    # every kernel used here writes its whole output; filling new memory first would only cost time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    allow_tf32(False)  # on by default in convolutions, elsewhere if the caller's environment says so
    torch.manual_seed(keyed_seed(seed, "default"))
    return torch.device(device)


def allow_tf32(allowed: bool) -> None:
    """Set whether a GPU may round the factors of fp32 convolutions and products to TF32, in old and new settings."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    convolutions.allow_tf32 = products.allow_tf32 = allowed
    if hasattr(convolutions, "conv"):  # the newer settings
        convolutions.conv.fp32_precision = products.fp32_precision = "tf32" if allowed else "ieee"


def generator_states() -> dict[str, torch.Tensor]:
    """The states (uint8 tensors) of the default generators, which dropout uses."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # not is_available: reading the state would start CUDA in a training run on the CPU
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_generators(states: dict[str, torch.Tensor]) -> None:
    """Put back what ``generator_states`` gave."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(states["cuda"])
