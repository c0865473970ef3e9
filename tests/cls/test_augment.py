"""Augmentation moves pixels as specified, and every random draw is keyed."""

import itertools
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from onepage import tasks
from onepage.cls import augment
from onepage.cls.resnet import ResNet18
from onepage.cls.train import make_optimisers
from onepage.planning.recipes import resolve
from onepage.training.averaging import WeightAverage
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


def test_every_window_is_as_likely():
    image = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(5000, 3, 8, 8)
    corners = augment.random_crop(image, 2, keyed_generator(0))[:, 0, 2, 2]  # never in the padding
    places, counts = corners.unique(return_counts=True)
    assert places.tolist() == [8 * row + column for row in range(5) for column in range(5)]
    assert counts.min() > 140 and counts.max() < 260  # 200 each, standard deviation 14


def test_mirror_turns_only_the_chosen():
    batch = images(3)
    mirrored = augment.mirror(batch, torch.tensor([True, False, True]))
    assert torch.equal(mirrored[0], batch[0].flip(2)) and torch.equal(mirrored[1], batch[1])


def test_alternating_flip_shows_each_side_every_other_epoch():
    batch, index = images(12), torch.tensor([7, 2, 9, 0, 4, 11])
    coins = augment.flip_coins(12, seed=0)
    assert set(coins[index].tolist()) == {True, False}  # some are mirrored in even epochs, some in odd ones
    plain = augment.normalise(batch[index])
    for epoch in range(3):
        shown = augment.augmented_batch(batch, index, coins, "alternating", 0, keyed_generator(0), epoch)
        for image, upright, coin in zip(shown, plain, coins[index].tolist(), strict=True):
            assert torch.equal(image, upright.flip(2) if coin != (epoch % 2 == 1) else upright), epoch


def test_batches_are_keyed_by_place_in_training():
    batch, index, coins = images(), torch.tensor([3, 1, 5]), augment.flip_coins(6, 0)
    one, again, later = (
        augment.augmented_batch(batch, index, coins, "random", 1, keyed_generator(0, "augment", 1, update), 1)
        for update in (7, 7, 8)
    )
    assert torch.equal(one, again) and not torch.equal(one, later)


def test_random_flip_mirrors_half_in_any_epoch():
    batch, coins = images(1).expand(400, 3, 8, 8), augment.flip_coins(400, 0)
    upright = augment.normalise(batch[:1])[0]
    for epoch in (1, 2):
        shown = augment.augmented_batch(batch, torch.arange(400), coins, "random", 0, keyed_generator(epoch), epoch)
        mirrored = [torch.equal(image, upright.flip(2)) for image in shown]
        assert 150 < sum(mirrored) < 250 and all(
            flipped or torch.equal(image, upright) for flipped, image in zip(mirrored, shown, strict=True)
        )
    assert 150 < int(coins.sum()) < 250


def test_an_epoch_visits_no_image_twice():
    order = torch.cat(augment.batch_order(103, 10, seed=0, epoch=0))
    assert len(order) == 100 == len(set(order.tolist()))
    assert not torch.equal(order, torch.cat(augment.batch_order(103, 10, seed=0, epoch=1)))
    sizes = {n: [len(batch) for batch in augment.batch_order(n, 10, 0, 0)] for n in (7, 10, 11, 30)}
    assert sizes == {7: [7], 10: [10], 11: [10], 30: [10, 10, 10]}  # fewer images than one batch form a batch


def test_resize_keeps_a_flat_image_flat():
    flat = torch.full((2, 3, 32, 32), 77, dtype=torch.uint8)
    assert torch.equal(augment.resize(flat, 16), torch.full((2, 3, 16, 16), 77, dtype=torch.uint8))


def test_resize_is_pillows():
    """Both are bilinear, with a wider filter if the image shrinks; rounding may differ by one level."""
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=keyed_generator("resize"))
    for size in (16, 24, 40):
        theirs = [
            np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size, size), Image.Resampling.BILINEAR))
            for image in pixels
        ]
        ours = augment.resize(pixels, size).permute(0, 2, 3, 1).numpy()
        assert ours.dtype == np.uint8 and np.abs(ours.astype(int) - np.stack(theirs).astype(int)).max() <= 1
    assert augment.resize(pixels, 32) is pixels
    many = augment.resize(pixels[:1].expand(5001, 3, 32, 32), 8)
    assert len(many) == 5001 and torch.equal(many[0], many[-1])


def test_normalise_takes_the_published_colours():
    """Mean and standard deviation of CIFAR-10's channels, to the usual four digits."""
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    pixel = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    expected = [(value / 255 - m) / s for value, m, s in zip((0, 128, 255), mean, std, strict=True)]
    found = augment.normalise(pixel)
    torch.testing.assert_close(found, torch.tensor(expected).view(1, 3, 1, 1).expand(2, 3, 4, 4))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert [x.shape for x in augment.colours(torch.device("cpu"))] == [(1, 3, 1, 1)] * 2


def test_square_is_cut_at_the_border_only():
    centres = torch.tensor([[3, 0], [4, 7]])  # (row, column): (3, 4) and (0, 7)
    inside = augment.in_square(8, centres, 4)
    assert inside.shape == (2, 1, 8, 8)
    expected = torch.zeros(2, 8, 8, dtype=torch.bool)
    expected[0, 1:5, 2:6] = True
    expected[1, 0:2, 5:8] = True
    assert torch.equal(inside[:, 0], expected)


