"""Classify image files with a trained ResNet-18.

Each picture (``pictures.py``) is processed like a test image: 32x32, then the run's evaluation size. The probabilities
are softmax(logits / T), with the temperature T fitted on validation images (Guo et al. 2017, section 4.2). The answer
is always one of the run's classes; there is no "none of them".
"""

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from onepage.cls import augment, evaluate, pictures, scores
from onepage.cls.train import predict
from onepage.errors import UserError
from onepage.runs import lookup, provenance
from onepage.training.weights import digest_tensors


@dataclasses.dataclass(frozen=True)
class Answer:
    """The model's answer for one picture."""

    picture: Image.Image
    """Its central square, RGB, at its own size."""
    pixels: torch.Tensor
    """uint8 (1, 3, size, size): the model's input."""
    probabilities: np.ndarray
    """float64 (classes,), calibrated; they sum to one."""

    @property
    def ranked(self) -> list[int]:
        """The class numbers, most probable first."""
        return [int(which) for which in np.argsort(-self.probabilities, kind="stable")]


class Classifier:
    """A trained, evaluated run, or a file by ``make export``."""

    def __init__(self, run: Path):
        """Load ``run``.

        Raises UserError for a run that is missing, damaged, of another task or of another version of this program, not
        evaluated, or trained again since.
        """
        plan = lookup.identity(run, "cls")
        self.class_names, self.temperature, evaluated = _evaluated(run)
        # trained on a GPU, it needs none here
        device = "cuda" if plan["device"] == "cuda" and not provenance.gpu_problem() else "cpu"
        self.model, recipe, _, self.device = evaluate.load(run, len(self.class_names), device)
        if run.is_dir() and digest_tensors(self.model.state_dict()) != evaluated:
            raise UserError(
                f"{run / 'metrics.json'} does not belong to the weights in model.pt; evaluate again: make cls"
            )
        self.size, self.precision = recipe.stages[-1].image_size, plan["precision"]
        self.run, self.generated = run, bool(plan["generated"])

    def classify(self, path: Path) -> Answer:
        """The model's answer to the picture in ``path``; raises UserError as ``pictures.read`` does."""
        picture = pictures.read(path)
        pixels = augment.resize(torch.from_numpy(pictures.reduce(picture))[None], self.size).to(self.device)
        with torch.inference_mode():
            logits = predict(self.model, pixels, self.precision).numpy()
        return Answer(picture, pixels, scores.softmax(logits.astype(np.float64) / self.temperature)[0])

    def explain(self, answer: Answer) -> dict[str, np.ndarray]:
        """Grad-CAM maps {layer: (h, w)} in 0..1 of the most probable class."""
        maps = evaluate.cams(self.model, answer.pixels, np.array(answer.ranked[:1]))
        return {layer: values[0] for layer, values in maps.items()}


def _evaluated(run: Path) -> tuple[tuple[str, ...], float, str]:
    """(class names, temperature, digest of the weights) of metrics.json; UserError if any is missing."""
    metrics = lookup.told(run, "metrics.json")
    try:
        names, digest = metrics["class_names"], metrics["weights_digest"]
        temperature = float(metrics["test"]["calibrated"]["temperature"])
        if not (names and isinstance(names, list) and 0 < temperature < math.inf):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{run / 'metrics.json'} lacks class names, temperature or digest; delete it and run make again"
        ) from None
    return tuple(str(name) for name in names), temperature, str(digest)
