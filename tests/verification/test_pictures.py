"""Pictures in a reference result: their colours, and the text or error if one is missing or damaged."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onepage.errors import UserError
from onepage.verification import pictures


def test_kept_picture_keeps_its_rare_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = np.repeat(rng.integers(0, 256, (100, 100, 1), dtype=np.uint8), 3, axis=2)  # a grey photograph
    pixels[50, 10:20] = (150, 67, 82)  # with a short red line, as in a label
    Image.fromarray(pixels).save(tmp_path / "a.png", dpi=(pictures.DPI, pictures.DPI))
    pictures.reduce(tmp_path / "a.png", tmp_path / "kept.png")
    with Image.open(tmp_path / "kept.png") as kept:
        found = np.asarray(kept.convert("RGB")).astype(int)
    assert np.abs(found - pixels).max() < 20


def test_missing_picture_gives_its_text_damaged_its_name(tmp_path: Path) -> None:
    text = pictures.keep('<img src="a.png" alt="a curve" width="9"> and more', tmp_path / "report", tmp_path / "kept")
    assert text == "Picture, left out here: a curve and more" and not (tmp_path / "kept").exists()
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a\.png is damaged"):
        pictures.keep('<img src="a.png" alt="a curve" width="9">', tmp_path, tmp_path / "kept")
