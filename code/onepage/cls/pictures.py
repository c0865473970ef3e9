"""Image files as input of ResNet-18: square, 32x32, RGB.

A picture of any size and mode is rotated by its EXIF data, cropped to its central square, placed on white if it is
transparent, and reduced from 16 bits to 8. Only formats that Pillow decodes itself are opened (EPS would start
Ghostscript), with at most ``MOST_PIXELS`` pixels. Colour profiles are not applied.
"""

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from onepage.errors import UserError

SIDE = 32  # pixels: CIFAR-10's
# Keeps the picture about as sharp as those of CIFAR-10. On 1,000 validation images, enlarged to 240x240 (bicubic) and
# reduced again, the accuracy of a quick run is 90.1 % with this filter, 88.2 % with bilinear, and 90.6 % unchanged.
FILTER = Image.Resampling.LANCZOS
MOST_PIXELS = 89_478_485  # a quarter of a GiB of RGB; above it Pillow itself warns of a decompression bomb
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")


def read(path: Path) -> Image.Image:
    """The central square of the picture in ``path``, RGB, at its own size; the first of several frames.

    Raises UserError, without the file's name, if it is missing, not a file, not a picture, truncated or too large.
    """
    Image.init()
    with warnings.catch_warnings(), _decoders_silent():
        warnings.simplefilter("ignore")  # about metadata; an unreadable picture raises
        try:
            if path.exists() and not path.is_file():  # a pipe would block, a device would never end
                raise UserError("is a folder, not a picture" if path.is_dir() else "is not a regular file")
            with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                image.load()
                return _rgb(_square(_turned(image)))
        except UserError:
            raise
        except Image.DecompressionBombError:
            raise UserError(f"has more than {MOST_PIXELS:,} pixels; make it smaller") from None
        except UnidentifiedImageError:
            raise UserError("is not a readable picture; save it as PNG, JPEG, WebP, TIFF, GIF or BMP") from None
        except MemoryError:
            raise UserError("needs more memory than there is; make it smaller") from None
        except Exception as error:  # damaged files raise many kinds
            if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise UserError("is missing") from None
            if isinstance(error, OSError) and error.errno:
                raise UserError(f"cannot be read ({os.strerror(error.errno)})") from None
            raise UserError(f"is damaged or cut off ({str(error) or type(error).__name__:.80})") from None


@contextlib.contextmanager
def _decoders_silent() -> Iterator[None]:
    """Keep libtiff, which writes to file descriptor 2, from adding lines to our one message."""
    try:
        kept = os.dup(2)
    except OSError:  # closed: no messages are shown
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def reduce(image: Image.Image) -> np.ndarray:
    """A square RGB picture as uint8 (3, 32, 32), antialiased (Lanczos); a smaller picture is enlarged."""
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), FILTER)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _turned(image: Image.Image) -> Image.Image:
    """Upright by its EXIF data; as stored if they are damaged."""
    with contextlib.suppress(Exception):  # EXIF data can be damaged in many ways
        return ImageOps.exif_transpose(image)
    return image


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB, on white where transparent."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise UserError("has 32 bits per pixel and no defined white level; save it with 8 or 16 bits")
        values = np.where(values == image.info.get("transparency"), 65535, values)
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")  # 65535 / 255
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")
