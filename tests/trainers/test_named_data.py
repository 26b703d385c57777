"""Laws of data sets that torchvision knows by name, on files as they are published."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image
from pydantic import ValidationError

from trainers.config.base import canonical, identity_dump
from trainers.datasets import _signatures
from trainers.datasets import torchvision as named
from trainers.datasets.base import Images, MissingDataError

GENERATOR = np.random.default_rng(0)


def idx(path: Path, values: np.ndarray) -> None:
    """As MNIST is published: an idx file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that has FashionMNIST, EMNIST, EuroSAT and Imagenette, each small."""
    root = tmp_path_factory.mktemp("data")
    for split, number in (("train", 40), ("t10k", 20)):
        raw = root / "FashionMNIST" / "raw"
        idx(raw / f"{split}-images-idx3-ubyte", GENERATOR.integers(0, 256, (number, 28, 28)))
        idx(raw / f"{split}-labels-idx1-ubyte", np.arange(number) % 10)
    for split, number in (("train", 52), ("test", 26)):
        raw = root / "EMNIST" / "raw"
        idx(raw / f"emnist-letters-{split}-images-idx3-ubyte", GENERATOR.integers(0, 256, (number, 28, 28)))
        idx(raw / f"emnist-letters-{split}-labels-idx1-ubyte", np.arange(number) % 26 + 1)
    for label in ("Forest", "River"):
        pictures(root / "eurosat" / "2750" / label, 10)
    for split, number in (("train", 4), ("val", 2)):
        for label in torchvision.datasets.Imagenette._WNID_TO_CLASS:
            pictures(root / "imagenette2" / split / label, number, "JPEG")
    return root


def pictures(folder: Path, number: int, suffix: str = "png") -> None:
    folder.mkdir(parents=True)
    for index in range(number):
        shape = (12, 10 + index, 3)
        Image.fromarray(GENERATOR.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{index}.{suffix}")


def load(dataset: str, folder: Path, **changes: Any) -> Images:
    config = named.Config(dataset=dataset, **{"size": 8, **changes})
    return named.load(config, root=folder, download=False)


def refused(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        named.Config(**fields)
    (error,) = caught.value.errors()
    return str(error["msg"]).removeprefix("Value error, ")


# What is found under a name


@pytest.mark.parametrize(
    ("dataset", "changes", "numbers", "classes"),
    [
        ("FashionMNIST", {}, (40, 20), 10),
        ("EMNIST", {"options": {"split": "letters"}}, (52, 26), 26),
        ("Imagenette", {}, (40, 20), 10),
        ("EuroSAT", {"hold_out": {"share": 0.2}}, (16, 4), 2),
        ("FakeData", {"hold_out": {"share": 0.25}, "options": {"size": 80, "image_size": (3, 9, 9)}},
         (60, 20), 10),
    ],
)  # fmt: skip
def test_the_usual_parts_are_read_whatever_a_class_calls_them(
    dataset: str, changes: Any, numbers: tuple[int, int], classes: int, root: Path
) -> None:
    data = load(dataset, root, **changes)
    assert (len(data.train), len(data.test)) == numbers and data.shape == (3, 8, 8)
    assert len(data.classes) == classes == len({*data.train_labels.tolist()})
    assert data.train_labels.max() == classes - 1 and not set(data.test_labels.tolist()) - {*range(classes)}
    config = named.Config(dataset=dataset, **changes)
    assert named.missing(config, root=root) is None
    assert named.for_training(config, root=root) == numbers[0]
    assert load(dataset, root, **changes).fingerprint() == data.fingerprint()


def test_images_and_labels_are_those_of_torchvision(root: Path) -> None:
    data = load("FashionMNIST", root, size=28)
    theirs = torchvision.datasets.FashionMNIST(str(root), train=False)
    assert torch.equal(data.test[:, 0], theirs.data) and torch.equal(data.test_labels, theirs.targets)
    assert data.classes[:2] == ("T-shirt/top", "Trouser")


def test_matlab_files_are_read_and_another_part_for_testing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Their checksums are checked, which files made here do not have.
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    for split, number in (("train", 30), ("test", 20), ("extra", 10)):
        images = GENERATOR.integers(0, 256, (32, 32, 3, number), dtype=np.uint8)
        labels = np.arange(number)[:, None] % 10 + 1  # a ten is a zero
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": labels})
    assert len(load("SVHN", tmp_path).test) == 20
    assert len(load("SVHN", tmp_path, splits={"test": "extra"}).test) == 10


def test_files_are_decoded_as_those_of_image_folders(tmp_path: Path) -> None:
    for label in ("a", "b"):
        pictures(tmp_path / "eurosat" / "2750" / label, 2)
        hidden = Image.new("RGBA", (8, 8), (200, 10, 10, 0))
        hidden.save(tmp_path / "eurosat" / "2750" / label / "0.png")
    data = load("EuroSAT", tmp_path, hold_out={"share": 0.5})
    assert any((image == 255).all() for image in (*data.train, *data.test))


def test_a_file_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    for label in ("a", "b"):
        pictures(tmp_path / "eurosat" / "2750" / label, 2)
    (broken := tmp_path / "eurosat/2750/a/0.png").write_text("no image")
    with pytest.raises(MissingDataError, match=f"torchvision EuroSAT: cannot decode {broken}"):
        load("EuroSAT", tmp_path, hold_out={"share": 0.5})


# Numbers and held-out images


def test_fewer_images_are_the_first_and_of_each_class_alike(root: Path) -> None:
    few, many = load("FashionMNIST", root, train=20, test=10), load("FashionMNIST", root)
    assert torch.equal(few.train, many.train[:20]) and torch.equal(few.test, many.test[:10])
    assert torch.bincount(few.train_labels).tolist() == [2] * 10
    with pytest.raises(MissingDataError, match="41 images were asked for, 40 are there; lower 'train'"):
        load("FashionMNIST", root, train=41)


def test_held_out_images_are_of_each_class_alike_and_chosen_by_their_own_seed(root: Path) -> None:
    first, again, other = (load("EuroSAT", root, hold_out={"share": 0.4, "seed": seed}) for seed in (0, 0, 1))
    assert torch.bincount(first.test_labels).tolist() == [4, 4]
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    both = [{image.numpy().tobytes() for image in part} for part in (first.train, first.test)]
    assert not both[0] & both[1] and len(both[0] | both[1]) == 20


def test_held_out_images_replace_a_part_for_testing(root: Path) -> None:
    data = load("FashionMNIST", root, hold_out={"share": 0.25})
    assert (len(data.train), len(data.test)) == (30, 10)


def test_a_class_without_training_images_is_told(tmp_path: Path) -> None:
    for label, number in (("a", 10), ("b", 2)):
        pictures(tmp_path / "eurosat" / "2750" / label, number)
    with pytest.raises(
        MissingDataError, match=r"1 classes have test images and none .*\(b\); lower hold_out"
    ):
        load("EuroSAT", tmp_path, hold_out={"share": 0.5})


def test_normalisation_is_of_the_training_images_unless_given(root: Path) -> None:
    data = load("EuroSAT", root, hold_out={"share": 0.2})
    expected = (data.train.double() / 255).transpose(0, 1).flatten(1)
    assert torch.allclose(torch.tensor(data.mean).double(), expected.mean(1), atol=1e-4)
    assert torch.allclose(torch.tensor(data.std).double(), expected.std(1, correction=0), atol=1e-4)
    given = load("EuroSAT", root, hold_out={"share": 0.2}, mean=(0.5, 0.5, 0.5))
    assert given.mean == (0.5, 0.5, 0.5) and given.std == data.std


# What a sweep file says wrongly


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "SVNH"}, "torchvision has no data set 'SVNH'"),
        ({"dataset": "CocoDetection"}, "torchvision's CocoDetection has no classes "),
        ({"dataset": "ImageFolder"}, "torchvision's ImageFolder is a layout of files; use data: {na"),
        ({"dataset": "DTD", "options": {"parttion": 1}}, "no option of DTD, which takes partition"),
        ({"dataset": "DTD", "options": {"partition": "1"}}, "expected int, got '1'"),
        ({"dataset": "DTD", "options": {"partition": True}}, "expected int, got True"),
        ({"dataset": "DTD", "options": {"transform": "x"}}, "no option of DTD, which takes partition"),
        ({"dataset": "DTD", "options": {"split": "val"}}, "parts are named by splits: {train: "),
        ({"dataset": "EMNIST"}, "torchvision's EMNIST needs options: {split: ...}"),
        ({"dataset": "EuroSAT"}, "no part of EuroSAT is for testing; say which share of its images is, "
                                 "such as hold_out: {share: 0.2}"),
        ({"dataset": "EuroSAT", "splits": {"test": "x"}}, "there are no parts of EuroSAT to choose"),
        ({"dataset": "MNIST", "splits": {"test": "val"}}, "the parts of MNIST are train and test"),
        ({"dataset": "SVHN", "splits": {"test": "extra"}, "hold_out": {"share": 0.1}}, "test images come "),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_where_the_file_is_read(fields: Any, message: str) -> None:
    assert refused(**fields).startswith(message)


def test_what_a_class_is_made_with_is_what_python_says() -> None:
    import inspect

    for name in _signatures.names():
        their_own = inspect.signature(getattr(torchvision.datasets, name).__init__).parameters
        theirs = {one for one, how in their_own.items() if how.kind is not how.VAR_KEYWORD} - {"self"}
        assert theirs <= _signatures.parameters(name).keys(), name
        assert "bool" in _signatures.parameters("EMNIST")["train"][0]


def test_labels_that_are_no_classes_are_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Attributes(torchvision.datasets.FakeData):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)[0], torch.zeros(40)

    monkeypatch.setattr(torchvision.datasets, "FakeData", Attributes)
    with pytest.raises(MissingDataError, match=r"image 0 has tensor\(\[0.*for a class, expected an integer"):
        load("FakeData", root, hold_out={"share": 0.5}, options={"size": 4})


# What is not there


def test_missing_data_says_where_it_was_looked_for_and_the_ways_out(tmp_path: Path) -> None:
    config = named.Config(dataset="KMNIST")
    reason = named.missing(config, root=tmp_path)
    assert reason is not None and "\n" not in reason and "download=True" not in reason
    for part in ("torchvision KMNIST: ", str(tmp_path), "--download", "--data", "ORCH_DATA"):
        assert part in reason
    assert named.for_training(config, root=tmp_path) is None
    with pytest.raises(MissingDataError) as caught:
        named.load(config, root=tmp_path, download=False)
    assert str(caught.value) == reason


def test_a_part_that_does_not_exist_is_told_with_those_that_do(tmp_path: Path) -> None:
    reason = named.missing(named.Config(dataset="SVHN", splits={"test": "validation"}), root=tmp_path)
    assert reason is not None and "nothing to read" in reason  # its training part is not there either
    config = named.Config(dataset="SVHN", splits={"train": "validation"})
    assert "Valid values are" in str(named.missing(config, root=tmp_path))


def test_data_is_downloaded_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(self: Any) -> None:
        fetched.append(self.root)
        for split, number in (("train", 20), ("t10k", 10)):
            idx(
                Path(self.raw_folder) / f"{split}-images-idx3-ubyte",
                GENERATOR.integers(0, 256, (number, 28, 28)),
            )
            idx(Path(self.raw_folder) / f"{split}-labels-idx1-ubyte", np.arange(number) % 10)

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", fetch)
    config = named.Config(dataset="MNIST", size=8)
    with pytest.raises(MissingDataError):
        named.load(config, root=tmp_path, download=False)
    assert not fetched
    data = named.load(config, root=tmp_path, download=True)
    assert fetched and len(data.train) == 20
    assert named.missing(config, root=tmp_path) is None  # what was missing is looked for again


def test_a_download_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any) -> None:
        raise OSError("no\nnetwork")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", broken)
    with pytest.raises(
        MissingDataError, match=r"torchvision MNIST: nothing to read in .* \(no network\); add --download"
    ):
        named.load(named.Config(dataset="MNIST"), root=tmp_path, download=True)


# Identity


def test_identity_is_what_decides_the_numbers_and_not_the_place() -> None:
    one = named.Config(dataset="EMNIST", options={"split": "letters"})
    there = named.Config(dataset="EMNIST", options={"split": "letters"}, root="elsewhere")
    other = named.Config(dataset="EMNIST", options={"split": "digits"})
    texts = [canonical(identity_dump(config)) for config in (one, there, other)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0] == '{"dataset":"EMNIST","name":"torchvision","options":{"split":"letters"},"size":32}'
    assert len({one, other, named.Config(dataset="EMNIST", options={"split": "letters"})}) == 2
