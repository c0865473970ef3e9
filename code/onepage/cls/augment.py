"""Batches of augmented images from one tensor, with every random draw keyed by (seed, epoch, step).

Reflect-pad, random crop and mirroring (He et al. 2015, section 4.2), or the alternating flip of Jordan 2024 ("94% on
CIFAR-10 in 3.29 seconds", section 3.6); Cutout (DeVries & Taylor 2017) and CutMix (Yun et al. 2019) for long trainings.
Everything works on whole batches, on the images' device; no DataLoader, no workers.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from onepage.training.device import moved
from onepage.training.seeding import keyed_generator

# Mean and standard deviation of the CIFAR-10 training images by channel, in [0, 1].
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


@functools.cache
def colours(device: torch.device) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) of the channels of uint8 images, float32 (1, 3, 1, 1) each."""
    with torch.inference_mode(False):  # cached, and also used where gradients are needed
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
    return mean, std


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
    """uint8 (B, 3, H, W) -> float32 (B, 3, H, W) of zero mean and unit variance per channel, channels last."""
    mean, std = colours(images.device)
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def scaled(at_32: int, size: int) -> int:
    """A length of ``at_32`` pixels in images of 32 pixels, scaled to ``size``, in pixels; at least 1, or 0 for 0."""
    return max(1, round(at_32 * size / 32)) if at_32 else 0


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Images, uint8 (B, 3, H, W), each moved by up to ``padding`` pixels each way; reflection fills the border."""
    batch, _, height, width = images.shape
    padded = F.pad(images.float(), (padding,) * 4, mode="reflect").to(images.dtype)
    offsets = moved(torch.randint(0, 2 * padding + 1, (2, batch), generator=generator), images.device)
    rows = offsets[0][:, None] + torch.arange(height, device=images.device)  # (B, H)
    columns = offsets[1][:, None] + torch.arange(width, device=images.device)  # (B, W)
    first = torch.arange(batch, device=images.device)[:, None, None]
    # indexing around the channel axis puts it last: (B, H, W, 3)
    return padded[first, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirror(images: Tensor, which: Tensor) -> Tensor:
    """Mirror, left to right, the images of (B, 3, H, W) that the bool vector ``which`` (B,), on the CPU, selects."""
    return torch.where(moved(which, images.device)[:, None, None, None], images.flip(3), images)


def flip_coins(n: int, seed: int) -> Tensor:
    """Bool (n,), one per training image: the epoch parity in which "alternating" mirrors it."""
    return torch.randint(0, 2, (n,), generator=keyed_generator(seed, "flip")).bool()


def batch_order(n: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """The batches of one epoch as index tensors; an incomplete last batch is left out."""
    order = torch.randperm(n, generator=keyed_generator(seed, "order", epoch))
    return list(order[: n - n % batch_size].split(batch_size)) if n >= batch_size else [order]


def in_square(size: int, centres: Tensor, side: int) -> Tensor:
    """Pixels inside a square of ``side`` pixels around ``centres`` (2, B; rows, columns): bool (B, 1, size, size)."""
    place = torch.arange(size, device=centres.device)
    first = centres - side // 2  # (2, B)
    inside = (place >= first[..., None]) & (place < (first + side)[..., None])  # (2, B, size)
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set a square of ``side`` pixels around a random pixel of each normalised image (B, 3, H, H) to the mean, zero."""
    batch, _, size, _ = images.shape
    centres = moved(torch.randint(0, size, (2, batch), generator=generator), images.device)
    return images.clone().masked_fill_(in_square(size, centres, side), 0.0)  # masked_fill would lose channels last


def cutmix(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """Paste one rectangle of each image's partner into it (Yun et al. 2019, section 3.1, alpha 1: any area as likely).

    Takes normalised images (B, 3, H, H) and labels (B,). The partners are the batch in another order; one rectangle
    serves all. Returns the mixed images, the partners' labels (B,), and the share of each image that is its own.
    """
    batch, _, size, _ = images.shape
    partner = moved(torch.randperm(batch, generator=generator), images.device)
    area = torch.rand((), generator=generator)
    side = int((size * area.sqrt()).round())
    centre = torch.randint(0, size, (2, 1), generator=generator)
    inside = in_square(size, centre, side)  # (1, 1, H, H), on the CPU, because its area is needed there
    mixed = torch.where(moved(inside, images.device), images[partner], images)
    return mixed, labels[partner], 1.0 - inside.float().mean().item()


def augmented_batch(
    images: Tensor, index: Tensor, coins: Tensor, flip: str, padding: int, generator: torch.Generator, epoch: int
) -> Tensor:
    """The normalised float32 batch (B, 3, H, W) of ``images[index]``, cropped and mirrored; ``index`` is on the CPU.

    ``flip``: "random", or "alternating" by ``coins`` from ``flip_coins``. ``padding``: in pixels of these images.
    """
    batch = random_crop(images[moved(index, images.device)], padding, generator)
    if flip == "random":
        which = torch.randint(0, 2, (len(index),), generator=generator).bool()
    else:
        which = coins[index] ^ (epoch % 2 == 1)
    return normalise(mirror(batch, which))
