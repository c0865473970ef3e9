"""Batches of augmented images from one tensor, with every random draw keyed by (seed, epoch, step).

The usual CIFAR augmentation (He et al. 2015, section 4.2): reflect-pad, crop at random, mirror; the alternating flip of
Jordan 2024 ("94% on CIFAR-10 in 3.29 seconds", section 3.6) mirrors each image every other epoch instead of by a coin.
All on whole batches, on the device where the images lie; no DataLoader, no workers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from onepage.training.seeding import keyed_generator

# Mean and standard deviation of the CIFAR-10 training images by channel, in [0, 1].
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 (N, 3, H, H) -> uint8 (N, 3, size, size), antialiased bilinear; unchanged when H == size."""
    if images.shape[-1] == size:
        return images
    parts = [
        F.interpolate(part.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        for part in images.split(5000)
    ]
    return torch.cat([part.round_().clamp_(0, 255).to(torch.uint8) for part in parts])


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 (B, 3, H, W) of zero mean and unit variance a channel, channels last."""
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(STD, device=images.device).view(1, 3, 1, 1) * 255
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def padding_for(size: int, at_32: int) -> int:
    """Pixels of padding at this image size, in proportion to ``at_32`` at 32 pixels; at least 1 unless that is 0."""
    return max(1, round(at_32 * size / 32)) if at_32 else 0


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Each image of uint8 (B, 3, H, W) moved by up to ``padding`` pixels each way, the rim filled by reflection."""
    batch, _, height, width = images.shape
    padded = F.pad(images.float(), (padding,) * 4, mode="reflect").to(images.dtype)
    offsets = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator).to(images.device)
    rows = offsets[0][:, None] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1][:, None] + torch.arange(width, device=images.device)  # (B, W)
    first = torch.arange(batch, device=images.device)[:, None, None]
    # indexing around the channel axis puts it last: (B, H, W, 3)
    return padded[first, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirror(images: Tensor, which: Tensor) -> Tensor:
    """Mirror left to right the images of (B, 3, H, W) where the bool vector ``which`` (B,) is true."""
    return torch.where(which.to(images.device)[:, None, None, None], images.flip(3), images)


def flip_coins(n: int, seed: int) -> Tensor:
    """A coin for each of ``n`` training images, bool (n,): in which parity of epoch "alternating" mirrors it."""
    return torch.randint(0, 2, (n,), generator=keyed_generator(seed, "flip")).bool()


def batch_order(n: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The batches of one epoch as index tensors; the remainder short of a batch is left out of this epoch."""
    order = torch.randperm(n, generator=keyed_generator(seed, "order", epoch))
    return list(order[: n - n % batch_size].split(batch_size)) if n >= batch_size else [order]


def augmented_batch(
    images: Tensor, index: Tensor, coins: Tensor, flip: str, padding: int, seed: int, epoch: int, update: int
) -> Tensor:
    """The normalised, augmented float32 batch (B, 3, H, W) of ``images[index]`` for this place in training.

    ``flip`` is "random" (a coin each time) or "alternating" (every other epoch, by ``coins`` from ``flip_coins``);
    ``padding`` is in pixels of these images.
    """
    generator = keyed_generator(seed, "augment", epoch, update)
    batch = random_crop(images[index.to(images.device)], padding, generator)
    if flip == "random":
        which = torch.randint(0, 2, (len(index),), generator=generator).bool()
    else:
        which = coins[index] ^ (epoch % 2 == 1)
    return normalise(mirror(batch, which))
