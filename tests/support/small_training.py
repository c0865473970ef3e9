"""Recipes, images and sentences so small that a training of them takes a moment, for the tests of what surrounds it."""

import numpy as np

from onepage.cls.recipe import Recipe as ClsRecipe
from onepage.cls.recipe import Stage
from onepage.data.images import ImageSet
from onepage.data.translation import TranslationSet
from onepage.mt.recipe import Recipe as MtRecipe

CLS = ClsRecipe(
    stages=(Stage(1.0, 8), Stage(1.0, 12)),
    batch_size=32,
    optimiser="muon",
    learning_rate=0.1,
    momentum=0.7,
    weight_decay=1e-4,
    validations=2,
    validation_size=16,
    threads=1,
)
MT = MtRecipe(
    updates=8,
    batch_tokens=120,
    learning_rate=1e-3,
    vocabulary=80,
    validations=2,
    d_model=16,
    d_ff=32,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    dropout=0.2,
    threads=1,
)


def image_set() -> ImageSet:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (80, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(80) % 10
    return ImageSet("toy-images", True, "d" * 64, tuple("abcdefghij"), pixels, labels, pixels[:8], labels[:8])


def sentences() -> TranslationSet:
    source = [f"the {a} dog sees {b} cats ." for a in ("big", "small", "red") for b in range(20)]
    target = [f"der {a} Hund sieht {b} Katzen ." for a in ("große", "kleine", "rote") for b in range(20)]
    splits = {"train": (source, target), "val": (source[:9], target[:9]), "test": (source[9:], target[9:])}
    return TranslationSet("toy-translation", True, "d" * 64, "en", "de", splits, ("test",), "test", {})
