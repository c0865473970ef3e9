"""Grad-CAM equals closed forms and the package grad-cam, and leaves the model unchanged.

The package (github.com/jacobgil/pytorch-grad-cam, installed by `make setup-compare`) subtracts a map's minimum and
divides by its maximum; ours only divides. The package then enlarges the map to the image size and does both again. The
tests compare unscaled maps at the layer's size, relative to their maximum. They also compare the package's result with
our unscaled maps after the same treatment by torch.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onepage.benchmarks.plain_cls import import_torchvision
from onepage.cls import augment
from onepage.cls.gradcam import GradCAM, scale, weighted_map
from onepage.cls.resnet import ResNet18, initialise
from onepage.files import read_json
from onepage.runs.lookup import task_of
from onepage.training.checkpoint import load_model
from onepage.training.seeding import keyed_generator

TOLERANCE = 1e-4  # of values in 0..1, against the package


class GapLinear(nn.Module):
    """Convolution, global average pooling, linear: its Grad-CAM is ReLU(CAM) (Zhou et al. 2016) up to scale."""

    def __init__(self, inplace=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=inplace)
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        return self.fc(self.relu(self.norm(self.conv(x))).mean(dim=(2, 3)))


class Known(nn.Module):
    """One convolution and one linear layer with integer weights: the network whose maps captum's tests state.

    captum, tests/helpers/basic_models.py (BasicModel_ConvNet_One_Conv) and tests/attr/layer/test_grad_cam.py. A layer
    that does nothing stands for "the input of the convolution".
    """

    def __init__(self, inplace=False):
        super().__init__()
        self.start = nn.Identity()
        self.conv = nn.Conv2d(1, 2, 3)  # (B, 1, 4, 4) -> (B, 2, 2, 2)
        self.relu = nn.ReLU(inplace=inplace)
        self.fc = nn.Linear(8, 4)
        self.last = nn.ReLU(inplace=inplace)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.conv.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc.weight.fill_(1)
            self.fc.weight[:, 5:] = -1
            self.fc.bias.zero_()

    def forward(self, x):
        return self.last(self.fc(self.relu(self.conv(self.start(x))).flatten(1)))


NUMBERS = torch.arange(16.0).reshape(1, 1, 4, 4)


def resnet():
    model = ResNet18()
    initialise(model, keyed_generator(0))
    return model.eval()


def randomise(part, generator):
    """Replace the weights of a part of a network by random ones with the same spread."""
    for parameter in part.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, parameter.std().item(), generator=generator)


def images(count, size=32):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
@pytest.mark.parametrize("inplace", [False, True], ids=["copying", "inplace"])
@pytest.mark.parametrize(
    ("layer", "added", "expected"),
    [
        ("conv", 0.0, [[11.25, 13.5], [20.25, 22.5]]),
        ("conv", 1.0, [[14.5, 19.0], [32.5, 37.0]]),
        ("relu", 0.0, [[0.0, 4.0], [28.0, 32.5]]),
    ],
)
def test_equals_known_values_of_a_small_network(layer, added, expected, inplace, frozen):
    model = Known(inplace).requires_grad_(not frozen)
    with GradCAM(model, [getattr(model, layer)]) as cam:
        (maps,) = cam(NUMBERS + added, [0], scaled=False)
        (shares,) = cam(NUMBERS + added, [0])
    assert torch.equal(maps, torch.tensor([expected]))
    torch.testing.assert_close(shares, maps / maps.max())


def test_evidence_against_the_class_is_zero():
    inputs = NUMBERS.clone()
    inputs[0, 0, 1, 1] = -4.0
    model = Known()
    with GradCAM(model, [model.start]) as cam:
        (maps,) = cam(inputs, [0], scaled=False)
    assert torch.equal(maps, torch.relu(0.5625 * inputs[:, 0]))
    assert maps[0, 1, 1] == 0 and maps[0, 1, 2] > 0


def test_equals_cam_where_a_linear_layer_follows_pooling():
    model, inputs = GapLinear().eval(), images(3, 6)
    targets = torch.tensor([0, 3, 2])
    with GradCAM(model, [model.relu]) as cam:
        (shares,) = cam(inputs, targets)
        (maps,) = cam(inputs, targets, scaled=False)
    features = torch.relu(model.norm(model.conv(inputs)))
    positive = torch.relu(torch.einsum("bc,bchw->bhw", model.fc.weight[targets], features)).detach()
    torch.testing.assert_close(maps, positive / 36)  # the gradient of a mean over 6x6 positions
    torch.testing.assert_close(shares, positive / positive.amax(dim=(1, 2), keepdim=True))


def test_equals_cam_at_the_last_layer_of_resnet():
    """ResNet-18 ends in pooling and a linear layer, so the closed form also holds at its layer4."""
    model, inputs, targets = resnet(), images(2), torch.tensor([7, 2])
    kept = []
    handle = model.layer4.register_forward_hook(lambda module, arguments, output: kept.append(output.detach()))
    with GradCAM(model, [model.layer4]) as cam:
        (maps,) = cam(inputs, targets)
    handle.remove()
    positive = torch.relu(torch.einsum("bc,bchw->bhw", model.fc.weight[targets].detach(), kept[0]))
    torch.testing.assert_close(maps, scale(positive), atol=1e-5, rtol=1e-4)


def test_a_small_map_by_hand():
    activations = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [0.0, 0.0]]]])
    gradients = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]], [[-1.0, -1.0], [-1.0, -1.0]]]])
    assert torch.equal(weighted_map(activations, gradients), torch.tensor([[[0.0, 2.0], [3.0, 4.0]]]))


def test_an_all_negative_map_is_zeros_not_nan():
    model, inputs = GapLinear().eval(), images(2, 6)
    with torch.no_grad():
        model.fc.weight[1] = -1.0  # no channel is negative after the ReLU, so all are evidence against class 1
    with GradCAM(model, [model.relu]) as cam:
        against, for_it = cam(inputs, [1, 1])[0], cam(-inputs, [0, 0])[0]
    assert torch.equal(against, torch.zeros(2, 6, 6))
    assert for_it.amax(dim=(1, 2)).tolist() == [1, 1]
    tiny = torch.full((1, 2, 2), torch.finfo(torch.float32).smallest_normal / 4)
    assert torch.isfinite(scale(tiny)).all()


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("frozen", [False, True], ids=["trainable", "frozen"])
@pytest.mark.parametrize("layer", ["conv", "norm", "relu"])
def test_works_without_gradients_frozen_and_in_place(layer, frozen, mode):
    reference, model, inputs = GapLinear(), GapLinear(inplace=True), images(2, 6)
    model.requires_grad_(not frozen)
    with GradCAM(reference, [getattr(reference, layer)]) as cam:
        expected = cam(inputs)[0]
    with mode(), GradCAM(model, [getattr(model, layer)]) as cam:
        got = cam(inputs + 0)[0]  # the sum creates the input in that mode
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    assert expected.max() == 1
    torch.testing.assert_close(got, expected)


def test_batch_equals_single_images():
    # double precision: in single, rounding can move an activation across zero, which changes its whole gradient
    model, inputs, targets = resnet().double(), images(3).double(), torch.tensor([1, 2, 3])
    with GradCAM(model, [model.layer3, model.layer4]) as cam:
        together = cam(inputs, targets)
        single = [cam(inputs[i : i + 1], targets[i : i + 1]) for i in range(3)]
    for number, size in enumerate((8, 4)):
        assert together[number].shape == (3, size, size)
        alone = torch.cat([maps[number] for maps in single])
        torch.testing.assert_close(together[number], alone, atol=1e-9, rtol=0)


def test_without_targets_the_predicted_classes_are_explained():
    model, inputs = GapLinear().eval(), images(8, 6)
    predicted = model(inputs).argmax(dim=1)
    with GradCAM(model, [model.relu]) as cam:
        chosen, named, listed = cam(inputs)[0], cam(inputs, predicted)[0], cam(inputs, predicted.tolist())[0]
        others = cam(inputs, (predicted + 1) % 4)[0]
    assert torch.equal(chosen, named) and torch.equal(chosen, listed)
    assert not torch.allclose(chosen, others)


def everything(model):
    """Everything that must stay the same: modes, hooks, requires_grad, gradients, and every value of the state."""
    modules = {name: (module.training, len(module._forward_hooks)) for name, module in model.named_modules()}
    wanted = {name: (p.requires_grad, p.grad is None) for name, p in model.named_parameters()}
    gradients = {f"{name}.grad": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return modules, wanted, {name: value.clone() for name, value in model.state_dict().items()} | gradients


def assert_as_before(model, before):
    modules, wanted, values = everything(model)
    assert (modules, wanted) == before[:2]
    assert values.keys() == before[2].keys()
    assert all(torch.equal(value, before[2][name]) for name, value in values.items())


def half_trained():
    """A model in training mode except for one part, with gradients, a frozen weight and a user's hook."""
    model = GapLinear().train()
    model.fc.eval()
    model(images(2, 6)).sum().backward()
    model.conv.bias.requires_grad_(False)
    model.conv.register_forward_hook(lambda module, inputs, output: None)
    return model


