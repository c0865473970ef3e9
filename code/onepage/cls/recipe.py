"""The recipe of ResNet-18: everything that decides how it is trained, with the allowed values of each field."""

import dataclasses
from typing import Annotated, Any, Literal

from onepage.training.recipe import Precision, Range, Share, Threads

Rate = Annotated[float, Range(above=0, below=100)]
Momentum = Annotated[float, Range(above=0, below=1)]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of training at one image size."""

    epochs: Annotated[float, Range(above=0, below=10_000)]
    """Passes over the training images; may be a fraction."""
    image_size: Annotated[int, Range(8, 64, multiple_of=4)]
    """Height and width in pixels."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides how ResNet-18 is trained."""

    stages: tuple[Stage, ...]
    """Image sizes in order of training; the last is the size of every evaluation."""
    batch_size: Annotated[int, Range(2, 50_000)]
    """Images per update."""
    optimiser: Literal["sgd", "muon"]
    """"sgd" (Nesterov) for all, or "muon" for the convolutions and SGD for the rest."""
    sgd_learning_rate: Rate
    """Peak learning rate of SGD."""
    weight_decay: Share
    """L2 penalty of the parameters under SGD, BatchNorm and biases excepted."""
    validations: Annotated[int, Range(1, 10_000)]
    """How often the validation images are read during training, evenly spaced."""
    sgd_momentum: Momentum = 0.9
    """Nesterov momentum of SGD."""
    muon_learning_rate: Rate = 0.12
    """With "muon": its peak learning rate."""
    muon_momentum: Momentum = 0.75
    """With "muon": its momentum."""
    bias_factor: Annotated[float, Range(above=0, most=1000)] = 1.0
    """With "muon": biases learn this many times faster (Page 2018, "How to train your ResNet 8")."""
    whiten: bool = False
    """Set the first convolution to whitening filters of training patches and keep it there (``whiten_stem``)."""
    schedule: Literal["linear", "cosine"] = "linear"
    """Shape after the warm-up, down to zero."""
    warmup: Share = 0.2
    """Share of the updates over which the learning rate rises."""
    label_smoothing: Share = 0.1
    """Probability mass spread over all classes (Szegedy et al. 2015, section 7)."""
    crop_padding: Annotated[int, Range(0, 8)] = 2
    """Largest shift of an image of 32 pixels, in pixels; in proportion at other sizes."""
    flip: Literal["alternating", "random"] = "alternating"
    """Mirroring: "alternating" in every other epoch, or "random" each time."""
    cutout: Annotated[int, Range(0, 32)] = 0
    """Side of the square cut out of each image of 32, in pixels; in proportion at other sizes; 0 for none."""
    cutmix: Annotated[float, Range(0, 1)] = 0.0
    """Probability that a batch is mixed by CutMix."""
    average_decay: Share = 0.98
    """Decay per update of the moving average of weights that is evaluated and kept; 0 for the last weights."""
    validation_size: Annotated[int, Range(1)] = 5000
    """Images held out of the training images."""
    split_seed: Annotated[int, Range(0)] = 0
    """Seed of that split, independent of the run's seed."""
    precision: Precision = "auto"
    """"auto": bf16 if it is faster; planning resolves it."""
    threads: Threads = 2
    """CPU threads of a process; part of the recipe because their number changes the order of float sums."""
    batch_norm: Literal["local", "synchronised"] = "local"
    """With several processes: statistics of each process's part of the batch, or of the whole batch (CUDA only)."""
    cuda_graph: bool = False
    """On a GPU, replay the passes as CUDA graphs; ignored on a CPU and with several processes."""
    train_images: Annotated[int, Range(0)] = 0
    """Use only the first so many training images; 0 for all."""
    shortcut: bool = True
    """False leaves the residual additions out (ablation)."""

    @property
    def peak_learning_rate(self) -> float:
        """Peak learning rate of the convolutions, which the history records."""
        return self.muon_learning_rate if self.optimiser == "muon" else self.sgd_learning_rate


EVALUATION: dict[str, Any] = {}
"""Tables of a recipe that evaluation alone reads, by name."""
