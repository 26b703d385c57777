"""Laws of the data sets: what all that ship have in common, then what is special to each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
BY_NAME = ("huggingface",) if find_spec("datasets") is None else ()  # needs the extra
OFFLINE = tuple(name for name in plugins.names("datasets") if name not in (*DOWNLOADED, *BY_NAME))
SETTINGS = {
    "shapes": {"train": 40, "test": 20},
    "image_folder": {"label": "tiny", "root": "tiny", "size": 8},
    "torchvision": {"dataset": "EuroSAT", "hold_out": {"share": 0.5}, "size": 8},
    "huggingface": {"path": "tiny", "files": "tiny", "size": 8},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that holds an image folder "tiny": 3 classes of 4 training and 2 test images."""
    ignored = shutil.ignore_patterns("*.txt", ".*")
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
    shutil.copytree(root / "tiny" / "train", root / "eurosat" / "2750", ignore=ignored)
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
def test_nothing_is_missing(name: str, root: Path) -> None:
    assert plugins.load("datasets", name).missing(config(name), root=root) is None


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
def test_loading_prints_nothing(name: str, root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(name, root)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["shapes", "image_folder"])  # and by name: test_named_data
def test_more_images_begin_with_the_fewer(name: str, root: Path) -> None:
    few, many = load(name, root, train=10, test=10 if name == "shapes" else 5), load(name, root)
    assert torch.equal(few.train, many.train[: len(few.train)])
    assert torch.equal(few.test, many.test[: len(few.test)])
    assert torch.equal(few.train_labels, many.train_labels[: len(few.train_labels)])


