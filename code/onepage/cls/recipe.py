"""What decides how ResNet-18 is trained: the fields of its recipes."""

import dataclasses

from onepage.training.schedules import SCHEDULES


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of training at one image size."""

    epochs: float
    """Passes over the training images, in parts where wanted."""
    image_size: int
    """Height and width in pixels, a multiple of 4."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides how ResNet-18 is trained."""

    stages: tuple[Stage, ...]
    """Image sizes in order of training; the last is the size of every evaluation."""
    batch_size: int
    """Images an update."""
    optimiser: str
    """"sgd" (Nesterov) for all, or "muon" for the convolutions and SGD for the rest."""
    learning_rate: float
    """Peak rate of the convolutions (for "sgd" of everything)."""
    momentum: float
    """Momentum of the optimiser that ``learning_rate`` belongs to."""
    weight_decay: float
    """L2 penalty of the parameters under SGD, BatchNorm and biases excepted."""
    validations: int
    """How often the validation images are read during training, evenly spaced."""
    sgd_learning_rate: float = 0.1
    """With "muon": the peak rate of everything that is no convolution."""
    bias_factor: float = 1.0
    """With "muon": biases learn this many times faster (Page 2018, "How to train your ResNet 8")."""
    whiten: bool = False
    """Set the first convolution to whitening filters of training patches and keep it there (``whiten_stem``)."""
    schedule: str = "linear"
    """Shape after the warm-up: "linear" or "cosine" to zero."""
    warmup: float = 0.2
    """Share of the updates over which the rate rises."""
    label_smoothing: float = 0.1
    """Probability mass spread over all classes (Szegedy et al. 2015, section 7)."""
    crop_padding: int = 2
    """Pixels an image of 32 is moved by at most; in proportion at other sizes."""
    flip: str = "alternating"
    """"alternating" or "random" mirroring."""
    cutout: int = 0
    """Side of the square cut out of each image of 32, in pixels; in proportion at other sizes; 0 for none."""
    cutmix: float = 0.0
    """Probability that a batch is mixed by CutMix."""
    average_decay: float = 0.98
    """Decay an update of the moving average of weights that is evaluated and kept; 0 for the last weights."""
    validation_size: int = 5000
    """Images held out of the training images."""
    split_seed: int = 0
    """Seed of that split, apart from the run's."""
    precision: str = "auto"
    """"fp32", "bf16", or "auto": bf16 where it is the faster one (plan.py); resolved before training."""
    threads: int = 2
    """CPU threads of a process; part of the recipe because it changes the order of float sums."""
    batch_norm: str = "local"
    """With several processes: "local", statistics of each one's part of the batch, or "synchronised" (CUDA only)."""
    train_images: int = 0
    """Use only the first so many training images; 0 for all."""
    shortcut: bool = True
    """False leaves the residual additions out (ablation)."""

    def check(self) -> str | None:
        """What is wrong with the values, or None."""
        if not self.stages or any(
            s.epochs <= 0 or s.image_size % 4 or not 8 <= s.image_size <= 64 for s in self.stages
        ):
            return "stages: each needs epochs > 0 and an image_size of 8 to 64 that is a multiple of 4"
        if self.optimiser not in ("sgd", "muon"):
            return f"optimiser: 'sgd' or 'muon', got {self.optimiser!r}"
        if self.schedule not in SCHEDULES or self.flip not in ("alternating", "random"):
            return "schedule: 'linear' or 'cosine'; flip: 'alternating' or 'random'"
        if self.precision not in ("auto", "fp32", "bf16"):
            return f"precision: 'auto', 'fp32' or 'bf16', got {self.precision!r}"
        if self.batch_norm not in ("local", "synchronised"):
            return f"batch_norm: 'local' or 'synchronised', got {self.batch_norm!r}"
        if min(self.batch_size, self.validations, self.validation_size, self.threads) < 1:
            return "batch_size, validations, validation_size and threads must be at least 1"
        if not all(s.epochs < 10_000 for s in self.stages) or not 2 <= self.batch_size <= 50_000 or self.threads > 1024:
            return "epochs under 10,000, batch_size from 2 to 50,000, threads up to 1,024"
        if self.validations > 10_000 or self.split_seed < 0:
            return f"validations up to 10,000, split_seed from 0; got {self.validations}, {self.split_seed}"
        if not (0 <= self.warmup < 1 and 0 < self.momentum < 1 and 0 <= self.weight_decay < 1):
            return "warmup and weight_decay in [0, 1), momentum in (0, 1)"
        if not (0 < self.sgd_learning_rate < 100 and 0 < self.bias_factor <= 1000 and self.train_images >= 0):
            return "sgd_learning_rate in (0, 100), bias_factor in (0, 1000], train_images from 0"
        if not (0 <= self.crop_padding <= 8 and 0 <= self.cutout <= 32 and 0 <= self.cutmix <= 1):
            return "crop_padding from 0 to 8 pixels, cutout from 0 to 32 pixels, cutmix in [0, 1]"
        if not (0 < self.learning_rate < 100 and 0 <= self.average_decay < 1 and 0 <= self.label_smoothing < 1):
            return "learning_rate in (0, 100), average_decay and label_smoothing in [0, 1)"
        return None
