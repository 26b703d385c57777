"""Laws of the data sets: the contract over all that run offline, then what is special to each."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from trainers.config import plugins
from trainers.config.base import identity_dump
from trainers.datasets import shapes
from trainers.datasets._images import balanced_order
from trainers.datasets.base import DatasetConfig, Images, MissingDataError

DOWNLOADED = ("cifar10", "cifar100", "stl10")
OFFLINE = tuple(name for name in plugins.names("datasets") if name not in DOWNLOADED)
SETTINGS = {
    "shapes": {"train": 40, "test": 20},
    "image_folder": {"label": "tiny", "root": "tiny", "size": 8},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that holds an image folder "tiny": 3 classes of 4 training and 2 test images."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    suffixes = ("png", "JPG", "jpeg", "bmp")
    for split, number in (("train", 4), ("test", 2)):
        for label in ("ant", "bee", "cow"):
            folder = root / "tiny" / split / label
            folder.mkdir(parents=True)
            for index in range(number):
                pixels = generator.integers(0, 256, (12, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.{suffixes[index]}")
            (folder / ".hidden.png").write_text("not an image")
            (folder / "notes.txt").write_text("not an image either")
    return root


def config(name: str, **changes: object) -> DatasetConfig:
    settings = {"name": name, **SETTINGS.get(name, {}), **changes}
    return plugins.config_type("datasets", name).model_validate(settings)


def load(name: str, folder: Path, /, **changes: object) -> Images:
    module = plugins.load("datasets", name)
    return module.load(config(name, **changes), root=folder, download=False)


def pictures(images: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


# Every data set that runs offline


@pytest.mark.parametrize("name", OFFLINE)
def test_images_are_what_the_interface_promises(name: str, root: Path) -> None:
    data = load(name, root)
    channels, height, width = data.shape
    assert data.test.shape[1:] == data.shape and height == width
    assert data.train.dtype == data.test.dtype == torch.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert len(data.train) == len(data.train_labels) and len(data.test) == len(data.test_labels)
    assert len(data.mean) == len(data.std) == channels
    assert data.train.is_contiguous() and data.test.is_contiguous()


@pytest.mark.parametrize("name", OFFLINE)
def test_nothing_is_missing(name: str, root: Path) -> None:
    assert plugins.load("datasets", name).missing(config(name), root=root) is None


@pytest.mark.parametrize("name", OFFLINE)
def test_equal_configs_give_equal_bytes(name: str, root: Path) -> None:
    assert load(name, root).fingerprint() == load(name, root).fingerprint()


@pytest.mark.parametrize("name", OFFLINE)
def test_each_class_has_its_share_of_both_splits(name: str, root: Path) -> None:
    data = load(name, root)
    for labels in (data.train_labels, data.test_labels):
        counts = torch.bincount(labels, minlength=len(data.classes)).double()
        # Digits are the least even: 174 to 183 of a class before the split.
        assert counts.min() > 0.9 * len(labels) / len(data.classes)
        assert counts.max() < 1.1 * len(labels) / len(data.classes)


@pytest.mark.parametrize("name", OFFLINE)
def test_no_image_is_in_both_splits(name: str, root: Path) -> None:
    data = load(name, root)
    assert not set(pictures(data.train)) & set(pictures(data.test))


@pytest.mark.parametrize("name", OFFLINE)
def test_size_is_the_images_height_and_width(name: str, root: Path) -> None:
    assert load(name, root, size=20).shape[1:] == (20, 20)


@pytest.mark.parametrize("name", OFFLINE)
def test_loading_leaves_the_global_generators_alone(name: str, root: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    load(name, root)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


@pytest.mark.parametrize("name", OFFLINE)
def test_loading_prints_nothing(name: str, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(name, root)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["shapes", "image_folder"])
def test_more_images_begin_with_the_fewer(name: str, root: Path) -> None:
    few, many = load(name, root, train=10, test=10 if name == "shapes" else 5), load(name, root)
    assert torch.equal(few.train, many.train[: len(few.train)])
    assert torch.equal(few.test, many.test[: len(few.test)])
    assert torch.equal(few.train_labels, many.train_labels[: len(few.train_labels)])


def test_reading_configs_and_asking_what_is_missing_does_not_import_torch(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trainers.config import plugins\n"
        "for name in plugins.names('datasets'):\n"
        "    more = {'label': 'x', 'root': 'x'} if name == 'image_folder' else {}\n"
        "    module = plugins.load('datasets', name)\n"
        "    module.missing(module.Config(**more), root=Path(sys.argv[1]))\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=True)


# Missing data


@pytest.mark.parametrize("name", DOWNLOADED)
def test_missing_data_names_the_folder_and_both_ways_out(name: str, tmp_path: Path) -> None:
    reason = plugins.load("datasets", name).missing(config(name), root=tmp_path)
    assert "\n" not in reason
    for part in (name, str(tmp_path), "--download", "--data", "ORCH_DATA"):
        assert part in reason
    with pytest.raises(MissingDataError) as caught:
        load(name, tmp_path)
    assert str(caught.value) == reason


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    source = plugins.load("datasets", name).SOURCE
    (tmp_path / source.folder).mkdir()
    for file in source.files:
        (tmp_path / source.folder / file).write_text("damaged")
    with pytest.raises(MissingDataError, match=f"damaged.*{source.files[0]}.*--download"):
        load(name, tmp_path)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_damaged_archive_is_named_and_not_unpacked(name: str, tmp_path: Path) -> None:
    source = plugins.load("datasets", name).SOURCE
    (tmp_path / source.archive).write_text("damaged")
    with pytest.raises(MissingDataError, match=f"{source.archive} is damaged"):
        load(name, tmp_path)
    assert not (tmp_path / source.folder).exists()


# Shapes


def test_shapes_depend_on_their_seed() -> None:
    first, second = (load("shapes", Path(), seed=seed) for seed in (0, 1))
    assert not set(pictures(first.train)) & set(pictures(second.train))
    assert torch.equal(first.train_labels, second.train_labels)


def test_shapes_are_the_same_for_ever() -> None:
    # Trials of different days are compared: a change here is a change of the data set, and its figures.
    assert load("shapes", Path(), size=16).fingerprint() == "1ac72a5e36ae"


@pytest.mark.parametrize("nuisance", ["rotation", "shift", "gradient", "noise"])
def test_every_nuisance_of_shapes_can_be_turned_off(nuisance: str) -> None:
    with_it, without = load("shapes", Path()), load("shapes", Path(), **{nuisance: 0})
    assert with_it.fingerprint() != without.fingerprint()


def test_a_shape_differs_from_its_background_by_the_contrast_at_least() -> None:
    flat = load("shapes", Path(), gradient=0, noise=0, contrast=0.5)
    luma = (flat.train.double() / 255 * torch.tensor(shapes.GREY)[:, None, None]).sum(1).flatten(1)
    # Two hundredths: rounding to 8 bits, and thin shapes that fill no pixel quite.
    solid = flat.train_labels == 0
    assert (luma[solid].amax(1) - luma[solid].amin(1)).min() > 0.48


def test_flipped_shapes_keep_their_class() -> None:
    """The mirror image of each outline is the outline itself, or that outline turned the other way."""
    x, y = (v.expand(64, 64) for v in shapes._grid(64))
    masks = {name: shape(x, y) < 0 for name, shape in shapes.SHAPES.items()}
    for name, mask in masks.items():
        for other, another in masks.items():
            if name != other:
                overlap = (mask.flip(-1) & another).sum() / (mask.flip(-1) | another).sum()
                assert overlap < 0.9, (name, other)


def test_shapes_refuse_a_scale_that_is_not_a_range() -> None:
    with pytest.raises(ValidationError, match="scale"):
        shapes.Config(scale=(0.8, 0.5))


# Image folders


def test_an_image_folder_is_named_by_its_label_not_its_place() -> None:
    here, there = config("image_folder", root="here"), config("image_folder", root="/there")
    assert identity_dump(here) == identity_dump(there)
    assert identity_dump(here) != identity_dump(config("image_folder", label="other"))


def test_an_image_folder_is_found_below_the_data_folder_or_by_its_full_path(root: Path) -> None:
    below = load("image_folder", root)
    full = load("image_folder", Path("nowhere"), root=str(root / "tiny"))
    assert below.fingerprint() == full.fingerprint()


def test_an_images_pixels_are_those_of_its_file(root: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for split in ("train", "test"):
        (tmp_path / split / "one").mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / split / "one" / "a.PNG")
    data = load("image_folder", tmp_path, root=str(tmp_path))
    assert np.array_equal(data.train[0].permute(1, 2, 0).numpy(), pixels)


def test_a_long_image_is_resized_on_its_short_side_and_cropped_at_its_centre(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (16, 48, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for split in ("train", "test"):
        (tmp_path / split / "one").mkdir(parents=True)
        image.save(tmp_path / split / "one" / "a.png")
    data = load("image_folder", tmp_path, root=str(tmp_path))
    expected = image.resize((24, 8), Image.Resampling.BILINEAR).crop((8, 0, 16, 8))
    assert np.array_equal(data.train[0].permute(1, 2, 0).numpy(), np.asarray(expected))


def test_an_undecodable_file_is_named(root: Path, tmp_path: Path) -> None:
    whole = (root / "tiny/train/ant/1.JPG").read_bytes()
    for split in ("train", "test"):
        (tmp_path / split / "ant").mkdir(parents=True)
        (tmp_path / split / "ant" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MissingDataError, match=f"{tmp_path}/train/ant/cut.jpg"):
        load("image_folder", tmp_path, root=str(tmp_path))


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        ((), "no folder"),
        (("train/ant",), "no folder test"),
        (("train", "test"), "no class folders"),
        (("train/ant", "train/bee", "test/ant"), r"different classes \(bee\)"),
        (("train/ant", "test/ant"), "no images"),
    ],
)
def test_an_incomplete_image_folder_is_one_clear_line(
    folders: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    place = tmp_path / "mine"
    for folder in folders:
        (place / folder).mkdir(parents=True)
    with pytest.raises(MissingDataError, match=complaint) as caught:
        load("image_folder", tmp_path, root="mine")
    assert str(place) in str(caught.value) and "\n" not in str(caught.value)


def test_asking_for_more_images_than_there_are_says_how_many_there_are(root: Path) -> None:
    with pytest.raises(MissingDataError, match="13 images were asked for, 12 are in"):
        load("image_folder", root, train=13)


# Subsets and sizes


def test_a_subset_takes_the_classes_in_turn_and_keeps_their_order() -> None:
    labels = torch.tensor([1, 1, 1, 0, 2, 0, 1])
    assert balanced_order(labels).tolist() == [3, 0, 4, 5, 1, 2, 6]
    assert balanced_order(labels, 4).tolist() == [3, 0, 4, 5]
