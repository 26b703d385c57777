"""Labelled images of the Hugging Face hub, or of its kind of files. Downloaded only when asked."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import io
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal, Self

from pydantic import Field, model_validator

from trainers.config.base import NOT_IDENTITY, FieldError
from trainers.datasets._labelled import LabelledConfig, Part, loaded, number_for_training
from trainers.datasets._torchvision import WAYS_OUT, locked
from trainers.datasets.base import Images, MissingDataError, data_folder

EXTRA = "pip install 'orch-ssl[huggingface]'"
ON_THE_HUB = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class Config(LabelledConfig):
    """A data set with a column of images and one of classes, on the hub or in files on this disk.

    Files are parquet, arrow, or what else the datasets library reads of a folder; no code of a data set is
    ever run. They are decoded as those of image folders are, and made square at `size`. A token for private
    data is taken from HF_TOKEN and kept nowhere.
    """

    name: Literal["huggingface"] = "huggingface"
    path: str = Field(min_length=1)
    """Its name on the hub, such as uoft-cs/cifar10; with `files`, what tables call the data."""
    revision: str | None = None
    """Commit, tag or branch on the hub. Without one, what is downloaded changes when the data set does."""
    subset: str | None = None
    """Which of its configurations, for a data set that has several."""
    image: str = "image"
    """The column of images."""
    label: str = "label"
    """The column of classes: names, or whole numbers."""
    files: Path | None = Field(None, json_schema_extra=NOT_IDENTITY)
    """Its parquet file, or the folder with its files, instead of the hub; a relative one is looked for below
    the data folder."""

    @model_validator(mode="after")
    def _is_a_name(self) -> Self:
        if self.files is None and not ON_THE_HUB.fullmatch(self.path):
            raise FieldError(
                "path", f"expected a name on the hub, such as uoft-cs/cifar10, got {self.path!r}; "
                "a file or folder on this disk is given by files, beside a name of your choice"
            )  # fmt: skip
        return self


def needs(config: Config) -> str | None:
    """Which package is not installed, in one sentence, or None."""
    try:
        importlib.metadata.version("datasets")
    except importlib.metadata.PackageNotFoundError:
        return f"{_named(config)}: needs the package datasets: {EXTRA}"
    return None


def missing(config: Config, *, root: Path | None) -> str | None:
    """Why the data cannot be read from disk, in one sentence, or None."""
    try:
        _parts(config, root)
    except MissingDataError as error:
        return str(error)
    return None


def for_training(config: Config, *, root: Path | None) -> int | None:
    """The number of images to pre-train on; None where the data is not there."""
    return number_for_training(config, lambda: len(_parts(config, root)[0]))


def listing(config: Config, *, root: Path | None) -> list[tuple[str, int]]:
    """Name and size in bytes of every file of the data set, by name; none where they are not there."""
    place = _place(config, root)
    if place.is_file():
        return [(place.name, place.stat().st_size)]
    files = [path.relative_to(place) for path in sorted(place.rglob("*")) if path.is_file()]
    shown = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    return [(path.as_posix(), (place / path).stat().st_size) for path in shown]


def load(config: Config, *, root: Path | None, download: bool) -> Images:
    """The images on disk, downloaded first if they are not there and `download`.

    Raises:
        MissingDataError: the data is not there, cannot be read, or has no such columns or parts.
    """
    if download and config.files is None and not _place(config, root).exists():
        _fetch(config, root)
    parts = _parts(config, root)
    names = sorted({label for part in parts for label in _labels(part, config.label)} - {None})
    whole = getattr(parts[0].features[config.label], "names", None)
    number = {name: index for index, name in enumerate(names)}
    if whole is not None:  # the column holds places in a list of names, and -1 where nothing is known
        number = {index: index for index in range(len(whole))}
    labelled = []
    for part in parts:
        labels = [number.get(label, -1) for label in _labels(part, config.label)]
        labelled.append(Part(labels, functools.partial(_image, _undecoded(config, part), config.image)))
    test = labelled[1] if len(labelled) > 1 else None
    classes = list(map(str, names if whole is None else whole))
    images = loaded(config, _named(config), labelled[0], test, classes=classes)
    if config.files is None and config.revision is None:
        note = f"{_named(config)}: no revision is given, and the data set on the hub may change; give one"
        return replace(images, notes=(note,))
    return images


def _named(config: Config) -> str:
    return f"huggingface {config.path}"


def _place(config: Config, root: Path | None) -> Path:
    """The file or folder that holds the data."""
    folder = data_folder(root)
    if config.files is not None:
        return (folder / config.files.expanduser()).absolute()
    name = f"{config.path}@{config.revision or 'main'}".replace("/", "--")
    return (folder / "huggingface" / name).absolute()


def _fetch(config: Config, root: Path | None) -> None:
    """Download the files of a data set, whole or not at all.

    Raises:
        MissingDataError: they cannot be had.
    """
    _check_extra(config)
    from huggingface_hub import snapshot_download

    place = _place(config, root)
    half = place.with_name(f".{place.name}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_name(f".{place.name}.lock")):
        if place.exists():  # another process was faster
            return
        with _told(config, "could not be downloaded", f"; {WAYS_OUT}"):
            snapshot_download(
                config.path,
                repo_type="dataset",
                revision=config.revision,
                local_dir=half,
                ignore_patterns=["*.py"],
            )
        shutil.rmtree(half / ".cache", ignore_errors=True)  # what a broken download would go on from
        half.replace(place)


def _parts(config: Config, root: Path | None) -> list[Any]:
    """The part to train on, and that to test on unless images are held out.

    Raises:
        MissingDataError: they are not there, or have no such columns.
    """
    _check_extra(config)
    place, named = _place(config, root), _named(config)
    if not place.exists():
        way = "correct files, or put the data there" if config.files is not None else WAYS_OUT
        raise MissingDataError(f"{named}: no {place}; {way}")
    prepared = (data_folder(root) / "huggingface" / ".prepared").absolute()
    with _told(config, f"cannot be read from {place}"):
        there = _opened(place, config.subset, prepared)
    given = config.splits
    wanted = [(given and given.train) or "train"]
    if not config.hold_out:
        wanted.append((given and given.test) or "test")
    for part in wanted:
        if part not in there:
            raise MissingDataError(
                f"{named}: no part '{part}' in {place}; there are {', '.join(there)}: name them by "
                "splits: {train: ..., test: ...}, or hold out test images by hold_out: {share: 0.2}"
            )
        for field in ("image", "label"):
            column = getattr(config, field)
            if column not in there[part].features:
                columns = ", ".join(there[part].features)
                raise MissingDataError(f"{named}: no column '{column}'; set {field} to one of {columns}")
        _undecoded(config, there[part])
        _check_labels(config, there[part].features[config.label])
    return [there[part] for part in wanted]


@functools.lru_cache(maxsize=8)
def _opened(place: Path, subset: str | None, prepared: Path) -> Mapping[str, Any]:
    """The parts by name, mapped into memory."""
    import datasets

    if (place / "dataset_dict.json").is_file() or (place / "state.json").is_file():
        found: Any = datasets.load_from_disk(str(place))
    else:
        what, files = ("parquet", str(place)) if place.is_file() else (str(place), None)
        offline = datasets.DownloadConfig(local_files_only=True)
        found = datasets.load_dataset(
            what, subset, data_files=files, cache_dir=str(prepared), download_config=offline
        )
    return found if isinstance(found, dict) else {"train": found}


def _undecoded(config: Config, part: Any) -> Any:
    """A part's column of images, as bytes or paths."""
    import datasets

    held = part.features[config.image]
    try:
        return part.select_columns([config.image]).cast_column(config.image, datasets.Image(decode=False))
    except Exception as error:  # of arrow, of many types
        raise MissingDataError(
            f"{_named(config)}: column '{config.image}' holds {_short(held)}, expected images; set image"
        ) from error


