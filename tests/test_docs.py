"""What documents say is true: links lead somewhere, commands and flags exist, and Python's example runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from orchestrator import Sweep
from orchestrator.answer.publish import check
from orchestrator.commands.app import app
from orchestrator.language.load import validated
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse, written
from tests.place import Place
from tests.scripted import MAIN

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md") for path in ROOT.glob(pattern))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)|src=\"([^\"]+)\"")
TYPED = re.compile(r"^[`$ ]*(?:[^`\n]*&& |exec )?orch ([a-z]+(?:-[a-z]+)*)((?: [^`|\n;&)]*)?)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor, image in LINK.findall(page.read_text(encoding="utf-8")):
        name = target or image
        if "://" in name:
            continue
        path = page.parent / name
        assert path.exists(), name
        if anchor and path.suffix == ".md":
            assert anchor[1:] in anchors(path), name + anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_flag_that_is_typed_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    typed = "\n".join(re.findall(r"`[^`\n]+`|^    .*$|^\$ .*$", text, flags=re.MULTILINE))
    for name, rest in TYPED.findall(typed):
        assert name in COMMANDS, f"orch {name}"
        flags = {flag for one in COMMANDS[name].params for flag in one.opts} | {"--help"}
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest):
            assert flag in flags, f"orch {name} {flag}"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_example_in_python_runs(ready: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(ready.folder)
    (ready.folder / "sweeps").mkdir()
    (ready.folder / "sweeps" / "smoke.yaml").write_text((ROOT / "sweeps" / "smoke.yaml").read_text())
    found: dict[str, object] = {}
    exec(example, found)
    assert len(found["trials"]) == 8  # type: ignore[arg-type]
    assert set(found["spectra"]) == {0, 1}  # type: ignore[call-overload]


def yaml_blocks() -> list[tuple[str, dict[str, Any]]]:
    """Each block of YAML in the documents, by page and line."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            place = f"{page.relative_to(ROOT)}:{text[: block.start()].count(chr(10)) + 1}"
            found.append((place, parse(block.group(1), place)))
    return found


BLOCKS = yaml_blocks()
SHORT = {"base": {"trainer": "modes"}, "name": "a_page", "version": 1}
OPEN = "..."
"""What a page writes where a file of its reader's has more."""


def filled(block: dict[str, Any]) -> dict[str, Any]:
    """A block with what it leaves open left out."""
    return {key: value for key, value in block.items() if OPEN not in str(value)}


FILES = ("extends", "plugins")
"""What names files that lie beside a document's sweep."""


