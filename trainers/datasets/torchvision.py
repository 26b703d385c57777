"""Any data set of torchvision whose images have classes, by its class. Downloaded only when asked."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from trainers.config.base import NOT_IDENTITY, FieldError, canonical
from trainers.config.lazy import torch, torchvision
from trainers.datasets import _signatures
from trainers.datasets._labelled import LabelledConfig, Part, loaded, number_for_training
from trainers.datasets._torchvision import WAYS_OUT, files_in, locked, places_of
from trainers.datasets.base import Images, MissingDataError, data_folder

log = logging.getLogger(__name__)

USUAL = {
    "CLEVRClassification": ("train", "val"),  # its test images have no labels
    "FGVCAircraft": ("trainval", "test"),
    "INaturalist": ("2021_train", "2021_valid"),
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
    "Places365": ("train-standard", "val"),
}
"""Parts for training and testing where they are not called train and test."""
OURS = {"root", "transform", "target_transform", "transforms", "download", "loader"}
KINDS = {"bool": bool, "int": int, "float": float, "str": str}


class Options(dict[str, Any]):
    """Plain values by name, which can be a key of a dict as the configs that hold them can."""

    def __hash__(self) -> int:  # type: ignore[override]
        """Of its text."""
        return hash(canonical(self))


class Found(NamedTuple):
    """The number of images of a part, and the places of their own that they lie in."""

    number: int
    places: frozenset[Path]


Plain = bool | int | float | str


class Config(LabelledConfig):
    """A data set of torchvision.datasets, such as SVHN, FashionMNIST, Flowers102 or EuroSAT.

    Its images are decoded as those of image folders are, where torchvision leaves that to others, and made
    square at `size`. Images of the classes take turns.
    """

    name: Literal["torchvision"] = "torchvision"
    dataset: str
    """Name of its class in torchvision.datasets."""
    options: Annotated[dict[str, Plain | tuple[Plain, ...]], AfterValidator(Options)] = Field(
        default_factory=Options
    )
    """What else its class is made with, by name, such as `split` of EMNIST."""
    root: Path = Field(Path(), json_schema_extra=NOT_IDENTITY)
    """The folder that torchvision looks in; a relative one is below the data folder."""

    @field_validator("dataset")
    @classmethod
    def _is_there(cls, dataset: str) -> str:
        known = _signatures.names()
        if dataset in ("ImageFolder", "DatasetFolder"):
            raise ValueError(
                f"torchvision's {dataset} is a layout of files; use data: {{name: image_folder, ...}}"
            )
        if dataset in _signatures.others():
            raise ValueError(
                f"torchvision's {dataset} has no classes of images; these have: {', '.join(known)}"
            )
        if dataset not in known:
            raise PydanticCustomError(
                "unknown_plugin",
                "torchvision has no data set '{name}'",
                {"name": dataset, "names": list(known)},
            )
        return dataset

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        part, there = _part_named_by(self.dataset), _signatures.parameters(self.dataset)
        known = [
            name
            for name, (kind, _) in there.items()
            if name not in OURS and name != part and "Callable" not in kind
        ]
        for name, value in self.options.items():
            if name == part:
                raise FieldError(f"options.{name}", "parts are named by splits: {train: ..., test: ...}")
            if name not in known:
                taken = ", ".join(known) or "none"
                raise FieldError(f"options.{name}", f"no option of {self.dataset}, which takes {taken}")
            kind = there[name][0]
            fits = KINDS.get(kind, object)
            if not isinstance(value, fits) or (isinstance(value, bool) and kind in ("int", "float")):
                raise FieldError(f"options.{name}", f"expected {kind}, got {value!r}")
        for name in known:
            if there[name][1] and name not in self.options:
                raise FieldError("options", f"torchvision's {self.dataset} needs options: {{{name}: ...}}")
        if part is None and self.splits is not None:
            raise FieldError("splits", f"there are no parts of {self.dataset} to choose from; use hold_out")
        if part is None and self.hold_out is None:
            raise FieldError(
                "hold_out",
                f"no part of {self.dataset} is for testing; say which share of its images is, such as "
                "hold_out: {share: 0.2}",
            )
        named = self.splits and {self.splits.train, self.splits.test} - {"train", "test", None}
        if part == "train" and named:
            raise FieldError("splits", f"the parts of {self.dataset} are train and test")
        return self


def missing(config: Config, *, root: Path | None) -> str | None:
    """Why the data cannot be read from disk, in one sentence, or None; torchvision looks for itself."""
    try:
        for split in _parts(config):
            _number(config, split, root)
    except MissingDataError as error:
        return str(error)
    return None


def for_training(config: Config, *, root: Path | None) -> int | None:
    """The number of images to pre-train on; None where the data is not there."""
    return number_for_training(config, lambda: _number(config, _parts(config)[0], root))


def listing(config: Config, *, root: Path | None) -> list[tuple[str, int]]:
    """Name and size in bytes of each file of the data set but archives, by name; none where it is absent."""
    folder = _folder(config, root)
    try:
        found = [_counted(config.dataset, Options(config.options), part, folder) for part in _parts(config)]
    except MissingDataError:
        return []
    return files_in({place for one in found for place in one.places}, folder)


def load(config: Config, *, root: Path | None, download: bool) -> Images:
    """The images on disk, downloaded first if they are not there and `download`.

    Raises:
        MissingDataError: the data is not there, cannot be read, or has no class for each image.
    """
    folder = _folder(config, root)
    found = []
    for split in _parts(config):
        try:
            found.append(_opened(config.dataset, config.options, split, folder))
        except MissingDataError:
            if not download:
                raise
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / f".{config.dataset}.lock"):
                log.info("%s: downloading into %s", config.dataset, folder)
                found.append(_opened(config.dataset, config.options, split, folder, download=True))
    parts = [Part(_labels(config.dataset, one), functools.partial(_image, one)) for one in found]
    names = getattr(found[0], "classes", None) or getattr(found[0], "categories", None) or ()
    classes = [name if isinstance(name, str) else str(name[0]) for name in names]
    test = parts[1] if len(parts) > 1 else None
    return loaded(config, f"torchvision {config.dataset}", parts[0], test, classes=classes)


def _part_named_by(dataset: str) -> str | None:
    """The parameter that chooses a part of a data set for training or testing; None: it has no parts."""
    there = _signatures.parameters(dataset)
    return next((name for name in ("train", "split", "version") if name in there), None)


def _parts(config: Config) -> list[tuple[str, str | bool] | None]:
    """Parameter and value of the part to train on, and of the one to test on if it has one."""
    named = _part_named_by(config.dataset)
    if named is None:
        return [None]
    train, test = USUAL.get(config.dataset, ("train", "test"))
    given = config.splits
    wanted = [(given and given.train) or train]
    wanted += [] if config.hold_out else [(given and given.test) or test]
    return [(named, part == "train" if named == "train" else part) for part in wanted]


def _folder(config: Config, root: Path | None) -> Path:
    return (data_folder(root) / config.root.expanduser()).absolute()


def _number(config: Config, part: tuple[str, str | bool] | None, root: Path | None) -> int:
    """The number of images of a part, which torchvision has found in order; looked at once in a process."""
    return _counted(config.dataset, Options(config.options), part, _folder(config, root)).number


@functools.lru_cache(maxsize=64)
def _counted(dataset: str, options: Options, part: tuple[str, str | bool] | None, folder: Path) -> Found:
    opened = _opened(dataset, options, part, folder)
    return Found(len(opened), places_of(opened, folder))


def _opened(
    dataset: str,
    options: Mapping[str, Any],
    part: tuple[str, str | bool] | None,
    folder: Path,
    *,
    download: bool = False,
) -> Any:
    """torchvision's own data set.

    Raises:
        MissingDataError: it is not there, or cannot be read.
    """
    there = _signatures.parameters(dataset)
    ours = {"root": str(folder), "download": download, "loader": str}
    given = {name: value for name, value in ours.items() if name in there} | dict(options)
    if part is not None:
        given[part[0]] = part[1]
    silent = io.StringIO()
    try:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            return getattr(torchvision.datasets, dataset)(**given)
    except MemoryError:
        raise
    except Exception as error:  # each class has its own ways to say that files are missing
        cause = re.sub(r"\.?\s*You can use download=True.*", "", " ".join(str(error).split()))
        if "Unknown value" in cause:
            raise MissingDataError(f"torchvision {dataset}: {cause}") from error
        way = WAYS_OUT
        if "download" not in there:
            way = "get it as torchvision.datasets says, and pass --data FOLDER or set ORCH_DATA"
        raise MissingDataError(
            f"torchvision {dataset}: nothing to read in {folder} ({cause or type(error).__name__}); {way}"
        ) from error


def _labels(dataset: str, opened: Any) -> Sequence[int]:
    """The class of each image.

    Raises:
        MissingDataError: the data set has something else.
    """
    for name in ("targets", "labels"):
        values = getattr(opened, name, None)
        if values is None or len(values) != len(opened):
            continue
        held = torch.as_tensor(values) if not isinstance(values[0], str) else None
        if held is not None and held.ndim == 1 and not held.is_floating_point():
            labels: list[int] = held.tolist()
            return labels
    found = []
    for index in range(len(opened)):
        label = opened[index][1]
        if getattr(label, "ndim", 1) == 0:
            label = label.item()
        if isinstance(label, bool) or not isinstance(label, int):
            shown = " ".join(repr(label).split())[:60]
            raise MissingDataError(
                f"torchvision {dataset}: image {index} has {shown} for a class, expected an integer; choose "
                "other options or splits"
            )
        found.append(label)
    return found


def _image(opened: Any, index: int) -> Any:
    from PIL import Image

    image = opened[index][0]
    return image if isinstance(image, str | Image.Image) else Image.fromarray(image)