def test_cutout_blanks_one_square_of_each_image_alone():
    batch = torch.rand(50, 3, 8, 8) + 1
    cut = augment.cutout(batch, 4, keyed_generator(0))
    blank = (cut == 0).all(dim=1)
    assert torch.equal((cut == 0).any(dim=1), blank)  # all channels together
    assert (blank.sum(dim=(1, 2)) >= 4).all() and (blank.sum(dim=(1, 2)) == 16).any()
    assert blank.any(dim=0).all() and blank.sum(dim=(1, 2)).max() == 16  # the square can reach every pixel
    assert len({tuple(mask.flatten().tolist()) for mask in blank}) > 10  # places differ
    assert torch.equal(cut[~blank[:, None].expand_as(cut)], batch[~blank[:, None].expand_as(cut)])


def test_cutmix_takes_any_area_and_place_as_likely(monkeypatch):
    """Yun et al. 2019, section 3.1: the side is the square root of an area drawn uniformly."""
    drawn, square = [], augment.in_square
    monkeypatch.setattr(augment, "in_square", lambda *given: (drawn.append(given), square(*given))[1])
    for number in range(1500):
        augment.cutmix(torch.zeros(2, 3, 8, 8), torch.arange(2), keyed_generator(number))
    sides = torch.tensor([side for _, _, side in drawn])
    shares = [(sides == side).float().mean().item() for side in range(9)]
    edges = [0.0, *(((2 * side + 1) / 16) ** 2 for side in range(8)), 1.0]  # side 4: from (3.5 / 8)^2 to (4.5 / 8)^2
    assert shares == pytest.approx([after - before for before, after in itertools.pairwise(edges)], abs=0.05)
    centres = torch.cat([centre for _, centre, _ in drawn], dim=1)
    assert centres.shape == (2, 1500)
    for axis in centres:
        assert axis.bincount(minlength=8).float().div(1500).tolist() == pytest.approx([1 / 8] * 8, abs=0.04)


def test_cutmix_pastes_the_partner_and_tells_shares():
    batch = torch.arange(1.0, 21).view(20, 1, 1, 1).expand(20, 3, 8, 8).contiguous()
    labels = torch.arange(20)
    shares = []
    for draw in range(40):
        mixed, others, own = augment.cutmix(batch, labels, keyed_generator(draw))
        assert sorted(others.tolist()) == labels.tolist()
        kept = mixed == batch
        assert torch.equal(mixed[~kept], batch[others][~kept])
        moved = others != labels  # an image may be its own partner
        assert kept[moved].float().mean().item() == pytest.approx(own, abs=1e-6)
        shares.append(own)
    assert min(shares) < 0.5 and max(shares) > 0.9


def test_lengths_go_with_the_image_size():
    assert [augment.scaled(2, size) for size in (8, 16, 24, 32)] == [1, 1, 2, 2]
    assert augment.scaled(0, 16) == 0 and augment.scaled(8, 24) == 6 and augment.scaled(1, 48) == 2


@pytest.mark.parametrize(
    "profile", ["full", *(pytest.param(name, marks=pytest.mark.slow) for name in ("quick", "long"))]
)
def test_everything_stays_on_its_device(profile: str) -> None:
    """Tensors on "meta" have no values; like tensors on a GPU, they cannot be combined with tensors on the CPU."""
    recipe, device = resolve(tasks.get("cls"), profile, hardware="cuda", generated=False)[0], torch.device("meta")
    pixels, labels = torch.empty(64, 3, 32, 32, dtype=torch.uint8, device=device), torch.empty(64, device=device).long()
    draws, index = keyed_generator(0), torch.arange(16)
    images, coins = augment.resize(pixels, recipe.stages[0].image_size), augment.flip_coins(64, 0)
    batch = augment.augmented_batch(images, index, coins, recipe.flip, recipe.crop_padding, draws, 1)
    batch = augment.cutout(batch, recipe.cutout or 8, draws)
    batch, others, own = augment.cutmix(batch, labels[:16], draws)
    model = ResNet18().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisers, average = make_optimisers(model, recipe, "bf16"), WeightAverage(model, recipe.average_decay)
    loss = own * torch.nn.functional.cross_entropy(model(batch), others, label_smoothing=recipe.label_smoothing)
    loss.backward()
    for optimiser in optimisers:
        optimiser.step()
    average.update(model, 1)
    assert {tensor.device for tensor in (batch, others, loss, *model.state_dict().values())} == {device}
    assert {tensor.device for tensor in average.state_dict().values() if tensor.ndim} == {device}


def test_transfer_to_a_gpu_does_not_wait() -> None:
    drawn = Mock()
    moved = augment.moved(drawn, torch.device("cuda"))
    drawn.pin_memory.return_value.to.assert_called_once_with(torch.device("cuda"), non_blocking=True)
    assert moved is drawn.pin_memory.return_value.to.return_value


@pytest.mark.parametrize("how", ["cutout", "cutmix"])
def test_changed_images_stay_channels_last(how):
    batch = torch.randn(6, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    before = batch.clone()
    draws = keyed_generator(0)
    changed = augment.cutout(batch, 4, draws) if how == "cutout" else augment.cutmix(batch, torch.arange(6), draws)[0]
    assert changed.is_contiguous(memory_format=torch.channels_last) and not changed.is_contiguous()
    assert torch.equal(batch, before) and not torch.equal(changed, before)
