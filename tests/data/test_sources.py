"""The table of data sets, and loading any set by name."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from onepage import tasks
from onepage.data import fetch, images, load, sources, toy_images, toy_translation
from onepage.data.images import load_images
from onepage.data.translation import load_translation
from onepage.errors import UserError


def test_published_tables_are_whole():
    """Every file of every pair has its size and digest, and every download its addresses."""
    assert len(sources.CIFAR10_MEMBERS) == 7 and set(images.TRAIN_BATCHES) < set(sources.CIFAR10_MEMBERS)
    languages = sources.LANGUAGES
    plans = [sources.get("cifar10")]
    plans += [sources.get("multi30k", src, tgt) for src in languages for tgt in languages if src != tgt]
    for plan in plans:
        assert all(len(member.sha256) == 64 and member.size > 100 for member in plan.members)
        for item in plan.downloads:
            assert len(item.urls) >= 3 and all(url.startswith("https://") for url in item.urls)
            assert len({url.split("/")[2] for url in item.urls}) == len(item.urls)
    assert plans[0].downloads[0].urls[-1].startswith("https://www.cs.toronto.edu/")  # slow, so last
    assert len(plans[1].downloads) == 13 and plans[1].downloads[-1].kind == "plain"


def test_every_task_names_sets_of_the_table():
    for task in tasks.every():
        real = sources.get(task.real_set)
        assert real.downloads and real.stand_in == task.generated_set and tuple(real.options) == tuple(task.options)
        assert sources.get(real.stand_in).generator and tuple(sources.get(real.stand_in).options) == tuple(task.options)


@pytest.mark.usefixtures("small_toys")
def test_generated_sets_load(tmp_path):
    for name in ("cifar10", "multi30k"):
        fetch.ensure(name, tmp_path, "generated")
    loaded = load(tmp_path, "toy-images")
    assert loaded.generated and loaded.class_names == toy_images.CLASS_NAMES
    assert loaded.train_images.shape == (50, 3, 32, 32) and loaded.test_images.shape == (20, 3, 32, 32)
    assert loaded.train_labels.dtype == np.int64 and np.bincount(loaded.train_labels).tolist() == [5] * 10
    pairs = load(tmp_path, "toy-translation", "fr", "en")  # it has one direction, whatever the request
    assert (pairs.src, pairs.tgt, pairs.headline, pairs.tests) == ("en", "de", "test", ("test",))
    assert {split: len(lines) for split, (lines, _) in pairs.splits.items()} == toy_translation.SIZES
    assert pairs.generated and pairs.tok_references == {}


def test_real_sets_load_by_name(cifar, multi30k):
    assert load(cifar, "cifar10").digest == load_images(cifar, "cifar10").digest
    assert load(multi30k, "multi30k") == load_translation(multi30k, "multi30k", "en", "de")
    with pytest.raises(UserError, match=r"ready-de-fr\.json"):
        load(multi30k, "multi30k", "de", "fr")


@pytest.mark.fault("a set or file that is missing", "`... is missing or incomplete (no ...); run: make data`")
def test_missing_sets_and_files(tmp_path, cifar):
    for name in sources.SETS:
        with pytest.raises(UserError, match="run: make data"):
            load(tmp_path / "nowhere", name)
    (cifar / "cifar10/data_batch_5").unlink()
    with pytest.raises(UserError, match=r"data_batch_5 is missing; run: make data"):
        load(cifar, "cifar10")
    with pytest.raises(UserError, match="choose"):
        load(cifar, "mnist")
    for function, arguments in ((load_images, ("multi30k",)), (load_translation, ("cifar10", "en", "de"))):
        with pytest.raises(UserError, match="choose"):
            function(cifar, *arguments)


@pytest.mark.slow  # 190 MB
def test_real_sets_from_the_mirror(tmp_path):
    mirror = os.environ.get("DATA_MIRROR", "")
    if not mirror or not Path(mirror).is_dir():
        pytest.skip("DATA_MIRROR names no folder")
    try:
        assert fetch.ensure("cifar10", tmp_path, "real", mirror) == "cifar10"
        loaded = load_images(tmp_path, "cifar10")
        assert loaded.train_images.shape == (50_000, 3, 32, 32) and loaded.test_images.shape == (10_000, 3, 32, 32)
        assert np.bincount(loaded.train_labels).tolist() == [5_000] * 10
        assert np.bincount(loaded.test_labels).tolist() == [1_000] * 10
        assert loaded.class_names[3] == "cat"
        for src, tgt in (("en", "de"), ("de", "fr"), ("fr", "en")):
            assert fetch.ensure("multi30k", tmp_path, "real", mirror, src, tgt) == "multi30k"
            pairs = load_translation(tmp_path, "multi30k", src, tgt)
            assert [len(lines) for lines, _ in pairs.splits.values()] == [29_000, 1_014, 1_000, 1_000, 461]
            assert [len(lines) for lines in pairs.tok_references.values()] == [1_000, 1_000, 461]
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)  # 190 MB that pytest would keep
