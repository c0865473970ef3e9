"""Grad-CAM against the package grad-cam (github.com/jacobgil/pytorch-grad-cam), which `make setup-compare` installs.

Like with like: theirs subtracts a map's minimum and divides by its maximum, ours only divides, and theirs enlarges the
map to the image and does both again. So two things are compared: the maps at the layer's own size before anything is
scaled, in shares of their maximum; and what theirs returns, with our unscaled maps taken the same way by torch.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onepage.benchmarks.plain_cls import import_torchvision
from onepage.cls import augment
from onepage.cls.gradcam import GradCAM
from onepage.cls.resnet import ResNet18, initialise
from onepage.files import read_json
from onepage.training.checkpoint import load_model
from onepage.training.seeding import keyed_generator

TOLERANCE = 1e-4  # of values in 0..1


@pytest.fixture
def peer(monkeypatch):
    """The package grad-cam, from the folder in the environment that nothing else looks into."""
    monkeypatch.syspath_prepend(str(Path(sys.prefix) / "compare"))
    import_torchvision()  # which grad-cam imports, and could not beside a CPU build of torch
    return pytest.importorskip("pytorch_grad_cam", reason="no grad-cam package here: make setup-compare")


def untrained():
    model = ResNet18()
    initialise(model, keyed_generator(0))
    pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=keyed_generator(1), dtype=torch.uint8)
    inputs = augment.normalise(pixels)
    predicted = model.eval()(inputs).argmax(dim=1)
    return SimpleNamespace(model=model, inputs=inputs, classes={"predicted": predicted, "true": (predicted + 3) % 10})


def trained():
    """This machine's trained network and the images that its page explains, at the size it was tested at."""
    if not os.environ.get("CLAIMED_CLS_RUN"):
        pytest.skip("no trained run named; make test names it")
    run = Path(os.environ["CLAIMED_CLS_RUN"])
    recipe, weights = read_json(run / "run.json")["recipe"], load_model(run / "model.pt")[0]
    with np.load(run / "explain.npz") as arrays:
        explain = {name: arrays[name] for name in arrays.files}
    model = ResNet18(len(weights["fc.bias"]), shortcut=recipe["shortcut"])
    model.load_state_dict(weights)
    pixels = torch.from_numpy(explain["images"].transpose(0, 3, 1, 2).copy())
    inputs = augment.normalise(augment.resize(pixels, recipe["stages"][-1]["image_size"]))
    classes = {"predicted": torch.from_numpy(explain["predicted"]), "true": torch.from_numpy(explain["labels"])}
    return SimpleNamespace(model=model.eval(), inputs=inputs, classes=classes, explain=explain)


def to_unit_range(maps):
    """Each map of (B, h, w) less its minimum, divided by what is then its maximum."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / (1e-7 + maps.amax(dim=(1, 2), keepdim=True))  # their guard against a map that is flat


def assert_equal_to_theirs(peer, case):
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    for name in ("layer3", "layer4"):
        layer = getattr(case.model, name)
        for kind, classes in case.classes.items():
            with GradCAM(case.model, [layer]) as cam:
                ours = cam(case.inputs, classes, scaled=False)[0]
            targets = [ClassifierOutputTarget(int(number)) for number in classes]
            with peer.GradCAM(case.model, [layer]) as theirs:
                enlarged = torch.from_numpy(theirs(case.inputs, targets))
                kept = theirs.activations_and_grads
                arrays = [values[0].numpy() for values in (kept.activations, kept.gradients)]
                raw = torch.from_numpy(theirs.get_cam_image(case.inputs, layer, targets, *arrays)).relu()
            peak = ours.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
            said = f"{name}, {kind}"
            assert ours.shape == raw.shape and ours.max() > 0, said
            assert (ours / peak - raw / peak).abs().max() < TOLERANCE, said
            size = case.inputs.shape[2:]
            larger = F.interpolate(to_unit_range(ours)[:, None], size, mode="bilinear", align_corners=False)[:, 0]
            assert (to_unit_range(larger) - enlarged).abs().max() < TOLERANCE, said


@pytest.mark.slow
def test_equals_the_package_grad_cam_on_an_untrained_network(peer):
    assert_equal_to_theirs(peer, untrained())


@pytest.mark.claims
def test_equals_the_package_grad_cam_on_the_trained_network(peer):
    assert_equal_to_theirs(peer, trained())


@pytest.mark.claims
def test_the_maps_on_disk_are_those_of_the_trained_weights():
    """What the pictures show, made on this machine by the weights beside it."""
    case = trained()
    for number, name in enumerate(("layer3", "layer4")):
        for kind, classes in case.classes.items():
            with GradCAM(case.model, [case.model.layer3, case.model.layer4]) as cam:
                maps = cam(case.inputs, classes)[number].numpy()
            stored = case.explain[f"cam_{name}_{kind}"]
            assert stored.shape == maps.shape and np.abs(stored - maps).mean() < 0.01, (name, kind)


@pytest.mark.claims
def test_maps_of_the_trained_network_do_not_survive_random_weights():
    """Adebayo et al. 2018, section 3: rank correlation with the map before, as layers become random from the top."""
    case = trained()
    model, classes = case.model, case.classes["predicted"]
    with GradCAM(model, [model.layer3]) as cam:
        before = cam(case.inputs, classes)[0]
        generator, agreement = keyed_generator(1), []
        for part in (model.fc, model.layer4, model.layer3):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    parameter.data.normal_(0.0, parameter.std().item(), generator=generator)
            agreement.append(rank_correlation(before, cam(case.inputs, classes)[0]))
    assert rank_correlation(before, before) == pytest.approx(1)
    assert agreement[-1] < 0.5, agreement


def rank_correlation(first, second):
    """Spearman's, over the positions of each pair of maps (B, h, w); the mean over pairs of which neither is flat."""
    pairs = zip(*(ranks(maps.flatten(1)) for maps in (first, second)), strict=True)
    return float(torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs]).nanmean())


def ranks(values):
    """The rank of each of (B, n) values in its row, the mean rank where values are equal."""
    one, other = values[:, :, None], values[:, None, :]
    return (one > other).double().sum(dim=2) + (one == other).double().sum(dim=2) / 2
