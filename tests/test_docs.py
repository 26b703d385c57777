"""What documents say is true: links lead somewhere, commands and flags exist, and Python's example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from orchestrator.commands.app import app
from tests.place import Place

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md") for path in ROOT.glob(pattern))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)|src=\"([^\"]+)\"")
TYPED = re.compile(r"^[`$ ]*(?:[^`\n]*&& |exec )?orch ([a-z]+)((?: [^`|\n;&)]*)?)", re.MULTILINE)


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