def test_modes_hooks_gradients_and_statistics_are_as_before():
    model, inputs = half_trained(), images(3, 6)
    before, state = everything(model), torch.get_rng_state()
    with GradCAM(model, [model.conv, model.relu]) as cam:
        cam(inputs)
        cam(inputs, [0, 1, 2])
        assert [module.training for module in model.modules()] == [training for training, _ in before[0].values()]
    assert_as_before(model, before)
    assert not inputs.requires_grad and inputs.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_error_leaves_the_model_as_before():
    model = half_trained()
    before = everything(model)
    with pytest.raises(RuntimeError, match="channels"), GradCAM(model, [model.conv]) as cam:
        cam(torch.randn(1, 4, 6, 6))
    assert_as_before(model, before)


def test_a_layer_passed_before_and_not_now_is_missed():
    model, inputs = GapLinear(), images(2, 6)
    with GradCAM(model, [model.norm]) as cam:
        cam(inputs)
        model.forward = lambda x: model.fc(model.conv(x).mean(dim=(2, 3)))
        with pytest.raises(RuntimeError, match="does not pass through every target layer"):
            cam(inputs)


def test_wrong_use_says_so():
    model, inputs = GapLinear(), images(2, 6)
    with pytest.raises(RuntimeError, match="with block"):
        GradCAM(model, [model.conv])(inputs)
    with GradCAM(model, [model.conv]) as cam, pytest.raises(ValueError, match=r"shape \(1,\) for 2 images"):
        cam(inputs, [0])
    with (
        GradCAM(model, [model.conv, nn.ReLU()]) as cam,
        pytest.raises(RuntimeError, match="does not pass through every target layer"),
    ):
        cam(inputs)