def _check_labels(config: Config, held: Any) -> None:
    kind = getattr(held, "dtype", "")
    if hasattr(held, "names") or kind in ("string", "large_string") or re.fullmatch(r"u?int\d+", str(kind)):
        return
    raise MissingDataError(
        f"{_named(config)}: column '{config.label}' holds {_short(held)}, expected one class for each image; "
        "set label"
    )


def _labels(part: Any, column: str) -> list[Any]:
    labels: list[Any] = part.select_columns([column])[:][column]
    return labels


def _image(part: Any, column: str, index: int) -> Path | IO[bytes]:
    held = part[index][column]
    return io.BytesIO(held["bytes"]) if held["bytes"] is not None else Path(held["path"])


def _check_extra(config: Config) -> None:
    if reason := needs(config):
        raise MissingDataError(reason)


@contextlib.contextmanager
def _told(config: Config, what: str, way: str = "") -> Iterator[None]:
    """Silence; and what goes wrong in one line."""
    silent = io.StringIO()
    try:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            yield
    except MemoryError:
        raise
    except Exception as error:  # files, network and formats each have their own
        cause = _short(error, 300)
        raise MissingDataError(f"{_named(config)}: {what} ({type(error).__name__}: {cause}){way}") from error


def _short(value: Any, limit: int = 60) -> str:
    return " ".join(str(value).split())[:limit]
