"""The floors of the code with their files, lines and arrows, as docs/structure.md shows them.

python -m tests.floors      # writes them anew
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "structure.md"
BEGIN, END = "<!-- floors: python -m tests.floors -->\n", "<!-- end of floors -->\n"
VALUES = ("errors", "events", "records")
"""Files of the top floor that every other one knows."""


class Floor(NamedTuple):
    """A package of the top floor, or what lies beside them."""

    name: str
    files: int
    lines: int
    knows: tuple[str, ...]
    """Floors of the same house that its files import from, by name."""


def floors(house: str) -> list[Floor]:
    """The floors of `orchestrator` or of `trainers`, the highest first: none knows one above it."""
    parts: dict[str, list[Path]] = {}
    for path in sorted((ROOT / house).rglob("*.py")):
        name = path.relative_to(ROOT / house).parts[0].removesuffix(".py")
        if not name.startswith("__"):
            parts.setdefault("values" if name in VALUES else name, []).append(path)
    knows = {
        name: {one for path in files for one in _known(path, house)} & set(parts)
        for name, files in parts.items()
    }
    found = [
        Floor(
            name,
            len(files),
            sum(len(path.read_text("utf-8").splitlines()) for path in files),
            tuple(sorted(knows[name] - {name})),
        )
        for name, files in parts.items()
    ]
    return sorted(found, key=lambda floor: (-_height(floor.name, knows), floor.name))


def _height(name: str, knows: dict[str, set[str]]) -> int:
    """How many floors a floor has below it at least, one on another."""
    return 1 + max((_height(one, knows) for one in knows[name] - {name}), default=0)


def _known(path: Path, house: str) -> Iterator[str]:
    """The floors that a file imports from, also inside functions; not for types alone."""
    for node in _running(ast.parse(path.read_text("utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and node.module == house:
            modules = [f"{house}.{one.name}" for one in node.names]
        if isinstance(node, ast.Import):
            modules = [one.name for one in node.names]
        for module in modules:
            if module.startswith(f"{house}."):
                name = module.split(".")[1]
                yield "values" if name in VALUES else name


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _running(node)


def shown(floors: list[Floor]) -> str:
    """The floors as a table, lines to the hundred: a page need not change with every line of code."""
    head = "| floor | files | lines | knows |\n|---|---:|---:|---|\n"
    rows = (
        (f"`{one.name}`", one.files, rounded(one.lines), ", ".join(one.knows) or "none") for one in floors
    )
    return head + "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def rounded(lines: int) -> int:
    """Lines to the hundred, but for few."""
    return round(lines, -2) or lines


def main() -> None:
    """Write both houses into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    own = "\n".join(shown(floors(house)) for house in ("orchestrator", "trainers"))
    PAGE.write_text(f"{before}{BEGIN}\n{own}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
