"""A bundle of numbers alone says all that one with pictures says: orch draws those again."""

from __future__ import annotations

import shlex
import zipfile
from pathlib import Path

import pytest

from orchestrator.planning.expand import Expansion
from orchestrator.recording.bundle.reading import Bundle
from orchestrator.recording.bundle.store import BundleStore
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.trial_files import SPECTRA
from tests.builders import PUBLISHED, expansion, table_yaml
from tests.place import Place
from tests.recording.test_bundle import exported, filled, merged_into

TEXT = table_yaml(PUBLISHED) + "figures:\n  - {kind: curves, columns: [train/loss]}\n"
PICTURE = "curves.png"


@pytest.fixture
def whole() -> Expansion:
    return expansion(TEXT)


@pytest.fixture
def full(tmp_path: Path, whole: Expansion) -> Bundle:
    """A bundle with pictures, in a folder of its own."""
    (tmp_path / "full").mkdir()
    return exported(tmp_path / "full" / "tiny.orch.zip", filled(whole), whole, TEXT)


@pytest.fixture
def lean(tmp_path: Path, full: Bundle) -> Bundle:
    """The same without, made of it."""
    (tmp_path / "lean").mkdir()
    out = tmp_path / "lean" / "tiny.orch.zip"
    Place(full.path.parent).orch("export", "tiny.orch.zip", "--numbers-only", "-o", str(out))
    return Bundle(out)


def test_numbers_alone_are_all_but_pictures_of_trials_and_pages(
    full: Bundle, lean: Bundle, whole: Expansion
) -> None:
    left_out = {name for name in full.manifest.files if name not in lean}
    pictures = {f"trials/{trial.id}/{PICTURE}" for trial in whole.trials}
    assert left_out == {"reports/tiny.html"} | pictures
    for name in lean.manifest.files.keys() - {"README.txt"}:  # which says what made it
        assert lean.read(name) == full.read(name)


def test_numbers_alone_of_a_store_are_those_of_the_bundle_with_pictures(
    tmp_path: Path, lean: Bundle, whole: Expansion
) -> None:
    other = exported(tmp_path / "tiny.orch.zip", filled(whole), whole, TEXT, numbers_only=True)
    assert other.manifest.files.keys() == lean.manifest.files.keys()
    assert other.manifest.bundle == lean.manifest.bundle == 1


MADE = [
    ("table TINY -f json", None),
    ("table TINY -f tex", None),
    ("status TINY", None),
    ("compare TINY --against 'EMA · regular'", None),
    ("compare TINY --effects", None),
    ("why TINY 'EMA · regular'", None),
    ("cost TINY", None),
    ("figures TINY -o made", "made/curves.png"),
    ("report TINY -o made.html", "made.html"),
    ("report TINY -f md -o made.md", "made.md"),
]
"""Commands, and the file that one makes."""


@pytest.mark.parametrize(("words", "made"), MADE)
def test_what_is_made_of_numbers_alone_is_the_same_to_the_last_byte(
    full: Bundle, lean: Bundle, words: str, made: str | None
) -> None:
    said: list[str | bytes] = []
    for place in (Place(full.path.parent), Place(lean.path.parent)):
        done = place.orch(*shlex.split(words.replace("TINY", "tiny.orch.zip")))
        said.append((place.folder / made).read_bytes() if made else done.stdout.replace("/full/", "/lean/"))
    assert said[0] == said[1] and said[0]


def test_numbers_alone_are_imported_without_the_pictures(
    full: Bundle, lean: Bundle, whole: Expansion
) -> None:
    ids, stores = [one.id for one in whole.trials], (MemoryStore(), MemoryStore())
    for bundle, store in zip((full, lean), stores, strict=True):
        assert len(merged_into(bundle, store).added) == len(ids)
    drawn, bare = stores
    assert bare.records(ids) == drawn.records(ids)
    for one, files in drawn.files(ids).items():
        assert bare.files([one])[one] == {name: files[name] for name in files if name != PICTURE}


def test_names_of_many_small_arrays_take_no_room_and_old_bundles_are_read(
    tmp_path: Path, full: Bundle, whole: Expansion
) -> None:
    ids, old = [one.id for one in whole.trials], tmp_path / "old.orch.zip"
    with zipfile.ZipFile(full.path) as there, zipfile.ZipFile(old, "w", zipfile.ZIP_STORED) as stored:
        for name in there.namelist():
            stored.writestr(name, there.read(name))
        arrays = [one for one in there.infolist() if one.filename.endswith(SPECTRA)]
    assert len(arrays) == len(ids) and all(one.compress_size < 0.7 * one.file_size for one in arrays)
    before, now = BundleStore(Bundle(old)), BundleStore(full)
    assert before.files(ids) == now.files(ids) and before.records(ids) == now.records(ids)