def test_reading_configs_and_asking_what_is_missing_does_not_import_torch(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trainers.config import plugins\n"
        "for name in plugins.names('datasets'):\n"
        "    needed = {'image_folder': {'label': 'x', 'root': 'x'}, 'torchvision': {'dataset': 'SVHN'}}\n"
        "    module = plugins.load('datasets', name)\n"
        "    config = module.Config(**(needed | {'huggingface': {'path': 'x'}}).get(name, {}))\n"
        "    if name != 'torchvision':  # which is asked itself\n"
        "        module.missing(config, root=Path(sys.argv[1]))\n"
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
        (("ant", "bee"), r"no folder train in .*/mine \(there are folders ant, bee\)"),
        (("train/ant",), "no folder test"),
        (("train", "test"), "no class folders"),
        (("train/ant", "train/bee", "test/ant"), r"different classes \(bee\)"),
        (("train/ant", "test/ant"), "no images"),
        (("train/ant/train/bee", "test/ant"), "no images"),
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
    assert "put the images there as train/<class>/* and test/<class>/*" in str(caught.value)
    told = plugins.load("datasets", "image_folder").missing(
        config("image_folder", root="mine"), root=tmp_path
    )
    assert told == str(caught.value)  # known before training


def test_asking_for_more_images_than_there_are_says_how_many_there_are(root: Path) -> None:
    with pytest.raises(MissingDataError, match="13 images were asked for, 12 are in"):
        load("image_folder", root, train=13)


def one_image(folder: Path, image: Image.Image, name: str, **options: Any) -> None:
    """An image folder with one class, in both of whose splits this image is."""
    for split in ("train", "test"):
        (folder / split / "one").mkdir(parents=True)
        image.save(folder / split / "one" / name, **options)


def as_read(folder: Path, **changes: object) -> list[Any]:
    """The pixels of its training image, [H, W, 3]."""
    data = load("image_folder", folder, root=str(folder), **changes)
    return data.train[0].permute(1, 2, 0).tolist()


GREY16 = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040  # 0 to 65520


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff"])
def test_grey_of_16_bits_is_scaled_and_not_clipped(name: str, tmp_path: Path) -> None:
    one_image(tmp_path, Image.fromarray(GREY16), name)
    expected = np.rint(GREY16 / 257).astype(int)
    assert np.array_equal(as_read(tmp_path), np.repeat(expected[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_whose_range_no_file_states_are_refused(mode: str, tmp_path: Path) -> None:
    one_image(tmp_path, Image.new(mode, (8, 8)), "a.tif")
    with pytest.raises(MissingDataError, match=rf"a\.tif \(32 bits per channel \(mode {mode}\), expected"):
        as_read(tmp_path)


def test_what_lies_under_transparent_pixels_is_not_seen(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (200, 10, 10, 0))  # red, and nobody sees it
    image.putpixel((0, 0), (10, 20, 30, 255))
    image.putpixel((1, 0), (100, 0, 0, 51))  # a fifth
    one_image(tmp_path, image, "a.png")
    white, black = as_read(tmp_path), as_read(tmp_path, background=[0, 0, 0])
    assert (white[0][:3], black[0][:3]) == (
        [[10, 20, 30], [224, 204, 204], [255, 255, 255]],
        [[10, 20, 30], [20, 0, 0], [0, 0, 0]],
    )


def test_a_palettes_colours_and_its_transparent_one_are_read(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 128, 0, 1, 2, 3])
    image.putpixel((0, 0), 2)
    one_image(tmp_path, image, "a.png", transparency=2)
    assert as_read(tmp_path)[0][:2] == [[255, 255, 255], [255, 128, 0]]


def test_ink_becomes_light(tmp_path: Path) -> None:
    one_image(tmp_path, Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "a.tif")
    assert as_read(tmp_path)[0][0] == [0, 255, 255]


def test_the_orientation_that_a_camera_noted_is_applied(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown a quarter clockwise
    one_image(tmp_path, Image.fromarray(pixels), "a.png", exif=exif)
    assert np.array_equal(as_read(tmp_path), np.rot90(pixels, -1))


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_image(tmp_path, Image.new("1", (8193, 8192)), "a.bmp")
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
        with pytest.raises(MissingDataError, match="8193 × 8192 pixels, expected at most 67 million"):
            as_read(tmp_path)


def test_a_pipe_among_images_is_skipped_and_what_is_skipped_is_counted(tmp_path: Path) -> None:
    one_image(tmp_path, Image.new("RGB", (8, 8)), "a.png")
    os.mkfifo(tmp_path / "train/one/b.png")
    for name in ("train/one/c.gif", "train/one/d.gif", "train/loose.png", "train/one/.DS_Store"):
        (tmp_path / name).write_text("")
    data = load("image_folder", tmp_path, root=str(tmp_path))
    assert len(data.train) == 1 and data.notes == (
        f"image_folder 'tiny': 4 files in {tmp_path}/train are skipped: "
        "2 × .gif, 1 × .png, 1 × no regular file",
    )


def test_a_class_is_one_however_its_accents_are_encoded(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "blé") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    for place, name in enumerate(["train/" + names[0], "train/" + names[1], "test/" + names[1]]):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (place, 0, 0)).save(tmp_path / name / f"{place}.png")
    data = load("image_folder", tmp_path, root=str(tmp_path))
    assert data.classes == (names[0],) and data.train[:, 0, 0, 0].tolist() == [0, 1]


# Images of which nothing can be learnt


@pytest.mark.parametrize(
    ("pixels", "fault"),
    [
        (torch.full((5, 3, 8, 8), 255), "all 5 training images are alike"),
        (torch.arange(5)[:, None, None, None].expand(5, 3, 8, 8), "training images are of one colour each"),
        (torch.arange(5 * 192).view(5, 3, 8, 8) % 7, None),
    ],
)
def test_images_that_hold_nothing_are_a_fault_of_the_data(pixels: torch.Tensor, fault: str | None) -> None:
    good = torch.arange(4 * 192).view(4, 3, 8, 8).to(torch.uint8)
    none = torch.zeros(1, dtype=torch.int64)
    values: dict[str, Any] = {"classes": (), "mean": (), "std": (), "train_labels": none, "test_labels": none}
    told = Images(train=pixels.to(torch.uint8), test=good, **values).fault()
    assert fault in told if fault else told is None
    swapped = Images(train=good, test=pixels.to(torch.uint8), **values).fault()
    assert swapped == (told.replace("training", "test") if told else None)


# Subsets and sizes


def test_a_subset_takes_the_classes_in_turn_and_keeps_their_order() -> None:
    labels = torch.tensor([1, 1, 1, 0, 2, 0, 1])
    assert balanced_order(labels).tolist() == [3, 0, 4, 5, 1, 2, 6]
    assert balanced_order(labels, 4).tolist() == [3, 0, 4, 5]


def test_digits_are_those_of_scikit_learn_whether_or_not_it_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sklearn.datasets import load_digits

    from trainers.datasets.digits import _pixels_and_labels

    kept = load_digits(return_X_y=True)
    for read in (_pixels_and_labels(), _without_its_file(monkeypatch)):
        for mine, theirs in zip(read, kept, strict=True):
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape) and (mine == theirs).all()


def _without_its_file(monkeypatch: pytest.MonkeyPatch) -> Any:
    from trainers.datasets.digits import _pixels_and_labels

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return _pixels_and_labels()
