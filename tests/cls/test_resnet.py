"""The network is the CIFAR ResNet-18, and it computes the same logits as torchvision's."""

import pytest
import torch
from torch import nn

from onepage.benchmarks.plain_cls import make_model
from onepage.cls import resnet
from onepage.cls.convolution import Conv2d
from onepage.cls.resnet import PARAMETERS, ResNet18, initialise, whiten_stem
from onepage.training.seeding import keyed_generator
from onepage.training.weights import count_parameters


def test_parameter_count_is_that_of_the_cifar_form(monkeypatch):
    assert count_parameters(ResNet18()) == PARAMETERS == 11_173_962
    monkeypatch.setattr(resnet, "PARAMETERS", 11_173_963)
    with pytest.raises(AssertionError):
        ResNet18()
    ResNet18(shortcut=False)


def test_only_primitive_layers_hold_parameters():
    primitives = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear)
    kinds = {type(m) for m in ResNet18().modules() if not list(m.children())}
    assert kinds == {nn.Conv2d, Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear}
    assert all(issubclass(kind, primitives) for kind in kinds)  # ours differs from torch's only in the weight gradient


@pytest.mark.parametrize("training", [False, True])
def test_logits_equal_torchvisions_with_the_stem_swapped(training):
    reference = make_model()
    ours = ResNet18()
    initialise(ours, keyed_generator(1))
    for module in ours.modules():  # BatchNorm off its defaults: a swap would show
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.running_mean, 0.0, 0.2)
    reference.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(4, 3, 32, 32)
    ours.train(training), reference.train(training)
    torch.testing.assert_close(ours(images), reference(images), atol=1e-5, rtol=1e-5)


def test_shortcuts_are_projections_only_where_the_shape_changes():
    model = ResNet18()
    blocks = [block for stage in (model.layer1, model.layer2, model.layer3, model.layer4) for block in stage]
    assert [block.downsample is not None for block in blocks] == [False, False, True, False, True, False, True, False]
    assert all(resnet.BasicBlock(*shape).downsample is not None for shape in ((4, 8, 1), (8, 8, 2)))
    for block in blocks:
        if block.downsample is not None:
            assert block.downsample[0].kernel_size == (1, 1) and block.downsample[0].stride == (2, 2)


def test_block_with_zero_branch_is_its_shortcut():
    model = ResNet18().eval()
    initialise(model, keyed_generator(0))
    nn.init.zeros_(model.layer1[0].bn2.weight)
    x = torch.rand(2, 64, 8, 8)  # not negative: the last ReLU does not change it
    torch.testing.assert_close(model.layer1[0](x), x)


def test_without_shortcuts_the_sum_is_gone():
    model = ResNet18(shortcut=False)
    assert count_parameters(model) < PARAMETERS
    assert all(block.downsample is None for block in model.layer2)
    block = model.layer1[0].eval()
    nn.init.zeros_(block.bn2.weight)
    assert not block(torch.rand(2, 64, 8, 8)).any()


def test_another_number_of_classes_has_as_many_logits():
    assert ResNet18(classes=7).eval()(torch.rand(2, 3, 8, 8)).shape == (2, 7)


def test_weights_start_as_published():
    """He et al. 2015b, equation 14: variance 2 / (outputs times taps); the linear layer has 1 / inputs."""
    model = ResNet18()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.constant_(module.weight, 7.0)
    initialise(model, keyed_generator(0))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            (height, width), outputs = module.kernel_size, module.out_channels
            assert module.weight.std().item() == pytest.approx((2 / (outputs * height * width)) ** 0.5, rel=0.06)
            assert abs(module.weight.mean()) < 0.1 * module.weight.std()
    assert model.fc.weight.std().item() == pytest.approx(512**-0.5, rel=0.06) and not model.fc.bias.any()
    assert abs(model.fc.weight.mean()) < 0.1 * model.fc.weight.std()


def test_whitened_stem_is_uncorrelated_and_frozen():
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(200, 3, 12, 12, generator=generator)
    images = torch.nn.functional.avg_pool2d(images, 3, 1, 1)  # correlates neighbouring pixels, as in pictures
    model = ResNet18()
    initialise(model, keyed_generator(1))
    drawn = nn.functional.normalize(model.conv1.weight.detach().flatten(1))
    whiten_stem(model, images)
    assert not model.conv1.weight.requires_grad
    torch.testing.assert_close(model.conv1.weight[54:].flatten(1), drawn[54:])  # ten keep their directions
    features = torch.nn.functional.conv2d(images, model.conv1.weight)  # no padding: patches inside the image
    flat = features.permute(1, 0, 2, 3).flatten(1)
    assert torch.allclose(flat[:27], -flat[27:54], atol=1e-5)
    correlation = torch.corrcoef(flat[:27])
    assert (correlation - torch.eye(27)).abs().max() < 0.02
    assert torch.allclose(model.conv1.weight.flatten(1).norm(dim=1), torch.ones(64), atol=1e-5)
    assert (flat[:26].var(1) > flat[1:27].var(1)).all()  # largest variance first
    before = torch.corrcoef(torch.nn.functional.conv2d(images, ResNet18().conv1.weight).permute(1, 0, 2, 3).flatten(1))
    assert (before - torch.eye(64)).abs().max() > 0.5  # random filters do correlate
