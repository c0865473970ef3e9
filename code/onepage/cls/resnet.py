"""ResNet-18 in its CIFAR form, from Conv2d, BatchNorm2d, ReLU and Linear alone.

He et al., "Deep Residual Learning for Image Recognition" (2015): basic block of figure 5 (left), option B (1x1
projection) of section 3.3 where shape changes, and the CIFAR stem of section 4.2 (one 3x3 convolution, no max-pool).
Widths 64, 128, 256, 512 with two blocks per stage, as in the 18-layer column of table 1. Left out: dropout, bottleneck
blocks and pre-trained weights. The parameter names are torchvision's, so weights can move between the two.
"""

import torch
from torch import Tensor, nn

from onepage.cls.convolution import Conv2d
from onepage.training.weights import count_parameters

PARAMETERS = 11_173_962  # ten classes; asserted when the model is built


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added back: y = relu(F(x) + shortcut(x)).

    Where stride or width change, the shortcut is a 1x1 convolution with BatchNorm, so that both sides have one shape.
    ``shortcut=False`` leaves the addition out (a plain network), for the ablation only.
    """

    def __init__(self, width_in: int, width: int, stride: int, shortcut: bool = True):
        super().__init__()
        self.conv1 = Conv2d(width_in, width, kernel_size=3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = Conv2d(width, width, kernel_size=3, stride=1, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = shortcut
        self.downsample: nn.Sequential | None = None
        if shortcut and (stride != 1 or width_in != width):
            self.downsample = nn.Sequential(
                nn.Conv2d(width_in, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:  # (B, width_in, H, W) -> (B, width, H/stride, W/stride)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut:
            out = out + (x if self.downsample is None else self.downsample(x))
        return self.relu(out)


class ResNet18(nn.Module):
    """(B, 3, H, W) normalised images -> (B, classes) logits; H and W multiples of 8, 32 for CIFAR-10."""

    def __init__(self, classes: int = 10, shortcut: bool = True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._stage(64, 64, 1, shortcut)  # (B,  64, H,   W)
        self.layer2 = self._stage(64, 128, 2, shortcut)  # (B, 128, H/2, W/2)
        self.layer3 = self._stage(128, 256, 2, shortcut)  # (B, 256, H/4, W/4)
        self.layer4 = self._stage(256, 512, 2, shortcut)  # (B, 512, H/8, W/8)
        self.fc = nn.Linear(512, classes)
        if classes == 10 and shortcut:
            assert count_parameters(self) == PARAMETERS

    @staticmethod
    def _stage(width_in: int, width: int, stride: int, shortcut: bool) -> nn.Sequential:
        return nn.Sequential(BasicBlock(width_in, width, stride, shortcut), BasicBlock(width, width, 1, shortcut))

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = x.mean(dim=(2, 3))  # global average pooling: (B, 512)
        return self.fc(x)


def initialise(model: ResNet18, generator: torch.Generator) -> None:
    """He normal (fan out) for convolutions (He et al. 2015b, equation 14), BatchNorm at identity, small linear layer.

    The last BatchNorm of a block does not start at zero (Goyal et al. 2017, section 5.1): in trainings of a few epochs
    that cost 3 to 4 points. Draws from ``generator`` in the order of ``model.modules()``.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            module.weight.data.normal_(0.0, (2.0 / fan_out) ** 0.5, generator=generator)
        elif isinstance(module, nn.Linear):
            module.weight.data.normal_(0.0, module.in_features**-0.5, generator=generator)
            module.bias.data.zero_()


@torch.no_grad()
def whiten_stem(model: ResNet18, images: Tensor) -> None:
    """Set the first convolution to whitening filters of ``images`` (N, 3, H, W; normalised) and freeze it.

    The filters are the 27 eigenvectors of the covariance of 3x3 patches, and their negatives, so that after BatchNorm
    the first features are uncorrelated, of unit variance, and complete in spite of ReLU (Jordan 2024, "94% on CIFAR-10
    in 3.29 seconds", section 3.2). The remaining ten channels keep their random directions, with the same norm.
    """
    patches = images.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 27).double()
    covariance = patches.T @ patches / len(patches)
    vectors = torch.linalg.eigh(covariance.cpu()).eigenvectors.T.flip(0)  # rows, largest variance first
    directions = vectors.to(model.conv1.weight).reshape(27, 3, 3, 3)
    weight = model.conv1.weight
    weight /= weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    weight[:54] = torch.cat([directions, -directions])
    weight.requires_grad_(False)
