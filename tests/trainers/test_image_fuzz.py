"""Mutated image folders: each is read, or is one line that says what to mend, soon and without a hang."""

from __future__ import annotations

import io
import os
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.datasets import image_folder
from trainers.datasets.base import MissingDataError, listing_of

MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "I", "F", "YCbCr", "HSV")
ENDINGS = ("png", "jpg", "jpeg", "bmp", "webp", "tif", "tiff", "PNG", "gif", "txt", "")
NAMES = (b"a", b"caf\xe9", "é".encode(), "é".encode(), b".hidden", b" ", b"a b", b"-", b"~", b"x" * 200)
MOST_SECONDS = 5.0  # of one folder of a few dozen small files


def picture(rng: random.Random, *, calm: bool) -> bytes:
    """An image file, often damaged unless all is `calm`."""
    mode = rng.choice(("RGB", "RGBA", "L", "P") if calm else MODES)
    side = rng.choice(((8, 8), (1, 1), (3, 17), (40, 40), (1, 300)))
    values = np.random.default_rng(rng.random().as_integer_ratio()[0] % 2**32)
    flat = mode in ("I;16", "I", "F")
    shape = side if flat or mode in ("L", "P", "1") else (*side, {"RGBA": 4, "CMYK": 4, "LA": 2}.get(mode, 3))
    kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}.get(mode, np.uint8)
    pixels = values.integers(0, 255, shape).astype(kind)
    content = io.BytesIO()
    try:
        image = Image.fromarray(pixels) if flat else Image.fromarray(pixels).convert(mode)
        image.save(content, format=rng.choice(("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")))
    except (OSError, ValueError, KeyError, TypeError):  # Pillow writes not every mode in every format
        Image.fromarray(values.integers(0, 255, (8, 8, 3)).astype(np.uint8)).save(content, format="PNG")
    found = bytearray(content.getvalue())
    if calm:
        return bytes(found)
    for _ in range(rng.choice((0, 0, 0, 1, 5))):
        found[rng.randrange(len(found))] = rng.randrange(256)
    if rng.random() < 0.1:
        del found[rng.randrange(len(found)) :]
    return bytes(found)


def fill(rng: random.Random, folder: Path) -> None:
    """What a person may have: classes, splits, and anything else in between."""
    calm = rng.random() < 0.5  # else hardly a folder could be read
    splits = rng.choice((("train", "test"),) * 8 + (("train",), ("Train", "test"), ()))
    for split in ("train", "test") if calm else splits:
        classes = rng.choice(((b"a", b"b"),) * 6 + ((b"a",), (b"a", rng.choice(NAMES)), ()))
        for name in (b"a", b"b") if calm else classes:
            place = os.path.join(os.fsencode(folder), split.encode(), name)
            os.makedirs(place, exist_ok=True)
            for number in range(3 if calm else rng.choice((0, 1, 3, 3, 5))):
                ending = "png" if calm else rng.choice(("png",) * 6 + ENDINGS)
                path = os.path.join(place, b"%d.%s" % (number, ending.encode()))
                if os.path.lexists(path):  # a class of that name was made before: it may be a pipe
                    continue
                with open(path, "wb") as file:
                    file.write(picture(rng, calm=calm))
                odd = rng.random() + calm
                if odd < 0.03:
                    os.remove(path)
                    os.mkfifo(path)
                elif odd < 0.06:
                    os.remove(path)
                    os.symlink(path, path)
                elif odd < 0.08:
                    os.remove(path)
                    os.mkdir(path)
                elif odd < 0.1:
                    os.rename(path, os.path.join(place, rng.choice(NAMES) + b".png"))
    if rng.random() < 0.1:
        (folder / "train").mkdir(exist_ok=True)
        (folder / "train" / "notes.txt").write_text("mine")


def read(seed: int, folder: Path) -> str:
    """What became of a folder; anything but images or one line fails the test."""
    rng = random.Random(seed)
    folder.mkdir()
    fill(rng, folder)
    number = rng.choice((None, None, 1, 2, 100))
    config = image_folder.Config(label="mine", root=folder, size=8, train=number, test=number)
    began = time.process_time()
    listing_of(config, None)
    try:
        images = image_folder.load(config, root=None, download=False)
    except MissingDataError as error:
        text = str(error)
        assert "\n" not in text and text.startswith("image_folder 'mine': ") and ";" in text, (seed, text)
        return "refused"
    finally:
        assert time.process_time() - began < MOST_SECONDS, seed
    assert images.train.shape[1:] == (3, 8, 8) and images.train.dtype.is_floating_point is False, seed
    assert len(images.train) == len(images.train_labels) and len(images.test) == len(images.test_labels), seed
    return "read"


@pytest.mark.parametrize("block", range(3))
def test_a_mutated_folder_is_read_or_one_line(block: int, tmp_path: Path) -> None:
    counts = Counter(read(10 * block + number, tmp_path / str(number)) for number in range(10))
    assert counts.total() == 10


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_many_mutated_folders_are_read_or_one_line(block: int, tmp_path: Path) -> None:
    counts = Counter(read(1000 + 250 * block + number, tmp_path / str(number)) for number in range(250))
    print(dict(counts))
    assert min(counts["read"], counts["refused"]) > 10  # both are tried