@pytest.mark.parametrize(("place", "block"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_yaml_in_documents_is_what_a_sweep_file_takes(place: str, block: dict[str, Any]) -> None:
    assert set(block) <= {*SweepSpec.model_fields, "extends"}
    validated(SHORT | {key: value for key, value in filled(block).items() if key not in FILES}, place)


STAND_INS = {"docs/any_script.md": {"main.py": MAIN}, "docs/coming_from.md": {"train.py": MAIN}}
"""Files of others that a page speaks of: scripts of our own that take and print the same."""


def write_own_code(page: str, folder: Path) -> None:
    """Write the files of Python that a page shows under their names, and those that it speaks of."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, code in STAND_INS.get(page, {}).items():
        (folder / name).write_text(code, encoding="utf-8")
    for name, code in re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (folder / name).write_text(code, encoding="utf-8")


WHOLE = [(place, block) for place, block in BLOCKS if "base" in block and filled(block) == block]


@pytest.mark.parametrize(("place", "block"), WHOLE, ids=[place for place, _ in WHOLE])
def test_a_sweep_file_in_a_document_is_one_that_could_run(place: str, block: dict[str, Any]) -> None:
    write_own_code(place.rpartition(":")[0], Path.cwd())
    assert Sweep(block, place=place).trials
    check(Sweep(block, place=place).expansion)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_code_of_ones_own_trains_beside_byol_as_its_page_says(ready: Place) -> None:
    page = "docs/own_code.md"
    write_own_code(page, ready.folder)
    (block,) = (block for place, block in BLOCKS if place.startswith(page))
    ready.write(written(block), "mine.yaml")
    words = ("mine.yaml", "--seeds", "1", "--set", "epochs=1")
    said = ready.orch("sweep", *words, "--executor", "serial").stdout
    assert [line.split("  ")[0] for line in said.splitlines()[4:7]] == ["BYOL", "mine", "mine, longer"]
    code = ready.folder / "mybyol.py"
    code.write_text(code.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    assert "0 will run, 3 done" in ready.orch("plan", *words).stdout
    code.write_text(code.read_text(encoding="utf-8").replace("dim=1)", "dim=1, eps=1e-6)"), encoding="utf-8")
    told = "2 will run, 1 done, methods/mybyol changed since 2 trials"
    assert told in ready.orch("plan", *words).stdout


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["mine", "mnist"])
def test_a_script_trains_as_its_page_says(ready: Place, name: str) -> None:
    page = "docs/any_script.md"
    write_own_code(page, ready.folder)
    (block,) = (block for place, block in BLOCKS if place.startswith(page) and block["name"] == name)
    (ready.folder / "there").mkdir()
    ready.write(written(block), f"{name}.yaml")
    words = (f"{name}.yaml", "--seeds", "1", "--executor", "serial", "--data", "there")
    said = ready.orch("sweep", *words).stdout
    assert "pairing by seed is declared, not verified" in said and "0.1" in said
    assert "4 done" in ready.orch("plan", f"{name}.yaml", "--seeds", "1").stdout


EXAMPLES = Path(os.environ.get("ORCH_TEST_EXAMPLES", "")).absolute()


def write_digits_as_mnist(folder: Path) -> None:
    """Write scikit-learn's digits as the files that torchvision's MNIST reads, 28 px wide."""
    from sklearn.datasets import load_digits  # takes a second, and one test needs it

    digits = load_digits()
    images = np.pad(np.kron(digits.images, np.full((3, 3), 255 / 16)), ((0, 0), (2, 2), (2, 2)))
    folder.mkdir(parents=True)
    for name, part in (("train", slice(0, 768)), ("t10k", slice(1437, None))):
        pixels, labels = images[part].astype(np.uint8), digits.target[part].astype(np.uint8)
        head = struct.pack(">IIII", 2051, *pixels.shape)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">II", 2049, len(labels))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(
    not (EXAMPLES / "mnist" / "main.py").exists(),
    reason="ORCH_TEST_EXAMPLES names no clone of github.com/pytorch/examples",
)
def test_the_script_that_nobody_here_wrote_is_swept_without_an_edit(ready: Place) -> None:
    page = "docs/any_script.md"
    (block,) = (block for place, block in BLOCKS if place.startswith(page) and block["name"] == "mnist")
    shutil.copy(EXAMPLES / "mnist" / "main.py", ready.folder)
    write_digits_as_mnist(ready.folder / "data" / "MNIST" / "raw")
    ready.write(written(block), "mnist.yaml")
    ready.orch("sweep", "mnist.yaml", "--executor", "serial", "--data", "data")
    sweep = Sweep.load("mnist.yaml", home=ready.folder / "runs")
    assert len(sweep.frame()) == 8 and sweep.frame()["top1"].min() > 20  # 10 by chance
    curves = sweep.curves()
    assert set(curves["metric"]) == {"loss", "test_loss", "top1"} and set(curves["epoch"]) == {1, 2}
    assert "0 will run, 8 done" in ready.orch("plan", "mnist.yaml").stdout


def test_what_the_readme_shows_of_a_sweep_is_in_its_file() -> None:
    shown = next(block for place, block in BLOCKS if place.startswith("README") and "base" not in block)
    path = ROOT / "sweeps" / "table1.yaml"
    there = parse(path.read_text(encoding="utf-8"), str(path))
    assert shown["axes"] == there["axes"]
    assert shown["seeds"] == there["seeds"]
    for table, own in zip(shown["tables"], there["tables"], strict=True):
        assert table.items() <= own.items()


def test_every_form_of_axis_in_the_documents_is_one() -> None:
    page = (ROOT / "docs" / "sweep_files.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| [a-z ]+ \| `([^`]+)`", page.partition("## Axes")[2].partition("## ")[0], re.MULTILINE
    )
    assert len(rows) == 5
    for row in rows:
        validated(SHORT | {"axes": parse(row, "docs/sweep_files.md")}, "docs/sweep_files.md")


def test_every_page_is_in_the_site_and_in_its_list_of_questions() -> None:
    site = parse((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), "mkdocs.yml")
    in_site = set(re.findall(r"\b(\w+\.md)", str(site["nav"])))
    asked = set(re.findall(r"\]\((\w+\.md)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    pages = {path.name for path in ROOT.glob("docs/*.md")}
    assert in_site == pages and asked == pages - {"index.md"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_tutorial_can_be_followed(ready: Place) -> None:
    (block,) = (block for place, block in BLOCKS if place.startswith("docs/tutorial.md"))
    block["base"] |= {"epochs": 1, "data": {"name": "shapes", "size": 8, "train": 128, "test": 64}}
    block["seeds"] = 1
    ready.write(written(block), "predictor.yaml")
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    assert "3 cells × 3 seeds = 9 trials" in text
    commands = re.findall(r"^    (?:\$ )?orch (.*)$", text, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        words = shlex.split(command.replace("--seeds 8", "--seeds 2"))
        ready.orch(*words, *(("--executor", "serial") if words[0] == "sweep" else ()))
    assert (ready.folder / "predictor.html").exists()
    assert (ready.folder / "runs" / "figures" / "predictor" / "eigenspace.png").exists()
