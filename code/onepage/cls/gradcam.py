"""Grad-CAM: the parts of a layer's feature map that support a class.

Selvaraju et al. 2017, section 3: the gradient of the class logit with respect to each channel of a convolutional layer,
averaged over positions (equation 1), weighs that channel; the map is the ReLU of the weighted sum (equation 2). Left
out: guided back-propagation and the later variants of the weights.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn


class GradCAM:
    """Class activation maps of target layers; a context manager that leaves the model as it found it.

    ::

        with GradCAM(model, [model.layer3, model.layer4]) as cam:
            layer3, layer4 = cam(images, targets)   # each (B, h, w), values in [0, 1]

    Works under ``torch.no_grad`` and ``torch.inference_mode``, with frozen weights and with in-place activations after
    the target layer. If the model applies a layer more than once, its last application is explained.
    """

    def __init__(self, model: nn.Module, target_layers: Sequence[nn.Module]):
        self.model = model
        self.target_layers = list(target_layers)
        self._handles: list[Any] = []
        self._activations: dict[int, Tensor] = {}

    def __enter__(self) -> "GradCAM":
        for number, layer in enumerate(self.target_layers):
            self._handles.append(layer.register_forward_hook(self._keep(number)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._activations.clear()

    def _keep(self, number: int) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            self._activations[number] = output
            return output.clone()  # a later in-place operation then changes only the copy

        return hook

    def __call__(
        self, images: Tensor, targets: Tensor | Sequence[int] | None = None, *, scaled: bool = True
    ) -> list[Tensor]:
        """Maps (B, h, w) of each target layer for normalised images (B, channels, H, W), none of it negative.

        ``targets``: class numbers (B,); the predicted classes if None. ``scaled`` divides each map by its maximum; a
        map without positive values stays zero. Raises RuntimeError outside the ``with`` block or if the model does not
        pass through a target layer, and ValueError if there is not one target for each image.
        """
        if not self._handles:
            raise RuntimeError("use GradCAM inside a with block")
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                # a leaf that needs gradients: the graph then exists even when every weight is frozen
                logits = self.model(images.detach().clone().requires_grad_(True))
                classes = logits.argmax(dim=1) if targets is None else torch.as_tensor(targets, device=logits.device)
                if classes.shape != logits.shape[:1]:
                    raise ValueError(f"targets of shape {tuple(classes.shape)} for {len(logits)} images")
                score = logits.gather(1, classes[:, None]).sum()  # in eval mode images do not affect each other
                if len(self._activations) < len(self.target_layers):
                    raise RuntimeError("the model does not pass through every target layer")
                activations = [self._activations[number] for number in range(len(self.target_layers))]
                gradients = torch.autograd.grad(score, activations)  # changes no .grad field
        finally:
            for module, training in modes:
                module.training = training
            self._activations.clear()
        maps = [weighted_map(a.detach(), g) for a, g in zip(activations, gradients, strict=True)]
        return [scale(values) for values in maps] if scaled else maps


def weighted_map(activations: Tensor, gradients: Tensor) -> Tensor:
    """Equations 1 and 2: (B, C, h, w) activations and gradients -> (B, h, w) maps, not negative."""
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
    return torch.relu((weights * activations).sum(dim=1))


def scale(maps: Tensor) -> Tensor:
    """Each map of (B, h, w) divided by its maximum; an all-zero map stays zero."""
    peak = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(peak > 0, maps / peak.clamp_min(torch.finfo(maps.dtype).tiny), torch.zeros_like(maps))
