"""Laws of data sets of the Hugging Face hub, on files as its library writes them."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from trainers.config.base import canonical, identity_dump
from trainers.datasets import huggingface as hub
from trainers.datasets.base import Images, MissingDataError, listing_of


def config(**changes: Any) -> hub.Config:
    return hub.Config(**{"path": "tiny", "files": "tiny", "image": "img", "size": 8, **changes})


def load(root: Path, **changes: Any) -> Images:
    return hub.load(config(**changes), root=root, download=False)


# Without the library


def test_a_missing_extra_says_how_it_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", none)
    expected = "huggingface tiny: needs the package datasets: pip install 'orch-ssl[huggingface]'"
    assert hub.missing(config(), root=tmp_path) == expected
    with pytest.raises(MissingDataError, match="pip install"):
        hub.load(config(files=None), root=tmp_path, download=True)


def test_identity_has_the_revision_and_the_columns_and_not_the_place() -> None:
    one, there = config(), config(files="elsewhere")
    assert canonical(identity_dump(one)) == canonical(identity_dump(there))
    assert canonical(identity_dump(one)) == (
        '{"image":"img","label":"label","name":"huggingface","path":"tiny","size":8}'
    )
    others = (config(revision="abc"), config(image="x"), config(label="y"), config(subset="z"))
    assert len({canonical(identity_dump(other)) for other in (one, *others)}) == 5


def test_a_place_on_disk_is_no_name_on_the_hub() -> None:
    for path in ("./mine", "/data/mine", "a/b/c", "mine\n"):
        with pytest.raises(ValidationError, match="on this disk is given by files"):
            hub.Config(path=path)


# With it


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one small data set: as parquet files, as saved on disk, and a part as one file."""
    datasets = pytest.importorskip("datasets", reason="needs the extra huggingface")
    root = tmp_path_factory.mktemp("data")
    kinds = {
        "img": datasets.Image(),
        "label": datasets.ClassLabel(names=["ant", "bee", "cow"]),
        "word": datasets.Value("string"),
        "size": datasets.Value("float32"),
    }
    generator = np.random.default_rng(0)
    parts = {}
    for name, number in (("train", 30), ("test", 12), ("validation", 6)):
        rows = range(number)
        pixels = generator.integers(0, 256, (number, 9, 12, 3), dtype=np.uint8)
        columns = {
            "img": [Image.fromarray(one) for one in pixels],
            "label": [-1 if name == "validation" else row % 3 for row in rows],
            "word": [("one", "two", "six")[row % 3] for row in rows],
            "size": [0.5 for _ in rows],
        }
        parts[name] = datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
        (root / "tiny").mkdir(exist_ok=True)
        parts[name].to_parquet(root / "tiny" / f"{name}-00000-of-00001.parquet")
    datasets.DatasetDict(parts).save_to_disk(root / "saved")
    return root


def test_parquet_files_and_a_saved_folder_hold_the_same_images(root: Path) -> None:
    data, saved = load(root), load(root, files="saved")
    assert data.fingerprint() == saved.fingerprint() == load(root).fingerprint()
    assert (len(data.train), len(data.test), data.shape) == (30, 12, (3, 8, 8))
    assert data.classes == ("ant", "bee", "cow") and data.train_labels[:6].tolist() == [0, 1, 2, 0, 1, 2]
    assert hub.missing(config(), root=root) is None and hub.for_training(config(), root=root) == 30


def test_a_single_file_has_images_to_hold_out(root: Path) -> None:
    file = "tiny/train-00000-of-00001.parquet"
    data = load(root, files=file, hold_out={"share": 0.2})
    assert (len(data.train), torch.bincount(data.test_labels).tolist()) == (24, [2, 2, 2])
    reason = hub.missing(config(files=file), root=root)
    assert reason is not None and "no part 'test' in" in reason and "there are train: name them" in reason


def test_words_are_classes_in_their_order(root: Path) -> None:
    data = load(root, label="word")
    assert data.classes == ("one", "six", "two") and set(data.test_labels.tolist()) == {0, 1, 2}


def test_nothing_is_printed(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(root / "tiny", tmp_path / "tiny")
    load(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "image"}, "no column 'image'; set image to one of img, label, word, size"),
        ({"image": "size"}, "column 'size' holds Value('float32'), expected images; set image"),
        ({"label": "size"}, "column 'size' holds Value('float32'), expected one class for each image"),
        ({"splits": {"test": "val"}}, "no part 'val' in "),
        ({"splits": {"test": "validation"}}, "images for test without a label; name other parts by splits"),
        ({"subset": "x"}, "cannot be read from "),
        ({"files": "nowhere"}, "no "),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line(root: Path, changes: Any, message: str) -> None:
    with pytest.raises(MissingDataError) as caught:
        load(root, **changes)
    assert str(caught.value).startswith(f"huggingface tiny: {message}") and "\n" not in str(caught.value)


def test_other_files_have_another_listing(root: Path, tmp_path: Path) -> None:
    before = listing_of(config(), root)
    shutil.copytree(root / "tiny", tmp_path / "tiny")
    assert listing_of(config(), tmp_path) == before
    (tmp_path / "tiny" / "train-00000-of-00001.parquet").write_bytes(b"other")
    assert listing_of(config(), tmp_path) != before


def test_the_hub_is_asked_only_when_asked_and_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def snapshot(name: str, *, repo_type: str, revision: str | None, local_dir: Path, **_: Any) -> None:
        asked.append((name, repo_type, revision))
        shutil.copytree(root / "tiny", local_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    own = config(path="me/tiny", files=None)
    reason = hub.missing(own, root=tmp_path)
    assert reason is not None and "--download" in reason
    with pytest.raises(MissingDataError):
        hub.load(own, root=tmp_path, download=False)
    assert not asked
    data = hub.load(own, root=tmp_path, download=True)
    assert data.fingerprint() == hub.load(own, root=tmp_path, download=True).fingerprint()
    assert asked == [("me/tiny", "dataset", None)]
    assert data.notes and "no revision is given" in data.notes[0]
    pinned = hub.load(config(path="me/tiny", files=None, revision="v1"), root=tmp_path, download=True)
    assert asked[1:] == [("me/tiny", "dataset", "v1")] and not pinned.notes


def test_a_download_that_fails_is_one_line_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, local_dir: Path, **__: Any) -> None:
        local_dir.mkdir()
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    own = config(path="me/tiny", files=None)
    with pytest.raises(
        MissingDataError, match=r"could not be downloaded \(OSError: no network\); add --down"
    ):
        hub.load(own, root=tmp_path, download=True)
    assert "--download" in str(hub.missing(own, root=tmp_path))