def test_randomised_weights_change_the_map():
    """Adebayo et al. 2018, section 3: layers become random one by one from the output; each step changes the maps."""
    model, inputs, targets = resnet(), images(2), [0, 1]
    with GradCAM(model, [model.layer3]) as cam:
        before = cam(inputs, targets)[0]
        assert torch.equal(cam(inputs, targets)[0], before)
        generator = keyed_generator(1)
        for part in (model.fc, model.layer4, model.layer3):
            randomise(part, generator)
            after = cam(inputs, targets)[0]
            assert (before - after).abs().amax(dim=(1, 2)).min() > 0.2, type(part)


# --- against the package grad-cam ------------------------------------------------------------------------------------


@pytest.fixture
def peer(monkeypatch):
    """The package grad-cam, from a folder of the environment that nothing else imports from."""
    monkeypatch.syspath_prepend(str(Path(sys.prefix) / "compare"))
    import_torchvision()  # grad-cam imports torchvision, which fails beside a CPU build of torch
    return pytest.importorskip("pytorch_grad_cam", reason="no grad-cam package here: make setup-compare")


def untrained():
    model = resnet()
    pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=keyed_generator(1), dtype=torch.uint8)
    inputs = augment.normalise(pixels)
    predicted = model(inputs).argmax(dim=1)
    return SimpleNamespace(model=model, inputs=inputs, classes={"predicted": predicted, "true": (predicted + 3) % 10})


def trained():
    """This machine's trained network and the images that its page explains, at the image size of its evaluation."""
    named = [run for run in map(Path, os.environ.get("CLAIMED_RUNS", "").split()) if task_of(run) == "cls"]
    if not named:
        pytest.skip("no trained run named; make test names it")
    (run,) = named
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
    """Subtract its minimum from each map of (B, h, w), then divide it by its maximum."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return maps / (1e-7 + maps.amax(dim=(1, 2), keepdim=True))  # the package's guard against a flat map


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


@pytest.mark.parametrize(
    "network", [pytest.param(untrained, marks=pytest.mark.slow), pytest.param(trained, marks=pytest.mark.claims)]
)
def test_equals_the_package_grad_cam(peer, network):
    assert_equal_to_theirs(peer, network())


@pytest.mark.claims
def test_maps_on_disk_are_of_the_trained_weights():
    """The maps in explain.npz follow from the weights beside it."""
    case = trained()
    for number, name in enumerate(("layer3", "layer4")):
        for kind, classes in case.classes.items():
            with GradCAM(case.model, [case.model.layer3, case.model.layer4]) as cam:
                maps = cam(case.inputs, classes)[number].numpy()
            stored = case.explain[f"cam_{name}_{kind}"]
            assert stored.shape == maps.shape and np.abs(stored - maps).mean() < 0.01, (name, kind)


@pytest.mark.claims
def test_trained_maps_do_not_survive_random_weights():
    """Adebayo et al. 2018, section 3: rank correlation with the trained maps falls as layers become random."""
    case = trained()
    model, classes = case.model, case.classes["predicted"]
    with GradCAM(model, [model.layer3]) as cam:
        before = cam(case.inputs, classes)[0]
        generator, agreement = keyed_generator(1), []
        for part in (model.fc, model.layer4, model.layer3):
            randomise(part, generator)
            agreement.append(rank_correlation(before, cam(case.inputs, classes)[0]))
    assert rank_correlation(before, before) == pytest.approx(1)
    assert agreement[-1] < 0.5, agreement


def rank_correlation(first, second):
    """Spearman's correlation over the positions of two maps, averaged over the pairs (B, h, w) without a flat map."""
    pairs = zip(*(ranks(maps.flatten(1)) for maps in (first, second)), strict=True)
    return float(torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs]).nanmean())


def ranks(values):
    """The rank of each of (B, n) values in its row; equal values have their mean rank."""
    one, other = values[:, :, None], values[:, None, :]
    return (one > other).double().sum(dim=2) + (one == other).double().sum(dim=2) / 2
