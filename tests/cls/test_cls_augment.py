"""Augmentation moves pixels as it says, and every draw is keyed."""

import torch

from onepage.cls import augment
from onepage.training.seeding import keyed_generator


def images(n=6, size=8):
    return torch.arange(n * 3 * size * size, dtype=torch.int64).remainder(251).to(torch.uint8).view(n, 3, size, size)


def test_crops_are_windows_of_the_reflected_image():
    batch = images()
    cropped = augment.random_crop(batch, 2, keyed_generator(0))
    padded = torch.nn.functional.pad(batch.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    for source, got in zip(padded, cropped, strict=True):
        windows = [source[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
        assert any(torch.equal(window, got) for window in windows)
    assert not torch.equal(cropped, batch)


def test_mirror_turns_only_the_chosen():
    batch = images(3)
    mirrored = augment.mirror(batch, torch.tensor([True, False, True]))
    assert torch.equal(mirrored[0], batch[0].flip(2)) and torch.equal(mirrored[1], batch[1])


def test_alternating_flip_shows_each_side_every_other_epoch():
    batch, index = images(), torch.arange(6)
    coins = augment.flip_coins(6, seed=0)
    first, second, third = ((coins[index] ^ (epoch % 2 == 1)) for epoch in range(3))
    assert torch.equal(first, ~second) and torch.equal(first, third)
    assert 0 < first.sum() < 6 or len(batch) == 6


def test_the_same_place_in_training_gives_the_same_batch_and_another_does_not():
    batch, index, coins = images(), torch.tensor([3, 1, 5]), augment.flip_coins(6, 0)
    one, again, later = (augment.augmented_batch(batch, index, coins, "random", 1, 0, 1, u) for u in (7, 7, 8))
    assert torch.equal(one, again) and not torch.equal(one, later)


def test_an_epoch_visits_no_image_twice():
    order = torch.cat(augment.batch_order(103, 10, seed=0, epoch=0))
    assert len(order) == 100 == len(set(order.tolist()))
    assert not torch.equal(order, torch.cat(augment.batch_order(103, 10, seed=0, epoch=1)))


def test_resize_keeps_a_flat_image_flat():
    flat = torch.full((2, 3, 32, 32), 77, dtype=torch.uint8)
    assert torch.equal(augment.resize(flat, 16), torch.full((2, 3, 16, 16), 77, dtype=torch.uint8))


def test_normalise_gives_zero_mean_for_the_mean_colour():
    pixel = torch.tensor([round(255 * m) for m in augment.MEAN], dtype=torch.uint8).view(1, 3, 1, 1)
    assert augment.normalise(pixel.expand(1, 3, 4, 4)).abs().max() < 0.01
