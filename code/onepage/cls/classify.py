"""Classify pictures of people's own with a trained ResNet-18.

Each picture (``pictures.py``) goes the way of a test image: 32x32, then the size that the run is evaluated at. The
probabilities are softmax(logits / T), with the temperature T that evaluation fitted on validation images (Guo et al.
2017, section 4.2). The answer is always one of the run's classes, whatever the picture shows: there is no "none of
them".
"""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from onepage.cls import augment, pictures, scores
from onepage.cls.gradcam import GradCAM
from onepage.cls.recipe import Recipe
from onepage.cls.resnet import ResNet18
from onepage.cls.train import predict
from onepage.errors import UserError
from onepage.files import read_json
from onepage.runs import lookup
from onepage.training import checkpoint, seeding
from onepage.training.recipe import of_run
from onepage.training.weights import digest_tensors

LAYERS = ("layer3", "layer4")  # that Grad-CAM explains, as evaluation does


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the model says of one picture."""

    picture: Image.Image
    """Its middle square, RGB, at the size it has."""
    pixels: torch.Tensor
    """uint8 (1, 3, size, size): what the model looked at."""
    probabilities: np.ndarray
    """float64 (classes,), calibrated; they sum to one."""

    @property
    def ranked(self) -> list[int]:
        """The class numbers, most probable first."""
        return [int(which) for which in np.argsort(-self.probabilities, kind="stable")]


class Classifier:
    """A trained, evaluated run."""

    def __init__(self, run: Path):
        """Load ``run``.

        Raises UserError for a run that is missing, damaged, not of ResNet-18, of another version of this program, not
        evaluated, or trained again since.
        """
        block = lookup.identity(run, "cls")
        self.class_names, self.temperature, evaluated = _evaluated(run)
        recipe = of_run(Recipe, run, block)
        # a model trained on a GPU classifies without one too
        device = "cuda" if block["device"] == "cuda" and torch.cuda.is_available() else "cpu"
        self.device = seeding.prepare(block["seed"], recipe.threads, device)
        weights, _ = checkpoint.load_model(run / "model.pt")
        if digest_tensors(weights) != evaluated:
            raise UserError(f"{run / 'metrics.json'} is of other weights than model.pt; evaluate them (make cls)")
        model = ResNet18(len(self.class_names), shortcut=recipe.shortcut)
        try:
            model.load_state_dict(weights)
        except RuntimeError:
            raise UserError(
                f"{run / 'model.pt'} does not fit the {len(self.class_names)} classes of metrics.json; "
                "train it again (make cls)"
            ) from None
        self.model = model.to(device=self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.size, self.precision = recipe.stages[-1].image_size, block["precision"]
        self.run, self.generated = run, bool(block["generated"])

    def classify(self, path: Path) -> Answer:
        """The model's answer to the picture in ``path``; raises UserError as ``pictures.read`` does."""
        picture = pictures.read(path)
        pixels = augment.resize(torch.from_numpy(pictures.reduce(picture))[None], self.size).to(self.device)
        with torch.inference_mode():
            logits = predict(self.model, pixels, self.precision).numpy()
        return Answer(picture, pixels, scores.softmax(logits.astype(np.float64) / self.temperature)[0])

    def explain(self, answer: Answer) -> dict[str, np.ndarray]:
        """Grad-CAM maps {layer: (h, w)} in 0..1 of the most probable class."""
        with GradCAM(self.model, [getattr(self.model, layer) for layer in LAYERS]) as cam:
            maps = cam(augment.normalise(answer.pixels), [answer.ranked[0]])
        return {layer: values[0].cpu().numpy() for layer, values in zip(LAYERS, maps, strict=True)}


def _evaluated(run: Path) -> tuple[tuple[str, ...], float, str]:
    """(class names, temperature, digest of the weights) of metrics.json; UserError where it does not say them."""
    metrics: Any = read_json(run / "metrics.json")
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
