"""Grad-CAM against closed forms, and the model left as it was found."""

import pytest
import torch
from torch import nn

from onepage.cls.gradcam import GradCAM, scale, weighted_map
from onepage.cls.resnet import ResNet18, initialise
from onepage.training.seeding import keyed_generator


class GapLinear(nn.Module):
    """Convolution, global average pooling, linear: Grad-CAM of it is ReLU(CAM) (Zhou et al. 2016) up to scale."""

    def __init__(self, inplace=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.relu = nn.ReLU(inplace=inplace)
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).mean(dim=(2, 3)))


def test_equals_cam_where_a_linear_layer_follows_pooling():
    model, images = GapLinear(), torch.randn(3, 3, 6, 6)
    targets = torch.tensor([0, 3, 2])
    with GradCAM(model, [model.relu]) as cam:
        (maps,) = cam(images, targets)
    features = torch.relu(model.conv(images))
    expected = scale(torch.relu(torch.einsum("bc,bchw->bhw", model.fc.weight[targets], features)))
    torch.testing.assert_close(maps, expected.detach(), atol=1e-5, rtol=1e-4)


def test_a_small_network_by_hand():
    activations = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [0.0, 0.0]]]])
    gradients = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]], [[-1.0, -1.0], [-1.0, -1.0]]]])
    assert torch.equal(weighted_map(activations, gradients), torch.tensor([[[0.0, 2.0], [3.0, 4.0]]]))


def test_an_all_negative_map_is_zeros_not_nan():
    maps = scale(weighted_map(torch.ones(1, 2, 3, 3), -torch.ones(1, 2, 3, 3)))
    assert torch.equal(maps, torch.zeros(1, 3, 3))


@pytest.mark.parametrize("frozen", [False, True])
def test_works_under_no_grad_with_frozen_weights_and_inplace_relu(frozen):
    reference, model, images = GapLinear(), GapLinear(inplace=True), torch.randn(2, 3, 6, 6)
    model.requires_grad_(not frozen)
    with GradCAM(reference, [reference.conv]) as cam:
        expected = cam(images)[0]
    with torch.no_grad(), GradCAM(model, [model.conv]) as cam:
        got = cam(images)[0]
    torch.testing.assert_close(got, expected)


def test_a_batch_gives_what_its_images_give_one_by_one():
    model = ResNet18()
    initialise(model, keyed_generator(0))
    images, targets = torch.randn(3, 3, 32, 32), torch.tensor([1, 2, 3])
    with GradCAM(model, [model.layer3, model.layer4]) as cam:
        together = cam(images, targets)
        single = [cam(images[i : i + 1], targets[i : i + 1]) for i in range(3)]
    for number, size in enumerate((8, 4)):
        assert together[number].shape == (3, size, size)
        alone = torch.cat([maps[number] for maps in single])
        torch.testing.assert_close(together[number], alone, atol=1e-4, rtol=1e-3)


def test_modes_hooks_and_gradients_are_as_before():
    model = GapLinear()
    model.train()
    model.fc.eval()
    before = {name: module.training for name, module in model.named_modules()}
    with GradCAM(model, [model.conv]) as cam:
        cam(torch.randn(1, 3, 6, 6))
    assert {name: module.training for name, module in model.named_modules()} == before
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_outside_a_with_block_it_says_so():
    model = GapLinear()
    with pytest.raises(RuntimeError, match="with block"):
        GradCAM(model, [model.conv])(torch.randn(1, 3, 6, 6))


def test_randomised_weights_change_the_map():
    model = ResNet18()
    initialise(model, keyed_generator(0))
    images, targets = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    with GradCAM(model, [model.layer3]) as cam:
        before = cam(images, targets)[0]
        nn.init.normal_(model.layer4[1].conv2.weight, 0.0, 0.1)
        nn.init.ones_(model.layer4[1].bn2.weight)
        after = cam(images, targets)[0]
    assert (before - after).abs().max() > 0.05
