"""Laws of the listing of data sets that torchvision knows: other files under one name are told."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest

from tests.trainers.test_named_data import idx, pictures
from trainers.datasets import torchvision as named


def eurosat(root: Path) -> named.Config:
    for label in ("Forest", "River"):
        pictures(root / "eurosat" / "2750" / label, 3)
    return named.Config.model_validate({"dataset": "EuroSAT", "hold_out": {"share": 0.5}})


def mnist(root: Path) -> named.Config:
    for split in ("train", "t10k"):
        idx(root / "MNIST" / "raw" / f"{split}-images-idx3-ubyte", np.zeros((20, 28, 28)))
        idx(root / "MNIST" / "raw" / f"{split}-labels-idx1-ubyte", np.arange(20) % 10)
    return named.Config.model_validate({"dataset": "MNIST"})


def usps(root: Path) -> named.Config:
    row = " ".join(["1", *(f"{pixel + 1}:-1" for pixel in range(256))]) + "\n"
    for file in ("usps.bz2", "usps.t.bz2"):
        (root / file).write_bytes(bz2.compress(4 * row.encode()))
    return named.Config.model_validate({"dataset": "USPS"})


def fer2013(root: Path) -> named.Config:
    (root / "fer2013").mkdir(parents=True)
    rows = "".join(f"0,{' '.join(48 * 48 * ['0'])},{usage}\n" for usage in ("Training", "PublicTest"))
    (root / "fer2013" / "fer2013.csv").write_text("emotion,pixels,Usage\n" + rows, encoding="ascii")
    return named.Config.model_validate({"dataset": "FER2013"})


@pytest.mark.parametrize("made", [usps, fer2013])
def test_a_class_that_does_not_say_where_its_files_are_is_listed_too(
    made: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.fer2013.check_integrity", lambda *_, **__: True)
    config = made(tmp_path)
    before = named.listing(config, root=tmp_path)
    assert before
    with (tmp_path / before[0][0]).open("ab") as file:
        file.write(bz2.compress(b"") if made is usps else b" ")
    assert named.listing(config, root=tmp_path) != before


@pytest.mark.parametrize(("made", "folder"), [(eurosat, "eurosat"), (mnist, "MNIST")])
def test_other_files_of_a_class_have_another_listing_and_archives_and_those_of_others_do_not(
    made: type, folder: str, tmp_path: Path
) -> None:
    config = made(tmp_path)
    before = named.listing(config, root=tmp_path)
    assert {name.split("/")[0] for name, _ in before} == {folder}
    (tmp_path / folder / "downloaded.zip").write_bytes(b"x")
    (tmp_path / "other").write_bytes(b"x")
    assert named.listing(config, root=tmp_path) == before
    with (tmp_path / before[0][0]).open("ab") as file:
        file.write(b"x")
    assert named.listing(config, root=tmp_path) != before
    assert named.listing(config, root=tmp_path / "none") == []
