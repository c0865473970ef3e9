"""A user's images as the model reads them: any size, any mode, any orientation."""

import numpy as np
import pytest
from PIL import Image

from classify_cases import photo, saved
from onepage.cls import pictures


def test_the_square_in_the_middle_is_read(tmp_path):
    for size in ((90, 60), (60, 90)):
        image = Image.new("RGB", size, "red")
        middle = photo(60, 60)
        image.paste(middle, ((size[0] - 60) // 2, (size[1] - 60) // 2))
        assert np.array_equal(pictures.read(saved(image, tmp_path / "a.png")), middle)


def test_reducing_is_antialiased():
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the 32 output pixels, so the result must be grey
    assert np.abs(pictures.reduce(Image.fromarray(stripes)).astype(int) - 127).max() <= 8
    small = np.asarray(photo(32, 32))
    assert np.array_equal(pictures.reduce(Image.fromarray(small)), small.transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(tmp_path, orientation):
    upright = photo(48, 48)
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90"}
    back |= {7: "TRANSVERSE", 8: "ROTATE_270"}  # the inverse of the EXIF orientation
    stored = upright.transpose(Image.Transpose[back[orientation]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(pictures.read(saved(stored, tmp_path / "a.png", exif=exif)), upright)


def test_what_is_transparent_is_white(tmp_path):
    image = photo(40, 40)
    clear = image.copy()
    mask = Image.new("L", (40, 40), 255)
    mask.paste(0, (0, 0, 20, 40))
    clear.putalpha(mask)
    on_white = image.copy()
    on_white.paste("white", (0, 0, 20, 40))
    assert np.array_equal(pictures.read(saved(clear, tmp_path / "rgba.png")), on_white)
    grey = Image.merge("LA", (image.convert("L"), mask))
    expected = np.where(np.asarray(mask)[..., None] > 0, np.asarray(image.convert("L"))[..., None], 255)
    assert np.array_equal(pictures.read(saved(grey, tmp_path / "la.png")), np.broadcast_to(expected, (40, 40, 3)))
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.putpixel((1, 1), 1)
    read = np.asarray(pictures.read(saved(palette, tmp_path / "p.png", transparency=0)))
    assert read[0, 0].tolist() == [255, 255, 255] and read[1, 1].tolist() == [200, 0, 0]


def test_a_transparent_level_of_sixteen_bits_is_white(tmp_path):
    deep = np.full((4, 4), 1000, np.uint16)
    deep[0, 0] = 7
    read = np.asarray(pictures.read(saved(Image.fromarray(deep), tmp_path / "a.png", transparency=7)))
    assert read[0, 0].tolist() == [255, 255, 255] and read[3, 3].tolist() == [4, 4, 4]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_one_pixel_is_a_picture(tmp_path, size):
    read = pictures.read(saved(Image.new("RGB", size, "teal"), tmp_path / "a.png"))
    assert read.size == (1, 1) and pictures.reduce(read)[:, 5, 5].tolist() == [0, 128, 128]


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.tiff"])
def test_the_first_of_many_frames_is_read(tmp_path, name):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if name == "a.webp" else {}
    read = pictures.read(saved(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], **options))
    assert np.array_equal(read, frames[0])


@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("L", "a.png", {}),
        ("1", "a.png", {}),
        ("P", "a.gif", {}),
        ("RGB", "a.bmp", {}),
        ("RGB", "a.webp", {"lossless": True}),
        ("CMYK", "a.tiff", {}),
        ("RGB", "a.tiff", {"compression": "tiff_lzw"}),
    ],
)
def test_modes_and_formats_are_read_as_rgb(tmp_path, mode, name, options):
    image = photo(50, 50).convert(mode)
    read = pictures.read(saved(image, tmp_path / name, **options))
    assert read.mode == "RGB" and np.array_equal(read, image.convert("RGB"))


def test_a_jpeg_of_four_inks_is_read(tmp_path):
    image = photo(64, 64)
    read = pictures.read(saved(image.convert("CMYK"), tmp_path / "a.jpg", quality=95))
    assert np.abs(np.asarray(read, float) - np.asarray(image, float)).mean() < 6


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
def test_sixteen_bits_are_read_as_eight(tmp_path, name):
    grey = np.asarray(photo(30, 30).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    read = np.asarray(pictures.read(saved(deep, tmp_path / name)))
    assert np.array_equal(read, np.repeat(grey[..., None], 3, axis=2))
